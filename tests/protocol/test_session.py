"""docs/protocol/session.md: how sessions start, cross, are archived and found again, and what one message may cost."""

import os
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.crypto import double_ratchet, kept_keys
from mepassa.crypto.budget import ARCHIVED_DERIVATIONS, OPENING_DERIVATIONS, WorkBudget
from mepassa.crypto.errors import (
    AuthenticationError,
    CorruptRecordError,
    InvalidKeyError,
    NoOpeningSessionError,
    PrekeyMissingError,
    SpentChainError,
)
from mepassa.crypto.messages import (
    decode_prekey_signal_message,
    decode_signal_message,
    encode_addresses,
    encode_prekey_signal_message,
)
from mepassa.crypto.primitives import hmac_sha256, kdf_ck
from mepassa.crypto.protobuf import encode_bytes, encode_uint
from mepassa.crypto.spqr import chain
from mepassa.identity import IdentityKeyPair
from mepassa.identity.curve import edwards_from_montgomery, montgomery_from_edwards
from mepassa.model.errors import DecryptionError, DuplicateMessageError, SignatureError, UnlistedDeviceError
from mepassa.model.ids import Address
from mepassa.protocol import session
from mepassa.protocol.parties import RemoteDevice, parties
from mepassa.protocol.session import MessageType, NoSessionError, SessionRecord, SignalCiphertext, StaleSessionError
from mepassa.protocol.session_record import MAX_ARCHIVED
from tests.crypto.people import DAY_MS, NOW_MS, Person, acquainted


def reshaped(ciphertext: SignalCiphertext, **changes: object) -> SignalCiphertext:
    """A PreKey message with other outer fields."""
    outer = replace(decode_prekey_signal_message(ciphertext.body), **changes)  # type: ignore[arg-type]  # the message's own fields
    return msgspec.structs.replace(ciphertext, body=encode_prekey_signal_message(outer))


# --- start -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one_time", [True, False])
def test_a_first_message_makes_a_session_and_spends_its_prekeys_once(*, one_time: bool) -> None:
    ana, bruno = Person("ana"), Person("bruno")
    ana.initiate(bruno.remote, bruno.bundle(one_time=one_time))
    first = ana.encrypt(bruno.remote, b"first")
    opened = bruno.try_decrypt(ana.remote, first.type, first.body)
    assert opened.new_session
    assert opened.plaintext == b"first"
    assert opened.consumed.one_time_id == (1 if one_time else None)
    assert opened.consumed.kyber_id == 1
    assert opened.consumed.last_resort is None


def test_prekey_messages_repeat_until_the_first_answer_has_been_opened() -> None:
    ana, bruno = Person("ana"), Person("bruno")
    ana.initiate(bruno.remote, bruno.bundle())
    messages = [ana.encrypt(bruno.remote, b"%d" % number) for number in range(3)]
    assert {message.type for message in messages} == {MessageType.PREKEY}
    for number in (1, 0, 2):
        assert bruno.decrypt(ana.remote, messages[number]) == b"%d" % number
    assert not bruno.prekeys.one_times
    assert bruno.encrypt(ana.remote, b"x").type is MessageType.SIGNAL
    ana.decrypt(bruno.remote, bruno.encrypt(ana.remote, b"answer"))
    assert ana.encrypt(bruno.remote, b"x").type is MessageType.SIGNAL


def test_a_bundle_that_is_not_signed_or_not_the_listed_device_is_refused() -> None:
    ana, bruno, carla = Person("ana"), Person("bruno"), Person("carla")
    bundle = bruno.bundle()
    with pytest.raises(UnlistedDeviceError):
        ana.initiate(carla.remote, bundle)
    with pytest.raises(UnlistedDeviceError):
        ana.initiate(RemoteDevice(Address(bruno.own.address.account, 2), bruno.own.key.public), bundle)
    for field in ("signed_prekey", "kyber_prekey"):
        swapped = msgspec.structs.replace(getattr(bundle, field), public=getattr(bruno.bundle(), field).public)
        with pytest.raises(SignatureError):
            ana.initiate(bruno.remote, msgspec.structs.replace(bundle, **{field: swapped}))
    improper = msgspec.structs.replace(bundle.one_time_prekey, public=b"\x05" + bytes(32))  # type: ignore[type-var]  # the bundle has one
    with pytest.raises(InvalidKeyError):
        ana.initiate(bruno.remote, msgspec.structs.replace(bundle, one_time_prekey=improper))
    assert ana.record(bruno.remote) == SessionRecord.EMPTY


