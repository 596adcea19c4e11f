"""docs/protocol/delivery.md, "Own devices": what one device of an account does, the others know."""

from dataclasses import replace

import msgspec
import pytest

from mepassa.identity import IdentityKeyPair, RootKey
from mepassa.model.content import AccountCopy, Body, ContactCopy, Content, Text, UnknownBody
from mepassa.model.device_list import MAX_DEVICES, DeviceEntry
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import ConflictError, DeviceListForkError, DeviceRemovedError, NotFoundError, SignatureError
from mepassa.model.ids import AccountId, Address, MessageId
from mepassa.model.route import Policy
from mepassa.model.secret import SecretBytes
from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.mailbox import FetchedAccount
from mepassa.ports.stores import InviteKind, MessageKind, OutboxKind, OwnAccount, Tx
from mepassa.protocol import contacts, delivery, inbound_copies, own_devices
from mepassa.protocol.inbound import Fate
from mepassa.protocol.outbound import EXPIRY_MS, Draft, address_device, make_content
from mepassa.protocol.session import SessionRecord
from mepassa.protocol.session_rows import load_session
from mepassa.protocol.status import StatusEvent
from mepassa.protocol.tokens import token_changes, tokens_told
from mepassa.storage import InlineDb
from mepassa.wire.content import decode_content
from tests.protocol.device_lists import alarms, next_list
from tests.protocol.phones import DIRECT, STORED, Phone, befriend
from tests.protocol.street import Street, current_list, learn, link, start_sessions


@pytest.fixture
def ana2(ana: Phone, beto: Phone) -> Phone:
    """Ana's second device; Ana and Beto were friends before."""
    befriend(ana, beto)
    return link(ana, "ana2")


@pytest.fixture
def street(ana: Phone, ana2: Phone, beto: Phone) -> Street:
    """All three know each other, with sessions that have been answered."""
    street = Street(ana, ana2, beto)
    street.settle()
    ana.write(beto, "sessões")
    street.settle()
    ana2.write(beto, "também daqui")
    street.settle()
    return street


def said(phone: Phone, chat: Phone) -> list[str]:
    """What this account has written in a chat, as shown on this device."""
    return [row.text for row in phone.screen(chat) if row.sender == phone.account and row.kind is MessageKind.TEXT]


def own(phone: Phone) -> OwnAccount:
    return phone.db.run_now(lambda tx: tx.own())


# --- a device joins ----------------------------------------------------------------------------------------------------


def test_a_linked_device_speaks_for_the_account_without_its_root_key(ana: Phone, ana2: Phone) -> None:
    assert ana2.account == ana.account
    assert ana2.address.device == 2
    assert own(ana2).device_list == own(ana).device_list
    assert own(ana2).profile_key == own(ana).profile_key
    assert own(ana2).device_seed != own(ana).device_seed
    kept = ana2.db.run_now(lambda tx: tx.kept_root_seed())
    assert kept is None
    ana2.db.close()
    raw = b"".join(path.read_bytes() for path in ana2.path.parent.glob(ana2.path.name + "*"))
    assert ana.root.seed.expose() not in raw
    ana2.reopen()


def test_a_new_device_is_told_of_everybody_and_the_others_are_told_of_it(
    ana: Phone, ana2: Phone, beto: Phone, caio: Phone
) -> None:
    ana.add(caio.invite(), caio)
    street = Street(ana, ana2, beto, caio)
    street.settle()
    assert ana2.contact(beto).state is ChatState.ACCEPTED
    assert ana2.contact(beto).profile_key == own(beto).profile_key
    assert ana2.contact(caio).state is ChatState.REQUESTED
    third = link(ana, "ana3")
    street.phones[third.address] = third
    street.settle()
    assert alarms(ana2) == ["own_new_device"]
    assert alarms(ana) == [], "it has listed the device itself"
    assert own(ana2).device_list == own(third).device_list
    assert third.contact(beto) == replace(ana.contact(beto), added_ms=third.contact(beto).added_ms)


