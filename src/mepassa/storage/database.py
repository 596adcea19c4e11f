"""The device's database behind `ports.db.Db`: one function, one transaction, one hop."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from mepassa.model.secret import SecretBytes
from mepassa.ports.stores import Logged, Tx
from mepassa.storage.connection import Connection

T = TypeVar("T")
OnEvents = Callable[[Sequence[Logged]], None]


class SqlDb:
    """`run` executes on the one thread that owns the connection; made by `open_database`.

    Raises `DiskFullError` and `StorageError` with nothing changed; whatever `work` raises rolls back and comes out.
    Cancelling the caller does not undo a transaction that has begun.
    """

    def __init__(self, executor: ThreadPoolExecutor, connection: Connection) -> None:
        self._executor, self._connection = executor, connection
        self.on_events: OnEvents = lambda _logged: None
        """Hears on the loop, in the order of the log, what each commit has told; nothing, when that is not known."""

    async def run(self, work: Callable[[Tx], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            result, logged = await loop.run_in_executor(self._executor, self._connection.transact, work)
        except asyncio.CancelledError:
            self.on_events(())
            raise
        if logged:
            self.on_events(logged)
        return result

    async def limit_pages(self, count: int) -> None:
        """See `Connection.limit_pages`."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._connection.limit_pages, count)

    async def page_count(self) -> int:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._connection.page_count)

    async def overwrite_old_pages(self) -> None:
        """See `Connection.overwrite_old_pages`."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._connection.overwrite_old_pages)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, self._connection.close)
        self._executor.shutdown()


async def open_database(path: Path, key: SecretBytes, *, create: bool = False) -> SqlDb:
    """Open (or with `create` make) the database, migrated to this version.

    Raises `WrongPassphraseError`, `NotInitialisedError` (no such file), `NewerDatabaseError`, `DiskFullError`.
    """
    executor = ThreadPoolExecutor(1, thread_name_prefix="mepassa-db")
    try:
        connection = await asyncio.get_running_loop().run_in_executor(
            executor, lambda: Connection(path, key, create=create)
        )
    except BaseException:
        executor.shutdown(wait=False)
        raise
    return SqlDb(executor, connection)


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

    def run_now(self, work: Callable[[Tx], T]) -> T:
        """Without letting the loop turn: for a test that looks."""
        result, logged = self._connection.transact(work)
        if logged:
            self.on_events(logged)
        return result

    def close(self) -> None:
        self._connection.close()
