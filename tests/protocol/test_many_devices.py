"""docs/protocol/delivery.md, "Many devices": a contact with several devices, some of whom come and go."""

from collections import Counter
from dataclasses import replace

import msgspec
import pytest

from mepassa.identity import IdentityKeyPair, decode_device_list
from mepassa.model.content import ProfileKey, Receipt
from mepassa.model.device_list import DeviceEntry
from mepassa.model.errors import DeviceListForkError, SignatureError
from mepassa.model.ids import MessageId
from mepassa.model.prekeys import PrekeyBundle
from mepassa.model.secret import SecretBytes
from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.mailbox import FetchedAccount
from mepassa.ports.stores import Contact, OutboxRow, Tx
from mepassa.protocol import delivery, own_devices
from mepassa.protocol.inbound import Fate
from mepassa.protocol.outbound import EXPIRY_MS, address_renewed
from mepassa.protocol.sealing import issue_device_certificate
from mepassa.protocol.session import UNACKNOWLEDGED_MS, SessionRecord, archive
from mepassa.protocol.session_rows import load_session
from mepassa.protocol.status import StatusEvent
from mepassa.protocol.tokens import rotate_profile
from mepassa.wire.content import decode_content
from tests.protocol.device_lists import alarms, next_list
from tests.protocol.phones import DIRECT, STORED, Phone, befriend, settle
from tests.protocol.street import Street, current_list, learn, link, prepare, start_sessions


@pytest.fixture
def beto2(ana: Phone, beto: Phone) -> Phone:
    """Beto's second device; Ana and Beto are friends, and Ana knows of it."""
    befriend(ana, beto)
    second = link(beto, "beto2")
    befriended(second, ana)
    learn(ana, beto.account, current_list(beto))
    return second


def destinations(phone: Phone) -> list[int]:
    return [row.to.device for row in phone.outbox()]


def has_session(phone: Phone, other: Phone) -> bool:
    return phone.db.run_now(lambda tx: load_session(tx, other.address)) != SessionRecord.EMPTY


# --- to all of them ----------------------------------------------------------------------------------------------------


def test_a_message_goes_to_each_listed_device_from_one_plaintext(ana: Phone, beto: Phone, beto2: Phone) -> None:
    street = Street(ana, beto, beto2)
    ana.write(beto, "aos dois")
    rows = ana.outbox()
    assert [row.to for row in rows] == [beto.address, beto2.address]
    assert len({row.content for row in rows}) == 1
    street.settle()
    assert has_session(ana, beto2)
    ana.write(beto, "de novo")
    sealed = ana.outbox()
    assert [row.envelope is not None for row in sealed] == [True, True], "one transaction seals for both"
    assert sealed[0].envelope != sealed[1].envelope
    assert sealed[0].content == sealed[1].content


def test_delivered_is_what_the_first_device_has(ana: Phone, beto: Phone, beto2: Phone) -> None:
    street = Street(ana, beto, beto2)
    street.lost.add(beto2.address)
    sent = ana.write(beto, "um basta")
    street.settle()
    assert ana.message(sent.id).status is MessageStatus.DELIVERED
    assert [row.to for row, _ in street.waiting if row.message_id == sent.id] == [beto2.address]


def test_a_row_stays_until_its_own_device_has_its_copy(ana: Phone, beto: Phone, beto2: Phone) -> None:
    street = Street(ana, beto, beto2)
    ana.write(beto, "sessões")
    street.settle()
    sent = ana.write(beto, "cada um o seu")
    first, second = ana.outbox()
    ana.taken(first, StatusEvent.OPENED_ON_PATH, DIRECT)
    assert ana.message(sent.id).status is MessageStatus.DELIVERED
    assert ana.outbox() == (second,)
    assert first.envelope is not None
    beto.take(first.envelope, DIRECT)
    beto.clock.advance(6)
    for row in street.post(beto):
        assert row.envelope is not None
        ana.take(row.envelope)
    assert ana.outbox() == (second,), "the first device's receipt says nothing of the second"
    street.post(ana)
    assert ana.waiting() == 0
    assert (ana.message(sent.id).status, ana.message(sent.id).route) == (MessageStatus.DELIVERED, DIRECT)