def test_a_device_that_is_not_what_the_list_says_does_not_begin(ana: Phone, caio: Phone) -> None:
    device = own_devices.new_device(ana.rng)
    linked = ana.db.run_now(
        lambda tx: own_devices.add_device(tx, ana.root, device.key.public, device.registration_id, ana.now, ana.rng)
    )
    foreign = own(caio)
    db = InlineDb(ana.path.with_name("other.db"), SecretBytes(b"o" * 32), create=True, synchronous="OFF")
    for wrong in (
        replace(linked, address=ana.address),
        replace(linked, root_key=foreign.root_key),
        replace(linked, root_key=foreign.root_key, device_list=foreign.device_list),
        replace(linked, address=Address(caio.account, 2)),
    ):
        with pytest.raises(SignatureError):
            db.run_now(lambda tx: own_devices.become_linked(tx, device, wrong))
    with pytest.raises(SignatureError):
        db.run_now(lambda tx: own_devices.become_linked(tx, own_devices.new_device(ana.rng), linked))
    db.run_now(lambda tx: own_devices.become_linked(tx, device, linked))
    with pytest.raises(ConflictError):
        db.run_now(lambda tx: own_devices.become_linked(tx, device, linked))
    db.close()


def test_numbers_are_given_once_and_devices_are_at_most_sixteen(ana: Phone, caio: Phone) -> None:
    def add() -> int:
        device = own_devices.new_device(ana.rng)
        linked = ana.db.run_now(lambda tx: own_devices.add_device(tx, ana.root, device.key.public, 5, ana.now, ana.rng))
        return linked.address.device

    def remove(number: int, root: RootKey = ana.root) -> None:
        ana.db.run_now(lambda tx: own_devices.remove_device(tx, root, number, ana.now, ana.rng))

    assert [add() for _ in range(MAX_DEVICES - 1)] == list(range(2, MAX_DEVICES + 1))
    with pytest.raises(ConflictError):
        add()
    remove(16)
    assert add() == 17
    ana.db.run_now(lambda tx: tx.put_setting("highest-device-number", bytes([126])))
    remove(17)
    assert add() == 127
    remove(127)
    with pytest.raises(ConflictError):
        add()
    with pytest.raises(NotFoundError):
        remove(127)
    with pytest.raises(ConflictError):
        remove(1)
    with pytest.raises(SignatureError):
        remove(2, caio.root)
    listed = own(ana).identity_key
    with pytest.raises(ConflictError):
        ana.db.run_now(lambda tx: own_devices.add_device(tx, ana.root, listed, 5, ana.now, ana.rng))


# --- messages ----------------------------------------------------------------------------------------------------------


def test_a_message_goes_to_the_recipient_and_to_our_others_from_one_plaintext(
    ana: Phone, ana2: Phone, beto: Phone, street: Street
) -> None:
    ana.write(beto, "um texto só")
    rows = ana.outbox()
    assert {row.to for row in rows} == {beto.address, ana2.address}
    assert len({row.content for row in rows}) == 1
    assert all(row.envelope is not None for row in rows), "one transaction seals for all"
    content = decode_content(rows[0].content)
    assert (content.chat, content.body) == (beto.account, Text("um texto só"))


def test_the_other_device_shows_it_as_ours_and_learns_how_it_fared(
    ana: Phone, ana2: Phone, beto: Phone, street: Street
) -> None:
    street.lost.add(beto.address)
    sent = ana.write(beto, "de mim")
    street.settle()
    shown = ana2.message(sent.id)
    assert (shown.chat, shown.sender, shown.text) == (beto.account, ana.account, "de mim")
    assert (shown.status, shown.route, shown.sender_seq) == (MessageStatus.SENT, None, sent.sender_seq)
    street.lost.clear()
    street.settle()
    assert ana2.message(sent.id).status is MessageStatus.DELIVERED
    assert ana2.message(sent.id).route == STORED
    beto.read_all(ana)
    street.settle()
    assert {phone.message(sent.id).status for phone in (ana, ana2)} == {MessageStatus.READ}
    assert beto.texts(ana)[-1] == "de mim"