def test_a_prekey_message_that_names_missing_prekeys_is_refused_and_spends_nothing() -> None:
    ana, bruno = Person("ana"), Person("bruno")
    ana.initiate(bruno.remote, bruno.bundle())
    first = ana.encrypt(bruno.remote, b"first")
    before = (dict(bruno.prekeys.one_times), dict(bruno.prekeys.kybers))
    for change in ({"one_time_prekey_id": 9}, {"signed_prekey_id": 9}, {"kyber_prekey_id": 9}):
        with pytest.raises(PrekeyMissingError):
            bruno.decrypt(ana.remote, reshaped(first, **change))
    assert (bruno.prekeys.one_times, bruno.prekeys.kybers) == before
    assert bruno.decrypt(ana.remote, first) == b"first"


def test_every_outer_field_of_a_first_message_is_bound() -> None:
    """All but the registration id, which nothing authenticates and nothing uses."""
    ana, bruno = Person("ana"), Person("bruno")
    ana.initiate(bruno.remote, bruno.bundle())
    bruno.bundle()  # other prekeys with other ids exist
    first = ana.encrypt(bruno.remote, b"first")
    other = Person("other").own.key.public.raw
    kyber = decode_prekey_signal_message(first.body).kyber_ciphertext
    changes: list[dict[str, object]] = [
        {"one_time_prekey_id": None},
        {"one_time_prekey_id": 2},
        {"signed_prekey_id": 2},
        {"kyber_prekey_id": 2},
        {"base_key": other},
        {"identity_key": other},
        {"kyber_ciphertext": kyber[:9] + bytes([kyber[9] ^ 1]) + kyber[10:]},
        {"kyber_ciphertext": b"\x07" + kyber[1:]},
    ]
    for change in changes:
        with pytest.raises(DecryptionError):
            bruno.decrypt(ana.remote, reshaped(first, **change))
    assert bruno.record(ana.remote) == SessionRecord.EMPTY
    assert bruno.decrypt(ana.remote, reshaped(first, registration_id=5)) == b"first"


def test_the_sender_of_a_prekey_message_is_the_one_whose_envelope_it_came_in() -> None:
    ana, bruno, carla = Person("ana"), Person("bruno"), Person("carla")
    ana.initiate(bruno.remote, bruno.bundle())
    first = ana.encrypt(bruno.remote, b"first")
    with pytest.raises(AuthenticationError):
        bruno.decrypt(carla.remote, first)
    with pytest.raises(AuthenticationError):  # same key, other account: the addresses do not fit
        bruno.decrypt(RemoteDevice(carla.own.address, ana.own.key.public), first)
    assert bruno.decrypt(ana.remote, first) == b"first"


def test_a_prekey_message_without_addresses_is_refused() -> None:
    """Official senders always write them there; without them a session is bound to keys alone."""
    ana, bruno = Person("ana"), Person("bruno")
    ana.initiate(bruno.remote, bruno.bundle())
    first = ana.encrypt(bruno.remote, b"first")
    outer = decode_prekey_signal_message(first.body)
    addresses = encode_bytes(6, encode_addresses(ana.own.address, bruno.own.address))
    assert outer.message[:-8].endswith(addresses)
    without = outer.message[: -8 - len(addresses)] + outer.message[-8:]
    with pytest.raises(AuthenticationError):
        bruno.decrypt(ana.remote, reshaped(first, message=without))


