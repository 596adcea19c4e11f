"""Chance with a seed: the port `Rng` for tests and the simulator. Never for real keys."""

from hashlib import sha256
from random import Random


class SeededRng:
    """The same seed gives the same sequence, on every machine and Python."""

    def __init__(self, seed: int | str) -> None:
        self._seed = str(seed)
        self._dice = Random(int.from_bytes(sha256(self._seed.encode()).digest()))

    def token(self, size_bytes: int) -> bytes:
        return self._dice.randbytes(size_bytes)

    def uniform(self, low: float, high: float) -> float:
        return self._dice.uniform(low, high)

    def below(self, limit: int) -> int:
        return self._dice.randrange(limit)

    def fork(self, name: str) -> "SeededRng":
        """A sequence of its own for one peer or one purpose: drawing from it moves no other, whatever was drawn before."""
        return SeededRng(f"{self._seed}/{name}")
