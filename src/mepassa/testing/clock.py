"""Clocks that tests turn by hand or that follow a virtual loop: the port `Clock`."""

from collections.abc import Callable

from mepassa.model.ids import Timestamp

START_MS = Timestamp(1_790_000_000_000)
"""Where virtual wall clocks begin: a plain moment in September 2026, so that no test depends on today."""


class VirtualClock:
    """Stands still until `advance`. For machines that are told the time and need no loop."""

    def __init__(self, *, start_ms: Timestamp = START_MS) -> None:
        self._elapsed_s = 0.0
        self._wall_ms: float = start_ms

    def monotonic(self) -> float:
        return self._elapsed_s

    def now_ms(self) -> Timestamp:
        return Timestamp(int(self._wall_ms))

    def advance(self, seconds: float = 0.0, *, days: float = 0.0) -> None:
        """Both clocks go forward. Raises `ValueError` for less than nothing."""
        step_s = seconds + days * 86_400
        if step_s < 0:
            raise ValueError("time does not go back; see jump_wall")
        self._elapsed_s += step_s
        self._wall_ms += step_s * 1000

    def jump_wall(self, delta_ms: int) -> None:
        """Someone sets the wall clock, forward or back; the monotonic one does not notice."""
        self._wall_ms += delta_ms


ManualClock = VirtualClock
"""The first name of it; two rooms use this one."""


class LoopClock:
    """Follows a loop's time (`LoopClock(world.time)`); each peer has its own, so that wall clocks may disagree."""

    def __init__(self, loop_time: Callable[[], float], *, start_ms: Timestamp = START_MS) -> None:
        self._loop_time = loop_time
        self._start_ms: int = start_ms

    def monotonic(self) -> float:
        return self._loop_time()

    def now_ms(self) -> Timestamp:
        return Timestamp(self._start_ms + int(self._loop_time() * 1000))

    def jump_wall(self, delta_ms: int) -> None:
        self._start_ms += delta_ms