def test_a_copy_for_ourselves_lifts_no_status(ana: Phone, ana2: Phone, beto: Phone, street: Street) -> None:
    street.lost.add(beto.address)
    sent = ana.write(beto, "ainda não saiu")
    (copy,) = [row for row in ana.outbox() if row.to == ana2.address]
    assert copy.envelope is not None
    for event, route in ((StatusEvent.DEPOSIT_SYNCED, STORED), (StatusEvent.OPENED_ON_PATH, DIRECT)):
        ana.taken(copy, event, route)
        assert (ana.message(sent.id).status, ana.message(sent.id).route) == (MessageStatus.QUEUED, None)
    assert ana2.take(copy.envelope, DIRECT).delivered
    ana2.clock.advance(6)
    for row in street.post(ana2):
        assert row.to == ana.address
        assert row.envelope is not None
        assert ana.take(row.envelope).fate is Fate.OPENED
    assert ana.message(sent.id).status is MessageStatus.QUEUED


def test_a_copy_is_receipted_to_its_writer_alone_so_that_the_session_heals(
    ana: Phone, ana2: Phone, beto: Phone, street: Street
) -> None:
    third = link(ana, "ana3")
    street.phones[third.address] = third
    street.settle()
    for phone, other in ((ana, ana2), (ana2, ana), (ana, third), (third, ana)):
        record = phone.db.run_now(lambda tx: load_session(tx, other.address))
        assert record.current is not None
        assert record.current.pending is None, "answered"
    street.lost.add(beto.address)
    street.left.clear()
    ana.write(beto, "um recibo de cada")
    street.settle()
    receipts_sent = [(row.to, row.kind) for row in street.left if row.message_id is None]
    assert receipts_sent == [(ana.address, OutboxKind.CONTROL)] * 2
    sent = ana.db.run_now(lambda tx: [tx.sent(row.envelope.id) for row in street.left if row.envelope is not None])
    assert [row.to for row in sent if row is not None] == [beto.address], "only Beto may still ask for it"


def test_either_device_writes_and_all_show_one_order(ana: Phone, ana2: Phone, beto: Phone, street: Street) -> None:
    for phone, text in ((ana, "um"), (ana2, "dois"), (ana2, "três"), (ana, "quatro")):
        phone.write(beto, text)
        street.settle()
    expected = ["sessões", "também daqui", "um", "dois", "três", "quatro"]
    assert said(ana, beto) == said(ana2, beto) == beto.texts(ana) == expected
    seqs = [row.sender_seq for row in ana.screen(beto) if row.sender == ana.account]
    assert seqs == [1, 2, 3, 4, 5, 6]


def test_devices_that_write_apart_give_numbers_twice_and_nothing_is_lost(
    ana: Phone, ana2: Phone, beto: Phone, street: Street
) -> None:
    street.lost.add(ana2.address)
    for text in ("a", "b", "c"):
        ana.write(beto, text)
        street.settle()
    street.lost = {ana.address}
    ana2.write(beto, "depois")
    street.settle()
    street.lost.clear()
    street.settle()
    assert beto.texts(ana)[2:] == said(ana, beto)[2:] == ["a", "b", "c", "depois"]
    assert said(ana2, beto)[2:] == ["depois", "a", "b", "c"], "numbers and clocks disagree: as they came"
    seqs = [ana.message(row.id).sender_seq for row in ana2.screen(beto) if row.sender == ana.account]
    assert seqs == [1, 2, 3, 3, 4, 5]
    ana2.write(beto, "de novo juntos")
    street.settle()
    assert {phone.screen(other)[-1].sender_seq for phone, other in ((ana, beto), (ana2, beto), (beto, ana))} == {6}


def test_a_message_composed_twice_is_shown_once(ana: Phone, ana2: Phone, beto: Phone, street: Street) -> None:
    street.lost.add(beto.address)
    sent = ana.write(beto, "tentei")
    street.settle()
    ana.clock.advance(EXPIRY_MS / 1000)
    ana.db.run_now(lambda tx: delivery.expire_due(tx, ana.now))
    ana.db.run_now(lambda tx: delivery.send_again(tx, sent.id, ana.now, ana.rng))
    street.settle()
    assert said(ana2, beto).count("tentei") == 1


