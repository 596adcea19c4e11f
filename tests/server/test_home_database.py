"""SQL is written once for two back ends: `$1` may stand anywhere, and more than once."""

from pathlib import Path

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
