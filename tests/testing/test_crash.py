"""mepassa.testing.crash: a crashed peer never runs again, not even to tidy up, and its next life finds only the disk."""

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from mepassa.testing import World


@dataclass
class Scene:
    """A sender that writes, sends and notes the acknowledgement; after a crash it starts again from its disk."""

    crash_step: int | None = None
    disk: set[str] = field(default_factory=set)
    received: list[str] = field(default_factory=list)
    tidied: list[int] = field(default_factory=list)
    crashed_at_s: list[float] = field(default_factory=list)
    steps: int = 0

    async def send(self, life_number: int) -> None:
        try:
            await asyncio.sleep(0)
            self.disk.add("queued")
            await asyncio.sleep(0.1)
            if "acknowledged" not in self.disk:
                self.received.append("message")
            await asyncio.sleep(0.1)
            self.disk.add("acknowledged")
        finally:
            self.tidied.append(life_number)

    def play(self, seed: int | None = None) -> None:
        world = World(seed)

        async def scenario() -> None:
            first = world.boot("ana").run(self.send(1))
            over = asyncio.Event()
            first.add_done_callback(lambda _: over.set())

            async def second_life() -> None:
                await asyncio.sleep(1)
                await world.boot("ana").run(self.send(2))
                over.set()

            def on_crash() -> None:
                self.crashed_at_s.append(world.time())
                restarts.append(world.create_task(second_life()))

            restarts: list[asyncio.Task[None]] = []
            if self.crash_step is not None:
                world.crash_at("ana", self.crash_step, on_crash)
            await over.wait()

        world.run(scenario())
        self.steps = world.steps["ana"]


def points() -> int:
    scene = Scene()
    scene.play()
    return scene.steps


def test_a_scene_without_a_crash_sends_once_and_tidies_up() -> None:
    scene = Scene()
    scene.play()
    assert (scene.received, scene.tidied, scene.crashed_at_s) == (["message"], [1], [])
    assert scene.steps >= 4


@pytest.mark.parametrize("step", range(1, points() + 1))
def test_the_finally_of_a_crashed_peer_never_runs(step: int) -> None:
    scene = Scene(crash_step=step)
    scene.play()
    gc.collect()  # Python would run what a dropped frame still has to say now
    assert len(scene.crashed_at_s) == 1
    assert scene.tidied == [2]
    assert "acknowledged" in scene.disk


def test_between_send_and_note_a_crash_makes_the_second_copy() -> None:
    """At least once: the crash that a simulator must find is one of the points."""
    copies = set()
    for step in range(1, points() + 1):
        scene = Scene(crash_step=step)
        scene.play()
        copies.add(len(scene.received))
    assert copies == {1, 2}


def test_the_same_seed_crashes_at_the_same_virtual_moment() -> None:
    moments = []
    for _ in range(2):
        scene = Scene(crash_step=3)
        scene.play(seed=5)
        moments.append(scene.crashed_at_s)
    assert moments[0] == moments[1]


def test_an_async_generator_of_a_crashed_peer_is_not_closed() -> None:
    closed: list[str] = []
    world = World()

    async def ticks(who: str) -> AsyncIterator[int]:
        try:
            for n in range(1000):
                yield n
                await asyncio.sleep(1)
        finally:
            closed.append(who)

    async def listen(who: str) -> None:
        async for _ in ticks(who):
            pass

    async def scenario() -> None:
        ana, bruno = world.boot("ana"), world.boot("bruno")
        ana.run(listen("ana"))
        bruno.run(listen("bruno"))
        await asyncio.sleep(3.5)
        ana.crash()
        await asyncio.sleep(3)

    world.run(scenario())
    gc.collect()
    assert closed == ["bruno"]


def test_a_peer_that_takes_its_own_power_stops_at_the_next_wait() -> None:
    seen: list[str] = []
    world = World()

    async def node() -> None:
        try:
            life.crash()
            seen.append("rest of the step")
            inner = asyncio.create_task(asyncio.sleep(1))
            await inner
            seen.append("never")
        finally:
            seen.append("never tidied")

    async def scenario() -> None:
        life.run(node())
        await asyncio.sleep(10)

    life = world.boot("ana")
    world.run(scenario())
    gc.collect()
    assert seen == ["rest of the step"]
    assert not world.is_alive("ana")


def test_what_is_handed_to_a_dead_peer_is_lost() -> None:
    got: list[int] = []
    world = World()

    async def scenario() -> None:
        life = world.boot("ana")
        life.call_soon(got.append, 1)
        await asyncio.sleep(0)
        life.crash()
        life.call_soon(got.append, 2)
        await asyncio.sleep(1)

    world.run(scenario())
    assert got == [1]
    assert world.steps["ana"] == 1


def test_steps_are_counted_per_peer_over_all_its_lives() -> None:
    world = World()

    async def two_steps() -> None:
        await asyncio.sleep(0)

    async def scenario() -> None:
        ana, bruno = world.boot("ana"), world.boot("bruno")
        await ana.run(two_steps())
        await bruno.run(two_steps())
        ana.crash()
        await world.boot("ana").run(two_steps())

    world.run(scenario())
    assert world.steps["ana"] == 2 * world.steps["bruno"]


def test_a_living_peer_is_not_booted_again() -> None:
    world = World()
    world.boot("ana")
    with pytest.raises(ValueError, match="ana is alive"):
        world.boot("ana")
    world.close()


def test_an_error_of_a_living_peer_that_nobody_awaits_fails_the_world() -> None:
    world = World()

    async def fails() -> None:
        raise LookupError("lost")

    async def scenario() -> None:
        world.boot("ana").run(fails())
        await asyncio.sleep(1)

    with pytest.raises(BaseExceptionGroup):
        world.run(scenario())