def test_a_base_key_with_torsion_is_refused() -> None:
    from nacl import bindings

    ana, bruno = Person("ana"), Person("bruno")
    ana.initiate(bruno.remote, bruno.bundle())
    first = ana.encrypt(bruno.remote, b"first")
    base_key = decode_prekey_signal_message(first.body).base_key
    order_4 = bytes(32)
    mixed = bindings.crypto_core_ed25519_add(edwards_from_montgomery(base_key[1:], 0), order_4)
    torsion = b"\x05" + montgomery_from_edwards(mixed)
    with pytest.raises(InvalidKeyError):
        bruno.decrypt(ana.remote, reshaped(first, base_key=torsion))


def test_a_last_resort_prekey_makes_each_session_once() -> None:
    """A home that replays a first message years later, after the session is gone, opens nothing."""
    ana, bruno = Person("ana"), Person("bruno")
    bundle = bruno.bundle(one_time=False, last_resort=True)
    ana.initiate(bruno.remote, bundle)
    first = ana.encrypt(bruno.remote, b"first")
    opened = bruno.try_decrypt(ana.remote, first.type, first.body)
    assert opened.consumed.kyber_id is None
    assert opened.consumed.last_resort is not None
    bruno.decrypt(ana.remote, first)
    bruno.records.clear()
    with pytest.raises(DuplicateMessageError):
        bruno.decrypt(ana.remote, first)
    ana.initiate(bruno.remote, bundle)
    assert bruno.decrypt(ana.remote, ana.encrypt(bruno.remote, b"again")) == b"again"


# --- crossing and archiving --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["both first", "ana first", "bruno answers before"])
def test_sessions_that_cross_settle_on_one(order: str) -> None:
    ana, bruno = Person("ana"), Person("bruno")
    ana.initiate(bruno.remote, bruno.bundle())
    bruno.initiate(ana.remote, ana.bundle())
    from_ana, from_bruno = ana.encrypt(bruno.remote, b"a"), bruno.encrypt(ana.remote, b"b")
    if order == "both first":
        assert ana.decrypt(bruno.remote, from_bruno) == b"b"
        assert bruno.decrypt(ana.remote, from_ana) == b"a"
    elif order == "ana first":
        assert ana.decrypt(bruno.remote, from_bruno) == b"b"
        assert bruno.decrypt(ana.remote, ana.encrypt(bruno.remote, b"a2")) == b"a2"
        assert bruno.decrypt(ana.remote, from_ana) == b"a"
    else:
        assert bruno.decrypt(ana.remote, from_ana) == b"a"
        assert ana.decrypt(bruno.remote, bruno.encrypt(ana.remote, b"b2")) == b"b2"
        assert ana.decrypt(bruno.remote, from_bruno) == b"b"
    for number in range(6):
        assert bruno.decrypt(ana.remote, ana.encrypt(bruno.remote, b"%d" % number)) == b"%d" % number
        assert ana.decrypt(bruno.remote, bruno.encrypt(ana.remote, b"%d" % number)) == b"%d" % number
    ana_state, bruno_state = ana.record(bruno.remote).current, bruno.record(ana.remote).current
    assert ana_state is not None
    assert bruno_state is not None
    assert ana_state.base_key == bruno_state.base_key
    assert ana.encrypt(bruno.remote, b"x").type is MessageType.SIGNAL


def test_an_archived_session_opens_late_messages_and_becomes_the_current_one() -> None:
    ana, bruno = acquainted()
    late = ana.encrypt(bruno.remote, b"late")
    old = bruno.record(ana.remote).current
    assert old is not None
    bruno.records[ana.own.address] = bruno.record(ana.remote).archive()
    with pytest.raises(NoSessionError):
        bruno.encrypt(ana.remote, b"x")
    bruno.initiate(ana.remote, ana.bundle())
    assert bruno.decrypt(ana.remote, late) == b"late"
    current = bruno.record(ana.remote).current
    assert current is not None
    assert current.base_key == old.base_key
    assert len(bruno.record(ana.remote).archived) == 1


