"""docs/protocol/identity.md, "Recovery": what contacts do when somebody is back on devices that know nobody."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from mepassa.identity import IdentityKeyPair, decode_device_list
from mepassa.model.content import ContactAccepted
from mepassa.model.device_list import MAX_DEVICES, DeviceEntry, SignedDeviceList
from mepassa.model.errors import DeviceRemovedError, SignatureError
from mepassa.model.ids import Address
from mepassa.model.route import Policy
from mepassa.model.secret import SecretBytes
from mepassa.model.status import ChatState, MessageStatus, Verification
from mepassa.ports.stores import InviteKind, OutboxKind, OutboxRow, Tx
from mepassa.protocol import contacts, delivery, own_devices, verification
from mepassa.protocol.account import DAY_MS, recover_account
from mepassa.protocol.alarms import Alarm
from mepassa.protocol.device_changes import drop_waiting
from mepassa.protocol.devices import learn_list
from mepassa.protocol.healing import ask_again
from mepassa.protocol.inbound import Fate
from mepassa.protocol.own_prekeys import stock_up
from mepassa.protocol.removal import is_removed, learn_own_list
from mepassa.protocol.restarts import MAX_TAKEN_ALONG
from mepassa.protocol.session_record import SessionRecord
from mepassa.protocol.status import StatusEvent
from mepassa.protocol.tokens import token_for
from mepassa.storage import InlineDb
from mepassa.wire.content import decode_content
from tests.protocol.device_lists import alarms, next_list
from tests.protocol.phones import HOME, KEY, STORED, Phone, befriend, settle

MakePhone = Callable[..., Phone]


@pytest.fixture
def recovered(make_phone: MakePhone, tmp_path: Path) -> Callable[[Phone], Phone]:
    """The same person on a new phone, from the words and the list that the home has."""

    def recover(old: Phone) -> Phone:
        phone = make_phone(f"{old.name} again")
        phone.db.close()
        phone.path = tmp_path / f"{old.name}-recovered.db"
        phone.db = InlineDb(phone.path, KEY, create=True, synchronous="OFF")
        phone.root, known = old.root, old.db.run_now(lambda tx: tx.own()).device_list
        phone.own = phone.db.run_now(
            lambda tx: recover_account(
                tx, root=old.root, home=HOME, name=old.name, known=known, now_ms=phone.now, rng=phone.rng
            )
        )
        phone.db.run_now(lambda tx: stock_up(tx, phone.now, phone.rng))
        return phone

    return recover


def learn(phone: Phone, other: Phone, signed: SignedDeviceList) -> None:
    phone.db.run_now(lambda tx: learn_list(tx, contacts.require(tx, other.account), signed))


def test_a_contact_whose_devices_are_all_new_is_asked_again(
    ana: Phone, beto: Phone, recovered: Callable[[Phone], Phone]
) -> None:
    befriend(ana, beto)
    digits = verification.number_of(ana.own, ana.contact(beto)).digits
    ana.db.run_now(lambda tx: verification.verify(tx, contacts.require(tx, beto.account), digits, ana.now))
    again = recovered(beto)
    assert again.account == beto.account
    learn(ana, beto, again.own.device_list)
    contact = ana.contact(beto)
    assert contact.state is ChatState.REQUESTED
    assert (contact.profile_key, contact.presence_key, token_for(contact)) == (None, None, None)
    assert contact.verification is Verification.VERIFIED, "the number is the same"
    assert alarms(ana) == [Alarm.ACCOUNT_RECOVERED]

    ana.write(beto, "é você?")
    (row,) = ana.outbox()
    assert (row.to, row.kind) == (Address(beto.account, 2), OutboxKind.REQUEST)
    assert decode_content(row.content).introduction is not None
    settle_request(ana, again)
    assert again.contact(ana).state is ChatState.REQUEST
    assert again.texts(ana) == ["é você?"]
    again.db.run_now(lambda tx: contacts.accept(tx, ana.account, direct=True, now_ms=again.now, rng=again.rng))
    settle(ana, again)
    assert ana.contact(beto).state is again.contact(ana).state is ChatState.ACCEPTED
    again.write(ana, "sou eu")
    ana.write(again, "que bom")
    settle(ana, again)
    assert ana.texts(again) == ["sou eu"]
    assert again.texts(ana) == ["é você?", "que bom"]


def settle_request(sender: Phone, reader: Phone) -> None:
    for envelope in sender.post(reader):
        assert reader.take(envelope).fate is Fate.OPENED


def test_what_had_not_arrived_goes_along_and_what_had_does_not(
    ana: Phone, beto: Phone, recovered: Callable[[Phone], Phone]
) -> None:
    befriend(ana, beto)
    ana.write(beto, "chegou")
    settle(ana, beto)
    ana.write(beto, "guardada no servidor")
    (row,) = ana.outbox()
    ana.taken(row, StatusEvent.DEPOSIT_SYNCED, STORED)
    ana.write(beto, "na fila")
    ana.write(beto, "x" * 3000)  # no request is so long
    again = recovered(beto)
    learn(ana, beto, again.own.device_list)
    settle_request(ana, again)
    assert again.texts(ana) == ["na fila"], "the newest that fits asks, and the others follow the answer"
    again.accept(ana)
    settle(ana, again)
    assert again.texts(ana) == ["guardada no servidor", "na fila", "x" * 3000]
    assert {row.status for row in ana.screen(beto) if row.sender == ana.account} == {MessageStatus.DELIVERED}
    assert [row.text for row in ana.screen(beto)].count("na fila") == 1


def test_so_much_follows_the_answer_and_no_more(ana: Phone, beto: Phone, recovered: Callable[[Phone], Phone]) -> None:
    befriend(ana, beto)
    for number in range(MAX_TAKEN_ALONG + 5):
        ana.write(beto, f"m{number}")
    again = recovered(beto)
    learn(ana, beto, again.own.device_list)
    settle_request(ana, again)
    again.accept(ana)
    settle(ana, again)
    assert again.texts(ana) == [f"m{number}" for number in range(5, MAX_TAKEN_ALONG + 5)]


def all_new(phone: Phone, number: int, *, keep: DeviceEntry | None = None) -> SignedDeviceList:
    """The next list of the phone's root key: sixteen devices, none of them (or only `keep`) of any list before."""
    phone.clock.advance(1)
    fresh = (
        DeviceEntry(n, IdentityKeyPair(SecretBytes(bytes([number, n]) * 16)).public, 7)
        for n in range(2, MAX_DEVICES + 1)
    )
    first = keep or DeviceEntry(1, IdentityKeyPair(SecretBytes(bytes([number, 0]) * 16)).public, 7)
    return next_list(phone, first, *fresh, drop=1)


