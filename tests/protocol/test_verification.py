"""docs/protocol/identity.md, "Verified": what makes a contact verified, what leaves it so, and what takes it back."""

from dataclasses import replace

import pytest

from mepassa.crypto.safety_number import SafetyNumber
from mepassa.identity import IdentityKeyPair, RootKey
from mepassa.model.device_list import DeviceEntry, SignedDeviceList
from mepassa.model.errors import ConflictError, DeviceListForkError, SignatureError
from mepassa.model.secret import SecretBytes
from mepassa.model.status import ChatState, Verification
from mepassa.ports.stores import EventKind
from mepassa.protocol import contacts, verification
from mepassa.protocol.alarms import Alarm
from mepassa.protocol.devices import alarm_fork, learn_answered, learn_list
from mepassa.protocol.verification import Comparison
from tests.protocol.device_lists import alarms, become_second_device, next_list
from tests.protocol.phones import Phone, befriend, settle


def number(phone: Phone, other: Phone) -> SafetyNumber:
    return phone.db.run_now(lambda tx: verification.number_of(tx.own(), contacts.require(tx, other.account)))


def verify(phone: Phone, other: Phone) -> None:
    digits = number(other, phone).digits  # what the other's screen shows
    phone.db.run_now(lambda tx: verification.verify(tx, contacts.require(tx, other.account), digits, phone.now))


def compare(phone: Phone, other: Phone, scanned: bytes) -> Comparison:
    return phone.db.run_now(
        lambda tx: verification.compare(tx, contacts.require(tx, other.account), scanned, phone.now)
    )


def learn(phone: Phone, other: Phone, signed: SignedDeviceList) -> None:
    phone.db.run_now(lambda tx: learn_list(tx, contacts.require(tx, other.account), signed))


def fork(phone: Phone, other: Phone) -> None:
    phone.db.run_now(lambda tx: alarm_fork(tx, contacts.require(tx, other.account)))


def stands(phone: Phone, other: Phone) -> Verification:
    return phone.contact(other).verification


@pytest.fixture
def verified(ana: Phone, beto: Phone) -> tuple[Phone, Phone]:
    """Ana has verified Beto; Beto has not verified Ana."""
    befriend(ana, beto)
    verify(ana, beto)
    return ana, beto


