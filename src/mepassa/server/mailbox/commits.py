"""Group commit: one commit in flight; whatever arrives meanwhile is the next batch.

Four hundred deposits that come together cost a handful of syncs. The answer to each is given when its batch is
synced, never before.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from mepassa.model.errors import DiskFullError
from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.server.counters import Counters
from mepassa.server.db import Tx
from mepassa.server.mailbox.store import Delete, EnvelopeStore, Insert, Stored

log = logging.getLogger(__name__)

BATCH_OPERATIONS = 2_000
"""At most so many deposits and acknowledgements in one transaction, a few milliseconds of work."""
BATCH_BYTES = 8 * 1024 * 1024
"""At most so many sealed bytes in one transaction."""

StoredCallback = Callable[["Stored | None"], None]
"""Called on the event loop once the batch is over; None: the disk is full, nothing was stored."""


@dataclass(slots=True)
class _Deletion:
    delete: Delete
    done: Callable[[], None]


@dataclass(slots=True)
class _Deposit:
    insert: Insert
    begun: Callable[[], bool]
    """Asked as the batch is put together; False: it is no longer to be written."""
    done: StoredCallback


class GroupCommit:
    def __init__(self, db: Db[Tx], store: EnvelopeStore, clock: Clock, counters: Counters) -> None:
        self._db, self._store, self._clock, self._counters = db, store, clock, counters
        self._queue: deque[_Deposit | _Deletion] = deque()
        self._task: asyncio.Task[None] | None = None
        self._disk_full = False

    def insert(self, insert: Insert, begun: Callable[[], bool], done: StoredCallback) -> None:
        self._queue.append(_Deposit(insert, begun, done))
        self._wake()

    def delete(self, delete: Delete, done: Callable[[], None]) -> None:
        """`done` once they are gone for good; never called where that failed."""
        self._queue.append(_Deletion(delete, done))
        self._wake()

    def _wake(self) -> None:
        if self._task is None:
            # A task starts on the loop's next turn, so all that this turn brings is in the first batch already.
            self._task = asyncio.get_running_loop().create_task(self._drain(), name="mailbox commits")

    async def _drain(self) -> None:
        try:
            while self._queue:
                deposits, deletes = self._next_batch()
                if deposits or deletes:
                    await self._commit(deposits, deletes)
        finally:
            self._task = None

    def _next_batch(self) -> tuple[list[_Deposit], list[_Deletion]]:
        deposits: list[_Deposit] = []
        deletes: list[_Deletion] = []
        size_bytes = 0
        while self._queue and len(deposits) + len(deletes) < BATCH_OPERATIONS and size_bytes < BATCH_BYTES:
            operation = self._queue.popleft()
            if isinstance(operation, _Deletion):
                deletes.append(operation)
            elif operation.begun():
                deposits.append(operation)
                size_bytes += len(operation.insert.sealed)
        return deposits, deletes

    async def _commit(self, deposits: list[_Deposit], deletions: list[_Deletion]) -> None:
        inserts = [deposit.insert for deposit in deposits]
        deletes = [deletion.delete for deletion in deletions]
        results = await self._apply(inserts, deletes)
        if results is None and deletes and await self._apply([], deletes) is None:
            deletions = []  # they stay, and are delivered again one day: at least once, never lost
        for position, deposit in enumerate(deposits):
            deposit.done(None if results is None else results[position])
        for deletion in deletions:
            deletion.done()

    async def _apply(self, inserts: list[Insert], deletes: list[Delete]) -> list[Stored] | None:
        """None: it could not be written, and nothing was changed. A full disk refuses deposits; deletes make room."""
        now_ms = self._clock.now_ms()
        self._counters.commits += 1
        try:
            results = await self._db.run(lambda tx: self._store.apply(tx, inserts, deletes, now_ms))
        except DiskFullError:
            if not self._disk_full:  # said when it begins, not for every deposit
                log.warning("mailbox.disk_full")
            self._disk_full = True
        except Exception:  # whoever waits must be refused, and the next batch must go on
            log.exception("mailbox.commit_failed")
        else:
            self._disk_full = self._disk_full and not inserts
            return results
        return None

    async def flush(self) -> None:
        """Until all that was asked for is on disk."""
        while (task := self._task) is not None:
            await asyncio.wait([task])