def asks(phone: Phone) -> list[OutboxRow]:
    return [row for row in phone.outbox() if row.kind is OutboxKind.REQUEST]


def test_lists_without_end_make_us_ask_once_for_each_text_that_was_written(ana: Phone, beto: Phone) -> None:
    """Each of these deposits is work, and whoever holds the root key makes such a list in no time."""
    befriend(ana, beto)
    for number in range(MAX_TAKEN_ALONG):
        ana.write(beto, f"m{number}")
    learn(ana, beto, all_new(beto, 1))
    assert len(asks(ana)) == MAX_DEVICES, "one text for each device"
    for number in range(2, 6):
        learn(ana, beto, all_new(beto, number))
        assert asks(ana) == []
    ana.write(beto, "e agora?")
    assert len(asks(ana)) == MAX_DEVICES
    learn(ana, beto, all_new(beto, 6))
    assert len(asks(ana)) == MAX_DEVICES
    learn(ana, beto, all_new(beto, 7))
    assert asks(ana) == []


def test_an_answer_between_two_such_lists_buys_nothing_again(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    ana.write(beto, "um")
    ana.write(beto, "dois")
    answer = ContactAccepted(beto.own.profile_key.expose(), None)
    owed = []
    for number in range(1, 5):
        learn(ana, beto, all_new(beto, number))
        ana.db.run_now(lambda tx: drop_waiting(tx, beto.account))  # all of it has been taken
        ana.db.run_now(
            lambda tx: contacts.answer_received(tx, contacts.require(tx, beto.account), answer, ana.now, ana.rng)
        )
        owed.append(sum(row.kind is OutboxKind.TEXT for row in ana.outbox()))
    assert owed == [2 * MAX_DEVICES, 0, 0, 0]


def test_where_we_have_no_token_a_list_brings_nothing_on_its_way_again(ana: Phone, beto: Phone) -> None:
    ana.add(msgspec.structs.replace(beto.invite(), invite_token=None), beto)
    (stays,) = decode_device_list(beto.own.device_list.body).devices
    ana.write(beto, "oi")
    learn(ana, beto, all_new(beto, 1, keep=stays))
    assert [row.to.device for row in asks(ana)] == [1], "not to devices that came since"
    ana.write(beto, "oi, todos")
    assert len(asks(ana)) == 1 + MAX_DEVICES
    learn(ana, beto, all_new(beto, 2, keep=stays))
    assert {row.to.device for row in asks(ana)} == {1}, "not for other keys at the same numbers"


def test_whoever_we_have_no_token_of_is_receipted_with_the_answer(ana: Phone, beto: Phone) -> None:
    """Else everybody whom we have asked makes us work by writing."""
    befriend(ana, beto)
    learn(ana, beto, next_list(beto))
    accepted = ana.contact(beto)
    waiting = replace(accepted, state=ChatState.REQUESTED, profile_key=None, invite_token=None)
    ana.db.run_now(lambda tx: tx.put_contact(waiting))
    for text in ("um", "dois"):
        beto.write(ana, text)
        for envelope in beto.post(ana):
            assert not ana.take(envelope).delivered
    assert ana.texts(beto) == ["um", "dois"]
    assert ana.waiting() == 0
    answer = ContactAccepted(beto.own.profile_key.expose(), None)
    ana.db.run_now(
        lambda tx: contacts.answer_received(tx, contacts.require(tx, beto.account), answer, ana.now, ana.rng)
    )
    settle(ana, beto)
    assert [row.status for row in beto.screen(ana)] == [MessageStatus.DELIVERED] * 2


def test_a_request_that_is_refused_is_tried_ever_less_often(ana: Phone, beto: Phone) -> None:
    """Each try is work."""
    ana.add(msgspec.structs.replace(beto.invite(), invite_token=None), beto)
    ana.write(beto, "oi")
    (row,) = ana.ready(beto)
    tries = 0
    begun = ana.now
    while ana.now < begun + DAY_MS:
        next_try = ana.db.run_now(lambda tx: delivery.record_refused(tx, row.id, "BusyError", None, ana.now, ana.rng))
        assert next_try is not None
        tries += 1
        ana.clock.advance(max(0.001, (next_try - ana.now) / 1000))
    assert tries < 100


def test_whoever_is_back_and_adds_a_contact_is_a_contact_at_once(
    ana: Phone, beto: Phone, recovered: Callable[[Phone], Phone]
) -> None:
    """Ana had accepted Beto, and it is the same root key: she need not be asked again."""
    befriend(ana, beto)
    again = recovered(beto)
    again.add(ana.invite(InviteKind.LINK), ana)
    again.write(ana, "voltei")
    (envelope,) = again.post(ana)
    assert ana.take(envelope).fate is Fate.WAITS_FOR_LIST
    learn(ana, beto, again.own.device_list)
    assert ana.take(envelope, list_is_fresh=True).fate is Fate.OPENED
    assert ana.contact(beto).state is ChatState.ACCEPTED
    settle(ana, again)
    assert again.contact(ana).state is ChatState.ACCEPTED
    assert ana.texts(again) == ["voltei"]


def test_a_request_that_waits_is_answered_with_the_newest_key(
    ana: Phone, beto: Phone, recovered: Callable[[Phone], Phone]
) -> None:
    beto.add(ana.invite(), ana)
    beto.write(ana, "sou o Beto")
    settle_request(beto, ana)
    again = recovered(beto)
    again.add(ana.invite(), ana)
    again.write(ana, "sou o Beto, de aparelho novo")
    settle_request(again, ana)
    contact = ana.contact(beto)
    assert contact.state is ChatState.REQUEST
    assert contact.profile_key == again.own.profile_key
    ana.db.run_now(lambda tx: contacts.accept(tx, beto.account, direct=True, now_ms=ana.now, rng=ana.rng))
    settle(ana, again)
    assert again.contact(ana).state is ChatState.ACCEPTED


def test_a_device_that_stays_makes_no_restart(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    learn(ana, beto, next_list(beto, DeviceEntry(2, IdentityKeyPair(SecretBytes(b"2" * 32)).public, 7)))
    assert ana.contact(beto).state is ChatState.ACCEPTED
    assert alarms(ana) == [Alarm.NEW_DEVICE]


def test_somebody_blocked_stays_blocked(ana: Phone, beto: Phone, recovered: Callable[[Phone], Phone]) -> None:
    befriend(ana, beto)
    ana.db.run_now(lambda tx: contacts.block(tx, beto.account, ana.now, ana.rng))
    learn(ana, beto, recovered(beto).own.device_list)
    assert ana.contact(beto).state is ChatState.BLOCKED


# --- the device that was left behind -------------------------------------------------------------------------------------


def own_list(phone: Phone, signed: SignedDeviceList) -> bool:
    return phone.db.run_now(lambda tx: learn_own_list(tx, signed))


def test_a_device_that_its_own_root_key_names_no_longer_falls_silent(
    ana: Phone, beto: Phone, recovered: Callable[[Phone], Phone]
) -> None:
    befriend(ana, beto)
    ana.write(beto, "ainda na fila")
    again = recovered(ana)
    assert own_list(ana, again.own.device_list)
    assert alarms(ana) == [Alarm.DEVICE_REMOVED]
    assert ana.waiting() == 0
    assert ana.db.run_now(lambda tx: tx.renewals()) == ()
    with pytest.raises(DeviceRemovedError):
        ana.write(beto, "do aparelho perdido")
    with pytest.raises(DeviceRemovedError):
        ana.add(beto.invite(), beto)
    assert [row.text for row in ana.screen(beto)] == ["ainda na fila"], "what is here stays readable"
    assert own_list(ana, again.own.device_list), "told once"
    assert alarms(ana) == [Alarm.DEVICE_REMOVED]


def of_removed(phone: Phone, friend: Phone) -> dict[str, Callable[[Tx], object]]:
    """What a person can ask for that would have to reach somebody."""
    own, now, rng = phone.account, phone.now, phone.rng
    written = next(row.id for row in phone.screen(friend) if row.sender == own)
    invite = phone.db.run_now(lambda tx: tx.invites())[0]
    return {
        "send_again": lambda tx: delivery.send_again(tx, written, now, rng),
        "send_by_server": lambda tx: delivery.send_by_server(tx, written, now, rng),
        "block": lambda tx: contacts.block(tx, friend.account, now, rng),
        "set_policy": lambda tx: contacts.set_policy(tx, friend.account, Policy.HIDE_MY_IP, now, rng),
        "create_invite": lambda tx: contacts.create_invite(tx, InviteKind.LINK, now, rng),
        "revoke_invite": lambda tx: contacts.revoke_invite(tx, invite.id),
        "add_device": lambda tx: own_devices.add_device(tx, phone.root, friend.own.identity_key, 7, now, rng),
    }


@pytest.mark.parametrize(
    "command",
    [
        "send_again",
        "send_by_server",
        "block",
        "set_policy",
        "create_invite",
        "revoke_invite",
        "add_device",
    ],
)
def test_a_removed_device_does_not_say_done_where_nobody_would_hear_of_it(
    ana: Phone, beto: Phone, recovered: Callable[[Phone], Phone], command: str
) -> None:
    befriend(ana, beto)
    ana.write(beto, "ainda na fila")
    ana.invite()
    works = of_removed(ana, beto)
    own_list(ana, recovered(ana).own.device_list)
    before = ana.db.run_now(lambda tx: tx.event_span())
    with pytest.raises(DeviceRemovedError):
        ana.db.run_now(works[command])
    assert ana.db.run_now(lambda tx: tx.event_span()) == before
    assert ana.contact(beto).state is ChatState.ACCEPTED


def test_what_concerns_its_own_screen_a_removed_device_still_does_and_tells_nobody(
    ana: Phone, beto: Phone, recovered: Callable[[Phone], Phone]
) -> None:
    befriend(ana, beto)
    beto.write(ana, "lido depois")
    for envelope in beto.post(ana):
        ana.take(envelope)
    own_list(ana, recovered(ana).own.device_list)
    ana.read_all(beto)
    assert ana.db.run_now(lambda tx: tx.unread(beto.account)) == 0
    digits = verification.number_of(ana.own, ana.contact(beto)).digits
    ana.db.run_now(lambda tx: verification.verify(tx, contacts.require(tx, beto.account), digits, ana.now))
    assert ana.contact(beto).verification is Verification.VERIFIED
    ana.db.run_now(lambda tx: verification.unverify(tx, contacts.require(tx, beto.account)))
    assert ana.contact(beto).verification is Verification.NONE
    assert ana.waiting() == 0


def test_nothing_leaves_a_removed_device_by_itself(
    ana: Phone, beto: Phone, recovered: Callable[[Phone], Phone]
) -> None:
    """A message that would not open is asked for again hours later."""
    befriend(ana, beto)
    beto.write(ana, "não abre")
    ana.db.run_now(lambda tx: tx.put_session(beto.address, SessionRecord.EMPTY.to_bytes()))
    (envelope,) = beto.post(ana)
    assert ana.take(envelope).fate is Fate.COULD_NOT_OPEN
    own_list(ana, recovered(ana).own.device_list)
    ana.clock.advance(days=1)
    ana.db.run_now(lambda tx: ask_again(tx, ana.now, ana.rng))
    assert ana.outbox() != ()
    assert ana.ready(beto) == ()


def test_no_home_can_say_that_a_device_was_removed(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    spare = DeviceEntry(2, IdentityKeyPair(SecretBytes(b"2" * 32)).public, 7)
    with pytest.raises(SignatureError):
        own_list(ana, next_list(beto, spare, drop=1))
    forged = msgspec.structs.replace(next_list(ana, spare, drop=1), signature=bytes(64))
    with pytest.raises(SignatureError):
        own_list(ana, forged)
    older = next_list(ana, spare, drop=1, version=1)
    for harmless in (ana.own.device_list, next_list(ana, spare), older):
        assert not own_list(ana, harmless)
    assert not ana.db.run_now(is_removed)
    ana.write(beto, "ainda aqui")


def test_the_removed_device_is_believed_by_nobody_who_has_the_newer_list(
    ana: Phone, beto: Phone, recovered: Callable[[Phone], Phone]
) -> None:
    befriend(ana, beto)
    beto.write(ana, "do aparelho perdido")
    (envelope,) = beto.post(ana)
    learn(ana, beto, recovered(beto).own.device_list)
    assert ana.take(envelope, list_is_fresh=True).fate is Fate.DROPPED
    assert alarms(ana) == [Alarm.ACCOUNT_RECOVERED, Alarm.UNLISTED_DEVICE]
    assert ana.texts(beto) == []
