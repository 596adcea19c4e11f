"""The device's database behind `ports.db.BriefDb`: one function, one transaction, in a thread or in the loop."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import TypeVar

from mepassa.model.secret import SecretBytes
from mepassa.ports.job_thread import JobThread
from mepassa.ports.stores import Logged, Tx
from mepassa.storage.connection import Connection

T = TypeVar("T")
OnEvents = Callable[[Sequence[Logged]], None]

BRIEF_S = 0.005
"""Brief work that takes longer, because of the disk or of what somebody sends us, has made the loop stand still."""
SLOW_FOR_S, SLOW_FOR_AT_MOST_S = 0.5, 60.0
"""After two such within some ten, for so long everything is left to the thread; twice as long each time that the loop has
tried again and found the disk as slow."""
CHECKPOINT_EVERY = 50
"""Commits between two checkpoints of the log, a megabyte or two. They belong to the thread: SQLite's own would come in
the middle of a commit."""


class SqlDb:
    """Made by `open_database`. A thread owns the connection; while it has nothing to do the loop may use it.

    Raises `DiskFullError` and `StorageError` with nothing changed; whatever `work` raises rolls back and comes out.
    Cancelling the caller neither undoes a transaction nor keeps one that waits for the thread from being made.
    """

    def __init__(self, thread: JobThread, connection: Connection) -> None:
        self._thread, self._connection = thread, connection
        self._slow = 0.0
        """Counts what was slow in the loop; what was quick takes a tenth away."""
        self._quick_from = 0.0
        self._slow_for_s = SLOW_FOR_S
        self._commits = 0
        self.on_events: OnEvents = lambda _logged: None
        """Hears on the loop, in the order of the log, what each commit has told."""

    async def run(self, work: Callable[[Tx], T]) -> T:
        return await self._thread.call_and_tell(lambda: self._connection.transact(work), self._committed)

    async def run_brief(self, work: Callable[[Tx], T]) -> T:
        begun = monotonic()
        if self._thread.busy or self._thread.ended or begun < self._quick_from:
            return await self.run(work)
        try:
            return self._committed(self._connection.transact(work))
        finally:
            self._count(begun, monotonic())

    def _count(self, begun: float, ended: float) -> None:
        if ended - begun > BRIEF_S:
            self._slow += 1
        else:
            self._slow = max(0.0, self._slow - 0.1)
            if self._slow == 0:
                self._slow_for_s = SLOW_FOR_S
        if self._slow > 1:
            self._quick_from, self._slow = ended + self._slow_for_s, 0.5
            self._slow_for_s = min(2 * self._slow_for_s, SLOW_FOR_AT_MOST_S)

    def _committed(self, found: tuple[T, Sequence[Logged]]) -> T:
        result, logged = found
        if logged:
            self.on_events(logged)
        self._commits += 1
        if self._commits % CHECKPOINT_EVERY == 0 and not self._thread.ended:
            self._thread.call(self._connection.checkpoint)
        return result

    async def limit_pages(self, count: int) -> None:
        """See `Connection.limit_pages`."""
        await self._thread.call(lambda: self._connection.limit_pages(count))

    async def page_count(self) -> int:
        return await self._thread.call(self._connection.page_count)

    async def overwrite_old_pages(self) -> None:
        """See `Connection.overwrite_old_pages`."""
        await self._thread.call(self._connection.overwrite_old_pages)

    async def close(self) -> None:
        """After what was asked for before. From the call on everything raises `RuntimeError`, a second close too."""
        closing = self._thread.call(self._connection.close)
        self._thread.end()
        await closing


async def open_database(path: Path, key: SecretBytes, *, create: bool = False) -> SqlDb:
    """Open (or with `create` make) the database, migrated to this version.

    Raises `WrongPassphraseError`, `NotInitialisedError` (no such file), `NewerDatabaseError`, `DiskFullError`.
    """
    thread = JobThread()
    try:
        connection = await thread.call(lambda: Connection(path, key, create=create, checkpoints=False))
    except BaseException:
        thread.end()
        raise
    return SqlDb(thread, connection)


class InlineDb:
    """The same on the caller's own thread: for the virtual loop, where a thread hand-off would be real time.

    Around each transaction it lets the loop turn once, so that a simulated crash can fall just before the
    transaction and just after its commit. `synchronous="OFF"` is for a process that only pretends to die.
    """

    def __init__(self, path: Path, key: SecretBytes, *, create: bool = False, synchronous: str = "FULL") -> None:
        self._connection = Connection(path, key, create=create, synchronous=synchronous)
        self.on_events: OnEvents = lambda _logged: None

    async def run(self, work: Callable[[Tx], T]) -> T:
        await asyncio.sleep(0)
        result = self.run_now(work)
        await asyncio.sleep(0)
        return result

    async def run_brief(self, work: Callable[[Tx], T]) -> T:
        return await self.run(work)

    def run_now(self, work: Callable[[Tx], T]) -> T:
        """Without letting the loop turn: for a test that looks."""
        result, logged = self._connection.transact(work)
        if logged:
            self.on_events(logged)
        return result

    def close(self) -> None:
        self._connection.close()
