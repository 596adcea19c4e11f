"""The device's database behind `ports.db.BriefDb`: one function, one transaction, in a thread or in the loop."""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import TypeVar

from mepassa.model.secret import SecretBytes
from mepassa.ports.stores import Logged, Tx
from mepassa.storage.connection import Connection

F = TypeVar("F")
T = TypeVar("T")
OnEvents = Callable[[Sequence[Logged]], None]

BRIEF_S = 0.005
"""Brief work that takes longer, because of the disk or of what somebody sends us, has made the loop stand still."""
SLOW_FOR_S = 10.0
"""After two such within some ten, for so long everything is left to the thread."""
CHECKPOINT_EVERY = 50
"""Commits between two checkpoints of the log, a megabyte or two. They belong to the thread: SQLite's own would come in
the middle of a commit."""


class SqlDb:
    """Made by `open_database`. A thread owns the connection; while it has nothing to do the loop may use it.

    Raises `DiskFullError` and `StorageError` with nothing changed; whatever `work` raises rolls back and comes out.
    Cancelling the caller neither undoes a transaction nor keeps one that waits for the thread from being made.
    """

    def __init__(self, thread: "_Thread", connection: Connection) -> None:
        self._thread, self._connection = thread, connection
        self._slow = 0.0
        """Counts what was slow in the loop; what was quick takes a tenth away."""
        self._quick_from = 0.0
        self._commits = 0
        self.on_events: OnEvents = lambda _logged: None
        """Hears on the loop, in the order of the log, what each commit has told."""

    async def run(self, work: Callable[[Tx], T]) -> T:
        return await self._thread.call(lambda: self._connection.transact(work), self._committed)

    async def run_brief(self, work: Callable[[Tx], T]) -> T:
        begun = monotonic()
        if self._thread.busy or self._thread.ended or begun < self._quick_from:
            return await self.run(work)
        try:
            return self._committed(self._connection.transact(work))
        finally:
            ended = monotonic()
            self._slow = self._slow + 1 if ended - begun > BRIEF_S else max(0.0, self._slow - 0.1)
            if self._slow > 1:
                self._quick_from, self._slow = ended + SLOW_FOR_S, 0.0

    def _committed(self, found: tuple[T, Sequence[Logged]]) -> T:
        result, logged = found
        if logged:
            self.on_events(logged)
        self._commits += 1
        if self._commits % CHECKPOINT_EVERY == 0 and not self._thread.ended:
            self._thread.call(self._connection.checkpoint, _done)
        return result

    async def limit_pages(self, count: int) -> None:
        """See `Connection.limit_pages`."""
        await self._thread.call(lambda: self._connection.limit_pages(count), _done)

    async def page_count(self) -> int:
        return await self._thread.call(self._connection.page_count, lambda count: count)

    async def overwrite_old_pages(self) -> None:
        """See `Connection.overwrite_old_pages`."""
        await self._thread.call(self._connection.overwrite_old_pages, _done)

    async def close(self) -> None:
        """After what was asked for before. From the call on everything raises `RuntimeError`, a second close too."""
        closing = self._thread.call(self._connection.close, _done)
        self._thread.end()
        await closing


def _done(_nothing: None) -> None:
    """What a job that gives nothing comes to."""


class _Thread:
    """Does one job after the other. What comes of each is told on the loop, whether anybody still waits for it or not."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._unfinished = 0
        self.ended = False
        threading.Thread(target=self._work, name="mepassa-db", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Jobs have been given that are not over: what they use is the thread's."""
        return self._unfinished > 0

    def call(self, job: Callable[[], F], tell: Callable[[F], T]) -> "asyncio.Future[T]":
        """`job` in the thread, then `tell` in the loop, whose result is the call's."""
        if self.ended:
            raise RuntimeError("the database is closed")
        future: asyncio.Future[T] = self._loop.create_future()

        def finish(found: F) -> None:
            try:
                result = tell(found)
            except Exception as error:  # noqa: BLE001 - as what `job` raises
                fail(error)
                return
            self._unfinished -= 1
            if not future.done():
                future.set_result(result)

        def fail(error: BaseException) -> None:
            self._unfinished -= 1
            if not future.done():
                # A future refuses StopIteration, and whoever awaits it would wait for ever.
                future.set_exception(RuntimeError("StopIteration") if isinstance(error, StopIteration) else error)

        def run() -> None:
            try:
                found = job()
            except BaseException as error:  # noqa: BLE001 - carried over to whoever awaits
                self._loop.call_soon_threadsafe(fail, error)
            else:
                self._loop.call_soon_threadsafe(finish, found)

        self._unfinished += 1
        self._jobs.put(run)
        return future

    def end(self) -> None:
        """After the jobs given so far; there are no others."""
        self.ended = True
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


async def open_database(path: Path, key: SecretBytes, *, create: bool = False) -> SqlDb:
    """Open (or with `create` make) the database, migrated to this version.

    Raises `WrongPassphraseError`, `NotInitialisedError` (no such file), `NewerDatabaseError`, `DiskFullError`.
    """
    thread = _Thread()
    try:
        connection = await thread.call(
            lambda: Connection(path, key, create=create, checkpoints=False), lambda connection: connection
        )
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
