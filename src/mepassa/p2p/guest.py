"""trio as a guest in the asyncio loop: the one place where the two meet.

py-libp2p is written for trio. In guest mode trio runs in the same thread, between the callbacks of the loop that is
already there; a call across costs some 50 microseconds. trio allows one run a thread, so a process has one `TrioGuest`
a loop, and everything that speaks libp2p is handed it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

import trio

from mepassa.p2p.ticks import GuestTicks

log = logging.getLogger("mepassa.p2p")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class TrioGuest:
    """`start` before anything else, `stop` at the end; both from the loop's thread, as is every other call."""

    def __init__(self) -> None:
        self._nursery: trio.Nursery | None = None
        self._over: asyncio.Future[Any] | None = None
        self._ticks: GuestTicks | None = None
        self._ends: list[Callable[[], Awaitable[None]]] = []

    async def start(self) -> None:
        """Raises `RuntimeError` when trio already runs in this thread."""
        loop = asyncio.get_running_loop()
        self._ticks = GuestTicks(loop)
        ready = asyncio.Event()
        over: asyncio.Future[Any] = loop.create_future()

        async def main() -> None:
            async with trio.open_nursery() as self._nursery:
                ready.set()
                await trio.sleep_forever()

        def soon_threadsafe(step: Callable[[], object]) -> None:
            loop.call_soon_threadsafe(step)

        trio.lowlevel.start_guest_run(
            main,
            run_sync_soon_threadsafe=soon_threadsafe,
            run_sync_soon_not_threadsafe=self._ticks.soon,
            done_callback=over.set_result,
            host_uses_signal_set_wakeup_fd=True,
        )
        self._over = over
        await ready.wait()

    async def stop(self) -> None:
        """Stop what was forgotten, cancel what still runs in trio, wait for it. Does nothing when it was never started."""
        if self._nursery is None or self._over is None:
            return
        while self._ends:  # sockets are closed in order: a task that is cancelled in the middle of it leaves them open
            await self._ends.pop()()
        self._nursery.cancel_scope.cancel()
        self._nursery = None
        await asyncio.shield(self._over)

    async def call(self, work: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Run an async trio function and wait for it from asyncio.

        Cancelling the wait cancels the work, and waits until it has tidied up.
        """
        scope = trio.CancelScope()
        done = self._begin(scope, work, *args)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            scope.cancel()
            if not done.done():
                await asyncio.wait({done})
            if not done.cancelled():
                done.exception()  # seen: the caller has gone
            raise

    def begin(self, work: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> "asyncio.Future[T]":
        """The same, begun when this returns. Cancelling the future cancels the work and waits for nothing."""
        scope = trio.CancelScope()
        done = self._begin(scope, work, *args)
        done.add_done_callback(lambda _: scope.cancel() if done.cancelled() else None)
        return done

    def _begin(self, scope: trio.CancelScope, work: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> "asyncio.Future[T]":
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def job() -> None:
            try:
                with scope:
                    result = await work(*args)
                    if not done.done():
                        done.set_result(result)
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller
                if not done.done():
                    done.set_exception(error)
            finally:
                if not done.done():
                    done.cancel()

        self.spawn(job)
        return done

    def before_end(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Call this (in asyncio) when the guest is stopped and nobody has said `forget`."""
        self._ends.append(stop)

    def forget(self, stop: Callable[[], Awaitable[None]]) -> None:
        if stop in self._ends:
            self._ends.remove(stop)

    def spawn(self, job: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Start a trio task that looks after itself. What it raises ends it alone: strangers may be behind it."""
        if self._nursery is None or self._ticks is None:
            raise RuntimeError("trio does not run")
        self._ticks.hand_over(partial(self._nursery.start_soon, self._contained, job, *args))

    @staticmethod
    async def _contained(job: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        try:
            await job(*args)
        except Exception as error:  # noqa: BLE001 - libraries raise what they like; every other link lives on
            log.error("trio.task_failed", extra={"error": type(error).__name__})  # noqa: TRY400 - no foreign words
