"""Locks for py-libp2p that make nobody wait for a turn while they are free.

trio's own lock lets every other task run before it is taken, free or not. The library takes some thirty of them on an
envelope's way there and back, which is half of what that way costs (docs/decisions/0093).
"""

from types import ModuleType
from typing import Any

import trio


class PromptLock:
    """A `trio.Lock` whose `async with` and `acquire` return at once while it is free."""

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def acquire(self) -> None:
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()

    def release(self) -> None:
        self._lock.release()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


class PromptSemaphore:
    """The same for a `trio.Semaphore`."""

    def __init__(self, initial_value: int) -> None:
        self._semaphore = trio.Semaphore(initial_value)

    @property
    def value(self) -> int:
        return self._semaphore.value

    async def acquire(self) -> None:
        try:
            self._semaphore.acquire_nowait()
        except trio.WouldBlock:
            await self._semaphore.acquire()

    def release(self) -> None:
        self._semaphore.release()


class PromptTrio(ModuleType):
    """`trio` as a module of the library is to see it."""

    Lock = PromptLock
    Semaphore = PromptSemaphore

    def __init__(self) -> None:
        super().__init__("trio")

    def __getattr__(self, name: str) -> Any:
        return getattr(trio, name)
