"""ARCHITECTURE.md, "How we know it works": a crash at every step of send and of receive, exactly once on the screen.

Real machines and services, the server's own home, real SQLCipher files. A peer loses its power between two steps:
nothing of it runs again, its file is reopened a second later by a new life.
"""

import asyncio
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mepassa.client.inbox import Arrival, Inbox
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import MepassaError, TransientError
from mepassa.model.status import MessageStatus
from mepassa.ports.stores import MessageKind
from tests.scenarios.household import House, Peer, copied, everyone_home, link_of

FEWEST_POINTS = 100
STRIDE = int(os.environ.get("MEPASSA_STRIDE", "7"))
"""Every so many steps of a first contact are tried; MEPASSA_STRIDE=1 tries all."""
TEXT = "uma vez só"
ANSWER = "recebi, uma vez"


class HastyInbox(Inbox):
    """The planted fault: it says that it has taken an envelope, and takes it then."""

    async def receive(self, envelope: SealedEnvelope, arrival: Arrival) -> bool:
        asyncio.get_running_loop().create_task(self._later(envelope, arrival))
        return True

    async def _later(self, envelope: SealedEnvelope, arrival: Arrival) -> None:
        await asyncio.sleep(0.05)
        try:
            await super().receive(envelope, arrival)
        except MepassaError:
            pass


@dataclass(frozen=True)
class Ending:
    """How the story of one message ended."""

    steps: dict[str, int]
    crashed: int
    shown: tuple[str, ...]
    strange: tuple[MessageKind, ...]
    statuses: tuple[MessageStatus, ...]
    left_over: int
    answers: tuple[str, ...] = (ANSWER,)

    @property
    def is_right(self) -> bool:
        return (
            self.shown == (TEXT,)
            and self.strange == ()
            and self.statuses == (MessageStatus.READ,)
            and self.left_over == 0
            and self.answers == (ANSWER,)
        )


def steps_since(before: dict[str, int], house: House) -> dict[str, int]:
    return {name: house.world.steps[name] - before[name] for name in ("ana", "beto")}


def ending(house: House, ana: Peer, beto: Peer, steps: dict[str, int]) -> Ending:
    return Ending(
        steps=steps,
        crashed=house.crashes,
        shown=tuple(beto.inbox(ana)),
        strange=tuple(kind for kind in beto.shown(ana) + ana.shown(beto) if kind is not MessageKind.TEXT),
        statuses=tuple(ana.statuses(beto)),
        left_over=ana.waiting() + beto.waiting(),
    )


def story(
    template: Path, folder: Path, seed: int, crash: tuple[str, int] | None, *, inbox: type[Inbox] = Inbox
) -> Ending:
    """Ana writes, Beto reads and answers, Ana learns of both; one of them crashes at one step."""
    house = copied(template, folder, seed, make_inbox=inbox)

    async def scenario() -> Ending:
        ana, beto = await everyone_home(house, "ana", "beto")
        before = dict(house.world.steps)
        if crash is not None:
            house.peers[crash[0]].crash_at_step(crash[1])
        await ana.send(beto, TEXT)
        try:
            await house.until(lambda: bool(beto.inbox(ana)), within_s=900)
            await read(beto, ana)
            await beto.send(ana, ANSWER)
            await house.until(lambda: ana.statuses(beto) == [MessageStatus.READ], within_s=900)
            await house.until(lambda: beto.statuses(ana) == [MessageStatus.DELIVERED], within_s=900)
            await house.at_rest(within_s=900)
        except TimeoutError:
            pass
        steps = steps_since(before, house)
        await asyncio.sleep(10)
        return replace(ending(house, ana, beto, steps), answers=tuple(ana.inbox(beto)))

    try:
        return house.run(scenario)
    finally:
        shutil.rmtree(folder)


