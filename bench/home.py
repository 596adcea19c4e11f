"""The home under load: deposits for absent devices, one and 32 in flight; a drain; deposits for a connected device.

One home process with a real disk, 512-byte envelopes, 20 senders for 20 people on the same machine, no TLS. Workloads as
in docs/protocol/home.md, "Figures". Only ratios within a run compare.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psutil

from bench.figure import Figure
from devtools.home_load import CLOCK, OnlineDevice, Sender, envelopes_for, load, register_people
from devtools.home_process import HomeProcess, home_process
from mepassa.ports.rng import SystemRng
from mepassa.testing.people import Listener, Person
from mepassa.transports.mailbox import SealedHomes, WebSocketDialer
from mepassa.wire.mailbox import Hello, encode_deposit_to_home
from mepassa.wire.wellknown import DEPOSIT_PATH

SENDERS = 20
SIZE_BYTES = 512
ROUNDS = {1: 150, 32: 1_000}
"""In flight a sender -> deposits a sender."""
ONLINE_DEPOSITS = 500
IDLE_SOCKETS = 400


def run() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="mepassa-bench-") as folder:
        policy = {"mailbox_envelopes": 1_000_000, "refusals_per_minute": 10**9, "registrations_per_hour": 10**9}
        with home_process(Path(folder) / "home", admin_host="127.0.0.1", policy=policy) as home:
            yield from asyncio.run(_measure(home))


async def _measure(home: HomeProcess) -> list[Figure]:
    rng, inside, outside = SystemRng(), WebSocketDialer(private_homes=True), WebSocketDialer(private_homes=True)
    figures = [Figure(figure="home, idle", value=_resident_mib(home), unit="MiB")]
    people = await register_people(inside, home.address, rng, SENDERS)
    for in_flight, count in ROUNDS.items():
        figures += await _deposits(home, outside, people, in_flight, count)
    figures.append(await _idle(home, outside))
    figures.append(await _drain(home, inside, people, sum(ROUNDS.values())))
    figures += await _online(home, inside, outside, people[0])
    await inside.close()
    await outside.close()
    return figures


async def _deposits(
    home: HomeProcess, dial: WebSocketDialer, people: list[Person], in_flight: int, count: int
) -> list[Figure]:
    senders = [await Sender.connect(dial, home.address, person) for person in people]
    work = [envelopes_for(in_flight * 1_000 + n, count, SIZE_BYTES) for n in range(SENDERS)]
    commits, cpu_s, started = await _commits(home), _cpu_s(home), time.perf_counter()
    await load(senders, work, in_flight)
    took_s = time.perf_counter() - started
    total = sum(len(sender.acknowledged) for sender in senders)
    assert total == SENDERS * count
    for sender in senders:
        await sender.stream.close()
    name = f"deposits, {SENDERS} senders, {in_flight} in flight"
    return [
        Figure(figure=name, value=total / took_s, unit="1/s"),
        Figure(figure=f"{name}: CPU of the home", value=(_cpu_s(home) - cpu_s) / total * 1000, unit="s/1k"),
        Figure(figure=f"{name}: syncs a deposit", value=(await _commits(home) - commits) / total, unit="1"),
    ]


async def _idle(home: HomeProcess, dial: WebSocketDialer) -> Figure:
    """What sockets that have said hello and nothing since cost."""
    before = _resident_mib(home)
    streams = [await dial(home.url, DEPOSIT_PATH) for _ in range(IDLE_SOCKETS)]
    for stream in streams:
        await stream.send(encode_deposit_to_home([Hello(bytes(32))]))
        await stream.receive()
    grown = _resident_mib(home) - before
    await asyncio.gather(*(stream.close() for stream in streams))
    return Figure(figure="idle sockets", value=grown * 1000 / IDLE_SOCKETS, unit="MiB/1k")


async def _drain(home: HomeProcess, dial: WebSocketDialer, people: list[Person], each: int) -> Figure:
    started, rng = time.perf_counter(), SystemRng()
    for person in people[:5]:
        listener = Listener()
        async with OnlineDevice(dial, home.address, person, listener, rng):
            await listener.until_envelopes(each)
    return Figure(
        figure="drain, one device after the other", value=5 * each / (time.perf_counter() - started), unit="1/s"
    )


async def _online(home: HomeProcess, inside: WebSocketDialer, outside: WebSocketDialer, person: Person) -> list[Figure]:
    rng, homes = SystemRng(), SealedHomes(outside, clock=CLOCK, rng=SystemRng())
    sender, times_ms, commits = homes.recipient(home.address), [], await _commits(home)
    async with OnlineDevice(inside, home.address, person, Listener(), rng):
        for envelope in envelopes_for(7_000, ONLINE_DEPOSITS, SIZE_BYTES):
            started = time.perf_counter()
            await sender.deposit(person.own, envelope, person.delivery_token)
            times_ms.append((time.perf_counter() - started) * 1000)
    await homes.close()
    return [
        Figure(figure="deposit for a connected device, p50", value=statistics.median(times_ms), unit="ms"),
        Figure(
            figure="deposit for a connected device, p99", value=sorted(times_ms)[int(len(times_ms) * 0.99)], unit="ms"
        ),
        Figure(
            figure="deposit for a connected device: syncs a deposit",
            value=(await _commits(home) - commits) / ONLINE_DEPOSITS,
            unit="1",
        ),
    ]


async def _commits(home: HomeProcess) -> int:
    async with aiohttp.ClientSession() as client, client.get(home.ready["admin"] + "/metrics") as response:
        return int(json.loads(await response.text())["commits"])


def _cpu_s(home: HomeProcess) -> float:
    times = psutil.Process(home.pid).cpu_times()
    return float(times.user + times.system)


def _resident_mib(home: HomeProcess) -> float:
    return float(psutil.Process(home.pid).memory_info().rss / 2**20)
