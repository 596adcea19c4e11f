"""What is kept of all sessions with one device: the current one and those that were (Sesame, "SessionRecord").

Immutable. Archived sessions stay in their saved form until one is needed, so loading and saving a record costs the same
however many there are.
"""

from dataclasses import dataclass
from typing import ClassVar

from mepassa.crypto.double_ratchet import RatchetState
from mepassa.crypto.errors import CorruptRecordError
from mepassa.crypto.records import Reader, Writer
from mepassa.model.keys import IdentityKey
from mepassa.model.state import State

MAX_ARCHIVED = 40
"""Archived sessions kept beside the current one; the oldest goes first."""
MAX_ARCHIVED_BYTES = 256 * 1024
"""The same in bytes, the newest one always kept. A session takes 2.5 KB, and up to 550 KB with all the keys that it may
hold for messages which never came: a contact who fills forty of them would make every envelope load and try 22 MB."""

RECORD_VERSION = 2
"""1 wrote each kept key's number as a varint; it is still read."""


@dataclass(frozen=True, slots=True)
class PendingPrekeys:
    """What the initiator repeats in every message until it has opened one: ids, and the Kyber ciphertext (1569 B)."""

    one_time_id: int | None
    signed_id: int
    kyber_id: int
    kyber_ciphertext: bytes


class SessionState(State, frozen=True):
    """One session. `base_key` names it on both sides; `pending` is there while it is unacknowledged."""

    base_key: bytes
    remote_key: IdentityKey
    created_at_ms: int
    pending: PendingPrekeys | None
    ratchet: RatchetState

    def write(self, out: Writer) -> None:
        out.raw(self.base_key)
        out.raw(self.remote_key.raw)
        out.uint(self.created_at_ms)
        out.uint(self.pending is not None)
        if self.pending is not None:
            out.uint(self.pending.one_time_id is not None)
            out.uint(self.pending.one_time_id or 0)
            out.uint(self.pending.signed_id)
            out.uint(self.pending.kyber_id)
            out.block(self.pending.kyber_ciphertext)
        self.ratchet.write(out)

    @classmethod
    def read(cls, saved: Reader) -> "SessionState":
        base_key, remote_key, created_at_ms = saved.raw(33), IdentityKey(saved.raw(33)), saved.uint()
        pending = None
        if saved.flag():
            has_one_time, one_time_id = saved.flag(), saved.uint()
            signed_id, kyber_id, ciphertext = saved.uint(), saved.uint(), saved.block()
            pending = PendingPrekeys(one_time_id if has_one_time else None, signed_id, kyber_id, ciphertext)
        return cls(base_key, remote_key, created_at_ms, pending, RatchetState.read(saved))


class ArchivedSession(State, frozen=True):
    """A session's saved bytes; `base_key` without opening them."""

    saved: bytes

    @classmethod
    def of(cls, state: SessionState) -> "ArchivedSession":
        out = Writer()
        state.write(out)
        return cls(out.finish())

    @property
    def base_key(self) -> bytes:
        return self.saved[:33]

    def open(self, version: int = RECORD_VERSION) -> SessionState:
        """Raises `CorruptRecordError`."""
        saved = Reader(self.saved, version)
        state = SessionState.read(saved)
        saved.end()
        return state

    def rewritten(self, version: int) -> tuple["ArchivedSession", ...]:
        """In today's form; nothing where the saved bytes are damaged, which costs what that one session would have opened."""
        try:
            return (ArchivedSession.of(self.open(version)),)
        except CorruptRecordError:
            return ()


class SessionRecord(State, frozen=True):
    """`archived`: newest first. The empty record is `SessionRecord()`."""

    EMPTY: ClassVar["SessionRecord"]

    current: SessionState | None = None
    archived: tuple[ArchivedSession, ...] = ()

    @property
    def has_current(self) -> bool:
        return self.current is not None

    def with_current(self, state: SessionState) -> "SessionRecord":
        """`state` replaces the current session, which stands for the same one."""
        return SessionRecord(state, self.archived)

    def with_new(self, state: SessionState) -> "SessionRecord":
        """`state` becomes the current session; the one before it is archived."""
        return SessionRecord(state, self.archive().archived)

    def promote(self, place: int, state: SessionState) -> "SessionRecord":
        """The archived session at `place`, now `state`, becomes the current one."""
        rest = SessionRecord(self.current, (*self.archived[:place], *self.archived[place + 1 :]))
        return rest.with_new(state)

    def with_archived(self, place: int, state: SessionState) -> "SessionRecord":
        """The archived session at `place` is now `state`, and stays where it is."""
        archived = (*self.archived[:place], ArchivedSession.of(state), *self.archived[place + 1 :])
        return SessionRecord(self.current, _within_bounds(archived))

    def archive(self) -> "SessionRecord":
        if self.current is None:
            return self
        return SessionRecord(None, _within_bounds((ArchivedSession.of(self.current), *self.archived)))

    def to_bytes(self) -> bytes:
        out = Writer()
        out.uint(RECORD_VERSION)
        out.uint(self.current is not None)
        if self.current is not None:
            self.current.write(out)
        out.uint(len(self.archived))
        for session in self.archived:
            out.block(session.saved)
        return out.finish()

    @classmethod
    def from_bytes(cls, raw: bytes) -> "SessionRecord":
        """Raises `CorruptRecordError`."""
        saved = Reader(raw)
        saved.version = saved.uint()
        if saved.version not in {1, RECORD_VERSION}:
            raise CorruptRecordError
        current = SessionState.read(saved) if saved.flag() else None
        archived = saved.several(lambda reader: ArchivedSession(reader.block()), MAX_ARCHIVED)
        saved.end()
        if saved.version != RECORD_VERSION:
            archived = tuple(kept for session in archived for kept in session.rewritten(saved.version))
        return cls(current, archived)


def _within_bounds(archived: tuple[ArchivedSession, ...]) -> tuple[ArchivedSession, ...]:
    """The newest that fit; one alone always does."""
    kept = 0
    size_bytes = 0
    for session in archived[:MAX_ARCHIVED]:
        size_bytes += len(session.saved)
        if kept and size_bytes > MAX_ARCHIVED_BYTES:
            break
        kept += 1
    return archived[:kept]


SessionRecord.EMPTY = SessionRecord()