async def read(reader: Peer, writer: Peer) -> None:
    last = reader.screen(writer)[-1].id
    account = writer.account
    await reader.ask(lambda messenger: messenger.mark_read(account, last))


def points_of(calm: Ending) -> list[tuple[str, int]]:
    return [(name, step) for name, steps in calm.steps.items() for step in range(1, steps + 1)]


@pytest.mark.slow
def test_a_crash_at_any_step_of_send_or_receive_shows_the_message_once(two_friends: Path, tmp_path: Path) -> None:
    seed, crashed, wrong = 7, 0, []
    calm = story(two_friends, tmp_path / "calm", seed, None)
    assert calm.is_right, calm
    points = points_of(calm)
    for point in points:
        ending = story(two_friends, tmp_path / "story", seed, point)
        crashed += ending.crashed
        if not ending.is_right:
            wrong.append((point, ending))
    print(f"crash points: {len(points)}, {calm.steps} (seed {seed})")
    assert len(points) >= FEWEST_POINTS
    assert wrong == []
    assert crashed >= len(points) * 9 // 10, "the crashes did not fall where they should"


@pytest.mark.slow
def test_an_inbox_that_acknowledges_before_its_commit_is_caught(two_friends: Path, tmp_path: Path) -> None:
    """The planted fault: without a crash nobody notices, with one at the wrong step the message is lost."""
    seed = 7
    calm = story(two_friends, tmp_path / "calm", seed, None, inbox=HastyInbox)
    assert calm.is_right, calm
    for point in points_of(calm):
        if (
            point[0] == "beto"
            and not (ending := story(two_friends, tmp_path / "story", seed, point, inbox=HastyInbox)).is_right
        ):
            print(f"seen red at {point}: {ending} (seed {seed})")
            assert ending.shown == ()
            return
    pytest.fail("a message acknowledged before it was committed was never lost: the simulator proves nothing")


@pytest.mark.slow
def test_a_crash_at_any_step_of_a_first_contact_ends_in_a_friendship(two_strangers: Path, tmp_path: Path) -> None:
    seed = 11
    calm = first_contact(two_strangers, tmp_path / "calm", seed, None)
    assert calm.is_right, calm
    points = points_of(calm)[::STRIDE]
    wrong = [
        (point, ending)
        for point in points
        if not (ending := first_contact(two_strangers, tmp_path / "story", seed, point)).is_right
    ]
    print(f"crash points: {len(points)} of {len(points_of(calm))} (seed {seed})")
    assert wrong == []


def first_contact(template: Path, folder: Path, seed: int, crash: tuple[str, int] | None) -> Ending:
    """Ana adds Beto by his link and writes; he accepts and answers; one of them crashes at one step."""
    house = copied(template, folder, seed)

    async def scenario() -> Ending:
        ana, beto = await everyone_home(house, "ana", "beto")
        link = await link_of(beto)
        before = dict(house.world.steps)
        if crash is not None:
            house.peers[crash[0]].crash_at_step(crash[1])
        await add(ana, link)
        await ana.send(beto, TEXT)
        try:
            await house.until(lambda: bool(beto.inbox(ana)), within_s=900)
            account = ana.account
            await beto.ask(lambda messenger: messenger.accept(account))
            await house.until(lambda: ana.statuses(beto) == [MessageStatus.DELIVERED], within_s=900)
            await read(beto, ana)
            await house.until(lambda: ana.statuses(beto) == [MessageStatus.READ], within_s=900)
            await house.at_rest(within_s=900)
        except TimeoutError:
            pass
        return ending(house, ana, beto, steps_since(before, house))

    try:
        return house.run(scenario)
    finally:
        shutil.rmtree(folder)


async def add(peer: Peer, link: str) -> None:
    """As often as it takes: the home may be out of reach for a moment, and limits how often it is asked."""
    while True:
        try:
            await peer.ask(lambda messenger: messenger.add_contact(link))
            return
        except TransientError:
            await asyncio.sleep(5)
