"""Time is an argument; the real one stands beside its port."""

import time
from typing import Protocol

from mepassa.model.ids import Timestamp


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds that only rise; the zero is arbitrary."""
        ...

    def now_ms(self) -> Timestamp:
        """Wall clock, unix milliseconds; may jump."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now_ms(self) -> Timestamp:
        return Timestamp(time.time_ns() // 1_000_000)
