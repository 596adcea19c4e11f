"""A disk that refuses a batch: deposits are refused, what is deleted goes by itself, and nothing is forgotten too early."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from mepassa.model.errors import DiskFullError
from mepassa.server.counters import Counters
from mepassa.server.db import Database, Tx
from mepassa.server.limits import HomePolicy
from mepassa.server.mailbox.commits import GroupCommit
from mepassa.server.mailbox.store import Delete, EnvelopeStore, Insert, Lane, Stored
from mepassa.testing import ManualClock

T = TypeVar("T")


class FullDisk:
    """The real database, which is told to have no room for as many transactions as `refuses`."""

    def __init__(self, db: Database) -> None:
        self._run, self.refuses = db.run, 0
        db.run = self.run  # type: ignore[method-assign]  # a spy before the real one

    async def run(self, work: Callable[[Tx], T]) -> T:
        if self.refuses:
            self.refuses -= 1
            raise DiskFullError
        return await self._run(work)


class Desk:
    """What each operation was told; `insert` and `delete` wait until the batch is over."""

    def __init__(self, db: Database) -> None:
        self.commits = GroupCommit(db, EnvelopeStore(HomePolicy()), ManualClock(), Counters())
        self.told: list[Stored | str | None] = []

    def insert(self, id_: bytes) -> None:
        self.commits.insert(Insert(1, id_, Lane.CONTACT, b"sealed"), lambda: True, self.told.append)

    def delete(self, id_: bytes) -> None:
        self.commits.delete(Delete(1, (id_,)), lambda: self.told.append("deleted"))

    async def said(self) -> list[Stored | str | None]:
        await self.commits.flush()
        told, self.told = self.told, []
        return told


async def test_what_is_deleted_makes_room_though_the_deposit_beside_it_is_refused(tmp_path: Path) -> None:
    db = Database(tmp_path / "home.db", inline=True)
    disk, desk = FullDisk(db), Desk(db)
    desk.insert(b"old")
    desk.delete(b"none")
    assert await desk.said() == [Stored.STORED, "deleted"]
    disk.refuses = 1
    desk.insert(b"new")
    desk.delete(b"old")
    assert await desk.said() == [None, "deleted"]
    assert await db.run(lambda tx: tx.rows("SELECT id FROM envelope")) == []
    await db.close()


async def test_what_could_not_be_deleted_is_not_called_gone(tmp_path: Path) -> None:
    db = Database(tmp_path / "home.db", inline=True)
    disk, desk = FullDisk(db), Desk(db)
    desk.insert(b"old")
    assert await desk.said() == [Stored.STORED]
    disk.refuses = 2
    desk.delete(b"old")
    assert await desk.said() == []
    assert len(await db.run(lambda tx: tx.rows("SELECT id FROM envelope"))) == 1
    await db.close()


async def test_a_full_disk_is_said_when_it_begins_and_again_only_after_a_deposit_was_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    db = Database(tmp_path / "home.db", inline=True)
    disk, desk = FullDisk(db), Desk(db)

    async def warnings(*, insert: bool, full: bool) -> int:
        before, disk.refuses = len(caplog.records), int(full)
        desk.insert(b"one") if insert else desk.delete(b"one")
        await desk.said()
        return len(caplog.records) - before

    assert await warnings(insert=True, full=True) == 1
    assert await warnings(insert=True, full=True) == 0
    assert await warnings(insert=False, full=False) == 0
    assert await warnings(insert=True, full=True) == 0, "a delete that was taken says nothing of the room there is"
    assert await warnings(insert=True, full=False) == 0
    assert await warnings(insert=True, full=True) == 1
    await db.close()
