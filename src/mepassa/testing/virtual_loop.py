"""An asyncio event loop in which waiting costs nothing: `select` only moves a clock.

Everything is decided by the program and by one seed, so a month passes in milliseconds and a failure can be repeated.
Nothing may touch the real world through the loop: sockets, threads and signals are errors, and so is a deadlock. (Files
and databases used inline are fine: they do not wait for the loop.)
"""

import asyncio
import threading
from asyncio import base_events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from random import Random
from typing import Any, NoReturn, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

CLOCK_RESOLUTION_S = 1e-6
"""Timers this close to now are due. It must be more than a float's own step at `time()`, or a timer that is due would
never be seen as due: 1e-9 would stop the world after 194 virtual days, this lasts for centuries."""


class RealWorldError(AssertionError):
    """Something under virtual time reached for a thread, a socket or another real thing."""


class DeadlockError(AssertionError):
    """Every task waits and no timer is set: nothing can ever happen again."""


class _ClockInsteadOfSelector:
    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout_s: float | None) -> list[Any]:
        if timeout_s is None:
            raise DeadlockError("every task waits and no timer is set")
        self._loop.virtual_time += max(0.0, timeout_s)
        return []


class VirtualLoop(base_events.BaseEventLoop):
    """With a seed, handles that are ready at the same moment run in shuffled order; without, in asyncio's."""

    _ready: deque[asyncio.Handle]
    _thread_id: int | None

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()
        self.virtual_time = 0.0
        self._clock_resolution = CLOCK_RESOLUTION_S
        self._selector = _ClockInsteadOfSelector(self)
        self._dice = None if seed is None else Random(seed)
        self._failures: list[BaseException] = []
        self._created: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self.set_exception_handler(self._keep_failure)

    def time(self) -> float:
        return self.virtual_time

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` to its end, cancel what it left running, close the loop: a loop runs once.

        Raises what `main` raises; else, as one group, what callbacks and forgotten tasks raised meanwhile.
        """
        try:
            result = self.run_until_complete(main)
        finally:
            try:
                self._end_tasks()
            finally:
                self.close()
        if self._failures:
            raise BaseExceptionGroup("raised under the virtual loop, and caught by nobody", self._failures)
        return result

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = super().create_task(coro, **options)
        self._created[task] = len(self._created)
        return task

    def call_soon_threadsafe(  # type: ignore[override]  # typeshed ties the callback to its arguments; we only pass both on
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        if threading.get_ident() != self._thread_id:
            raise RealWorldError("another thread called into the virtual loop")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, *_: Any) -> NoReturn:  # type: ignore[override]  # whatever is asked: no
        raise RealWorldError("a thread was asked for under virtual time (run_in_executor, to_thread, getaddrinfo)")

    def _run_once(self) -> None:
        if self._dice and len(self._ready) > 1:
            shuffled = list(self._ready)
            self._dice.shuffle(shuffled)
            self._ready.clear()
            self._ready.extend(shuffled)
        super()._run_once()  # type: ignore[misc]  # the one step that run_forever repeats; typeshed leaves it out

    def _keep_failure(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._failures.append(context.get("exception") or RuntimeError(context["message"]))

    def _process_events(self, event_list: list[Any]) -> None:
        """The base class hands over what `select` returned: never anything."""

    def _write_to_self(self) -> None:
        """Would wake a real `select`; ours never sleeps."""

    def _tasks_to_end(self) -> list[asyncio.Task[Any]]:
        """In the order of their creation: a set's order would differ from run to run."""
        return sorted((task for task in asyncio.all_tasks(self) if not task.done()), key=self._created.__getitem__)

    def _end_tasks(self) -> None:
        left = self._tasks_to_end()
        for task in left:
            task.cancel()
        if left:
            self.run_until_complete(asyncio.wait(left))
        self.run_until_complete(self.shutdown_asyncgens())
        for task in sorted(self._created, key=self._created.__getitem__):
            # `_log_traceback` is asyncio's own mark of an error that nobody has asked for.
            if task.done() and not task.cancelled() and task._log_traceback and (error := task.exception()):  # noqa: SLF001 - nobody has asked for it yet
                self._failures.append(error)
