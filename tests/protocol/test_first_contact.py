"""docs/protocol/contacts.md: how two accounts become contacts, and what a stranger can and cannot do."""

from collections.abc import Callable

import pytest

from mepassa.identity import HomeKeyPair
from mepassa.model.card import Card
from mepassa.model.content import Introduction, Text
from mepassa.model.errors import ConflictError, InvalidInputError, SignatureError, TextTooLongError, UnsupportedError
from mepassa.model.route import Policy
from mepassa.model.secret import SecretBytes
from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.stores import InviteKind, OutboxKind, PrekeyKind, Tx
from mepassa.protocol import contacts, outbound, restarts
from mepassa.protocol.account import local_identity
from mepassa.protocol.devices import remote_device
from mepassa.protocol.inbound import MAX_REQUEST_TEXTS, Fate
from mepassa.protocol.sealing import STRANGER_DERIVATIONS
from mepassa.protocol.session import SessionRecord, encrypt
from mepassa.wire.content import decode_content
from tests.protocol.device_lists import next_list
from tests.protocol.phones import ELSEWHERE, HOME, Phone, befriend, settle

MakePhone = Callable[..., Phone]


def test_a_request_is_shown_answered_and_then_receipted(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    first = ana.write(beto, "oi Beto, é a Ana")
    (envelope,) = ana.post(beto)
    assert len(envelope.raw) <= 8192
    assert beto.take(envelope).fate is Fate.OPENED
    assert (beto.contact(ana).state, beto.contact(ana).name) == (ChatState.REQUEST, "ana")
    assert beto.texts(ana) == ["oi Beto, é a Ana"]
    assert beto.waiting() == 0, "a stranger gets no receipt"
    beto.accept(ana)
    settle(ana, beto)
    assert ana.message(first.id).status is MessageStatus.DELIVERED
    assert {ana.contact(beto).state, beto.contact(ana).state} == {ChatState.ACCEPTED}
    beto.write(ana, "oi!")
    settle(ana, beto)
    assert ana.texts(beto) == ["oi!"]


def test_who_we_are_is_enclosed_until_the_answer_has_come(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    ana.write(beto, "um")
    ana.write(beto, "dois")
    rows = ana.ready(beto)
    assert [decode_content(row.content).introduction is not None for row in rows] == [True, True]
    assert {row.kind for row in rows} == {OutboxKind.REQUEST}
    # The second alone is enough: the first may be lost, or come later.
    envelopes = ana.post(beto)
    assert [beto.take(envelope).fate for envelope in reversed(envelopes)] == [Fate.OPENED, Fate.OPENED]
    assert beto.texts(ana) == ["um", "dois"]
    beto.accept(ana)
    settle(ana, beto)
    ana.write(beto, "três")
    (row,) = ana.ready(beto)
    assert decode_content(row.content).introduction is None
    assert row.kind is OutboxKind.TEXT


def test_a_qr_code_accepts_at_once_and_only_once(ana: Phone, beto: Phone, caio: Phone) -> None:
    card = beto.invite(InviteKind.QR)
    for phone in (ana, caio):
        phone.add(card, beto)
    (hello,) = ana.post(beto)
    beto.take(hello)
    assert beto.contact(ana).state is ChatState.ACCEPTED
    assert beto.screen(ana) == []
    settle(ana, beto)
    assert ana.contact(beto).state is ChatState.ACCEPTED
    (late,) = caio.post(beto)
    beto.take(late)
    assert beto.contact(caio).state is ChatState.REQUEST, "a spent code makes an ordinary request"


def test_a_qr_code_lives_ten_minutes(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(InviteKind.QR), beto)
    (hello,) = ana.post(beto)
    beto.clock.advance(601)
    beto.take(hello)
    assert beto.contact(ana).state is ChatState.REQUEST


def test_a_link_serves_twenty_people_and_each_counts_once(beto: Phone, make_phone: MakePhone) -> None:
    card = beto.invite()

    def left() -> tuple[int, bool]:
        invite = beto.db.run_now(lambda tx: tx.invite(card.invite_token or b""))
        assert invite is not None
        return invite.uses_left, invite.live(beto.now)

    for number in range(21):
        guest = make_phone(f"guest{number}")
        guest.add(card, beto)
        for text in ("oi", "oi de novo"):
            guest.write(beto, text)
        for envelope in guest.post(beto):
            beto.take(envelope)
        assert left() == (max(0, 19 - number), number < 19)


def test_two_requests_that_cross_accept_each_other(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    beto.add(ana.invite(), ana)
    ana.write(beto, "da Ana")
    beto.write(ana, "do Beto")
    settle(ana, beto)
    assert {ana.contact(beto).state, beto.contact(ana).state} == {ChatState.ACCEPTED}
    assert (ana.texts(beto), beto.texts(ana)) == (["do Beto"], ["da Ana"])
    assert {row.status for phone, other in ((ana, beto), (beto, ana)) for row in phone.screen(other)} == {
        MessageStatus.DELIVERED
    }


def test_adding_who_has_asked_is_accepting(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    ana.write(beto, "oi")
    beto.take(ana.post(beto)[0])
    assert beto.add(ana.invite(), ana).state is ChatState.ACCEPTED
    settle(ana, beto)
    assert ana.contact(beto).state is ChatState.ACCEPTED


def test_adding_a_contact_again_changes_nothing(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    before = ana.contact(beto)
    assert ana.add(beto.invite(), beto) == before
    assert ana.waiting() == 0


def test_a_refused_request_stays_silent(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    first = ana.write(beto, "oi")
    beto.take(ana.post(beto)[0])
    beto.block(ana)
    ana.write(beto, "alô?")
    assert [beto.take(envelope).fate for envelope in ana.post(beto)] == [Fate.DROPPED]
    assert beto.waiting() == 0
    assert ana.message(first.id).status is MessageStatus.STORED


def test_the_keys_that_contacts_need_are_exchanged(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    for phone, other in ((ana, beto), (beto, ana)):
        contact, own = phone.contact(other), other.db.run_now(lambda tx: tx.own())
        assert contact.profile_key == own.profile_key
        assert contact.presence_key == contacts.own_presence_key(own)
        assert phone.db.run_now(lambda tx: tx.renewals()) == (), "all is confirmed"


def test_who_hides_their_address_tells_no_presence_key(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    ana.write(beto, "oi")
    beto.take(ana.post(beto)[0])
    beto.accept(ana, direct=False)
    settle(ana, beto)
    assert ana.contact(beto).presence_key is None
    assert beto.contact(ana).policy is Policy.HIDE_MY_IP
    assert beto.contact(ana).presence_key is not None, "the other side allows direct"


def test_hiding_the_address_needs_a_common_home_yet(ana: Phone, make_phone: MakePhone) -> None:
    far = make_phone("far", ELSEWHERE)
    with pytest.raises(UnsupportedError):
        ana.add(far.invite(), far, direct=False)
    far.add(ana.invite(), ana)
    far.write(ana, "oi")
    ana.take(far.post(ana)[0])
    with pytest.raises(UnsupportedError):
        ana.accept(far, direct=False)
    assert ana.contact(far).state is ChatState.REQUEST


@pytest.mark.parametrize("url", ["http://127.0.0.1:80", "http://10.0.0.7", "https://[fd00::1]", "http://localhost"])
def test_no_contact_can_send_us_into_our_own_network(url: str, ana: Phone, make_phone: MakePhone) -> None:
    inside = make_phone("inside", HomeAddress(url, HOME.key))
    with pytest.raises(UnsupportedError):
        ana.add(inside.invite(), inside)
    neighbour = make_phone("neighbour", HomeAddress("http://127.0.0.1:81", HOME.key))
    neighbour.add(inside.invite(), inside)  # at home inside, too


def test_ones_own_link_is_refused_with_words(ana: Phone) -> None:
    with pytest.raises(InvalidInputError):
        ana.add(ana.invite(), ana)


def test_a_list_of_another_account_is_refused(ana: Phone, beto: Phone, caio: Phone) -> None:
    with pytest.raises(SignatureError):
        ana.add(beto.invite(), caio)
    assert ana.db.run_now(lambda tx: tx.contacts()) == ()


def test_texts_are_short_until_accepted(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    with pytest.raises(TextTooLongError):
        ana.write(beto, "x" * 2049)
    ana.write(beto, "x" * 2048)
    (envelope,) = ana.post(beto)
    assert len(envelope.raw) <= 8192
    beto.take(envelope)
    with pytest.raises(ConflictError):
        beto.write(ana, "sem aceitar")
    beto.accept(ana)
    settle(ana, beto)
    ana.write(beto, "é" * 8192)
    settle(ana, beto)
    assert len(beto.texts(ana)[-1]) == 8192


# --- what a false stranger tries --------------------------------------------------------------------------------------


def forge(
    ana: Phone, beto: Phone, monkeypatch: pytest.MonkeyPatch, change: Callable[[Introduction], Introduction | None]
) -> Fate:
    """Ana's first message with another introduction inside, everything else being right."""
    ana.add(beto.invite(), beto)
    real = restarts.introduction
    monkeypatch.setattr(outbound, "introduction", lambda own, contact: change(real(own, contact)))
    ana.write(beto, "confia")
    (envelope,) = ana.post(beto)
    prekeys = [beto.db.run_now(lambda tx: tx.prekeys(kind)) for kind in PrekeyKind]
    fate = beto.take(envelope).fate
    after = [beto.db.run_now(lambda tx: tx.prekeys(kind)) for kind in PrekeyKind]
    assert after == prekeys, "a refused stranger uses up no prekey"
    assert beto.db.run_now(lambda tx: (tx.contacts(), tx.sessions(), tx.waiting())) == ((), (), 0)
    return fate


def other_card(caio: Phone) -> Callable[[Introduction], Introduction]:
    card = Card(caio.home.url, caio.home.key, caio.own.root_key, "Caio")
    return lambda said: Introduction(card, said.device_list, said.profile_key, said.invite_token)


def test_a_stranger_without_introduction_is_dropped(ana: Phone, beto: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    assert forge(ana, beto, monkeypatch, lambda _: None) is Fate.DROPPED


def test_a_stranger_with_anothers_card_is_dropped(
    ana: Phone, beto: Phone, caio: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert forge(ana, beto, monkeypatch, other_card(caio)) is Fate.DROPPED


def test_a_stranger_with_anothers_card_and_list_is_dropped(
    ana: Phone, beto: Phone, caio: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card(caio.home.url, caio.home.key, caio.own.root_key, "Caio")
    assert (
        forge(
            ana,
            beto,
            monkeypatch,
            lambda said: Introduction(card, caio.own.device_list, said.profile_key, said.invite_token),
        )
        is Fate.DROPPED
    )


def test_a_stranger_whose_list_is_anothers_is_dropped(
    ana: Phone, beto: Phone, caio: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        forge(
            ana,
            beto,
            monkeypatch,
            lambda said: Introduction(said.card, caio.own.device_list, said.profile_key, said.invite_token),
        )
        is Fate.DROPPED
    )


def test_a_stranger_whose_card_names_another_home_than_the_list_is_dropped(
    ana: Phone, beto: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(said: Introduction) -> Introduction:
        key = HomeKeyPair(SecretBytes(b"x" * 32)).public
        card = Card("https://evil.test", key, said.card.root_key, said.card.name)
        return Introduction(card, said.device_list, said.profile_key, said.invite_token)

    assert forge(ana, beto, monkeypatch, change) is Fate.DROPPED


@pytest.mark.parametrize("url", ["http://[::1", "https://a.test/path", "file:///etc/passwd", "https://ana@a.test"])
def test_a_stranger_whose_home_is_no_address_is_dropped(
    ana: Phone, beto: Phone, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    signed = next_list(ana, home_url=url)

    def change(said: Introduction) -> Introduction:
        card = Card(url, said.card.home_key, said.card.root_key, said.card.name)
        return Introduction(card, signed, said.profile_key, said.invite_token)

    assert forge(ana, beto, monkeypatch, change) is Fate.DROPPED


def test_an_overlong_request_text_is_dropped(ana: Phone, beto: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mepassa.protocol.delivery.MAX_REQUEST_TEXT_BYTES", 4000)
    ana.add(beto.invite(), beto)
    ana.write(beto, "x" * 2100)
    assert beto.take(ana.post(beto)[0]).fate is Fate.DROPPED


def test_a_stranger_leaves_so_many_texts_and_no_more(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    for number in range(MAX_REQUEST_TEXTS + 5):
        ana.write(beto, f"{number}")
    for envelope in ana.post(beto):
        beto.take(envelope)
    assert len(beto.texts(ana)) == MAX_REQUEST_TEXTS


def test_only_so_many_strangers_wait_at_once(ana: Phone, beto: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts, "MAX_PENDING_REQUESTS", 0)
    ana.add(beto.invite(), beto)
    ana.write(beto, "oi")
    assert beto.take(ana.post(beto)[0]).fate is Fate.DROPPED
    assert beto.db.run_now(lambda tx: tx.contacts()) == ()


def test_an_introduction_reaches_a_device_that_had_forgotten_us(ana: Phone, beto: Phone) -> None:
    """Beto's answer was lost with a restored database: Ana's next words introduce her again, and he answers again."""
    ana.add(beto.invite(), beto)
    ana.write(beto, "um")
    beto.take(ana.post(beto)[0])
    beto.accept(ana)
    assert len(beto.post(ana)) >= 1, "and lost on the way"
    for renewal in beto.db.run_now(lambda tx: tx.renewals()):
        beto.db.run_now(lambda tx: tx.delete_renewal(renewal.account, renewal.message_id))
    ana.write(beto, "dois")
    settle(ana, beto)
    assert ana.contact(beto).state is ChatState.ACCEPTED
    assert beto.texts(ana) == ["um", "dois"]


def test_every_envelope_of_a_stranger_may_come_alone(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    ana.write(beto, "um")
    ana.write(beto, "dois")
    one, two = ana.post(beto)
    beto.take(two)
    beto.accept(ana)
    beto.take(one)
    settle(ana, beto)
    assert [row.status for row in ana.screen(beto)] == [MessageStatus.DELIVERED] * 2
    assert isinstance(decode_content_of(ana, beto), Text)


def decode_content_of(ana: Phone, beto: Phone) -> object:
    ana.write(beto, "x")
    return decode_content(ana.ready(beto)[0].content).body


def test_an_expired_certificate_is_dropped(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    ana.write(beto, "oi")
    (envelope,) = ana.post(beto)
    beto.clock.advance(days=61)
    assert beto.take(envelope).fate is Fate.DROPPED


def burn(sender: Phone, reader: Phone, count: int) -> None:
    """Step the sender's chain so many times without a word."""

    def work(tx: Tx) -> None:
        kept = tx.session(reader.address)
        remote = remote_device(contacts.require(tx, reader.account), reader.address.device)
        assert kept is not None
        assert remote is not None
        record = SessionRecord.from_bytes(kept)
        for _ in range(count):
            record, _lost = encrypt(
                record, local_identity(tx.own()), remote, b"\x80", now_ms=sender.now, rng=sender.rng
            )
        tx.put_session(reader.address, record.to_bytes())

    sender.db.run_now(work)


def test_a_strangers_envelope_causes_little_work_before_anybody_knows_who_it_is(ana: Phone, beto: Phone) -> None:
    """A contact may have lost 24 999 messages; a stranger with a link has no such past."""
    ana.add(beto.invite(), beto)
    ana.write(beto, "um")
    ana.post(beto)
    burn(ana, beto, STRANGER_DERIVATIONS + 10)
    ana.write(beto, "dois")
    (costly,) = ana.post(beto)
    assert beto.take(costly).fate is Fate.DROPPED
    assert beto.db.run_now(lambda tx: (tx.contact(ana.account), tx.session(ana.address))) == (None, None)


def test_the_same_gap_is_opened_from_a_contact(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    burn(ana, beto, STRANGER_DERIVATIONS + 10)
    ana.write(beto, "depois de muita perda")
    settle(ana, beto)
    assert beto.texts(ana) == ["depois de muita perda"]


def test_a_code_shown_in_person_does_not_accept_whom_we_could_not_answer(make_phone: MakePhone, beto: Phone) -> None:
    """A home inside somebody's own network: the request is kept, and nothing raises on the way."""
    inside = HomeAddress("https://10.0.0.5", HOME.key)
    eve = make_phone("eve", home=inside)
    eve.add(beto.invite(InviteKind.QR), beto)
    (envelope,) = eve.post(beto)
    assert beto.take(envelope).fate is Fate.OPENED
    assert beto.contact(eve).state is ChatState.REQUEST
    assert beto.take(envelope).fate is Fate.SEEN_BEFORE
    with pytest.raises(UnsupportedError):
        beto.accept(eve)