def test_a_receipt_ends_what_still_waits_for_that_very_device(ana: Phone, beto: Phone, beto2: Phone) -> None:
    """An insurance deposit: the copy came by a path, and the acknowledgement was lost."""
    street = Street(ana, beto, beto2)
    ana.write(beto, "sessões")
    street.settle()
    ana.write(beto, "chegou por outro caminho")
    first, second = ana.outbox()
    assert first.envelope is not None
    beto.take(first.envelope, DIRECT)
    beto.clock.advance(6)
    for row in street.post(beto):
        if row.to == ana.address:
            assert row.envelope is not None
            ana.take(row.envelope)
    assert ana.outbox() == (second,)


def test_one_devices_receipt_leaves_the_other_able_to_ask_again(ana: Phone, beto: Phone, beto2: Phone) -> None:
    street = Street(ana, beto, beto2)
    ana.write(beto, "sessões")
    street.settle()
    ana.write(beto, "de novo, por favor")
    street.lost.add(beto2.address)
    street.settle()
    beto2.db.run_now(lambda tx: tx.put_session(ana.address, SessionRecord.EMPTY.to_bytes()))
    street.lost.clear()
    assert Fate.COULD_NOT_OPEN in street.settle()
    assert beto2.texts(ana) == ["sessões", "de novo, por favor"]
    assert (beto.unopened(ana), beto2.unopened(ana)) == (0, 0)
    assert beto.texts(ana) == ["sessões", "de novo, por favor"]


def test_each_device_gets_its_receipts_though_one_has_no_session_yet(ana: Phone, beto: Phone, beto2: Phone) -> None:
    """A receipt that waits for a session must not swallow those for devices that have one."""
    beto.write(ana, "primeira")
    for envelope in (row.envelope for row in prepare_rows(beto, ana)):
        assert envelope is not None
        ana.take(envelope)
    ana.clock.advance(6)
    ready = prepare(ana, beto.account)
    assert ready is not None
    assert [row.to for row in ready.rows] == [beto.address], "the second device's waits for its session"
    for row in ready.rows:
        ana.taken(row, StatusEvent.DEPOSIT_SYNCED, STORED)
    beto.write(ana, "segunda")
    for envelope in (row.envelope for row in prepare_rows(beto, ana)):
        assert envelope is not None
        ana.take(envelope)
    ana.clock.advance(6)
    prepare(ana, beto.account)
    told = Counter[int]()
    for row in ana.outbox():
        body = decode_content(row.content).body
        assert isinstance(body, Receipt)
        told[row.to.device] += len(body.entries)
    assert told == {1: 1, 2: 3}, "the hello that named the new list, and both texts"


def prepare_rows(sender: Phone, reader: Phone) -> list[OutboxRow]:
    ready = prepare(sender, reader.account)
    assert ready is not None
    for row in ready.rows:
        sender.taken(row, StatusEvent.DEPOSIT_SYNCED, STORED)
    return list(ready.rows)


def test_fourteen_days_fail_what_no_device_has_and_drop_what_one_lacks(ana: Phone, beto: Phone, beto2: Phone) -> None:
    street = Street(ana, beto, beto2)
    ana.write(beto, "sessões")
    street.settle()
    sent, never = ana.write(beto, "a um"), ana.write(beto, "a nenhum")
    ana.taken(ana.outbox()[0], StatusEvent.OPENED_ON_PATH, DIRECT)
    ana.clock.advance(EXPIRY_MS / 1000 - 0.001)
    ana.db.run_now(lambda tx: delivery.expire_due(tx, ana.now))
    assert [row.message_id for row in ana.outbox()] == [sent.id, never.id, never.id]
    ana.clock.advance(0.001)
    ana.db.run_now(lambda tx: delivery.expire_due(tx, ana.now))
    assert ana.waiting() == 0
    assert [ana.message(row.id).status for row in (sent, never)] == [MessageStatus.DELIVERED, MessageStatus.FAILED]


