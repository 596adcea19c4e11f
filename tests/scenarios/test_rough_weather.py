"""Connections that die at any frame, copies, delays, crashes, a home that restarts: everything arrives, once, in order."""

import asyncio
import os
from pathlib import Path

import pytest

from mepassa.model.status import MessageStatus
from mepassa.ports.stores import MessageKind
from mepassa.testing.network import Weather
from tests.scenarios.household import House, Peer, copied, everyone_home
from tests.scenarios.rough import RoughCourier

SEEDS = int(os.environ.get("MEPASSA_SEEDS", "6"))
"""More of them overnight: MEPASSA_SEEDS=500 ./dev run pytest tests/scenarios/test_rough_weather.py"""
ROUGH = Weather(latency_s=(0.01, 0.8), dies_per_frame=0.08, refuses_dial=0.2)


async def talk(house: House, writer: Peer, reader: Peer, texts: list[str]) -> None:
    for text in texts:
        await asyncio.sleep(house.rng.uniform(0, 8))
        await writer.send(reader, text)


async def misfortune(house: House, peer: Peer, times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(house.rng.uniform(2, 15))
        if peer.node is not None:
            peer.crash_at_step(1 + house.rng.below(60))


async def home_restarts(house: House) -> None:
    await asyncio.sleep(house.rng.uniform(5, 30))
    house.stop_home()
    await asyncio.sleep(house.rng.uniform(1, 20))
    await house.start_home()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_the_weather_everything_arrives_once(seed: int, two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed, weather=ROUGH, make_courier=RoughCourier)

    async def scenario() -> None:
        ana, beto = await everyone_home(house, "ana", "beto")
        texts = {peer.name: [f"{peer.name} {number}" for number in range(12)] for peer in (ana, beto)}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(talk(house, ana, beto, texts["ana"]))
            tasks.create_task(talk(house, beto, ana, texts["beto"]))
            tasks.create_task(misfortune(house, ana, 4))
            tasks.create_task(misfortune(house, beto, 4))
            tasks.create_task(home_restarts(house))
        await house.until(
            lambda: all(one.statuses(two) == [MessageStatus.DELIVERED] * 12 for one, two in ((ana, beto), (beto, ana))),
            within_s=6 * 3600,
        )
        await house.at_rest()
        for one, two in ((ana, beto), (beto, ana)):
            assert one.inbox(two) == texts[two.name]
            assert MessageKind.UNOPENED not in one.shown(two)
        print(f"seed {seed}: {house.crashes} crashes, {len(house.network.dials)} dials")

    house.run(scenario)