def test_a_prekey_message_of_an_archived_session_promotes_it() -> None:
    ana, bruno = Person("ana"), Person("bruno")
    ana.initiate(bruno.remote, bruno.bundle())
    first, second = ana.encrypt(bruno.remote, b"1"), ana.encrypt(bruno.remote, b"2")
    bruno.decrypt(ana.remote, first)
    bruno.records[ana.own.address] = bruno.record(ana.remote).archive()
    opened = bruno.try_decrypt(ana.remote, second.type, second.body)
    assert opened.plaintext == b"2"
    assert not opened.new_session
    assert opened.record.has_current
    assert opened.record.archived == ()


@pytest.mark.parametrize("give_up", [session.archive, session.archive_restored])
@pytest.mark.parametrize("turned", [False, True], ids=["same chain", "new ratchet key"])
def test_a_session_that_was_given_up_reads_late_messages_and_never_sends_again(
    give_up: Callable[[SessionRecord], SessionRecord], *, turned: bool
) -> None:
    """A message key that a lost run may have used must not be used again, whatever the other side writes."""
    ana, bruno = acquainted()
    if turned:
        ana.decrypt(bruno.remote, bruno.encrypt(ana.remote, b"turns Ana's ratchet"))
    late = [ana.encrypt(bruno.remote, b"%d" % number) for number in range(3)]
    bruno.records[ana.own.address] = give_up(bruno.record(ana.remote))
    assert [bruno.decrypt(ana.remote, message) for message in (late[2], late[0], late[1])] == [b"2", b"0", b"1"]
    record = bruno.record(ana.remote)
    assert (record.has_current, len(record.archived)) == (False, 1)
    assert SessionRecord.from_bytes(record.to_bytes()) == record
    with pytest.raises(NoSessionError):
        bruno.encrypt(ana.remote, b"x")
    between = parties(bruno.own, ana.remote)
    with pytest.raises(SpentChainError):
        double_ratchet.encrypt(record.archived[0].open().ratchet, between, b"x", bruno.rng.token)


def test_a_restored_database_gives_up_archived_sessions_too() -> None:
    ana, bruno = acquainted()
    late = ana.encrypt(bruno.remote, b"late")
    bruno.initiate(ana.remote, ana.bundle())
    bruno.records[ana.own.address] = session.archive_restored(bruno.record(ana.remote))
    assert bruno.decrypt(ana.remote, late) == b"late"
    assert not bruno.record(ana.remote).has_current


def test_forty_archived_sessions_are_kept_and_the_oldest_goes_first() -> None:
    ana, bruno = Person("ana"), Person("bruno")
    late = []
    for number in range(MAX_ARCHIVED + 2):
        ana.initiate(bruno.remote, bruno.bundle())
        bruno.decrypt(ana.remote, ana.encrypt(bruno.remote, b"hello"))
        late.append(ana.encrypt(bruno.remote, b"%d" % number))
    bruno.restart(ana.remote)
    assert len(bruno.record(ana.remote).archived) == MAX_ARCHIVED
    outcomes = []
    for number, message in enumerate(late):
        inner = SignalCiphertext(MessageType.SIGNAL, decode_prekey_signal_message(message.body).message, b"")
        try:
            outcomes.append(bruno.try_decrypt(ana.remote, inner.type, inner.body).plaintext == b"%d" % number)
        except DecryptionError:
            outcomes.append(False)
    assert outcomes == [False] + [True] * (MAX_ARCHIVED + 1)


def test_a_session_unanswered_for_thirty_days_cannot_send() -> None:
    ana, bruno = Person("ana"), Person("bruno")
    ana.initiate(bruno.remote, bruno.bundle(), NOW_MS)
    assert ana.encrypt(bruno.remote, b"x", NOW_MS + 30 * DAY_MS - 1).type is MessageType.PREKEY
    with pytest.raises(StaleSessionError):
        ana.encrypt(bruno.remote, b"x", NOW_MS + 30 * DAY_MS)
    ana, bruno = acquainted()
    assert ana.encrypt(bruno.remote, b"x", NOW_MS + 300 * DAY_MS).type is MessageType.SIGNAL


