"""The home's database: `Db.run(fn)` is one transaction on the one thread that owns the connection.

SQL is written once for two back ends: `$1` placeholders, ids as bytes, times as unix-ms integers. SQLite here, WAL with
`synchronous=FULL`: when `run` returns, what it wrote is synced. Reads wait in the same queue as writes, so a
transaction sees all that was asked for before it.
"""

import re
import sqlite3
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from mepassa.model.errors import DiskFullError
from mepassa.ports.job_thread import JobThread
from mepassa.server.schema import MIGRATIONS

T = TypeVar("T")
Row = tuple[Any, ...]

PAGE_BYTES = 4096
"""SQLite's default page."""
PAGE_CACHE_KIB = 8 * 1024
"""SQLite's page cache: the hot pages of a small home; more only moves the kernel's cache into our memory."""
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC)
"""What SQLite says when the disk (or its page limit) is full, or no longer takes a write."""


@lru_cache(maxsize=512)
def _to_sqlite(sql: str) -> tuple[str, tuple[int, ...] | None]:
    """The statement with nameless `?`, and which value goes to each; None: they come in order, once each.

    SQLite has `?1` too, but Python calls that a named parameter, and from 3.14 on refuses a sequence for it.
    """
    order = tuple(int(number) - 1 for number in re.findall(r"\$(\d+)", sql))
    return re.sub(r"\$\d+", "?", sql), None if order == tuple(range(len(order))) else order


class Tx:
    """One open transaction. Only valid inside the function that was given it."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, *values: object) -> list[Row]:
        return self._execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> Row | None:
        found: Row | None = self._execute(sql, values).fetchone()
        return found

    def execute(self, sql: str, *values: object) -> int:
        """How many rows it changed."""
        return self._execute(sql, values).rowcount

    def execute_many(self, sql: str, rows: Iterable[Row]) -> int:
        """How many rows all of them changed together."""
        statement, order = _to_sqlite(sql)
        if order is not None:
            rows = (_in(order, row) for row in rows)
        return self._connection.executemany(statement, rows).rowcount

    def _execute(self, sql: str, values: Row) -> sqlite3.Cursor:
        statement, order = _to_sqlite(sql)
        return self._connection.execute(statement, values if order is None else _in(order, values))


def _in(order: tuple[int, ...], values: Row) -> Row:
    return tuple(values[at] for at in order)


class Database:
    """SQLite behind `ports.db.Db[Tx]`; without a thread (`inline`) for a virtual event loop, where `run` never waits."""

    def __init__(self, path: Path, *, inline: bool = False, max_pages: int | None = None) -> None:
        self._connection = _connect(path, max_pages)
        self._thread = None if inline else JobThread()

    async def run(self, work: Callable[[Tx], T]) -> T:
        """`work` as one transaction; committed and synced on return. Raises `DiskFullError`, nothing changed."""
        if self._thread is None:
            return self._transact(work)
        return await self._thread.call(lambda: self._transact(work))

    def _transact(self, work: Callable[[Tx], T]) -> T:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(Tx(connection))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) in _FULL:
                raise DiskFullError from error
            raise
        return result

    async def close(self) -> None:
        """After everything asked for so far. What comes later raises `RuntimeError` (inline: `sqlite3.ProgrammingError`)."""
        if self._thread is None:
            self._connection.close()
            return
        closing = self._thread.call(self._connection.close)
        self._thread.end()
        await closing


def _connect(path: Path, max_pages: int | None) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    path.chmod(0o600)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "PRAGMA secure_delete = FAST"
    )  # what was delivered is overwritten where that costs no extra write
    connection.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
    if max_pages is not None:
        connection.execute(f"PRAGMA max_page_count = {max_pages}")
    _migrate(connection)
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up, one transaction a step; the number of steps taken is kept in the file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
