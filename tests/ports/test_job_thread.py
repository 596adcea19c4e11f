"""A database's thread: one job after the other, and nobody waits for ever."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from mepassa.ports.job_thread import JobThread


@pytest.fixture
async def thread() -> AsyncIterator[JobThread]:
    made = JobThread()
    yield made
    if not made.ended:
        made.end()


def fail() -> None:
    raise LookupError


async def test_a_job_is_done_in_the_thread_and_told_in_the_loop(thread: JobThread) -> None:
    here = threading.current_thread()
    assert await thread.call(threading.current_thread) is not here
    assert await thread.call_and_tell(lambda: 1, lambda one: (one, threading.current_thread())) == (1, here)


async def test_jobs_are_done_in_the_order_in_which_they_were_given(thread: JobThread) -> None:
    held, order = threading.Event(), list[str]()

    def job(name: str) -> None:
        held.wait()
        order.append(name)

    first, second = thread.call(lambda: job("first")), thread.call(lambda: job("second"))
    assert thread.busy
    held.set()
    await asyncio.gather(first, second)
    assert order == ["first", "second"]
    assert not thread.busy


@pytest.mark.parametrize("raised", [LookupError, StopIteration, SystemExit])
async def test_what_a_job_raises_comes_to_its_caller_and_the_thread_goes_on(
    thread: JobThread, raised: type[BaseException]
) -> None:
    def job() -> None:
        raise raised

    async with asyncio.timeout(30):
        # A future refuses StopIteration: whoever waited for it would wait for ever.
        with pytest.raises(RuntimeError if raised is StopIteration else raised):
            await thread.call(job)
        assert await thread.call(lambda: True)
    assert not thread.busy


async def test_who_is_told_and_fails_leaves_nobody_waiting(thread: JobThread) -> None:
    async with asyncio.timeout(30):
        with pytest.raises(LookupError):
            await thread.call_and_tell(lambda: None, lambda _: fail())
    assert not thread.busy


async def test_a_job_is_done_and_told_although_its_caller_has_gone(thread: JobThread) -> None:
    begun, held, told = threading.Event(), threading.Event(), list[int]()

    def job() -> int:
        begun.set()
        held.wait()
        return 1

    caller = thread.call_and_tell(job, told.append)
    failing = thread.call(fail)
    await asyncio.to_thread(begun.wait)
    caller.cancel()
    failing.cancel()
    held.set()
    await thread.call(lambda: None)
    assert told == [1]
    assert not thread.busy


async def test_what_was_asked_for_before_the_end_is_done_and_what_comes_later_refused(thread: JobThread) -> None:
    held = threading.Event()
    before = thread.call(held.wait)
    thread.end()
    with pytest.raises(RuntimeError, match="closed"):
        thread.call(lambda: None)
    held.set()
    assert await asyncio.wait_for(before, 30)
