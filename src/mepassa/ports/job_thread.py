"""The thread that owns a database's connection, on the device and at the home: one job after the other."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F")
T = TypeVar("T")


class JobThread:
    """Made on the loop that gives it its jobs, until `end`. Nobody waits for ever: a call after the end raises
    `RuntimeError` at once, and a job is done also when its caller is cancelled."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._unfinished = 0
        self.ended = False
        threading.Thread(target=self._work, name="mepassa-database", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Jobs have been given that are not over: what they use is the thread's."""
        return self._unfinished > 0

    def call(self, job: Callable[[], T]) -> "asyncio.Future[T]":
        """What `job` gives or raises, in the thread."""
        return self.call_and_tell(job, lambda result: result)

    def call_and_tell(self, job: Callable[[], F], tell: Callable[[F], T]) -> "asyncio.Future[T]":
        """Then `tell` in the loop, whether anybody still waits for it or not; its result is the call's."""
        if self.ended:
            raise RuntimeError("the database is closed")
        future: asyncio.Future[T] = self._loop.create_future()

        def finish(found: F) -> None:
            try:
                result = tell(found)
            except Exception as error:  # noqa: BLE001 - as what `job` raises
                fail(error)
                return
            self._unfinished -= 1
            if not future.done():
                future.set_result(result)

        def fail(error: BaseException) -> None:
            self._unfinished -= 1
            if not future.done():
                # A future refuses StopIteration, and whoever awaits it would wait for ever.
                future.set_exception(RuntimeError("StopIteration") if isinstance(error, StopIteration) else error)

        def run() -> None:
            try:
                found = job()
            except BaseException as error:  # noqa: BLE001 - carried over to whoever awaits
                self._loop.call_soon_threadsafe(fail, error)
            else:
                self._loop.call_soon_threadsafe(finish, found)

        self._unfinished += 1
        self._jobs.put(run)
        return future

    def end(self) -> None:
        """After the jobs given so far; there are no others."""
        self.ended = True
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