def test_a_session_with_another_identity_key_neither_sends_nor_opens() -> None:
    ana, bruno = acquainted()
    other = RemoteDevice(bruno.own.address, IdentityKeyPair.generate().public)
    with pytest.raises(NoSessionError):
        ana.encrypt(other, b"x")
    message = bruno.encrypt(ana.remote, b"x")
    with pytest.raises(NoOpeningSessionError):
        ana.decrypt(other, message)


def test_a_request_calls_for_a_new_session_unless_one_was_begun_since() -> None:
    ana, bruno = acquainted()
    failed = ana.encrypt(bruno.remote, b"x")
    named = session.failed_ratchet_key(failed.type, failed.body)
    assert named == failed.ratchet_key == session.current_ratchet_key(ana.record(bruno.remote))

    def called_for(ratchet_key: bytes | None, sent_at_ms: int = NOW_MS - 1) -> bool:
        return session.must_archive(ana.record(bruno.remote), ratchet_key=ratchet_key, sent_at_ms=sent_at_ms)

    other = session.current_ratchet_key(bruno.record(ana.remote))
    assert called_for(named)
    assert not called_for(None)
    assert not called_for(other), "the session is newer than the message"
    assert called_for(other, NOW_MS), "the ratchet has turned, but it is the message's session"
    ana.records[bruno.own.address] = session.archive(ana.record(bruno.remote))
    assert not called_for(named)
    assert not called_for(None)


# --- the record --------------------------------------------------------------------------------------------------------


def test_every_changed_byte_of_a_message_is_refused_and_changes_no_record() -> None:
    ana, bruno = acquainted()
    ana.initiate(bruno.remote, bruno.bundle())
    for message in (ana.encrypt(bruno.remote, b"prekey"), bruno.encrypt(ana.remote, b"plain")):
        person, peer = (bruno, ana) if message.type is MessageType.PREKEY else (ana, bruno)
        before = person.record(peer.remote).to_bytes()
        prekeys = (dict(person.prekeys.one_times), dict(person.prekeys.kybers), set(person.prekeys.uses))
        refused = 0
        for position in range(0, len(message.body), 1 if message.type is MessageType.SIGNAL else 7):
            body = bytearray(message.body)
            body[position] ^= 0x10
            try:
                person.decrypt(peer.remote, msgspec.structs.replace(message, body=bytes(body)))
            except DecryptionError:
                refused += 1
            else:  # the registration id is bound by nothing
                assert message.type is MessageType.PREKEY
                person.records[peer.own.address] = SessionRecord.from_bytes(before)
                person.prekeys.one_times, person.prekeys.kybers, person.prekeys.uses = (
                    dict(prekeys[0]),
                    dict(prekeys[1]),
                    set(prekeys[2]),
                )
        assert refused >= len(message.body) // 7 - 3
        assert person.record(peer.remote).to_bytes() == before
        assert (person.prekeys.one_times, person.prekeys.kybers, person.prekeys.uses) == prekeys


def test_a_record_survives_saving_byte_for_byte() -> None:
    ana, bruno = acquainted()
    ana.initiate(bruno.remote, bruno.bundle(one_time=False))
    for record in (
        ana.record(bruno.remote),
        bruno.record(ana.remote),
        SessionRecord.EMPTY,
        session.archive(ana.record(bruno.remote)),
    ):
        raw = record.to_bytes()
        assert SessionRecord.from_bytes(raw).to_bytes() == raw
    ana.restart(bruno.remote)
    assert bruno.decrypt(ana.remote, ana.encrypt(bruno.remote, b"x")) == b"x"


@given(st.binary(max_size=300), st.integers(0, 5000), st.integers(1, 255))
def test_any_bytes_are_a_record_or_corrupt(raw: bytes, position: int, change: int) -> None:
    whole = bytearray(RECORD)
    whole[position % len(whole)] ^= change
    for data in (raw, b"\x01" + raw, bytes(whole), RECORD[: position % len(RECORD)]):
        try:
            SessionRecord.from_bytes(data)
        except CorruptRecordError:
            pass


RECORD = acquainted()[0].record(Person("bruno").remote).to_bytes()


