"""The home's own code on a virtual loop: no thread, no socket, real SQLite; a month passes in a moment."""

import asyncio
import gc
from collections import deque
from collections.abc import Coroutine
from pathlib import Path

import pytest

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import TokenRefusedError
from mepassa.ports.mailbox import DepositOutcome
from mepassa.server.home import FORGET_INTERVAL_S
from mepassa.server.limits import RateLimiter
from mepassa.testing import LoopClock, VirtualLoop
from mepassa.testing.people import Listener
from mepassa.transports.mailbox.sealed import IDLE_S
from tests.server.home_world import home_world

DAY_S = 86_400


def run_virtually(scenario: Coroutine[object, object, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scenario)


def test_a_message_that_nobody_fetches_is_gone_after_fourteen_days_and_not_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home_world(tmp_path, inline=True, clock=LoopClock(asyncio.get_running_loop().time)) as world:
            bruno = await world.person()
            sender = world.sender()
            assert (
                await sender.deposit(bruno.own, SealedEnvelope(b"wait"), bruno.delivery_token) is DepositOutcome.STORED
            )
            await asyncio.sleep(13.9 * DAY_S)
            assert await world.waiting() == 1
            await asyncio.sleep(0.2 * DAY_S)
            assert await world.waiting() == 0

    run_virtually(scenario())


def test_a_home_that_loses_its_power_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """The database is reopened as it was left; nothing of the first home ever runs again."""

    async def scenario() -> None:
        clock = LoopClock(asyncio.get_running_loop().time)
        async with home_world(tmp_path, inline=True, clock=clock) as world:
            bruno = await world.person()
            sender = world.sender()
            for number in range(10):
                await sender.deposit(bruno.own, SealedEnvelope(b"%d" % number), bruno.delivery_token)
            async with home_world(tmp_path, inline=True, clock=clock, seed=2) as again:
                bruno.home = again.address
                listener = Listener()
                online = await again.online(bruno, listener)
                await listener.until_envelopes(10)
                await online.leave()
        assert [each.raw for each in listener.envelopes] == [b"%d" % number for number in range(10)]

    run_virtually(scenario())


def test_a_device_behind_a_dead_connection_is_given_the_envelope_on_its_next_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home_world(tmp_path, inline=True, clock=LoopClock(asyncio.get_running_loop().time)) as world:
            bruno = await world.person()
            first = await world.online(bruno)
            await asyncio.sleep(1)
            world.device_streams[-1].cut()
            outcome = await world.sender().deposit(bruno.own, SealedEnvelope(b"into the dark"), bruno.delivery_token)
            assert outcome is DepositOutcome.STORED
            assert first.listener.envelopes == []
            await first.leave()
            second = await world.online(bruno)
            await second.listener.until_envelopes(1)
            assert second.listener.envelopes == [SealedEnvelope(b"into the dark")]
            await second.leave()

    run_virtually(scenario())


def held_texts(root: object) -> set[str]:
    """Every string that objects of the server hold, however deep: fields, keys and values of theirs, no one else's."""
    found, seen, waiting = set[str](), set[int](), [root]
    while waiting:
        held = waiting.pop()
        if isinstance(held, str):
            found.add(held)
        elif id(held) not in seen:
            seen.add(id(held))
            ours = type(held).__module__.startswith("mepassa.server")
            if ours or isinstance(held, dict | list | tuple | set | frozenset | deque):
                waiting += gc.get_referents(held)
    return found


def test_internet_addresses_are_forgotten_within_minutes_and_never_written(tmp_path: Path) -> None:
    """docs/protocol/home.md, "What a home keeps": registering, logging in, refused tokens, fetches, deposits, signals."""

    async def scenario() -> None:
        async with home_world(tmp_path, inline=True, clock=LoopClock(asyncio.get_running_loop().time)) as world:
            world.remote = "198.51.100.77"
            bruno = await world.person()
            sender = world.sender()
            await sender.deposit(bruno.own, SealedEnvelope(b"wait"), bruno.delivery_token)
            await sender.fetch_account(bruno.own.account, bruno.delivery_token)
            await sender.signal(bruno.own, SealedEnvelope(b"meet"), bruno.signal_token)
            with pytest.raises(TokenRefusedError):
                await sender.deposit(bruno.own, SealedEnvelope(b"wrong"), bytes(16))
            assert world.remote in held_texts(world.home)
            await asyncio.sleep(IDLE_S + 3600 + FORGET_INTERVAL_S + 1)
            assert world.remote not in held_texts(world.home)
            await sender.fetch_account(bruno.own.account, bruno.delivery_token)
            assert world.remote in held_texts(world.home)
            await asyncio.sleep(2 * IDLE_S + 60 + FORGET_INTERVAL_S + 1)
            assert world.remote not in held_texts(world.home), "who has not registered is forgotten within minutes"

    run_virtually(scenario())
    written = b"".join(path.read_bytes() for path in tmp_path.glob("home.db*"))
    assert written
    assert b"198.51.100.77" not in written


def test_a_rate_outlives_no_window_and_no_other_key() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(LoopClock(loop.time), 2, 60.0)
        limiter.count("early")
        await asyncio.sleep(30)
        assert [limiter.count("late"), limiter.count("late"), limiter.count("late") > 0] == [0, 0, True]
        await asyncio.sleep(31)
        limiter.forget_past()
        assert held_texts(limiter) >= {"late"}
        assert "early" not in held_texts(limiter)
        assert limiter.count("late") > 0, "forgetting gives nobody a new window"
        await asyncio.sleep(30)
        limiter.forget_past()
        assert "late" not in held_texts(limiter)

    run_virtually(scenario())
