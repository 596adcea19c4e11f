"""The home's own code on a virtual loop: no thread, no socket, real SQLite; a month passes in a moment."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path

from mepassa.model.envelope import SealedEnvelope
from mepassa.ports.mailbox import DepositOutcome
from mepassa.testing import LoopClock, VirtualLoop
from mepassa.testing.people import Listener
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
