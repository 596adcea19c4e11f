"""trio's steps in the asyncio loop without a thread.

In guest mode trio hands each wait for its sockets to a thread, which costs two hand-offs between threads for every
packet and every call across (some 0.2 ms; docs/decisions/0093). Where trio waits on an epoll descriptor, which is
Linux, the loop can watch that descriptor itself. Elsewhere, and with a trio whose inside is another, its own way stays.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import outcome
import sniffio

Step = Callable[[], object]

STEPS = 8
"""A packet or a call across takes about so many runs; then it is the turn of the loop's other callbacks again."""


class GuestTicks:
    """Takes the place of `GuestState.guest_tick` (trio 0.35): `soon` is handed to `start_guest_run` as its
    `run_sync_soon_not_threadsafe`. Everything happens in the loop's thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._state: Any = None
        self._descriptor: int | None = None
        self._waits = False
        self._timer: asyncio.TimerHandle | None = None

    def soon(self, step: Step) -> None:
        """trio's first step is a bound method of its `GuestState`; from there on the steps are ours, where they can be."""
        if self._state is None:
            self._state = getattr(step, "__self__", None)
            self._descriptor = _epoll_of(self._state)
            if self._descriptor is not None:
                self._loop.add_reader(self._descriptor, self._ready)
        self._loop.call_soon(step if self._descriptor is None else self._tick)

    def hand_over(self, hand: Callable[[], None]) -> None:
        """`hand` gives trio work from outside, which trio does as far as it can before this returns."""
        if self._descriptor is None or not self._waits:
            hand()
            return
        self._state.runner.guest_tick_scheduled = True  # spares trio the wake-up through a socket of its own
        try:
            hand()
        finally:
            self._ready()

    def _tick(self) -> None:
        """Whatever trio can do now, at most `STEPS` runs of it, then either the next in turn or a wait."""
        for _ in range(STEPS):
            if not self._step():
                return
        self._loop.call_soon(self._tick)

    def _step(self) -> bool:
        """One run; whether there is more to do at once."""
        state = self._state
        before, sniffio.thread_local.name = sniffio.thread_local.name, "trio"
        try:
            timeout_s = state.unrolled_run_next_send.send(state.unrolled_run_gen)
        except StopIteration:
            self._end(state.runner.main_task_outcome)
            return False
        except Exception as error:  # noqa: BLE001 - a `TrioInternalError`: the run is over, whoever waits is told
            self._end(outcome.Error(error))
            return False
        finally:
            sniffio.thread_local.name = before
        events = outcome.capture(state.runner.io_manager.get_events, 0)
        if timeout_s <= 0 or isinstance(events, outcome.Error) or events.value:
            self._go_on(events)
            return True
        state.runner.guest_tick_scheduled = False
        self._waits = True
        if timeout_s < math.inf:
            self._timer = self._loop.call_later(timeout_s, self._ready)
        return False

    def _ready(self) -> None:
        """A socket of trio's is ready, a task was started from outside, or a deadline has come."""
        if not self._waits:
            return  # a tick is on its way and will look
        self._waits = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._go_on(outcome.capture(self._state.runner.io_manager.get_events, 0))
        self._tick()

    def _go_on(self, events: Any) -> None:
        self._state.unrolled_run_next_send = events
        self._state.runner.guest_tick_scheduled = True

    def _end(self, result: Any) -> None:
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
        self._state.done_callback(result)


def _epoll_of(state: Any) -> int | None:
    """The descriptor that trio waits on; None where it has none, or where something that is used here is not there."""
    runner = getattr(state, "runner", None)
    epoll = getattr(getattr(runner, "io_manager", None), "_epoll", None)
    ours = all(hasattr(state, name) for name in ("unrolled_run_next_send", "unrolled_run_gen", "done_callback"))
    its_runners = all(hasattr(runner, name) for name in ("guest_tick_scheduled", "main_task_outcome"))
    return int(epoll.fileno()) if epoll is not None and ours and its_runners else None
