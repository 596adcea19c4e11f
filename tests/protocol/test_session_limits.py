"""docs/protocol/session.md, limits of a session record: each just below and just above."""

import os
from dataclasses import replace

from mepassa.crypto.kept_keys import KEY_BYTES, KeptKeys
from mepassa.protocol import session
from mepassa.protocol.session import SessionRecord
from mepassa.protocol.session_record import MAX_ARCHIVED, MAX_ARCHIVED_BYTES, ArchivedSession, SessionState
from tests.crypto.people import acquainted


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


def test_the_newest_archived_session_is_kept_however_large() -> None:
    state = current()
    full = waiting_for(state, MAX_ARCHIVED_BYTES // 36 + 100)
    record = archiving([state, state, full])
    assert [one.base_key for one in record.archived] == [full.base_key]
    record = session.archive(record.with_new(state))
    assert [one.base_key for one in record.archived] == [state.base_key]


def test_small_archived_sessions_are_limited_by_their_number() -> None:
    state = current()
    assert len(archiving([state] * MAX_ARCHIVED).archived) == MAX_ARCHIVED
    assert len(archiving([state] * (MAX_ARCHIVED + 1)).archived) == MAX_ARCHIVED