def test_a_first_request_and_its_answer_are_known_on_both(ana: Phone, ana2: Phone, beto: Phone, caio: Phone) -> None:
    street = Street(ana, ana2, beto, caio)
    street.settle()
    ana.add(caio.invite(), caio)
    ana.write(caio, "oi, Caio")
    street.settle()
    assert ana2.contact(caio).state is ChatState.REQUESTED
    assert said(ana2, caio) == ["oi, Caio"]
    assert caio.contact(ana).state is ChatState.REQUEST
    caio.accept(ana)
    caio.write(ana, "oi, Ana")
    street.settle()
    for phone in (ana, ana2):
        assert phone.contact(caio).state is ChatState.ACCEPTED
        assert phone.contact(caio).profile_key == own(caio).profile_key
        assert phone.texts(caio) == ["oi, Ana"]


def test_a_copy_that_comes_before_its_chat_waits_on_the_screen_for_it(ana: Phone, ana2: Phone, caio: Phone) -> None:
    street = Street(ana, ana2, caio)
    street.settle()
    ana.add(caio.invite(), caio)
    ana.write(caio, "primeiro o texto")
    late = [row for row in street.post(ana) if row.to == ana2.address]
    street.waiting.clear()
    for row in reversed(late):
        assert row.envelope is not None
        assert ana2.take(row.envelope).fate is Fate.OPENED
    assert ana2.contact(caio).state is ChatState.REQUESTED
    assert said(ana2, caio) == ["primeiro o texto"]
    assert ana2.contact(caio).last_sender_seq == 1


def test_copies_that_nobody_fetched_are_dropped_after_fourteen_days(
    ana: Phone, ana2: Phone, beto: Phone, street: Street
) -> None:
    sent = ana.write(beto, "cópia esquecida")
    (row,) = [row for row in ana.outbox() if row.to == beto.address]
    ana.taken(row, StatusEvent.OPENED_ON_PATH, DIRECT)
    ana.clock.advance(EXPIRY_MS / 1000 - 0.001)
    ana.db.run_now(lambda tx: delivery.expire_due(tx, ana.now))
    assert [row.to for row in ana.outbox()] == [ana2.address]
    ana.clock.advance(0.001)
    ana.db.run_now(lambda tx: delivery.expire_due(tx, ana.now))
    assert ana.waiting() == 0
    assert ana.message(sent.id).status is MessageStatus.DELIVERED


def test_a_copy_that_does_not_open_is_asked_for_and_leaves_no_row(
    ana: Phone, ana2: Phone, beto: Phone, street: Street
) -> None:
    street.lost.add(beto.address)
    ana.write(beto, "de novo")
    ana2.db.run_now(lambda tx: tx.put_session(ana.address, SessionRecord.EMPTY.to_bytes()))
    assert Fate.COULD_NOT_OPEN in street.settle()
    assert said(ana2, beto)[-1] == "de novo"
    assert ana2.unopened(beto) == 0
    assert ana2.db.run_now(lambda tx: tx.messages(ana.account, None, 10)) == ()


def test_a_body_of_a_later_version_holds_its_place_in_the_right_chat(
    ana: Phone, ana2: Phone, beto: Phone, street: Street
) -> None:
    content = Content(
        MessageId(b"l" * 16), 9, ana.now, own(ana).list_version, own(ana).device_list.hash, UnknownBody(99),
        chat=beto.account,
    )  # fmt: skip
    ana2.db.run_now(lambda tx: inbound_copies.take_copy(tx, ana.address, content, ana2.now, ana2.rng))
    assert ana2.screen(beto)[-1].kind is MessageKind.UNKNOWN
    assert ana2.screen(beto)[-1].sender == ana.account


# --- read, accepted, blocked -------------------------------------------------------------------------------------------


