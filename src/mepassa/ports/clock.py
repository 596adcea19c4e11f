"""Time is an argument."""

from typing import Protocol

from mepassa.model.ids import Timestamp


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds that only rise; the zero is arbitrary."""
        ...

    def now_ms(self) -> Timestamp:
        """Wall clock, unix milliseconds; may jump."""
        ...
