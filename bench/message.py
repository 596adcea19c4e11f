"""How long a message takes between two real nodes on loopback, from the call that sends it until it counts as delivered.

By a live direct path; without a path, connect included, directly and by the relay; and stored for someone known to be
away. Where there is a goal it stands as the rival: a ratio below one keeps it. Three syncs are in a direct message: the sender's,
the recipient's before it acknowledges, and the sender's again of that.
"""

import asyncio
import contextlib
import secrets
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from bench.figure import Figure, disk_sync_ms
from bench.local_caller import LocalCaller
from devtools.programs import WITHIN_S, HomeProgram, NodeProgram, befriend
from mepassa.cli.demo.stage import until

MESSAGES, ROUNDS = 200, 5
PAUSES_S = {"one after another": 0.0, "20 ms apart": 0.02}
"""Between a message's tick and the next message. After a pause the processors have turned to others, and their caches with
them: the same work takes half as long again on a shared machine."""
FIRSTS = 3
"""A first message costs the start of a node."""
DIRECT_MS = 5.0
SYNCS = 3
FIRST_DIRECT_MS = 1_000.0
FIRST_RELAYED_MS = 2_500.0
STORED_MS = 400.0


def run() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="mepassa-bench-") as folder:
        yield from asyncio.run(_measure(Path(folder)))


@contextlib.asynccontextmanager
async def caller_of(node: NodeProgram) -> AsyncIterator[LocalCaller]:
    with LocalCaller(node.url, node.token) as caller:
        await asyncio.sleep(0.1)  # the feed begins at the newest event when it has looked
        yield caller


def _timed(caller: LocalCaller, to: NodeProgram, status: str, kind: str) -> float | None:
    """Milliseconds until the status; None when the message went another way."""
    body = {"client_id": secrets.token_hex(16), "text": "How long does this take? " * 4}
    started = time.perf_counter()
    sent = caller.post(f"/chats/{to.account_id}/messages", body)
    while True:
        event = caller.next_event()
        if event["type"] == "status" and event["message_id"] == sent["id"] and event["status"] == status:
            heard = time.perf_counter()
            return (heard - started) * 1000 if event["route"]["kind"] == kind else None


async def _measure(folder: Path) -> list[Figure]:
    home = HomeProgram(folder / "home")
    ana, beto = (NodeProgram(name, folder / name.lower()) for name in ("Ana", "Beto"))
    try:
        await home.start()
        await asyncio.gather(ana.init(home.url), beto.init(home.url))
        await asyncio.gather(ana.start(), beto.start())
        await befriend(ana, beto)
        figures = await _direct(folder, ana, beto)
        figures += await _firsts("direct, last known address", FIRST_DIRECT_MS, ana, beto, again=ana)
        figures += await _firsts("direct, through a signal", FIRST_DIRECT_MS, ana, beto, again=beto)
        await beto.put("/paths", {"direct": False})
        figures += await _firsts("relayed", FIRST_RELAYED_MS, ana, beto, again=ana)
        return figures + await _stored(home, ana, beto)
    finally:
        await asyncio.gather(ana.stop(), beto.stop(), home.program.stop())


async def _direct(folder: Path, ana: NodeProgram, beto: NodeProgram) -> list[Figure]:
    sync_ms = disk_sync_ms(folder)
    async with caller_of(ana) as caller:
        _timed(caller, beto, "delivered", "direct")
        await _seen(ana, beto, "direct")
        times_ms: dict[str, list[float]] = {how: [] for how in PAUSES_S}
        for _ in range(ROUNDS):
            for how, pause_s in PAUSES_S.items():
                times_ms[how] += await _one_round(caller, beto, pause_s)
    goal = DIRECT_MS + SYNCS * sync_ms
    found = [Figure(figure="one sync of this disk", value=sync_ms, unit="ms")]
    for how, times in times_ms.items():
        p50, p95 = statistics.median(times), sorted(times)[int(len(times) * 0.95)]
        found += [
            Figure(figure=f"direct, {how}, p50", value=p50, unit="ms", rival="goal: 5 ms + 3 syncs", rival_value=goal),
            Figure(figure=f"direct, {how}, p95", value=p95, unit="ms"),
        ]
    return found


async def _one_round(caller: LocalCaller, beto: NodeProgram, pause_s: float) -> list[float]:
    """The two ways take turns, so that a slow spell of the machine does not hit one of them alone."""
    times_ms = []
    for _ in range(MESSAGES // ROUNDS):
        if pause_s:
            await asyncio.sleep(pause_s)
        if (took_ms := _timed(caller, beto, "delivered", "direct")) is not None:
            times_ms.append(took_ms)
    return times_ms


async def _firsts(
    name: str, goal_ms: float, ana: NodeProgram, beto: NodeProgram, *, again: NodeProgram
) -> list[Figure]:
    """Ana's first message without a path; `again` is the node that was started anew before it."""
    times_ms: list[float] = []
    other_ways = 0
    for _ in range(FIRSTS):
        await again.stop()
        await again.start()
        await _seen(ana, beto, None)
        async with caller_of(ana) as caller:
            took_ms = _timed(caller, beto, "delivered", name.partition(",")[0])
        if took_ms is None:
            other_ways += 1
        else:
            times_ms.append(took_ms)
    found = [Figure(figure=f"first, {name}: took another way", value=other_ways, unit=f"of {FIRSTS}")]
    if times_ms:
        p50, worst = statistics.median(times_ms), max(times_ms)
        found += [
            Figure(figure=f"first, {name}, p50", value=p50, unit="ms", rival="goal", rival_value=goal_ms),
            Figure(figure=f"first, {name}, worst", value=worst, unit="ms", rival="goal", rival_value=goal_ms),
        ]
    return found


async def _stored(home: HomeProgram, ana: NodeProgram, beto: NodeProgram) -> list[Figure]:
    """The first asks the home, which says that no device is there; the others know it."""
    await beto.stop()

    async def gone() -> bool:
        return bool((await home.counters())["devices_online"] == 1)

    await until("the home's notice that Beto is gone", gone, within_s=WITHIN_S)
    await _seen(ana, beto, None)
    async with caller_of(ana) as caller:
        times_ms = [_timed(caller, beto, "stored", "stored") for _ in range(21)]
    first, known = times_ms[0], [took for took in times_ms[1:] if took is not None]
    return [
        Figure(figure="stored, nobody there, the first", value=first or 0.0, unit="ms"),
        Figure(
            figure="stored, known to be away, p50", value=statistics.median(known), unit="ms", rival="goal",
            rival_value=STORED_MS,
        ),
        Figure(
            figure="stored, known to be away, worst", value=max(known), unit="ms", rival="goal", rival_value=STORED_MS
        ),
    ]  # fmt: skip


async def _seen(ana: NodeProgram, beto: NodeProgram, kind: str | None) -> None:
    """Until Ana sees that path to Beto, or none."""

    async def there() -> bool:
        return await ana.path_to(beto) == kind

    await until(f"the path {kind}", there, within_s=WITHIN_S)