def test_what_was_read_here_is_read_there(ana: Phone, ana2: Phone, beto: Phone, street: Street) -> None:
    for text in ("a", "b"):
        beto.write(ana, text)
    street.settle()
    assert [phone.db.run_now(lambda tx: tx.unread(beto.account)) for phone in (ana, ana2)] == [2, 2]
    ana.read_all(beto)
    street.settle()
    assert [phone.db.run_now(lambda tx: tx.unread(beto.account)) for phone in (ana, ana2)] == [0, 0]
    street.left.clear()
    ana2.read_all(beto)
    street.settle()
    assert street.left == [], "nobody is told twice"


def test_reading_a_request_tells_our_own_devices_and_not_the_stranger(
    ana: Phone, ana2: Phone, beto: Phone, caio: Phone
) -> None:
    street = Street(ana, ana2, beto, caio)
    street.settle()
    caio.add(ana.invite(), ana)
    caio.write(ana, "posso?")
    street.settle()
    assert [phone.contact(caio).state for phone in (ana, ana2)] == [ChatState.REQUEST] * 2
    ana.read_all(caio)
    assert {row.to for row in ana.outbox()} == {ana2.address}
    street.settle()
    assert ana2.db.run_now(lambda tx: tx.unread(caio.account)) == 0


def test_a_request_accepted_on_one_device_is_accepted_on_the_other(
    ana: Phone, ana2: Phone, beto: Phone, caio: Phone
) -> None:
    street = Street(ana, ana2, beto, caio)
    street.settle()
    caio.add(ana.invite(), ana)
    sent = caio.write(ana, "posso?")
    street.settle()
    ana2.accept(caio)
    street.settle()
    assert [phone.contact(caio).state for phone in (ana, ana2)] == [ChatState.ACCEPTED] * 2
    assert ana.db.run_now(lambda tx: tx.held_receipts(caio.account)) == ()
    assert caio.message(sent.id).status is MessageStatus.DELIVERED
    ana.write(caio, "pode")
    street.settle()
    assert caio.texts(ana) == ["pode"]
    assert said(ana2, caio) == ["pode"]


def test_somebody_blocked_on_one_device_is_blocked_on_both_and_new_keys_are_shared(
    ana: Phone, ana2: Phone, beto: Phone, caio: Phone, street: Street
) -> None:
    street.phones[caio.address] = caio
    caio.add(ana2.invite(InviteKind.QR), ana)
    street.settle()
    assert [phone.contact(caio).state for phone in (ana, ana2)] == [ChatState.ACCEPTED] * 2
    for phone in (ana, ana2):
        tell_home(phone)
    old_key = own(ana).profile_key
    ana2.write(caio, "nunca sai")
    ana.block(caio)
    street.lost.add(caio.address)
    street.settle()
    assert [phone.contact(caio).state for phone in (ana, ana2)] == [ChatState.BLOCKED] * 2
    assert own(ana).profile_key == own(ana2).profile_key != old_key
    assert own(ana).presence_seed == own(ana2).presence_seed
    assert beto.contact(ana).profile_key == own(ana).profile_key
    changes = ana2.db.run_now(lambda tx: token_changes(tx, ana2.now))
    assert changes.remove == (), "what becomes of the old token is for the device that has replaced it to say"
    assert [record.rights for record in changes.add] == ["delivery", "signal"]
    with pytest.raises(ConflictError):
        ana2.write(caio, "também não")


def tell_home(phone: Phone) -> None:
    changes = phone.db.run_now(lambda tx: token_changes(tx, phone.now))
    phone.db.run_now(lambda tx: tokens_told(tx, changes))


@pytest.mark.parametrize("first", ["ana", "ana2"])
def test_the_newest_decision_counts_on_both(ana: Phone, ana2: Phone, beto: Phone, street: Street, first: str) -> None:
    """Both decide before they hear of each other."""
    one, two = (ana, ana2) if first == "ana" else (ana2, ana)
    one.block(beto)
    one.clock.advance(0.001)
    two.db.run_now(lambda tx: contacts.set_policy(tx, beto.account, Policy.DIRECT_ONLY, two.now, two.rng))
    street.settle()
    states = {(phone.contact(beto).state, phone.contact(beto).policy) for phone in (ana, ana2)}
    assert states == {(ChatState.ACCEPTED, Policy.DIRECT_ONLY)}
    one.clock.advance(0.001)
    one.block(beto)
    street.settle()
    assert {phone.contact(beto).state for phone in (ana, ana2)} == {ChatState.BLOCKED}