def test_a_damaged_archived_session_hides_no_other() -> None:
    ana, bruno = acquainted()
    message = ana.encrypt(bruno.remote, b"x")
    record = session.archive(bruno.record(ana.remote))
    damaged = msgspec.structs.replace(record.archived[0], saved=record.archived[0].saved[:-5])
    bruno.records[ana.own.address] = SessionRecord(None, (damaged, *record.archived))
    assert bruno.decrypt(ana.remote, message) == b"x"


# --- budgets -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> list[WorkBudget]:
    """Every budget that is handed out; what was spent on it was really derived, since spending comes first."""
    handed: list[WorkBudget] = []

    class Counted(WorkBudget):
        def __init__(self, derivations: int) -> None:
            super().__init__(derivations)
            handed.append(self)

    monkeypatch.setattr(session, "WorkBudget", Counted)
    return handed


def many_sessions(count: int) -> tuple[Person, Person]:
    ana, bruno = Person("ana"), Person("bruno")
    for _ in range(count):
        ana.initiate(bruno.remote, bruno.bundle())
        bruno.decrypt(ana.remote, ana.encrypt(bruno.remote, b"hello"))
    ana.decrypt(bruno.remote, bruno.encrypt(ana.remote, b"answer"))
    return ana, bruno


def forged(ratchet_key: bytes, number: int, index: int, ana: Person, bruno: Person) -> SignalCiphertext:
    """A well-formed message with chosen counters and a wrong MAC."""
    spqr = b"\x01\x01" + encode_uint(0, index)[1:] + b"\x00"
    body = (
        b"\x44"
        + encode_bytes(1, ratchet_key)
        + encode_uint(2, number)
        + encode_uint(3, 0)
        + encode_bytes(4, bytes(16))
        + encode_bytes(5, spqr)
        + encode_bytes(6, encode_addresses(ana.own.address, bruno.own.address))
    )
    return SignalCiphertext(MessageType.SIGNAL, body + bytes(8), b"")


@pytest.mark.interpreted
def test_a_forged_message_with_a_new_ratchet_key_stays_within_its_budget(budgets: list[WorkBudget]) -> None:
    """The current session may cost 25 000 in each ratchet, all archived ones together 2 000: whatever is claimed."""
    ana, bruno = many_sessions(12)
    new_key = Person("forger").own.key.public.raw
    before = bruno.record(ana.remote).to_bytes()
    for number, index in ((24_999, 25_000), (24_999, 2**32 - 1), (1_500, 1_500), (190, 190), (2**32 - 1, 1)):
        budgets.clear()
        with pytest.raises(DecryptionError):
            bruno.decrypt(ana.remote, forged(new_key, number, index, ana, bruno))
        opening, archived = budgets
        assert OPENING_DERIVATIONS - opening.double_ratchet <= OPENING_DERIVATIONS
        assert opening.spent <= 2 * OPENING_DERIVATIONS
        assert archived.spent <= 2 * ARCHIVED_DERIVATIONS
    assert bruno.record(ana.remote).to_bytes() == before


@pytest.mark.interpreted
def test_a_gap_costs_archived_sessions_their_shared_budget_and_then_nothing(budgets: list[WorkBudget]) -> None:
    ana, bruno = many_sessions(12)
    new_key = Person("forger").own.key.public.raw
    budgets.clear()
    with pytest.raises(DecryptionError):
        bruno.decrypt(ana.remote, forged(new_key, 499, 500, ana, bruno))
    _, archived = budgets
    # Four sessions have derived 500 keys in the first ratchet and 499 (one was used) in the second; a fifth could not.
    assert archived.double_ratchet == 0
    assert archived.spent <= 2 * ARCHIVED_DERIVATIONS


@pytest.mark.interpreted
def test_a_known_ratchet_key_is_tried_in_its_own_session_only(budgets: list[WorkBudget]) -> None:
    ana, bruno = many_sessions(5)
    state = bruno.record(ana.remote).archived[2].open()
    known = state.ratchet.receiving[0].ratchet_key
    budgets.clear()
    with pytest.raises(DecryptionError):
        bruno.decrypt(ana.remote, forged(known, 100, 100, ana, bruno))
    (only,) = budgets
    assert only.spent <= 2 * 100


