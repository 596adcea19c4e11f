"""Chance is an argument."""

from typing import Protocol


class Rng(Protocol):
    """`token` is for keys and ids and must be unpredictable outside tests; the others are for jitter and choice."""

    def token(self, size_bytes: int) -> bytes: ...

    def uniform(self, low: float, high: float) -> float: ...

    def below(self, limit: int) -> int:
        """0 <= result < limit."""
        ...
