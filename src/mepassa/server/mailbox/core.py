"""The mailbox's rules, without a socket: deposit, deliver, acknowledge, signal, expire (docs/protocol/home.md, "Mailbox").

A deposit for a connected device is pushed at once and waits a few milliseconds for the acknowledgement; if that comes,
nothing is ever written ("delivered"). Else, and for everyone else, it goes into the next group commit ("stored").
Everything here runs on one event loop; only `EnvelopeStore` works on the database's thread.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.server.counters import Counters
from mepassa.server.db import Tx
from mepassa.server.limits import HomePolicy
from mepassa.server.mailbox.commits import GroupCommit
from mepassa.server.mailbox.outbox import Outbox
from mepassa.server.mailbox.session import Session
from mepassa.server.mailbox.store import EXPIRED_AT_ONCE, Delete, EnvelopeStore, Insert, Lane, Stored, read_waiting
from mepassa.wire.mailbox import ByeReason, MailboxToDevice, SignalFate


class Fate(Enum):
    """The answer to a deposit."""

    STORED = 1
    DELIVERED = 2
    FULL = 3
    DISK_FULL = 4


FateCallback = Callable[[Fate], None]


class _State(Enum):
    """Where a deposit stands until it is answered."""

    PUSHED = 1
    """On the device's socket; waiting for its acknowledgement, not written."""
    QUEUED = 2
    """In the queue of the next batch."""
    COMMITTING = 3
    """In the batch that is being synced."""
    OVER = 4


@dataclass(slots=True, eq=False)
class _Deposit:
    mailbox: int
    id: bytes
    lane: Lane
    sealed: bytes
    answers: list[FateCallback]
    state: _State = _State.QUEUED
    pushed: bool = False
    acknowledged: bool = False


@dataclass(slots=True, eq=False)
class _Box:
    """What is known of one mailbox in memory: only while a device is connected or a deposit is unanswered."""

    session: Session | None = None
    deposits: dict[bytes, _Deposit] = field(default_factory=dict)
    pushed: dict[bytes, _Deposit] = field(default_factory=dict)
    """Those in state PUSHED, in order."""
    unpushed: int = 0
    """Deposits on their way to disk that the session, if any, has not been given."""