@pytest.mark.interpreted
def test_what_a_forged_message_spends_is_what_is_really_derived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts the derivation functions themselves, not the books kept about them."""
    ana, bruno = many_sessions(12)
    calls = {"chain keys": 0, "spqr keys": 0}
    step, hmac, advance = kdf_ck, hmac_sha256, chain._advance

    def counted_step(chain_key: bytes) -> tuple[bytes, bytes]:
        calls["chain keys"] += 1
        return step(chain_key)

    def counted_hmac(key: bytes, data: bytes) -> bytes:
        calls["chain keys"] += 1
        return hmac(key, data)

    def counted_advance(seed: bytes, counter: int) -> tuple[bytes, bytes]:
        calls["spqr keys"] += 1
        return advance(seed, counter)

    monkeypatch.setattr(double_ratchet, "kdf_ck", counted_step)
    monkeypatch.setattr(kept_keys, "kdf_ck", counted_step)
    monkeypatch.setattr(kept_keys, "hmac_sha256", counted_hmac)
    monkeypatch.setattr(chain, "_advance", counted_advance)
    new_key = Person("forger").own.key.public.raw
    for number, index, at_most in ((499, 500, 500 + 2_000), (24_999, 25_000, 25_000 + 2_000)):
        calls.update({"chain keys": 0, "spqr keys": 0})
        with pytest.raises(DecryptionError):
            bruno.decrypt(ana.remote, forged(new_key, number, index, ana, bruno))
        assert number <= calls["chain keys"] <= at_most
        assert number <= calls["spqr keys"] <= at_most


def test_an_honest_gap_in_an_archived_session_may_be_as_long_as_in_the_current_one() -> None:
    ana, bruno = acquainted()
    bruno.decrypt(ana.remote, ana.encrypt(bruno.remote, b"x"))
    for _ in range(ARCHIVED_DERIVATIONS + 10):
        ana.encrypt(bruno.remote, b"")
    late = ana.encrypt(bruno.remote, b"late")
    bruno.records[ana.own.address] = session.archive(bruno.record(ana.remote))
    assert bruno.decrypt(ana.remote, late) == b"late"


def test_a_new_ratchet_key_in_an_archived_session_may_be_two_thousand_ahead_and_not_more() -> None:
    for lost, opens in ((ARCHIVED_DERIVATIONS - 1, True), (ARCHIVED_DERIVATIONS, False)):
        ana, bruno = acquainted()
        for _ in range(lost):
            ana.encrypt(bruno.remote, b"")
        late = ana.encrypt(bruno.remote, b"late")
        bruno.records[ana.own.address] = session.archive(bruno.record(ana.remote))
        if opens:
            assert bruno.decrypt(ana.remote, late) == b"late"
        else:
            with pytest.raises(DecryptionError):
                bruno.decrypt(ana.remote, late)


def test_the_dice_are_asked_only_after_a_message_has_proven_itself() -> None:
    """A forged message must not cost a key pair."""
    ana, bruno = acquainted()

    message = ana.encrypt(bruno.remote, b"x")
    current = bruno.record(ana.remote).current
    assert current is not None

    def no_dice(size: int) -> bytes:
        raise AssertionError(size)

    forged_message = decode_signal_message(message.body[:-1] + bytes([message.body[-1] ^ 1]))
    with pytest.raises(AuthenticationError):
        double_ratchet.decrypt(
            current.ratchet, parties(bruno.own, ana.remote), forged_message, WorkBudget(100), no_dice
        )


def test_an_unknown_outer_type_is_refused() -> None:
    ana, bruno = acquainted()
    for kind in (MessageType.SENDER_KEY, MessageType.PLAINTEXT):
        with pytest.raises(DecryptionError):
            bruno.decrypt(ana.remote, SignalCiphertext(kind, os.urandom(50), b""))
