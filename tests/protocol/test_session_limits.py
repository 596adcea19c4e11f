"""docs/protocol/session.md, limits of sessions and of their saved form: each just below and just above.

Those of one ratchet alone: tests/crypto/test_double_ratchet.py and test_spqr.py.
"""

import os

import pytest
from msgspec.structs import replace

from mepassa.crypto.budget import OPENING_DERIVATIONS, STRANGER_DERIVATIONS
from mepassa.crypto.double_ratchet import MAX_RECEIVING_CHAINS, MAX_SKIPPED, RatchetState
from mepassa.crypto.errors import CorruptRecordError, WorkBudgetError
from mepassa.crypto.kept_keys import KEY_BYTES, KeptKeys
from mepassa.crypto.records import Reader, Writer
from mepassa.crypto.spqr.chain import KEPT_KEYS, MAX_EPOCHS
from mepassa.model.errors import DecryptionError
from mepassa.protocol import session
from mepassa.protocol.session import SessionRecord
from mepassa.protocol.session_record import MAX_ARCHIVED, MAX_ARCHIVED_BYTES, ArchivedSession, SessionState
from tests.crypto.people import NOW_MS, Person, acquainted, skip


def waiting_for(state: SessionState, count: int) -> SessionState:
    """As if so many messages of its newest chain had been passed over."""
    chain, *others = state.ratchet.receiving
    seeds = KeptKeys().followed_by((number, os.urandom(KEY_BYTES)) for number in range(count))
    receiving = (replace(chain, skipped_seeds=seeds), *others)
    return replace(state, base_key=os.urandom(33), ratchet=replace(state.ratchet, receiving=receiving))


def current() -> SessionState:
    state = acquainted()[1].record(acquainted()[0].remote).current
    assert state is not None
    return state


def archiving(states: list[SessionState]) -> SessionRecord:
    record = SessionRecord.EMPTY
    for state in states:
        record = session.archive(record.with_new(state))
    return record


