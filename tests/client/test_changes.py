"""What the event feed has at hand (`client/changes.py`), and that it tells the same as the database would."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest
from aiohttp import web

from mepassa.client.api.events import EventFeed
from mepassa.client.changes import KEPT, Changes
from mepassa.client.home import HomeState
from mepassa.client.paths.live import LivePaths
from mepassa.model.keys import HomeKey
from mepassa.model.secret import SecretBytes
from mepassa.model.status import MessageStatus
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.stores import EventKind, EventRow, Logged, Tx
from mepassa.storage import SqlDb, open_database
from tests.storage.test_rows import BETO, mid, text

T = TypeVar("T")


def home_events(*numbers: int) -> tuple[Logged, ...]:
    return tuple(Logged(EventRow(number, EventKind.HOME)) for number in numbers)


def numbers(found: tuple[Logged, ...]) -> list[int]:
    return [logged.event.seq for logged in found]


def test_what_follows_is_at_hand_unless_something_before_it_is_not() -> None:
    changes = Changes()
    assert (changes.newest_seq, changes.after(0)) == (0, ())
    changes.add(home_events(5, 6))
    changes.add(home_events(7))
    assert changes.newest_seq == 7
    assert [numbers(changes.after(seq)) for seq in (3, 4, 5, 7)] == [[], [5, 6, 7], [6, 7], []]
    changes.add(home_events(9))
    assert [numbers(changes.after(seq)) for seq in (4, 7, 8)] == [[], [], [9]]


def test_no_more_than_so_many_are_kept() -> None:
    changes = Changes()
    changes.add(home_events(*range(1, KEPT + 11)))
    assert changes.after(9) == ()
    assert len(changes.after(10)) == KEPT


async def test_whoever_took_a_ticket_before_looking_is_woken() -> None:
    changes = Changes()
    ticket = changes.ticket()
    changes.add(home_events(1))
    assert ticket.is_set()
    assert not changes.ticket().is_set()


@dataclass
class Counted:
    """A database that counts how often it is asked."""

    db: SqlDb
    asked: int = 0

    async def run(self, work: Callable[[Tx], T]) -> T:
        self.asked += 1
        return await self.db.run(work)


@dataclass
class Told:
    db: SqlDb
    counted: Counted
    url: str


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[Told]:
    db = await open_database(tmp_path / "node.db", SecretBytes(bytes(32)), create=True)
    changes, counted = Changes(), Counted(db)
    db.on_events = changes.add
    feed = EventFeed(counted, changes, HomeState(HomeAddress("https://home.example", HomeKey(bytes(32)))), LivePaths())
    app = web.Application()
    app.router.add_get("/events", feed.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Told(db, counted, f"http://127.0.0.1:{runner.addresses[0][1]}/events")
    await runner.cleanup()
    await db.close()


def _sends(number: int) -> Callable[[Tx], None]:
    def work(tx: Tx) -> None:
        tx.insert_message(text(number, number))
        tx.append_event(EventKind.MESSAGE, chat=BETO, message_id=mid(number))

    return work


def _lifts(number: int) -> Callable[[Tx], None]:
    def work(tx: Tx) -> None:
        tx.update_message(replace(text(number, number), status=MessageStatus.READ))
        tx.append_event(EventKind.STATUS, chat=BETO, message_id=mid(number))

    return work


def _loses(number: int) -> Callable[[Tx], None]:
    def work(tx: Tx) -> None:
        tx.delete_message(mid(number))
        tx.append_event(EventKind.MESSAGE, chat=BETO, message_id=mid(number), note="gone")

    return work


async def test_ticks_are_told_without_the_database_and_all_else_in_its_place(told: Told) -> None:
    await told.db.run(_sends(1))
    async with aiohttp.ClientSession() as http, http.ws_connect(told.url) as socket:
        while told.counted.asked < 2:  # where the log ends, and what has come since
            await asyncio.sleep(0.001)
        await told.db.run_brief(_sends(2))
        await told.db.run(_lifts(2))
        heard = [await socket.receive_json(timeout=30) for _ in range(2)]
        assert [(event["seq"], event["type"]) for event in heard] == [(2, "message"), (3, "status")]
        assert heard[0]["message"]["status"] == "delivered"
        assert heard[1]["status"] == "read"
        assert told.counted.asked == 2
        await told.db.run(lambda tx: (tx.append_event(EventKind.HOME), _loses(1)(tx), _lifts(2)(tx)))
        await told.db.run(_sends(3))
        heard = [await socket.receive_json(timeout=30) for _ in range(4)]
        assert [(event["seq"], event["type"]) for event in heard] == [
            (4, "home"), (5, "gone"), (6, "status"), (7, "message"),
        ]  # fmt: skip


async def test_a_feed_goes_on_from_the_log_to_what_is_at_hand(told: Told) -> None:
    """From the log, then from what is at hand: nothing twice, nothing left out."""
    for number in range(1, 6):
        await told.db.run(_sends(number))
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{told.url}?after=2") as socket:
        heard = [(await socket.receive_json(timeout=30))["seq"] for _ in range(3)]
        for number in range(6, 300):
            await told.db.run_brief(_sends(number))
        heard += [(await socket.receive_json(timeout=30))["seq"] for _ in range(6, 300)]
    assert heard == list(range(3, 300))
