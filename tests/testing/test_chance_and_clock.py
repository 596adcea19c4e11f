"""mepassa.testing.chance and .clock: they are the ports, and the same seed gives the same world."""

import asyncio

import pytest

from mepassa.ports.clock import Clock
from mepassa.ports.rng import Rng
from mepassa.testing import START_MS, LoopClock, SeededRng, VirtualClock, VirtualLoop


def test_seeded_chance_is_the_port_and_repeats() -> None:
    def draws(rng: Rng) -> list[object]:
        return [rng.token(16), rng.uniform(1, 2), rng.below(10)]

    assert draws(SeededRng(7)) == draws(SeededRng(7))
    assert draws(SeededRng(7)) != draws(SeededRng(8))


def test_chance_stays_in_its_bounds() -> None:
    rng = SeededRng("bounds")
    assert all(0 <= rng.below(3) < 3 for _ in range(100))
    assert all(1 <= rng.uniform(1, 2) <= 2 for _ in range(100))
    assert len(rng.token(33)) == 33


def test_a_fork_does_not_depend_on_what_was_drawn_before() -> None:
    early, late = SeededRng(7), SeededRng(7)
    late.token(100)
    assert early.fork("ana").token(8) == late.fork("ana").token(8)
    assert early.fork("ana").token(8) != early.fork("bruno").token(8)


def test_a_manual_clock_is_the_port_and_moves_only_when_told() -> None:
    clock = VirtualClock()
    port: Clock = clock
    assert (port.monotonic(), port.now_ms()) == (0.0, START_MS)
    clock.advance(1.5, days=1)
    assert (port.monotonic(), port.now_ms()) == (86_401.5, START_MS + 86_401_500)
    clock.jump_wall(-3_600_000)
    assert (port.monotonic(), port.now_ms()) == (86_401.5, START_MS + 82_801_500)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


def test_a_loop_clock_follows_virtual_time() -> None:
    async def main() -> tuple[float, int]:
        clock = LoopClock(asyncio.get_running_loop().time)
        port: Clock = clock
        clock.jump_wall(500)
        await asyncio.sleep(60)
        return port.monotonic(), port.now_ms()

    assert VirtualLoop().run(main()) == (60.0, START_MS + 60_500)
