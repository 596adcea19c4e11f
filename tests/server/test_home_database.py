"""The home's database: SQL written once for two back ends, one transaction at a time, and its end."""

import asyncio
from pathlib import Path

import pytest

from mepassa.server.db import Database, Tx


async def test_placeholders_take_the_value_of_their_number(tmp_path: Path) -> None:
    def work(tx: Tx) -> list[tuple[object, ...]]:
        tx.execute("CREATE TABLE pair (a TEXT, b TEXT)")
        tx.execute("INSERT INTO pair VALUES ($1, $2)", "in order", "x")
        tx.execute("INSERT INTO pair VALUES ($2, $1)", "x", "turned")
        tx.execute_many("INSERT INTO pair VALUES ($2, $2 || $1)", [("1", "twice"), ("2", "twice")])
        assert tx.row("SELECT a FROM pair WHERE b = $1 AND a <> $2 AND b = $1", "x", "turned") == ("in order",)
        return tx.rows("SELECT a, b FROM pair ORDER BY rowid")

    db = Database(tmp_path / "home.db", inline=True)
    found = await db.run(work)
    await db.close()
    assert found == [("in order", "x"), ("turned", "x"), ("twice", "twice1"), ("twice", "twice2")]


@pytest.mark.parametrize("raised", [LookupError, StopIteration])
async def test_work_that_raises_changes_nothing_and_leaves_nobody_waiting(
    tmp_path: Path, raised: type[Exception]
) -> None:
    def work(tx: Tx) -> None:
        tx.execute("CREATE TABLE pair (a)")
        raise raised

    db = Database(tmp_path / "home.db")
    before = await db.run(lambda tx: tx.rows("SELECT * FROM sqlite_schema"))
    with pytest.raises(RuntimeError if raised is StopIteration else raised):
        await asyncio.wait_for(db.run(work), 30)
    assert await db.run(lambda tx: tx.rows("SELECT * FROM sqlite_schema")) == before
    await db.close()


async def test_after_its_end_everything_is_refused_and_nothing_waits_for_ever(tmp_path: Path) -> None:
    db = Database(tmp_path / "home.db")
    before = asyncio.ensure_future(db.run(lambda tx: tx.row("SELECT 1")))
    await asyncio.sleep(0)
    await asyncio.wait_for(db.close(), 30)
    assert await before == (1,)
    for call in (db.run(lambda tx: tx.row("SELECT 1")), db.close()):
        with pytest.raises(RuntimeError, match="closed"):
            await asyncio.wait_for(call, 30)