def test_a_key_is_renewed_for_the_device_that_has_not_confirmed_it(ana: Phone, beto: Phone, beto2: Phone) -> None:
    street = Street(ana, beto, beto2)
    ana.write(beto, "sessões")
    street.settle()
    assert ana.db.run_now(lambda tx: tx.renewals()) == ()
    street.lost.add(beto2.address)
    told = rotate_keys(ana)
    street.settle()
    (renewal,) = [each for each in ana.db.run_now(lambda tx: tx.renewals()) if each.message_id == told]
    assert renewal.confirmed == (1,)
    ana.clock.advance(days=13)
    ana.db.run_now(lambda tx: delivery.renew_due(tx, ana.now, ana.rng))
    assert {row.to for row in ana.outbox()} == {beto2.address}
    street.waiting.clear()  # the home has deleted the first copies meanwhile
    street.lost.clear()
    street.settle()
    assert ana.db.run_now(lambda tx: tx.renewals()) == ()


def test_a_renewal_ends_when_the_device_that_had_not_confirmed_it_is_removed(
    ana: Phone, beto: Phone, beto2: Phone
) -> None:
    street = Street(ana, beto, beto2)
    ana.write(beto, "sessões")
    street.settle()
    street.lost.add(beto2.address)
    rotate_keys(ana)
    street.settle()
    assert ana.db.run_now(lambda tx: tx.renewals())
    remove(beto, beto2)
    learn(ana, beto.account, current_list(beto))
    assert ana.db.run_now(lambda tx: tx.renewals()) == ()


def rotate_keys(ana: Phone) -> MessageId:
    """A new profile key for everybody, as blocking somebody makes."""

    def work(tx: Tx) -> MessageId:
        rotate_profile(tx, ana.now, ana.rng)
        (friend,) = tx.contacts()
        address_renewed(tx, friend, ProfileKey(tx.own().profile_key.expose()), ana.now, ana.rng)
        return tx.renewals()[-1].message_id

    return ana.db.run_now(work)


# --- who comes and goes ------------------------------------------------------------------------------------------------


def remove(primary: Phone, other: Phone) -> None:
    primary.db.run_now(
        lambda tx: own_devices.remove_device(tx, primary.root, other.address.device, primary.now, primary.rng)
    )


def set_up_anew(primary: Phone, other: Phone) -> Phone:
    """The same number with another identity key, as after a recovery."""
    fresh = IdentityKeyPair(SecretBytes(b"n" * 32))
    signed = next_list(primary, DeviceEntry(other.address.device, fresh.public, 55), drop=other.address.device)
    version = decode_device_list(signed.body).version
    path = other.path.with_name("anew.db")
    phone = Phone("anew", path, other.clock, other.home)
    phone.own = replace(
        other.db.run_now(lambda tx: tx.own()),
        identity_key=fresh.public,
        device_seed=fresh.seed,
        registration_id=55,
        device_certificate=issue_device_certificate(primary.root, other.address.device, fresh.public),
        device_list=signed,
        list_version=version,
    )
    phone.db.run_now(lambda tx: tx.put_own(phone.own))
    return phone


