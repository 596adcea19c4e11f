"""Locks for py-libp2p that make nobody wait for a turn while they are free.

trio's own lock lets every other task run before it is taken, free or not (docs/decisions/0093).
"""

from types import ModuleType
from typing import Any

import trio


class PromptLock:
    """A `trio.Lock` whose `async with` and `acquire` return at once while it is free. First come, first served."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting = trio.lowlevel.ParkingLot()

    async def acquire(self) -> None:
        if self._taken:
            await self._waiting.park()  # woken, it is ours: `release` has not freed it in between
        self._taken = True

    def release(self) -> None:
        if self._waiting:
            self._waiting.unpark()
        else:
            self._taken = False

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()


class PromptTrio(ModuleType):
    """`trio` as a module of the library is to see it."""

    Lock = PromptLock

    def __init__(self) -> None:
        super().__init__("trio")

    def __getattr__(self, name: str) -> Any:
        return getattr(trio, name)
