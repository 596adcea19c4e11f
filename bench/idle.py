"""What a node and a home hold in memory while nothing happens: resident, after a while with a contact and its path."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench.figure import Figure
from devtools.programs import household
from mepassa.cli.demo.program import Program

SETTLE_S = 10.0
NODE_MIB, HOME_MIB = 150.0, 65.0
"""What a node may take, and a home without the DHT node, once nothing has happened for a while."""


def run() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="mepassa-bench-") as folder:
        yield from asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> list[Figure]:
    async with household(folder) as (home, ana, beto):
        message = await ana.say(beto, "And then there was silence.")
        await ana.settled(message, "delivered", "read")
        await asyncio.sleep(SETTLE_S)
        cpu_s = [_cpu_s(program) for program in (ana.program, home.program)]
        await asyncio.sleep(SETTLE_S)
        node_load, home_load = (
            (_cpu_s(program) - before) / SETTLE_S * 100
            for program, before in zip((ana.program, home.program), cpu_s, strict=True)
        )
        return [
            Figure(figure="node", value=_mib(ana.program), unit="MiB", rival="goal", rival_value=NODE_MIB),
            Figure(figure="home", value=_mib(home.program), unit="MiB", rival="goal", rival_value=HOME_MIB),
            Figure(figure="node with a live path", value=node_load, unit="% of a core"),
            Figure(figure="home with two devices", value=home_load, unit="% of a core"),
        ]


def _mib(program: Program) -> float:
    return float(psutil.Process(program.pid).memory_info().rss) / 2**20


def _cpu_s(program: Program) -> float:
    times = psutil.Process(program.pid).cpu_times()
    return float(times.user + times.system)