def test_archived_sessions_are_kept_up_to_a_size_and_the_oldest_goes_first() -> None:
    state = current()
    bare = len(ArchivedSession.of(state).saved)
    each = (MAX_ARCHIVED_BYTES // 4 - bare - 2) // 36  # two bytes for the longer count
    fitting = archiving([waiting_for(state, each) for _ in range(4)])
    assert sum(len(one.saved) for one in fitting.archived) in range(MAX_ARCHIVED_BYTES - 4 * 36, MAX_ARCHIVED_BYTES + 1)
    assert len(fitting.archived) == 4
    over = archiving([waiting_for(state, each + 1) for _ in range(4)])
    assert len(over.archived) == 3
    more = archiving([waiting_for(state, each) for _ in range(9)])
    assert len(more.archived) == 4


def test_archived_sessions_may_fill_their_bound_to_the_last_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    record = archiving([current() for _ in range(3)])
    whole = sum(len(one.saved) for one in record.archived)
    for bound, kept in ((whole, 3), (whole - 1, 2)):
        monkeypatch.setattr("mepassa.protocol.session_record.MAX_ARCHIVED_BYTES", bound)
        assert len(archiving([current() for _ in range(3)]).archived) == kept


def test_the_newest_archived_session_is_kept_however_large() -> None:
    state = current()
    full = waiting_for(state, MAX_ARCHIVED_BYTES // 36 + 100)
    record = archiving([state, state, full])
    assert [one.base_key for one in record.archived] == [full.base_key]
    record = session.archive(record.with_new(state))
    assert [one.base_key for one in record.archived] == [state.base_key]


def test_a_late_message_that_grows_an_archived_session_keeps_the_bound() -> None:
    """Sessions that only read stay in the archive: each may still be told of a gap."""
    ana, bruno = Person("ana"), Person("bruno")
    states = []
    for _ in range(5):
        ana.records[bruno.own.address] = SessionRecord.EMPTY
        ana.initiate(bruno.remote, bruno.bundle())
        bruno.decrypt(ana.remote, ana.encrypt(bruno.remote, b"x"))
        states.append(ana.record(bruno.remote).current)
        bruno.records[ana.own.address] = session.archive(bruno.record(ana.remote))
    for state in states:
        assert state is not None
        ana.records[bruno.own.address] = SessionRecord(replace(state, ratchet=skip(state.ratchet, MAX_SKIPPED - 1)))
        assert bruno.decrypt(ana.remote, ana.encrypt(bruno.remote, b"late")) == b"late"
        assert sum(len(one.saved) for one in bruno.record(ana.remote).archived) <= MAX_ARCHIVED_BYTES


def test_small_archived_sessions_are_limited_by_their_number() -> None:
    state = current()
    assert len(archiving([state] * MAX_ARCHIVED).archived) == MAX_ARCHIVED
    assert len(archiving([state] * (MAX_ARCHIVED + 1)).archived) == MAX_ARCHIVED


# --- work --------------------------------------------------------------------------------------------------------------


def losing(person: Person, peer: Person, count: int) -> None:
    """So many messages of `person` never come."""
    record = person.record(peer.remote)
    assert record.current is not None
    ratchet = skip(record.current.ratchet, count)
    person.records[peer.own.address] = record.with_current(replace(record.current, ratchet=ratchet))


def opens(ana: Person, bruno: Person, derivations: int) -> bytes:
    made = ana.encrypt(bruno.remote, b"text")
    return session.decrypt(
        bruno.record(ana.remote), bruno.own, ana.remote, made.type, made.body,
        prekeys=bruno.prekeys, now_ms=NOW_MS, rng=bruno.rng, derivations=derivations,
    ).plaintext  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("derivations", [OPENING_DERIVATIONS, STRANGER_DERIVATIONS])
def test_a_first_message_may_be_as_far_ahead_as_its_budget_and_no_further(derivations: int) -> None:
    """A new ratchet key: the message itself is the last of the derivations."""
    for lost, refused in ((derivations - 1, False), (derivations, True)):
        ana, bruno = Person("ana"), Person("bruno")
        ana.initiate(bruno.remote, bruno.bundle())
        losing(ana, bruno, lost)
        if refused:
            with pytest.raises(WorkBudgetError):
                opens(ana, bruno, derivations)
        else:
            assert opens(ana, bruno, derivations) == b"text"


@pytest.mark.slow
def test_24_999_messages_in_a_row_may_be_lost_in_a_session_and_25_000_not() -> None:
    ana, bruno = acquainted()
    bruno.decrypt(ana.remote, ana.encrypt(bruno.remote, b"x"))
    before = ana.record(bruno.remote)
    losing(ana, bruno, 24_999)
    assert opens(ana, bruno, OPENING_DERIVATIONS) == b"text"
    ana.records[bruno.own.address] = before
    losing(ana, bruno, 25_000)
    with pytest.raises(DecryptionError):
        opens(ana, bruno, OPENING_DERIVATIONS)


# --- the saved form ----------------------------------------------------------------------------------------------------


def reloaded(state: RatchetState) -> RatchetState:
    out = Writer()
    state.write(out)
    return RatchetState.read(Reader(out.finish()))


def keys(count: int) -> KeptKeys:
    return KeptKeys().followed_by((number, bytes(KEY_BYTES)) for number in range(count))


def test_more_than_a_state_may_hold_is_no_state_of_ours() -> None:
    ratchet = current().ratchet
    chain, epoch = ratchet.receiving[0], ratchet.spqr.chain.epochs[0]

    def chains(count: int) -> RatchetState:
        return replace(ratchet, receiving=(chain,) * count)

    def seeds(count: int) -> RatchetState:
        return replace(ratchet, receiving=(replace(chain, skipped_seeds=keys(count)),))

    def epochs(count: int, stored: int = 0) -> RatchetState:
        spqr = replace(ratchet.spqr.chain, epochs=(replace(epoch, stored=keys(stored)),) * count)
        return replace(ratchet, spqr=replace(ratchet.spqr, chain=spqr))

    for within in (chains(MAX_RECEIVING_CHAINS), seeds(MAX_SKIPPED), epochs(MAX_EPOCHS), epochs(1, KEPT_KEYS)):
        reloaded(within)
    for over in (
        chains(MAX_RECEIVING_CHAINS + 1),
        seeds(MAX_SKIPPED + 1),
        epochs(MAX_EPOCHS + 1),
        epochs(1, KEPT_KEYS + 1),
        epochs(0),
    ):
        with pytest.raises(CorruptRecordError):
            reloaded(over)


def test_a_record_holds_forty_archived_sessions_and_no_more() -> None:
    saved = archiving([current()] * MAX_ARCHIVED)
    assert len(SessionRecord.from_bytes(saved.to_bytes()).archived) == MAX_ARCHIVED
    over = SessionRecord(None, (*saved.archived, saved.archived[0]))
    with pytest.raises(CorruptRecordError):
        SessionRecord.from_bytes(over.to_bytes())
