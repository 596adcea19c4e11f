"""Random histories of one mailbox on a virtual loop: nothing answered with yes is lost, each connection keeps its order."""

import asyncio
from pathlib import Path

import pytest

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import MepassaError, UnlistedDeviceError
from mepassa.testing import LoopClock, VirtualLoop
from mepassa.testing.people import Listener
from tests.server.home_world import HomeWorld, Online, home_world

HISTORIES = 6
STEPS = 120
SENDERS = 3


class Slow(Listener):
    """Takes its time, and if moody sometimes does not take an envelope at all."""

    def __init__(self, world: HomeWorld, *, moody: bool) -> None:
        super().__init__()
        self._dice, self._moody = world.rng.fork("moods"), moody

    async def envelope_delivered(self, envelope: SealedEnvelope) -> None:
        await asyncio.sleep(self._dice.uniform(0, 0.006))
        if self._moody and self._dice.below(40) == 0:
            raise UnlistedDeviceError
        await super().envelope_delivered(envelope)


async def history(folder: Path, seed: int, *, moody: bool) -> None:
    async with home_world(folder, seed=seed, inline=True, clock=LoopClock(asyncio.get_running_loop().time)) as world:
        dice = world.rng.fork("steps")
        bruno = await world.person()
        senders = [world.sender() for _ in range(SENDERS)]
        listener = Slow(world, moody=moody)
        said_yes: set[bytes] = set()
        counts = [0] * SENDERS
        deposits: set[asyncio.Task[None]] = set()
        online: Online | None = None

        async def deposit(sender: int, number: int) -> None:
            raw = b"%d/%d/" % (sender, number) + bytes(dice.below(9_000))
            try:
                await senders[sender].deposit(bruno.own, SealedEnvelope(raw), bruno.delivery_token)
            except MepassaError:
                return
            said_yes.add(raw)

        for _ in range(STEPS):
            match dice.below(10):
                case 0 if online is None:
                    online = await world.online(bruno, listener)
                case 1 if online is not None:
                    await online.leave()
                    online = None
                case 2 if online is not None and dice.below(2):
                    world.device_streams[-1].drop()
                    await online.leave()
                    online = None
                case 3:
                    await asyncio.sleep(dice.uniform(0, 0.01))
                case _:
                    sender = dice.below(SENDERS)
                    for _ in range(1 + dice.below(6)):
                        deposits.add(asyncio.create_task(deposit(sender, counts[sender])))
                        counts[sender] += 1
        await asyncio.gather(*deposits)
        if online is not None:
            await online.leave()
        listener_at_rest = Listener()
        last = await world.online(bruno, listener_at_rest)
        await world.until_empty()
        await last.leave()

        seen = [each.raw for each in (*listener.envelopes, *listener_at_rest.envelopes)]
        assert said_yes <= set(seen)
        assert len(said_yes) == sum(counts)
        if not moody:  # an envelope that the device refuses comes after others, on its next connection
            check_order(seen)


def check_order(envelopes: list[bytes]) -> None:
    """First sightings of one connection's deposits rise."""
    highest = [-1] * SENDERS
    for raw in dict.fromkeys(envelopes):
        sender, number = (int(part) for part in raw.split(b"/")[:2])
        assert number > highest[sender]
        highest[sender] = number


@pytest.mark.parametrize("moody", [False, True])
@pytest.mark.parametrize("number", range(HISTORIES))
def test_whatever_comes_and_goes_all_that_was_answered_arrives(
    tmp_path: Path, seed: int, number: int, moody: bool
) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(history(tmp_path, seed * HISTORIES + number, moody=moody))
