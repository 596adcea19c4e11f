"""The envelope table: one batch of deposits and acknowledgements is one transaction."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from mepassa.model.ids import Timestamp
from mepassa.server.db import Tx
from mepassa.server.limits import HomePolicy

CACHED_USAGES = 50_000
"""Mailboxes whose fill level is kept in memory; past that the oldest is counted anew when next needed."""
EXPIRED_AT_ONCE = 1_000
"""Rows deleted by one step of the expiry job, so that a commit never waits long behind it."""


class Lane(IntEnum):
    """By which right an envelope came in; each has its own share of the mailbox. As it stands in the database."""

    CONTACT = 0
    PREVIOUS = 1
    INVITE = 2
    WORK = 3

    @property
    def is_request(self) -> bool:
        return self in (Lane.INVITE, Lane.WORK)


class Stored(Enum):
    """What became of one deposit in its batch."""

    STORED = 1
    FULL = 2


@dataclass(slots=True)
class Insert:
    mailbox: int
    id: bytes
    lane: Lane
    sealed: bytes


@dataclass(slots=True)
class Delete:
    mailbox: int
    ids: tuple[bytes, ...]


@dataclass(slots=True)
class Usage:
    """Envelopes and bytes waiting in one mailbox, by lane."""

    envelopes: dict[Lane, int] = field(default_factory=lambda: dict.fromkeys(Lane, 0))
    size_bytes: dict[Lane, int] = field(default_factory=lambda: dict.fromkeys(Lane, 0))

    def add(self, lane: Lane, size_bytes: int) -> None:
        self.envelopes[lane] += 1
        self.size_bytes[lane] += size_bytes

    def takes(self, lane: Lane, size_bytes: int, policy: HomePolicy) -> bool:
        """Whether one more fits this lane's share and the whole."""
        if (
            sum(self.envelopes.values()) >= policy.mailbox_envelopes
            or sum(self.size_bytes.values()) + size_bytes > policy.mailbox_bytes
        ):
            return False
        match lane:
            case Lane.CONTACT:
                return True
            case Lane.PREVIOUS:
                return (
                    self.envelopes[lane] < policy.mailbox_envelopes // policy.previous_share
                    and self.size_bytes[lane] + size_bytes <= policy.mailbox_bytes // policy.previous_share
                )
            case Lane.INVITE:
                return self.envelopes[Lane.INVITE] + self.envelopes[Lane.WORK] < policy.request_envelopes
            case Lane.WORK:
                return (
                    self.envelopes[Lane.INVITE] + self.envelopes[Lane.WORK] < policy.request_envelopes
                    and self.envelopes[Lane.WORK] < policy.work_envelopes
                )


class EnvelopeStore:
    """Used inside transactions only, so on the database's thread; the fill levels are its own."""

    def __init__(self, policy: HomePolicy) -> None:
        self._policy = policy
        self._usages: dict[int, Usage] = {}

    def apply(self, tx: Tx, inserts: list[Insert], deletes: list[Delete], now_ms: Timestamp) -> list[Stored]:
        """One batch. Idempotent: an id that is there already counts as stored. A result for each insert, in order."""
        touched = {op.mailbox for op in inserts} | {op.mailbox for op in deletes}
        try:
            self._delete(tx, deletes)
            return self._insert(tx, inserts, now_ms)
        except BaseException:
            self.forget(touched)  # the transaction is rolled back: count anew
            raise

    def forget(self, mailboxes: Iterable[int] | None = None) -> None:
        """Fill levels to be counted anew: some mailboxes', or all."""
        if mailboxes is None:
            self._usages.clear()
        else:
            for mailbox in mailboxes:
                self._usages.pop(mailbox, None)

    def _delete(self, tx: Tx, deletes: list[Delete]) -> None:
        rows = [(op.mailbox, id_) for op in deletes for id_ in op.ids]
        if rows:
            tx.execute_many("DELETE FROM envelope WHERE mailbox = $1 AND id = $2", rows)
            self.forget({op.mailbox for op in deletes})

    def _insert(self, tx: Tx, inserts: list[Insert], now_ms: Timestamp) -> list[Stored]:
        results: list[Stored] = []
        rows: list[tuple[int, bytes, int, int, bytes]] = []
        for op in inserts:
            usage = self._usage(tx, op.mailbox)
            if usage.takes(op.lane, len(op.sealed), self._policy):
                usage.add(op.lane, len(op.sealed))
                rows.append((op.mailbox, op.id, op.lane.value, now_ms, op.sealed))
                results.append(Stored.STORED)
            elif tx.row("SELECT 1 FROM envelope WHERE mailbox = $1 AND id = $2", op.mailbox, op.id):
                results.append(Stored.STORED)
            else:
                results.append(Stored.FULL)
        if rows:
            added = tx.execute_many(
                "INSERT INTO envelope (mailbox, id, lane, stored_at_ms, sealed) VALUES ($1, $2, $3, $4, $5)"
                " ON CONFLICT DO NOTHING",
                rows,
            )
            if added != len(rows):  # some were there already: the levels were counted up too far
                self.forget({row[0] for row in rows})
        return results

    def _usage(self, tx: Tx, mailbox: int) -> Usage:
        usage = self._usages.get(mailbox)
        if usage is None:
            usage = Usage()
            for lane, envelopes, size_bytes in tx.rows(
                "SELECT lane, count(*), sum(length(sealed)) FROM envelope WHERE mailbox = $1 GROUP BY lane", mailbox
            ):
                usage.envelopes[Lane(lane)], usage.size_bytes[Lane(lane)] = int(envelopes), int(size_bytes)
            if len(self._usages) >= CACHED_USAGES:
                del self._usages[next(iter(self._usages))]
            self._usages[mailbox] = usage
        return usage

    def expire(self, tx: Tx, before_ms: int) -> int:
        """Delete up to `EXPIRED_AT_ONCE` envelopes stored before then; how many."""
        deleted = tx.execute(
            "DELETE FROM envelope WHERE seq IN (SELECT seq FROM envelope WHERE stored_at_ms < $1 ORDER BY seq LIMIT $2)",
            before_ms,
            EXPIRED_AT_ONCE,
        )
        if deleted:
            self.forget()
        return deleted


def read_waiting(tx: Tx, mailbox: int, in_flight: Collection[bytes], budget_bytes: int) -> list[tuple[bytes, bytes]]:
    """(id, sealed) of the oldest unacknowledged envelopes that are not in flight, at least one, up to the budget."""
    chosen: list[int] = []
    for seq, id_, size_bytes in tx.rows(
        "SELECT seq, id, length(sealed) FROM envelope WHERE mailbox = $1 ORDER BY seq LIMIT $2",
        mailbox,
        len(in_flight) + READ_AT_ONCE,
    ):
        if id_ in in_flight:
            continue
        budget_bytes -= size_bytes
        if chosen and budget_bytes < 0:
            break
        chosen.append(seq)
        if len(chosen) == READ_AT_ONCE:
            break
    if not chosen:
        return []
    marks = ", ".join(f"${number}" for number in range(1, len(chosen) + 1))
    found = tx.rows(f"SELECT id, sealed FROM envelope WHERE seq IN ({marks}) ORDER BY seq", *chosen)  # noqa: S608 - marks alone are put in
    return [(bytes(id_), bytes(sealed)) for id_, sealed in found]


READ_AT_ONCE = 128
"""Envelopes of one read: with the byte budget this bounds what a reader that wakes up costs in memory."""
