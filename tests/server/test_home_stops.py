"""What a home is made of ends in order: whoever asks the database, then the database."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from mepassa.identity import HomeKeyPair
from mepassa.model.errors import DiskFullError, HomeUnreachableError, PortTakenError
from mepassa.model.ids import AccountId
from mepassa.model.secret import SecretBytes
from mepassa.ports.clock import SystemClock
from mepassa.server import main
from mepassa.server.config import ServerConfig
from mepassa.server.db import Database, Tx
from mepassa.server.home import Home
from mepassa.testing import SeededRng
from tests.server.home_world import home_world

T = TypeVar("T")


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the home's database was told, in order."""
    told: list[str] = []

    class Watched(Database):
        async def run(self, work: Callable[[Tx], T]) -> T:
            told.append("asked")
            return await super().run(work)

        async def close(self) -> None:
            told.append("closing")
            await super().close()

    monkeypatch.setattr(main, "Database", Watched)
    return told


async def others_end() -> None:
    """Whatever a stopped home has left behind gets every chance to ask."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        _, left = await asyncio.wait(others, timeout=20)
        assert not left, "a task of the home waits for what never comes"


async def test_a_home_that_cannot_listen_ends_its_services_before_its_database(
    tmp_path: Path, order: list[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = ServerConfig(tmp_path, listen_port=taken.getsockname()[1], roles=("mailbox",))
        with pytest.raises(PortTakenError):
            await main.run(config, lambda _: None)
    await others_end()
    assert order[-1] == "closing"


async def test_a_home_that_is_stopped_ends_its_services_before_its_database(tmp_path: Path, order: list[str]) -> None:
    ready = asyncio.Event()
    running = asyncio.ensure_future(main.run(ServerConfig(tmp_path, roles=("mailbox",)), lambda _: ready.set()))
    await ready.wait()
    running.cancel()
    await asyncio.wait([running])
    await others_end()
    assert order.count("closing") == 1
    assert order[-1] == "closing"


async def test_upkeep_has_ended_when_a_home_has_stopped() -> None:
    """Also a question that takes some turns to end."""
    asked, ended = asyncio.Event(), asyncio.Event()

    class SlowToEnd:
        async def run(self, _work: Callable[[Tx], T]) -> T:
            try:
                asked.set()
                await asyncio.Event().wait()
            finally:
                for _ in range(100):
                    await asyncio.sleep(0)
                ended.set()
            raise AssertionError

    key = HomeKeyPair(SecretBytes(bytes(32)))
    home = Home(db=SlowToEnd(), clock=SystemClock(), rng=SeededRng(1), key=key)
    await home.start()
    await asked.wait()
    await home.stop()
    assert ended.is_set()


async def test_a_connection_that_comes_while_a_home_stops_asks_the_database_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def count(_work: Callable[[Tx], T]) -> T:
        nonlocal asked
        asked += 1
        raise DiskFullError

    async with home_world(tmp_path) as world:
        await world.home.stop()
        monkeypatch.setattr(world.db, "run", count)
        with pytest.raises(HomeUnreachableError):
            await world.sender().fetch_account(AccountId(bytes(16)), bytes(16))
    assert asked == 0