def test_two_decisions_of_one_moment_end_alike(ana: Phone, ana2: Phone, beto: Phone, street: Street) -> None:
    ana.block(beto)
    ana2.db.run_now(lambda tx: contacts.set_policy(tx, beto.account, Policy.DIRECT_ONLY, ana2.now, ana2.rng))
    assert ana.contact(beto).changed_ms == ana2.contact(beto).changed_ms
    street.settle()
    assert {phone.contact(beto).state for phone in (ana, ana2)} == {ChatState.BLOCKED}


def test_a_clock_that_went_back_does_not_undo_a_later_decision(
    ana: Phone, ana2: Phone, beto: Phone, street: Street
) -> None:
    ana.block(beto)
    street.settle()
    ana.clock.jump_wall(-3_600_000)
    ana2.db.run_now(
        lambda tx: contacts.add_card(tx, beto.invite(), current_list(beto), direct=True, now_ms=ana2.now, rng=ana2.rng)
    )
    street.settle()
    assert {phone.contact(beto).state for phone in (ana, ana2)} == {ChatState.REQUESTED}


@pytest.mark.parametrize("apart_s", [0.0, 5.0])
def test_keys_that_two_devices_made_apart_become_one_for_everybody(
    ana: Phone, ana2: Phone, caio: Phone, street: Street, apart_s: float
) -> None:
    beto = next(phone for phone in street.phones.values() if phone.name == "beto")
    street.phones[caio.address] = caio
    caio.add(ana.invite(InviteKind.QR), ana)
    street.settle()
    before = own(ana).profile_key
    ana.db.run_now(lambda tx: contacts.new_keys(tx, ana.now, ana.rng))
    ana.clock.advance(apart_s)
    ana2.db.run_now(lambda tx: contacts.new_keys(tx, ana2.now, ana2.rng))
    assert own(ana).profile_key != own(ana2).profile_key
    street.settle()
    shared = own(ana).profile_key
    assert own(ana2).profile_key == shared != before
    assert own(ana).presence_seed == own(ana2).presence_seed
    assert [friend.contact(ana).profile_key for friend in (beto, caio)] == [shared, shared]
    assert len({friend.contact(ana).presence_key for friend in (beto, caio)}) == 1


# --- a device leaves ---------------------------------------------------------------------------------------------------


def remove(primary: Phone, other: Phone) -> None:
    primary.db.run_now(
        lambda tx: own_devices.remove_device(tx, primary.root, other.address.device, primary.now, primary.rng)
    )


def test_a_removed_device_is_told_nothing_more_and_its_keys_are_replaced(
    ana: Phone, ana2: Phone, beto: Phone, street: Street
) -> None:
    known_there = own(ana2).profile_key
    ana.write(beto, "antes")
    remove(ana, ana2)
    assert ana2.address not in {row.to for row in ana.outbox()}
    assert ana2.address not in ana.db.run_now(lambda tx: tx.sessions())
    ana.write(beto, "depois")
    street.settle()
    assert said(ana2, beto) == ["sessões", "também daqui"]
    assert beto.texts(ana)[-2:] == ["antes", "depois"]
    assert beto.contact(ana).list_version == own(ana).list_version
    assert beto.contact(ana).profile_key == own(ana).profile_key != known_there


def test_a_removed_device_is_believed_by_nobody(ana: Phone, ana2: Phone, beto: Phone, street: Street) -> None:
    ana2.write(beto, "de quem já saiu")
    envelopes = {row.to: row.envelope for row in street.post(ana2)}
    street.waiting.clear()
    remove(ana, ana2)
    learn(beto, ana.account, current_list(ana))
    mine, his = envelopes[ana.address], envelopes[beto.address]
    assert mine is not None
    assert his is not None
    for reader, envelope in ((ana, mine), (beto, his)):
        assert reader.take(envelope).fate is Fate.WAITS_FOR_LIST
        assert reader.take(envelope, list_is_fresh=True).fate is Fate.DROPPED
    assert (alarms(ana), alarms(beto)[-1]) == (["own_unlisted_device"], "unlisted_device")
    assert "de quem já saiu" not in said(ana, beto) + beto.texts(ana)


