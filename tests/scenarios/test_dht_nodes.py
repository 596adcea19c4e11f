"""docs/protocol/presence.md with whole programs: the home is gone, every known address is stale, a DHT node is left."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from devtools.programs import WITHIN_S, HomeProgram, NodeProgram, befriend
from mepassa.cli.demo.stage import until

PUBLISHED = "presence.published"
TALKATIVE = ("--log", "info")


@asynccontextmanager
async def two_friends(folder: Path) -> AsyncIterator[tuple[HomeProgram, NodeProgram, NodeProgram]]:
    """A home that lists a DHT node of another process, and two contacts who have learnt of it there."""
    dht = HomeProgram(folder / "dht", roles=("bootstrap",))
    home = HomeProgram(folder / "home", roles=("mailbox",))
    ana, beto = (NodeProgram(name, folder / name.lower()) for name in ("Ana", "Beto"))
    try:
        listed = (await dht.start())["bootstrap"]
        await home.start("--bootstrap-peer", listed)
        await asyncio.gather(ana.init(home.url), beto.init(home.url))
        await asyncio.gather(ana.start(*TALKATIVE), beto.start(*TALKATIVE))
        await befriend(ana, beto)
        yield home, ana, beto
    finally:
        await asyncio.gather(ana.stop(), beto.stop(), home.program.stop(), dht.program.stop())


async def told(node: NodeProgram, times: int) -> None:
    """Until the node's log says so often that a DHT node took its presence."""

    async def often_enough() -> bool:
        return node.log().count(PUBLISHED) >= times

    await until(f"{node.name}'s presence, time {times}", often_enough, within_s=WITHIN_S)


@pytest.mark.slow
@pytest.mark.alone
async def test_two_contacts_find_each_other_by_the_dht_alone_now_and_later(tmp_path: Path) -> None:
    async with two_friends(tmp_path) as (home, ana, beto):
        for node in (ana, beto):
            await told(node, 1)  # from the moment that there is somebody who could look
        before = await ana.settled(await ana.say(beto, "while the home is there"), "delivered", "read")
        assert before["route"]["kind"] == "direct"

        await home.program.stop()
        await asyncio.gather(ana.stop(), beto.stop())
        said = [node.log().count(PUBLISHED) for node in (ana, beto)]
        # Started again, both listen at fresh ports under fresh names: whatever they know of each other is stale.
        await asyncio.gather(*(node.start(*TALKATIVE, connected=False) for node in (ana, beto)))
        for node, times in zip((ana, beto), said, strict=True):
            await told(node, times + 1)

        begun = time.monotonic()
        found = await ana.settled(await ana.say(beto, "by the DHT"), "delivered", "read")
        print(f"found by the DHT in {time.monotonic() - begun:.2f} s: {found['route']}")
        assert not await ana.connected()
        assert found["route"]["kind"] == "direct"
        assert found["route"]["transport"] == "libp2p"
        assert found["route"]["found_by"] == "dht"
        assert await beto.texts_from(ana) == ["while the home is there", "by the DHT"]

        # He comes back after her first look-up, which found where he was: she asks again before a minute is over.
        await beto.stop()
        waiting = await ana.say(beto, "when you are back")
        await ana.stop()
        await ana.start(*TALKATIVE, connected=False)
        await told(ana, 3)
        await beto.start(*TALKATIVE, connected=False)
        begun = time.monotonic()
        found = await ana.settled(waiting, "delivered", "read")
        print(f"found again in {time.monotonic() - begun:.2f} s: {found['route']}")
        assert found["route"]["found_by"] == "dht"
