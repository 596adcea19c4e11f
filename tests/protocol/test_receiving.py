"""docs/protocol/delivery.md, "Receiving": who is dropped, what is told, and what one envelope leaves behind."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from mepassa.identity import RootKey
from mepassa.model.content import ContactCopy, Content, UnknownBody
from mepassa.model.errors import MalformedError
from mepassa.model.ids import Timestamp
from mepassa.model.route import Policy
from mepassa.model.secret import SecretBytes
from mepassa.model.status import ChatState
from mepassa.ports.stores import EventKind, InviteKind
from mepassa.protocol import contacts
from mepassa.protocol.alarms import Alarm
from mepassa.protocol.inbound import ALIVE_MS, Arrival, Fate, receive
from mepassa.wire.content import decode_content
from tests.protocol.device_lists import alarms, next_list
from tests.protocol.phones import DIRECT, Phone, befriend, settle

Pair = tuple[Phone, Phone]


@pytest.fixture
def pair(ana: Phone, beto: Phone) -> Pair:
    befriend(ana, beto)
    return ana, beto


def read_as(monkeypatch: pytest.MonkeyPatch, change: Callable[[Content], Content]) -> None:
    """As if the next contents had been written so."""
    monkeypatch.setattr("mepassa.protocol.inbound.decode_content", lambda data: change(decode_content(data)))


def events(phone: Phone, since: int) -> list[EventKind]:
    return [event.kind for event in phone.db.run_now(lambda tx: tx.events_after(since))]


def now_at(phone: Phone) -> int:
    return phone.db.run_now(lambda tx: tx.event_span())[1]


# --- who is dropped -----------------------------------------------------------------------------------------------------


def test_by_a_link_comes_only_what_its_device_has_written(pair: Pair, caio: Phone) -> None:
    ana, beto = pair
    for peer, fate in ((caio.address, Fate.DROPPED), (ana.address, Fate.OPENED)):
        ana.write(beto, "por aqui")
        (envelope,) = ana.post(beto)
        by_link = Arrival(DIRECT, peer)
        assert beto.db.run_now(lambda tx: receive(tx, envelope, by_link, beto.now, beto.rng)).fate is fate
    assert len(beto.texts(ana)) == 1


def test_who_is_certified_by_another_root_than_the_pinned_one_is_dropped(pair: Pair) -> None:
    ana, beto = pair
    other = RootKey(SecretBytes(b"o" * 32)).public
    beto.db.run_now(lambda tx: tx.put_contact(replace(contacts.require(tx, ana.account), root_key=other)))
    ana.write(beto, "sou a Ana")
    (envelope,) = ana.post(beto)
    assert beto.take(envelope).fate is Fate.DROPPED
    assert beto.texts(ana) == []


def test_a_content_that_is_none_is_dropped_and_the_session_goes_on(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ana, beto = pair

    def refuse(_content: Content) -> Content:
        raise MalformedError

    ana.write(beto, "ilegível")
    read_as(monkeypatch, refuse)
    assert beto.take(ana.post(beto)[0]).fate is Fate.DROPPED
    monkeypatch.undo()
    ana.write(beto, "legível")
    assert beto.take(ana.post(beto)[0]).fate is Fate.OPENED
    assert beto.texts(ana) == ["legível"]


def test_a_forked_list_of_somebody_whom_we_have_asked_is_an_alarm(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    beto.add(ana.invite(), ana)
    ana.write(beto, "oi")
    forked = next_list(ana, version=beto.contact(ana).list_version)
    ana.db.run_now(lambda tx: tx.put_own(replace(tx.own(), device_list=forked)))
    ana.write(beto, "oi com outra lista")
    assert beto.take(ana.post(beto)[-1]).fate is Fate.DROPPED
    assert alarms(beto) == [Alarm.LIST_FORKED]


def test_a_forked_list_of_somebody_who_waits_is_an_alarm(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    ana.write(beto, "oi")
    assert [beto.take(envelope).fate for envelope in ana.post(beto)] == [Fate.OPENED]
    forked = next_list(ana, version=beto.contact(ana).list_version)
    ana.db.run_now(lambda tx: tx.put_own(replace(tx.own(), device_list=forked)))
    ana.write(beto, "oi com outra lista")
    assert [beto.take(envelope).fate for envelope in ana.post(beto)] == [Fate.DROPPED]
    assert alarms(beto) == [Alarm.LIST_FORKED]


def test_accepted_contacts_do_not_count_among_those_who_wait(
    pair: Pair, caio: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana, beto = pair
    monkeypatch.setattr(contacts, "MAX_PENDING_REQUESTS", 1)
    caio.add(beto.invite(), beto)
    caio.write(beto, "oi")
    assert beto.take(caio.post(beto)[0]).fate is Fate.OPENED
    assert beto.contact(caio).state is ChatState.REQUEST
    assert beto.contact(ana).state is ChatState.ACCEPTED


# --- what is told -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age_ms", "is_alive"), [(ALIVE_MS, True), (ALIVE_MS + 1, False)])
def test_who_wrote_within_ten_seconds_is_online(pair: Pair, age_ms: int, is_alive: bool) -> None:
    ana, beto = pair
    ana.write(beto, "oi")
    (envelope,) = ana.post(beto)
    beto.clock.advance(age_ms / 1000)
    assert beto.take(envelope).alive == (ana.address if is_alive else None)


def test_whoever_tells_homes_and_links_is_told_of_keys_and_introductions_and_not_of_texts(
    ana: Phone, beto: Phone
) -> None:
    ana.add(beto.invite(), beto)
    ana.write(beto, "oi")
    assert [beto.take(envelope).contacts_changed for envelope in ana.post(beto)] == [True], "an introduction"
    beto.accept(ana)
    assert all(ana.take(envelope).contacts_changed for envelope in beto.post(ana)[:1]), "the answer"
    settle(ana, beto)
    ana.write(beto, "e agora?")
    assert [beto.take(envelope).contacts_changed for envelope in ana.post(beto)] == [False]


def test_a_text_is_told_to_the_screen_and_to_the_list_of_chats(pair: Pair) -> None:
    ana, beto = pair
    ana.write(beto, "oi")
    (envelope,) = ana.post(beto)
    since = now_at(beto)
    beto.take(envelope)
    assert events(beto, since) == [EventKind.MESSAGE, EventKind.CHAT]


def test_who_asks_without_a_word_is_in_the_list_of_chats_and_uses_up_no_dead_invite(ana: Phone, beto: Phone) -> None:
    card = beto.invite(InviteKind.QR)
    ana.add(card, beto)
    (hello,) = ana.post(beto)
    beto.clock.advance(601)

    def uses_left() -> int:
        invite = beto.db.run_now(lambda tx: tx.invite(card.invite_token or b""))
        assert invite is not None
        return invite.uses_left

    since, uses = now_at(beto), uses_left()
    beto.take(hello)
    assert events(beto, since) == [EventKind.CHAT]
    assert uses_left() == uses


# --- what a content may say ---------------------------------------------------------------------------------------------


def test_a_contact_says_nothing_in_the_name_of_our_own_devices(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ana, beto = pair
    copy = ContactCopy(
        ana.own.root_key, "Ana", ChatState.BLOCKED, Policy.AUTO, Timestamp(1), ana.home.url, ana.home.key, 1
    )
    read_as(monkeypatch, lambda content: msgspec.structs.replace(content, body=copy))
    ana.write(beto, "x")
    received = beto.take(ana.post(beto)[0])
    assert (received.fate, received.delivered) == (Fate.OPENED, False)
    assert beto.waiting() == 0


def test_the_id_of_a_message_of_ours_is_not_a_message_of_theirs(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ana, beto = pair
    ours = beto.write(ana, "minha")
    read_as(monkeypatch, lambda content: msgspec.structs.replace(content, message_id=ours.id))
    ana.write(beto, "imitada")
    assert not beto.take(ana.post(beto)[0]).delivered
    assert [row.text for row in beto.screen(ana)] == ["minha"]


@pytest.mark.parametrize(("sender_seq", "rows"), [(0, 0), (1, 1)])
def test_a_later_versions_control_content_arrives_and_shows_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, sender_seq: int, rows: int
) -> None:
    ana, beto = pair
    read_as(monkeypatch, lambda content: msgspec.structs.replace(content, body=UnknownBody(99), sender_seq=sender_seq))
    ana.write(beto, "x")
    assert beto.take(ana.post(beto)[0]).delivered
    assert len(beto.screen(ana)) == rows