def test_a_device_that_learns_that_it_was_removed_says_so_and_sends_nothing(
    ana: Phone, ana2: Phone, beto: Phone, street: Street
) -> None:
    ana2.write(beto, "ainda esperava")
    remove(ana, ana2)
    learn(ana2, ana.account, current_list(ana))
    assert alarms(ana2)[-1] == "device_removed"
    assert ana2.waiting() == 0
    with pytest.raises(DeviceRemovedError):
        ana2.write(beto, "não sai daqui")


def test_what_another_device_knew_before_a_contact_was_recovered_is_not_believed(
    ana: Phone, ana2: Phone, beto: Phone, street: Street
) -> None:
    """All of Beto's devices are new, which one of ours knows already; the other decides something about the old ones."""
    fresh = IdentityKeyPair(SecretBytes(b"f" * 32))
    learn(ana, beto.account, next_list(beto, DeviceEntry(2, fresh.public, 9), drop=1))
    assert ana.contact(beto).state is ChatState.REQUESTED
    ana2.db.run_now(lambda tx: contacts.set_policy(tx, beto.account, Policy.DIRECT_ONLY, ana2.now, ana2.rng))
    for row in street.post(ana2):
        if row.to == ana.address:
            assert row.envelope is not None
            ana.take(row.envelope)
    assert (ana.contact(beto).state, ana.contact(beto).profile_key) == (ChatState.REQUESTED, None)
    for row in street.post(ana):
        if row.to == ana2.address:
            assert row.envelope is not None
            ana2.take(row.envelope)
    learn(ana2, beto.account, ana.contact(beto).device_list or current_list(beto))
    assert (ana2.contact(beto).state, ana2.contact(beto).profile_key) == (ChatState.REQUESTED, None)


# --- a home that lies, and others who do -------------------------------------------------------------------------------


def sessions_with_ours(ana: Phone) -> set[int]:
    return {peer.device for peer in ana.db.run_now(lambda tx: tx.sessions()) if peer.account == ana.account}


@pytest.fixture
def fresh(ana: Phone, ana2: Phone, beto: Phone) -> Phone:
    """Ana's second device is listed, and nobody has a session with it yet."""
    ana.write(beto, "para todos")
    assert sessions_with_ours(ana) == set()
    return ana2


def test_our_home_lists_no_device_of_ours(ana: Phone, fresh: Phone, caio: Phone) -> None:
    extra = msgspec.structs.replace(caio.fetched().bundles[0], device=3)
    start_sessions(ana, ana.account, FetchedAccount(current_list(ana), (extra,)))
    assert sessions_with_ours(ana) == set()


def test_our_home_gives_no_device_of_ours_another_key(ana: Phone, fresh: Phone, caio: Phone) -> None:
    false = msgspec.structs.replace(caio.fetched().bundles[0], device=2)
    start_sessions(ana, ana.account, FetchedAccount(current_list(ana), (false,)))
    assert sessions_with_ours(ana) == set()
    start_sessions(ana, ana.account, FetchedAccount(current_list(ana), fresh.fetched().bundles))
    assert sessions_with_ours(ana) == {2}


def test_our_home_brings_no_removed_device_back(ana: Phone, fresh: Phone) -> None:
    older = current_list(ana)
    remove(ana, fresh)
    start_sessions(ana, ana.account, FetchedAccount(older, fresh.fetched().bundles))
    assert sessions_with_ours(ana) == set()
    assert own(ana).device_list != older


