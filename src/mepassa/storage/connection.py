"""One SQLCipher connection and its one kind of use: a function run as a transaction."""

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlcipher3

from mepassa.model.errors import DiskFullError, NotInitialisedError, WrongPassphraseError
from mepassa.model.secret import SecretBytes
from mepassa.ports.stores import Logged
from mepassa.storage.errors import NewerDatabaseError, StorageError
from mepassa.storage.rows import Remembered
from mepassa.storage.schema import MIGRATIONS
from mepassa.storage.tx import SqlTx

T = TypeVar("T")

KEY_BYTES = 32


class Connection:
    """Belongs to one thread at a time. Raises as `SqlDb` says. Without `checkpoints` its owner calls `checkpoint`."""

    def __init__(
        self, path: Path, key: SecretBytes, *, create: bool, synchronous: str = "FULL", checkpoints: bool = True
    ) -> None:
        if len(key) != KEY_BYTES:
            raise WrongPassphraseError
        if not create and not path.exists():
            raise NotInitialisedError
        if create:
            # Before SQLite makes it: the journal beside it takes over the mode.
            os.close(os.open(path, os.O_CREAT, 0o600))
        self._remembered = Remembered()
        self._raw: Any = sqlcipher3.connect(str(path), isolation_level=None, check_same_thread=False)
        try:
            self._open(key, synchronous)
            if not checkpoints:
                self._raw.execute("PRAGMA wal_autocheckpoint = 0")
        except BaseException:
            self._raw.close()
            raise

    def _open(self, key: SecretBytes, synchronous: str) -> None:
        # The log level first: with a wrong key SQLCipher otherwise writes to stderr.
        self._raw.execute("PRAGMA cipher_log_level = NONE")
        self._raw.execute(f"PRAGMA key = \"x'{key.expose().hex()}'\"")
        try:
            self._raw.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlcipher3.DatabaseError as error:
            raise WrongPassphraseError from error
        for pragma in (
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
            "temp_store = MEMORY",  # sorting must not leave plain text in a temporary file
            "secure_delete = ON",
            "busy_timeout = 5000",
        ):
            self._raw.execute(f"PRAGMA {pragma}")
        self._migrate()

    def _migrate(self) -> None:
        version = int(self._raw.execute("PRAGMA user_version").fetchone()[0])
        if version > len(MIGRATIONS):
            raise NewerDatabaseError
        for number in range(version, len(MIGRATIONS)):
            self._in_transaction(partial(self._apply, number))

    def _apply(self, number: int) -> None:
        for statement in MIGRATIONS[number].split(";"):
            if statement.strip():
                self._raw.execute(statement)
        self._raw.execute(f"PRAGMA user_version = {number + 1}")

    def transact(self, work: Callable[[SqlTx], T]) -> tuple[T, tuple[Logged, ...]]:
        """What `work` returned, and the events that are in the log now because of it."""
        tx = SqlTx(self._raw, self._remembered)
        return self._in_transaction(lambda: work(tx)), tx.logged()

    def _in_transaction(self, work: Callable[[], T]) -> T:
        try:
            self._raw.execute("BEGIN IMMEDIATE")
            try:
                result = work()
                self._raw.execute("COMMIT")
            except BaseException:
                self._remembered.forget()
                if self._raw.in_transaction:
                    self._raw.execute("ROLLBACK")
                raise
        except sqlcipher3.OperationalError as error:
            if "full" in str(error):
                raise DiskFullError from error
            raise StorageError from error
        return result

    def limit_pages(self, count: int) -> None:
        """A real SQLITE_FULL without a full disk, for tests: `count` pages of 4 KiB are all there is."""
        self._raw.execute(f"PRAGMA max_page_count = {int(count)}")

    def checkpoint(self) -> None:
        """Bring the log into the file, so that it begins anew. On a full disk it goes on growing until there is room."""
        with contextlib.suppress(sqlcipher3.OperationalError):
            self._raw.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def overwrite_old_pages(self) -> None:
        """Bring the log into the file and cut it: with `secure_delete` nothing of what was replaced is left in either."""
        self._raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def page_count(self) -> int:
        return int(self._raw.execute("PRAGMA page_count").fetchone()[0])

    def close(self) -> None:
        """Idempotent. What was not committed is gone."""
        self._remembered.forget()
        self._raw.close()
