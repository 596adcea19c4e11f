# mypy: disable-error-code="func-returns-value, misc"
"""ARCHITECTURE §8 and docs/protocol/delivery.md: one function, one transaction; nothing in clear."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mepassa.model.errors import DiskFullError, NotInitialisedError, WrongPassphraseError
from mepassa.model.secret import SecretBytes
from mepassa.ports.stores import EventKind, Tx
from mepassa.storage import InlineDb, NewerDatabaseError, open_database
from mepassa.storage.connection import Connection
from mepassa.storage.schema import MIGRATIONS


async def test_what_a_function_did_is_there_after_reopening(tmp_path: Path, key: SecretBytes) -> None:
    db = await open_database(tmp_path / "m.db", key, create=True)
    await db.run(lambda tx: tx.put_setting("a", b"1"))
    await db.close()
    db = await open_database(tmp_path / "m.db", key)
    assert await db.run(lambda tx: tx.setting("a")) == b"1"
    await db.close()


async def test_a_function_that_raises_changes_nothing(db: InlineDb) -> None:
    def work(tx: Tx) -> None:
        tx.put_setting("a", b"1")
        tx.append_event(EventKind.HOME)
        raise LookupError

    with pytest.raises(LookupError):
        await db.run(work)
    assert await db.run(lambda tx: (tx.setting("a"), tx.event_span())) == (None, (1, 0))


async def test_a_wrong_key_says_so_and_prints_nothing(
    tmp_path: Path, key: SecretBytes, capfd: pytest.CaptureFixture[str]
) -> None:
    await (await open_database(tmp_path / "m.db", key, create=True)).close()
    for wrong in (SecretBytes(b"\x12" * 32), SecretBytes(b"short")):
        with pytest.raises(WrongPassphraseError):
            await open_database(tmp_path / "m.db", wrong)
    assert capfd.readouterr() == ("", "")


async def test_a_missing_file_is_not_made_by_accident(tmp_path: Path, key: SecretBytes) -> None:
    with pytest.raises(NotInitialisedError):
        await open_database(tmp_path / "m.db", key)
    assert not (tmp_path / "m.db").exists()


def test_a_full_disk_is_one_sentence_and_the_data_stay(db: InlineDb) -> None:
    db.run_now(lambda tx: tx.put_setting("kept", b"1"))
    db._connection.limit_pages(db._connection.page_count() + 4)
    with pytest.raises(DiskFullError):
        db.run_now(lambda tx: [tx.put_setting(str(number), bytes(4000)) for number in range(100)])
    assert db.run_now(lambda tx: (tx.setting("kept"), tx.setting("0"))) == (b"1", None)
    db._connection.limit_pages(1_000_000)
    db.run_now(lambda tx: tx.put_setting("after", bytes(40_000)))


def test_a_database_of_a_later_version_is_left_alone(tmp_path: Path, key: SecretBytes) -> None:
    path = tmp_path / "m.db"
    connection = Connection(path, key, create=True)
    connection._raw.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(NewerDatabaseError):
        Connection(path, key, create=False)


def test_nothing_in_the_files_is_readable(tmp_path: Path, key: SecretBytes) -> None:
    db = InlineDb(tmp_path / "m.db", key, create=True)
    db.run_now(lambda tx: tx.put_setting("secret-name", b"chegou bem em casa"))
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        assert b"chegou" not in data
        assert b"secret-name" not in data
        assert b"SQLite format 3" not in data
        assert path.stat().st_mode & 0o777 == 0o600
    db.close()


def test_a_commit_is_synced_to_disk(db: InlineDb) -> None:
    """`synchronous=FULL` in WAL mode: one sync a commit (strace counts them in the fault tests)."""
    assert db._connection._raw.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert db._connection._raw.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_a_process_killed_inside_a_transaction_leaves_what_was_committed(tmp_path: Path, key: SecretBytes) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from mepassa.model.secret import SecretBytes
from mepassa.storage import InlineDb
db = InlineDb(Path(sys.argv[1]), SecretBytes(bytes([0x11]) * 32), create=True)
db.run_now(lambda tx: tx.put_setting("before", b"1"))
def work(tx):
    tx.put_setting("inside", b"1")
    os.kill(os.getpid(), signal.SIGKILL)
db.run_now(work)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "m.db")], check=False, env=os.environ)
    assert done.returncode == -9
    db = InlineDb(tmp_path / "m.db", key)
    assert db.run_now(lambda tx: (tx.setting("before"), tx.setting("inside"))) == (b"1", None)
    db.close()
