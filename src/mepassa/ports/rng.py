"""Chance is an argument; the real one stands beside its port."""

import random
from typing import Protocol


class Rng(Protocol):
    """`token` is for keys and ids and must be unpredictable outside tests; the others are for jitter and choice."""

    def token(self, size_bytes: int) -> bytes: ...

    def uniform(self, low: float, high: float) -> float: ...

    def below(self, limit: int) -> int:
        """0 <= result < limit."""
        ...


class SystemRng:
    """The operating system's generator, for everything."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def token(self, size_bytes: int) -> bytes:
        return self._random.randbytes(size_bytes)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def below(self, limit: int) -> int:
        return self._random.randrange(limit)