class Mailboxes:
    def __init__(self, db: Db[Tx], clock: Clock, policy: HomePolicy, counters: Counters) -> None:
        self._db, self._clock, self._policy, self._counters = db, clock, policy, counters
        self._store = EnvelopeStore(policy)
        self._commits = GroupCommit(db, self._store, clock, counters)
        self._boxes: dict[int, _Box] = {}
        self._elisions: deque[tuple[float, _Deposit]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    # --- deposits -------------------------------------------------------------------------------------------------

    def deposit(self, mailbox: int, lane: Lane, sealed: bytes, answer: FateCallback) -> None:
        """`answer` is called once, on the loop: when the bytes are synced, acknowledged or refused. Idempotent by id."""
        id_ = hashlib.sha256(sealed).digest()[:16]
        box = self._boxes.get(mailbox)
        if box is None:
            box = self._boxes[mailbox] = _Box()
        if (known := box.deposits.get(id_)) is not None:
            known.answers.append(answer)
            return
        deposit = box.deposits[id_] = _Deposit(mailbox, id_, lane, sealed, [answer])
        session = box.session
        if session is not None and not lane.is_request and session.can_push(id_, sealed):
            self._push(box, session, deposit)
        else:
            self._write(box, deposit)

    def _push(self, box: _Box, session: Session, deposit: _Deposit) -> None:
        session.push(deposit.id, deposit.sealed)
        deposit.state, deposit.pushed = _State.PUSHED, True
        box.pushed[deposit.id] = deposit
        loop = asyncio.get_running_loop()
        self._elisions.append((loop.time() + self._policy.elision_s, deposit))
        if self._timer is None:
            self._timer = loop.call_later(self._policy.elision_s, self._elisions_over)

    def _elisions_over(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        while self._elisions and self._elisions[0][0] <= now:
            _, deposit = self._elisions.popleft()
            if deposit.state is _State.PUSHED:
                self._write(self._boxes[deposit.mailbox], deposit)
        while self._elisions and self._elisions[0][1].state is not _State.PUSHED:
            self._elisions.popleft()
        if self._elisions:
            self._timer = loop.call_at(self._elisions[0][0], self._elisions_over)

    def _write(self, box: _Box, deposit: _Deposit) -> None:
        """Into the next batch; whatever was pushed before it goes first, so that the order on disk is theirs."""
        earlier = list(box.pushed.values())
        box.pushed.clear()
        for each in earlier:
            self._queue(each)
        if deposit not in earlier:
            box.unpushed += 1
            if box.session is not None:
                box.session.behind = True
            self._queue(deposit)

    def _queue(self, deposit: _Deposit) -> None:
        deposit.state = _State.QUEUED
        insert = Insert(deposit.mailbox, deposit.id, deposit.lane, deposit.sealed)

        def begun() -> bool:
            if deposit.state is not _State.QUEUED:
                return False
            deposit.state = _State.COMMITTING
            return True

        self._commits.insert(insert, begun, lambda stored: self._committed(deposit, stored))

    def _committed(self, deposit: _Deposit, stored: Stored | None) -> None:
        box = self._boxes[deposit.mailbox]
        if not deposit.pushed:
            box.unpushed -= 1
        if deposit.acknowledged:
            self._delete(box, deposit)
            self._answer(box, deposit, Fate.DELIVERED)
        elif stored is None:
            self._answer(box, deposit, Fate.DISK_FULL)
        elif stored is Stored.FULL:
            self._answer(box, deposit, Fate.FULL)
        else:
            self._answer(box, deposit, Fate.STORED)
        if box.session is not None and not deposit.pushed:
            box.session.wake()

    def _delete(self, box: _Box, deposit: _Deposit) -> None:
        """Acknowledged while it was being written: now it can be deleted."""
        session = box.session

        def gone() -> None:
            if session is not None:
                session.in_flight.discard(deposit.id)

        self._commits.delete(Delete(deposit.mailbox, (deposit.id,)), gone)

    def _answer(self, box: _Box, deposit: _Deposit, fate: Fate) -> None:
        deposit.state = _State.OVER
        del box.deposits[deposit.id]
        match fate:
            case Fate.STORED:
                self._counters.deposits_stored += len(deposit.answers)
            case Fate.DELIVERED:
                self._counters.deposits_delivered += len(deposit.answers)
            case Fate.FULL | Fate.DISK_FULL:
                self._counters.deposits_refused += len(deposit.answers)
        for answer in deposit.answers:
            answer(fate)
        self._tidy(deposit.mailbox, box)

    def _tidy(self, mailbox: int, box: _Box) -> None:
        if box.session is None and not box.deposits and self._boxes.get(mailbox) is box:
            del self._boxes[mailbox]

    # --- devices --------------------------------------------------------------------------------------------------

    async def connect(self, mailbox: int, outbox: Outbox[MailboxToDevice]) -> Session:
        """The device is here. An older connection of it is told and closed. Deliveries begin with `session.wake()`."""
        box = self._boxes.setdefault(mailbox, _Box())
        replaced = box.session
        if replaced is not None:
            self._leave(mailbox, box, replaced)
        session = Session(mailbox, outbox, self, self._policy.signal_life_s)
        box.session = session
        self._counters.devices_online += 1
        if replaced is not None:
            await replaced.end(ByeReason.REPLACED)
        return session

    def disconnect(self, session: Session) -> None:
        """The connection is over; what was only on its socket goes to disk. Idempotent."""
        box = self._boxes.get(session.mailbox)
        if box is not None and box.session is session:
            self._leave(session.mailbox, box, session)
            self._tidy(session.mailbox, box)
        session.detach()

    def _leave(self, mailbox: int, box: _Box, session: Session) -> None:
        box.session = None
        self._counters.devices_online -= 1
        self._counters.envelopes_delivered += session.delivered
        session.delivered = 0
        for deposit in box.deposits.values():
            if deposit.pushed:  # a later session has to be given it
                deposit.pushed = False
                box.unpushed += 1
        earlier = list(box.pushed.values())
        box.pushed.clear()
        for deposit in earlier:
            self._queue(deposit)

    def session(self, mailbox: int) -> Session | None:
        box = self._boxes.get(mailbox)
        return None if box is None else box.session

    def acknowledge(self, session: Session, ids: Iterable[bytes]) -> None:
        """The device has committed them: never to be delivered again. Unknown ids are ignored."""
        box = self._boxes.get(session.mailbox)
        deposits = {} if box is None else box.deposits
        rows: list[bytes] = []
        for id_ in ids:
            self._counters.envelopes_acknowledged += 1
            deposit = deposits.get(id_)
            if box is None or deposit is None:
                rows.append(id_)
            elif deposit.state is _State.COMMITTING:
                deposit.acknowledged = True
            else:
                box.pushed.pop(id_, None)
                if not deposit.pushed:  # what was acknowledged is an older copy, read from disk
                    box.unpushed -= 1
                    rows.append(id_)
                else:
                    session.in_flight.discard(id_)
                self._answer(box, deposit, Fate.DELIVERED)
        if rows:
            # Until they are gone from the disk they count as in flight: a read under way must not find them again.
            delete = Delete(session.mailbox, tuple(rows))
            self._commits.delete(delete, lambda: session.in_flight.difference_update(rows))

    async def read(self, mailbox: int, in_flight: set[bytes], budget_bytes: int) -> list[tuple[bytes, bytes]]:
        known = frozenset(in_flight)
        return await self._db.run(lambda tx: read_waiting(tx, mailbox, known, budget_bytes))

    def unpushed(self, mailbox: int) -> int:
        box = self._boxes.get(mailbox)
        return 0 if box is None else box.unpushed

    # --- signals --------------------------------------------------------------------------------------------------

    def signal(self, mailbox: int, sealed: bytes) -> SignalFate:
        """To the connected device or to nobody; never stored."""
        session = self.session(mailbox)
        if session is not None and session.forward_signal(sealed):
            self._counters.signals_forwarded += 1
            return SignalFate.FORWARDED
        self._counters.signals_no_device += 1
        return SignalFate.NO_DEVICE

    # --- upkeep ---------------------------------------------------------------------------------------------------

    async def expire(self) -> int:
        """Delete what has waited too long; in steps, so that deposits go on between them. How many."""
        before_ms = self._clock.now_ms() - self._policy.ttl_ms
        total = 0
        while True:
            deleted = await self._db.run(lambda tx: self._store.expire(tx, before_ms))
            total += deleted
            self._counters.envelopes_expired += deleted
            if deleted < EXPIRED_AT_ONCE:
                return total

    async def erased(self, mailbox: int) -> None:
        """The device was removed: its connection ends."""
        if (session := self.session(mailbox)) is not None:
            await session.end(ByeReason.REMOVED)
            self.disconnect(session)

    async def count_waiting(self) -> int:
        row = await self._db.run(lambda tx: tx.row("SELECT count(*) FROM envelope"))
        return int(row[0]) if row else 0

    def delivered(self) -> int:
        """Envelopes handed to devices' sockets since the start."""
        live = sum(box.session.delivered for box in self._boxes.values() if box.session is not None)
        return self._counters.envelopes_delivered + live

    async def end_sessions(self) -> None:
        """Every connected device is told and left; what was only on its socket goes to disk."""
        for session in [box.session for box in self._boxes.values() if box.session is not None]:
            await session.end(ByeReason.STOPPING)
            self.disconnect(session)

    async def flush(self) -> None:
        """Until every deposit so far is settled and every acknowledgement on disk."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for _, deposit in self._elisions:
            if deposit.state is _State.PUSHED:
                self._write(self._boxes[deposit.mailbox], deposit)
        self._elisions.clear()
        await self._commits.flush()