def test_a_second_list_of_our_own_version_is_an_alarm_and_seals_nothing(ana: Phone, fresh: Phone, caio: Phone) -> None:
    """Somebody else has the 24 words."""
    spy = DeviceEntry(3, caio.own.identity_key, 7)
    forked = next_list(ana, spy, version=own(ana).list_version)
    false = msgspec.structs.replace(caio.fetched().bundles[0], device=3)
    with pytest.raises(DeviceListForkError):
        start_sessions(ana, ana.account, FetchedAccount(forked, (*fresh.fetched().bundles, false)))
    learn(ana, ana.account, forked)
    assert alarms(ana) == ["own_list_forked"]
    assert sessions_with_ours(ana) == set()


def test_another_accounts_list_is_not_ours(ana: Phone, fresh: Phone, caio: Phone) -> None:
    before = own(ana)
    for offered in (current_list(caio), msgspec.structs.replace(current_list(ana), signature=bytes(64))):
        with pytest.raises(SignatureError):
            start_sessions(ana, ana.account, FetchedAccount(offered, caio.fetched().bundles))
        with pytest.raises(SignatureError):
            learn(ana, ana.account, offered)
    assert own(ana) == before


def test_this_device_writes_no_envelope_to_itself(ana: Phone, ana2: Phone, street: Street) -> None:
    mine = ana.fetched().bundles[0]
    start_sessions(ana, ana.account, FetchedAccount(current_list(ana), (mine,)))
    assert ana.address not in ana.db.run_now(lambda tx: tx.sessions())


def told(sender: Phone, reader: Phone, body: Body, *, chat: AccountId | None = None) -> SealedEnvelope:
    """A content that a misbehaving contact makes."""

    def work(tx: Tx) -> None:
        contact = contacts.require(tx, reader.account)
        content = make_content(tx, contact, Draft(body, MessageId(sender.rng.token(16)), 50), sender.now)
        content = msgspec.structs.replace(content, chat=chat or content.chat)
        address_device(tx, contact, reader.address.device, content, sender.now, sender.rng)

    sender.db.run_now(work)
    envelope = sender.db.run_now(lambda tx: tx.outbox(reader.account))[-1].envelope
    assert envelope is not None
    return envelope


def test_only_our_own_devices_tell_us_of_contacts_and_keys(ana: Phone, beto: Phone, caio: Phone) -> None:
    befriend(ana, beto)
    before = own(ana)
    caio_copy = ContactCopy(
        caio.own.root_key, "Caio", ChatState.ACCEPTED, Policy.AUTO, ana.now, caio.home.url, caio.home.key, 0
    )
    keys = AccountCopy(current_list(ana), b"p" * 32, b"s" * 32, ana.now)
    for body in (caio_copy, keys):
        received = ana.take(told(beto, ana, body))
        assert (received.fate, received.delivered) == (Fate.OPENED, False)
    assert own(ana) == before
    assert ana.db.run_now(lambda tx: tx.contact(caio.account)) is None


def test_a_contact_puts_nothing_into_another_chat(ana: Phone, beto: Phone, caio: Phone) -> None:
    befriend(ana, beto)
    befriend(ana, caio)
    assert ana.take(told(beto, ana, Text("de Caio"), chat=caio.account)).fate is Fate.DROPPED
    assert ana.take(told(beto, ana, Text("de Ana"), chat=beto.account)).fate is Fate.DROPPED
    assert ana.screen(caio) == ana.screen(beto) == []


def test_a_certificate_of_our_account_and_an_unlisted_device_waits_and_is_dropped(
    ana: Phone, ana2: Phone, beto: Phone, street: Street
) -> None:
    """A device that somebody with the root key certified, and that no list of ours has."""
    ana2.write(beto, "espião")
    (row,) = [row for row in street.post(ana2) if row.to == ana.address]
    without = next_list(ana, drop=2)
    ana.db.run_now(lambda tx: tx.put_own(replace(tx.own(), device_list=without)))
    assert row.envelope is not None
    assert ana.take(row.envelope).fate is Fate.WAITS_FOR_LIST
    assert ana.take(row.envelope, list_is_fresh=True).fate is Fate.DROPPED
    assert alarms(ana) == ["own_unlisted_device"]