def test_a_contact_is_not_verified_until_the_person_says_so(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    assert stands(ana, beto) is Verification.NONE
    verify(ana, beto)
    assert (stands(ana, beto), ana.contact(beto).verified_ms) == (Verification.VERIFIED, ana.now)
    assert stands(beto, ana) is Verification.NONE, "it is this person's own finding and is told to nobody"
    ana.db.run_now(lambda tx: verification.unverify(tx, contacts.require(tx, beto.account)))
    assert stands(ana, beto) is Verification.NONE


def test_what_was_compared_must_be_what_is_marked(ana: Phone, beto: Phone, caio: Phone) -> None:
    befriend(ana, beto)
    befriend(ana, caio)
    for digits in (number(ana, caio).digits, "0" * 60, ""):
        with pytest.raises(ConflictError):
            ana.db.run_now(lambda tx: verification.verify(tx, contacts.require(tx, beto.account), digits, ana.now))
    assert stands(ana, beto) is Verification.NONE


def test_scanning_the_others_code_verifies_and_any_other_changes_nothing(ana: Phone, beto: Phone, caio: Phone) -> None:
    for one, two in ((ana, beto), (ana, caio), (beto, caio)):
        befriend(one, two)
    wrong = {
        number(ana, beto).scannable: Comparison.OWN_CODE,
        number(caio, ana).scannable: Comparison.NO_MATCH,
        number(beto, caio).scannable: Comparison.NO_MATCH,
        b"\x08\x01" + number(beto, ana).scannable[2:]: Comparison.OTHER_VERSION,
        b"\x08\x02": Comparison.NO_CODE,
        b"\xff\xff": Comparison.NO_CODE,
    }
    before = ana.db.run_now(lambda tx: tx.event_span())
    assert {code: compare(ana, beto, code) for code in wrong} == wrong
    assert ana.db.run_now(lambda tx: tx.event_span()) == before
    assert stands(ana, beto) is Verification.NONE
    assert compare(ana, beto, number(beto, ana).scannable) is Comparison.MATCH
    assert stands(ana, beto) is Verification.VERIFIED
    assert compare(ana, beto, number(caio, ana).scannable) is Comparison.NO_MATCH
    assert stands(ana, beto) is Verification.VERIFIED, "somebody else's code says nothing about Beto"


def test_a_new_device_is_told_and_the_contact_stays_verified(verified: tuple[Phone, Phone]) -> None:
    """The number is over the root keys: whatever device the root key has added is the verified person's."""
    ana, beto = verified
    before = number(ana, beto)
    signed = next_list(beto, DeviceEntry(2, IdentityKeyPair(SecretBytes(b"2" * 32)).public, 7))
    learn(ana, beto, signed)
    assert alarms(ana) == ["new_device"]
    assert stands(ana, beto) is Verification.VERIFIED
    assert number(ana, beto) == before


def test_a_key_that_replaces_all_devices_leaves_the_number_as_it_was(verified: tuple[Phone, Phone]) -> None:
    ana, beto = verified
    before = number(ana, beto)
    become_second_device(beto)
    signed = next_list(beto, drop=1)
    learn(ana, beto, signed)
    assert stands(ana, beto) is Verification.VERIFIED
    assert number(ana, beto) == before


def test_a_forked_list_withdraws_it_and_says_so_once(verified: tuple[Phone, Phone]) -> None:
    ana, beto = verified
    forked = next_list(beto, version=ana.contact(beto).list_version, home_url="https://fork.test")
    with pytest.raises(DeviceListForkError):
        learn(ana, beto, forked)
    assert stands(ana, beto) is Verification.VERIFIED, "rolled back with what failed: the caller tells"
    since = ana.contact(beto).verified_ms
    for _ in range(3):
        fork(ana, beto)
    assert (stands(ana, beto), ana.contact(beto).verified_ms) == (Verification.WITHDRAWN, since)
    assert alarms(ana) == [Alarm.LIST_FORKED]


def name_another_list(beto: Phone, ana: Phone, text: str) -> list[bool]:
    """A device of Beto's says that there is another list of the version that Ana has. Whether his home is to be asked."""
    forked = next_list(beto, version=ana.contact(beto).list_version, home_url=f"https://{text}.test")
    beto.db.run_now(lambda tx: tx.put_own(replace(tx.own(), device_list=forked)))
    beto.write(ana, text)
    return [ana.take(envelope).list_wanted for envelope in beto.post(ana)]


def home_shows(ana: Phone, beto: Phone, signed: SignedDeviceList) -> bool:
    return ana.db.run_now(lambda tx: learn_answered(tx, beto.account, signed))


def test_a_message_that_names_another_list_of_the_same_version_withdraws_it_once_the_home_was_asked(
    verified: tuple[Phone, Phone],
) -> None:
    ana, beto = verified
    known = ana.contact(beto).device_list
    assert known is not None
    assert name_another_list(beto, ana, "bifurcada") == [True]
    assert ana.texts(beto) == ["bifurcada"], "the message itself is Beto's device's: shown"
    assert (stands(ana, beto), alarms(ana)) == (Verification.VERIFIED, [])
    assert home_shows(ana, beto, known)
    assert (stands(ana, beto), alarms(ana)) == (Verification.WITHDRAWN, [Alarm.LIST_FORKED])


def test_a_newer_list_settles_what_a_device_has_claimed(verified: tuple[Phone, Phone]) -> None:
    ana, beto = verified
    beto.clock.advance(1)
    newer = next_list(beto)
    name_another_list(beto, ana, "bifurcada")
    assert home_shows(ana, beto, newer)
    assert home_shows(ana, beto, newer)
    assert (stands(ana, beto), alarms(ana)) == (Verification.VERIFIED, [])


def test_a_device_that_lies_withdraws_a_verification_once_for_each_list(verified: tuple[Phone, Phone]) -> None:
    """Whoever holds one device of a contact cannot sign lists; it cannot wear the person down either."""
    ana, beto = verified
    known = ana.contact(beto).device_list
    assert known is not None
    name_another_list(beto, ana, "um")
    home_shows(ana, beto, known)
    for lie in ("um", "dois", "tres"):
        verify(ana, beto)
        assert name_another_list(beto, ana, lie) == [False]
        home_shows(ana, beto, known)
        assert stands(ana, beto) is Verification.VERIFIED
    assert alarms(ana) == [Alarm.LIST_FORKED]


def test_two_signed_lists_withdraw_it_however_often_it_was_compared(verified: tuple[Phone, Phone]) -> None:
    ana, beto = verified
    forked = next_list(beto, version=ana.contact(beto).list_version, home_url="https://fork.test")
    for _ in range(2):
        for _ in range(3):
            assert home_shows(ana, beto, forked)
            ana.write(beto, "entre um e outro")
        assert stands(ana, beto) is Verification.WITHDRAWN
        ana.clock.advance(1)
        verify(ana, beto)
    assert alarms(ana) == [Alarm.LIST_FORKED] * 2


def test_what_was_withdrawn_stands_until_the_person_compares_anew(verified: tuple[Phone, Phone]) -> None:
    ana, beto = verified
    fork(ana, beto)
    ana.write(beto, "ainda falamos")
    settle(ana, beto)
    assert stands(ana, beto) is Verification.WITHDRAWN
    verify(ana, beto)
    assert stands(ana, beto) is Verification.VERIFIED


def test_a_fork_of_somebody_unverified_is_told_and_withdraws_nothing(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    fork(ana, beto)
    assert stands(ana, beto) is Verification.NONE
    assert alarms(ana) == [Alarm.LIST_FORKED]


def test_a_card_with_another_root_for_a_known_account_is_refused(verified: tuple[Phone, Phone]) -> None:
    """Ids are 122 bits of a hash: whoever finds two keys with one id is told apart by the keys."""
    ana, beto = verified
    other = RootKey(SecretBytes(b"o" * 32)).public
    pinned = ana.contact(beto).root_key
    ana.db.run_now(lambda tx: tx.put_contact(replace(contacts.require(tx, beto.account), root_key=other)))
    with pytest.raises(SignatureError, match="another key"):
        ana.add(beto.invite(), beto)
    assert ana.contact(beto).root_key == other != pinned


def test_a_stranger_with_another_root_for_a_waiting_request_is_an_alarm(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    ana.write(beto, "sou a Ana")
    for envelope in ana.post(beto):
        beto.take(envelope)
    verify(beto, ana)
    assert beto.contact(ana).state is ChatState.REQUEST
    other = RootKey(SecretBytes(b"o" * 32)).public
    beto.db.run_now(lambda tx: tx.put_contact(replace(contacts.require(tx, ana.account), root_key=other)))
    ana.write(beto, "sou a outra")
    for envelope in ana.post(beto):
        beto.take(envelope)
    assert alarms(beto) == [Alarm.ROOT_CHANGED]
    assert stands(beto, ana) is Verification.WITHDRAWN
    assert beto.texts(ana) == ["sou a Ana"]


def test_blocking_and_asking_again_forget_nothing(verified: tuple[Phone, Phone]) -> None:
    ana, beto = verified
    ana.db.run_now(lambda tx: contacts.block(tx, beto.account, ana.now, ana.rng))
    assert stands(ana, beto) is Verification.VERIFIED
    ana.add(beto.invite(), beto)
    assert ana.contact(beto).state is ChatState.REQUESTED
    assert stands(ana, beto) is Verification.VERIFIED


def test_every_change_is_told_to_whoever_watches_the_chat(verified: tuple[Phone, Phone]) -> None:
    ana, beto = verified

    def told() -> int:
        events = ana.db.run_now(lambda tx: tx.events_after(0))
        return sum(event.kind is EventKind.CHAT and event.chat == beto.account for event in events)

    before = told()
    fork(ana, beto)
    assert told() == before + 1
    ana.db.run_now(lambda tx: verification.unverify(tx, contacts.require(tx, beto.account)))
    assert told() == before + 2