def test_a_new_device_gets_what_still_waits_and_nothing_that_has_gone(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    ana.write(beto, "já foi")
    settle(ana, beto)
    waiting = ana.write(beto, "ainda aqui")
    beto2 = link(beto, "beto2")
    befriended(beto2, ana)
    learn(ana, beto.account, current_list(beto))
    rows = ana.outbox()
    assert [(row.to.device, row.message_id) for row in rows] == [(1, waiting.id), (2, waiting.id)]
    assert [row.envelope is not None for row in rows] == [True, False]
    street = Street(ana, beto, beto2)
    street.settle()
    assert (beto.texts(ana), beto2.texts(ana)) == (["já foi", "ainda aqui"], ["ainda aqui"])


def test_a_new_device_gets_no_copy_of_what_is_sent_again_to_another(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    ana.write(beto, "não abre")
    (envelope,) = ana.post(beto)
    beto.db.run_now(lambda tx: tx.put_session(ana.address, SessionRecord.EMPTY.to_bytes()))
    assert beto.take(envelope).fate is Fate.COULD_NOT_OPEN
    for request in beto.post(ana):
        ana.take(request)
    assert destinations(ana) == [1]
    link(beto, "beto2")
    learn(ana, beto.account, current_list(beto))
    assert destinations(ana) == [1]


def test_a_removed_device_loses_its_session_and_all_that_was_for_it(ana: Phone, beto: Phone, beto2: Phone) -> None:
    street = Street(ana, beto, beto2)
    ana.write(beto, "sessões")
    street.settle()
    late = beto2.write(ana, "atrasada")
    street.post(beto2)
    ana.write(beto, "só a um")
    remove(beto, beto2)
    learn(ana, beto.account, current_list(beto))
    assert destinations(ana) == [1]
    assert not has_session(ana, beto2)
    ana.write(beto, "só a um, de novo")
    assert destinations(ana) == [1, 1]
    street.settle()
    assert late.text not in ana.texts(beto)
    assert "unlisted_device" in alarms(ana), "what it wrote before is dropped, and said"


def test_a_removed_device_is_not_answered_when_it_asks_for_what_it_missed(
    ana: Phone, beto: Phone, beto2: Phone
) -> None:
    street = Street(ana, beto, beto2)
    ana.write(beto, "sessões")
    street.settle()
    ana.write(beto, "perdida")
    (row,) = [row for row in street.post(ana) if row.to == beto2.address]
    assert row.envelope is not None
    envelope = row.envelope
    assert ana.db.run_now(lambda tx: tx.sent(envelope.id)) is not None
    remove(beto, beto2)
    learn(ana, beto.account, current_list(beto))
    assert ana.db.run_now(lambda tx: tx.sent(envelope.id)) is None


def test_a_device_set_up_anew_gets_what_waits_sealed_for_its_new_key(ana: Phone, beto: Phone, beto2: Phone) -> None:
    street = Street(ana, beto, beto2)
    ana.write(beto, "sessões")
    street.settle()
    ana.write(beto, "para o novo")
    before = ana.outbox()
    assert all(row.envelope is not None for row in before)
    anew = set_up_anew(beto, beto2)
    befriended(anew, ana)
    learn(ana, beto.account, current_list(anew))
    assert [(row.to.device, row.envelope is not None) for row in ana.outbox()] == [(1, True), (2, False)]
    assert not has_session(ana, beto2)
    assert alarms(ana)[-1] == "new_device"
    street = Street(ana, beto, anew)
    street.settle()
    assert anew.texts(ana) == ["para o novo"]
    assert beto2.texts(ana) == ["sessões"]


def test_a_message_of_a_device_set_up_anew_waits_for_the_list_and_is_not_lost(
    ana: Phone, beto: Phone, beto2: Phone
) -> None:
    """Its certificate is right and its number is listed, with the key of before."""
    anew = set_up_anew(beto, beto2)
    befriended(anew, ana)
    anew.write(ana, "voltei")
    start_sessions(anew, ana.account, ana.fetched())
    ready = prepare(anew, ana.account)
    assert ready is not None
    envelope = ready.rows[0].envelope
    assert envelope is not None
    assert ana.take(envelope).fate is Fate.WAITS_FOR_LIST
    learn(ana, beto.account, current_list(anew))
    assert ana.take(envelope, list_is_fresh=True).fate is Fate.OPENED
    assert ana.texts(beto)[-1] == "voltei"


def befriended(anew: Phone, friend: Phone) -> None:
    """The new database knows the friend as the account does."""
    contact = Contact(
        account=friend.account,
        root_key=friend.own.root_key,
        name=friend.name,
        state=ChatState.ACCEPTED,
        home=friend.home,
        device_list=current_list(friend),
        list_version=friend.own.list_version,
        profile_key=friend.own.profile_key,
    )
    anew.db.run_now(lambda tx: tx.put_contact(contact))


# --- a home that lies --------------------------------------------------------------------------------------------------


def bundles(fetched: FetchedAccount) -> dict[int, PrekeyBundle]:
    return {bundle.device: bundle for bundle in fetched.bundles}


def sessions_of(ana: Phone, beto: Phone) -> set[int]:
    return {peer.device for peer in ana.db.run_now(lambda tx: tx.sessions()) if peer.account == beto.account}


def test_a_bundle_of_a_device_that_nobody_listed_is_not_looked_at(ana: Phone, beto: Phone, beto2: Phone) -> None:
    extra = msgspec.structs.replace(beto2.fetched().bundles[0], device=9)
    ana.write(beto, "só aos dois")
    start_sessions(ana, beto.account, FetchedAccount(current_list(beto), (*beto2.fetched().bundles, extra)))
    assert sessions_of(ana, beto) == {1, 2}
    assert sorted(destinations(ana)) == [1, 2]


def test_a_bundle_with_another_identity_key_makes_no_session(
    ana: Phone, beto: Phone, beto2: Phone, caio: Phone
) -> None:
    """The home would read along: its own key, and prekeys that this key has signed."""
    ana.write(beto, "não para o servidor")
    false = msgspec.structs.replace(caio.fetched().bundles[0], device=2)
    start_sessions(ana, beto.account, FetchedAccount(current_list(beto), (false,)))
    assert sessions_of(ana, beto) == {1}
    unsealed = [row for row in ana.outbox() if row.to.device == 2]
    assert [row.envelope for row in unsealed] == [None]
    start_sessions(ana, beto.account, beto2.fetched())
    assert sessions_of(ana, beto) == {1, 2}


def test_an_older_list_brings_no_removed_device_back(ana: Phone, beto: Phone, beto2: Phone) -> None:
    older = current_list(beto)
    remove(beto, beto2)
    learn(ana, beto.account, current_list(beto))
    ana.write(beto, "não ao removido")
    start_sessions(ana, beto.account, FetchedAccount(older, (*beto.fetched().bundles, *beto2.fetched().bundles)))
    assert sessions_of(ana, beto) == {1}
    assert destinations(ana) == [1]


def test_a_forked_list_seals_nothing_and_is_told(ana: Phone, beto: Phone, beto2: Phone, caio: Phone) -> None:
    """Whoever has the root key too signs another list of the version that we know."""
    spy = DeviceEntry(3, caio.own.identity_key, 7)
    forked = next_list(beto, spy, version=ana.contact(beto).list_version)
    ana.write(beto, "para quem?")
    false = msgspec.structs.replace(caio.fetched().bundles[0], device=3)
    with pytest.raises(DeviceListForkError):
        start_sessions(ana, beto.account, FetchedAccount(forked, (*beto2.fetched().bundles, false)))
    assert sessions_of(ana, beto) == {1}
    assert sorted(destinations(ana)) == [1, 2]
    learn(ana, beto.account, forked)
    assert alarms(ana)[-1] == "DeviceListForkError"
    assert sorted(destinations(ana)) == [1, 2]


def test_the_list_of_another_account_seals_nothing(ana: Phone, beto: Phone, beto2: Phone, caio: Phone) -> None:
    ana.write(beto, "para quem?")
    with pytest.raises(SignatureError):
        start_sessions(ana, beto.account, caio.fetched())
    with pytest.raises(SignatureError):
        learn(ana, beto.account, current_list(caio))
    assert sessions_of(ana, beto) == {1}


def test_a_device_that_no_list_names_is_not_believed(ana: Phone, beto: Phone, beto2: Phone) -> None:
    """Certified by the account's root, with a session even: a list as new as any decides."""
    street = Street(ana, beto, beto2)
    ana.write(beto, "sessões")
    street.settle()
    beto2.write(ana, "ainda sou eu")
    (row,) = [row for row in street.post(beto2) if row.to == ana.address]
    assert row.envelope is not None
    remove(beto, beto2)
    learn(ana, beto.account, current_list(beto))
    assert ana.take(row.envelope).fate is Fate.WAITS_FOR_LIST
    assert ana.take(row.envelope, list_is_fresh=True).fate is Fate.DROPPED
    assert ana.texts(beto) == []


# --- sessions that were never answered, and sessions that cross --------------------------------------------------------


def test_a_session_that_is_never_answered_is_begun_anew_at_thirty_days(ana: Phone, beto: Phone, beto2: Phone) -> None:
    street = Street(ana, beto, beto2)
    street.lost.add(beto2.address)
    ana.write(beto, "primeira")
    street.settle()
    begun = current_base_key(ana, beto2)
    ana.clock.advance(UNACKNOWLEDGED_MS / 1000 - (ana.now - created_ms(ana, beto2)) / 1000 - 0.001)
    ana.write(beto, "no último instante")
    assert [row.envelope is not None for row in ana.outbox() if row.to == beto2.address] == [True]
    ana.clock.advance(0.001)
    ana.write(beto, "um instante depois")
    assert [row.envelope is not None for row in ana.outbox() if row.to == beto2.address] == [True, False]
    street.settle()
    assert current_base_key(ana, beto2) != begun
    street.lost.clear()
    street.settle()
    assert beto2.texts(ana) == ["primeira", "no último instante", "um instante depois"]
    assert (len(archived(ana, beto2)), len(archived(beto2, ana))) == (1, 1)


def test_a_session_that_was_answered_does_not_end_with_silence(ana: Phone, beto: Phone, beto2: Phone) -> None:
    """docs/decisions/0140: nothing of it is in doubt, and to begin anew takes a home that answers."""
    street = Street(ana, beto, beto2)
    ana.write(beto, "oi")
    street.settle()
    ana.clock.advance(days=300)
    ana.write(beto, "faz tempo")
    assert all(row.envelope is not None for row in ana.outbox())


def test_two_devices_that_begin_at_the_same_time_settle_on_one_session(ana: Phone, beto: Phone, beto2: Phone) -> None:
    street = Street(ana, beto, beto2)
    ana.write(beto, "de lá")
    beto2.write(ana, "de cá")
    for phone in (ana, beto2):
        street.post(phone)
    assert current_base_key(ana, beto2) != current_base_key(beto2, ana)
    street.settle()
    ana.write(beto, "um")
    street.settle()
    beto2.write(ana, "dois")
    street.settle()
    assert current_base_key(ana, beto2) == current_base_key(beto2, ana)
    assert ana.unopened(beto) == beto2.unopened(ana) == 0


def test_a_late_message_of_an_archived_session_opens_and_brings_it_back(ana: Phone, beto: Phone, beto2: Phone) -> None:
    street = Street(ana, beto, beto2)
    ana.write(beto, "sessões")
    street.settle()
    old = current_base_key(beto2, ana)
    ana.write(beto, "atrasada")
    (late,) = [row for row in street.post(ana) if row.to == beto2.address]
    street.waiting.clear()
    ana.db.run_now(lambda tx: tx.put_session(beto2.address, archive(load_session(tx, beto2.address)).to_bytes()))
    ana.write(beto, "em sessão nova")
    street.settle()
    assert current_base_key(beto2, ana) != old
    assert late.envelope is not None
    assert beto2.take(late.envelope).fate is Fate.OPENED
    assert current_base_key(beto2, ana) == old
    assert beto2.texts(ana) == ["sessões", "atrasada", "em sessão nova"]


def record(phone: Phone, other: Phone) -> SessionRecord:
    return phone.db.run_now(lambda tx: load_session(tx, other.address))


def current_base_key(phone: Phone, other: Phone) -> bytes:
    current = record(phone, other).current
    assert current is not None
    return current.base_key


def created_ms(phone: Phone, other: Phone) -> int:
    current = record(phone, other).current
    assert current is not None
    return current.created_at_ms


def archived(phone: Phone, other: Phone) -> tuple[object, ...]:
    return record(phone, other).archived
