"""docs/decisions/0093: trio's steps in the loop, with and without a thread, and locks that are taken at once."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator

import pytest
import trio
import trio.lowlevel

from mepassa.p2p import ticks
from mepassa.p2p.guest import TrioGuest
from mepassa.p2p.prompt_lock import PromptLock


@pytest.fixture(params=["in the loop", "trio's own way"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "in the loop":
        monkeypatch.setattr(ticks, "_epoll_of", lambda _state: None)
    return str(request.param)


@pytest.fixture
async def guest(way: str) -> AsyncIterator[TrioGuest]:
    started = TrioGuest()
    await started.start()
    yield started
    await started.stop()


def trio_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("Trio")}


async def test_sockets_deadlines_and_calls_from_outside(way: str, guest: TrioGuest) -> None:
    before = trio_threads()
    heard: list[bytes] = []

    async def answer(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data.upper())

    async def serve(ready: "asyncio.Future[int]") -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        ready.set_result(listener.socket.getsockname()[1])
        await trio.serve_listeners(answer, [listener])

    async def ask(port: int, number: int) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"hello %d" % number)
            heard.append(await stream.receive_some())

    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    guest.spawn(serve, listening)
    port = await listening
    await asyncio.gather(*(guest.call(ask, port, number) for number in range(20)))
    assert sorted(heard) == sorted(b"HELLO %d" % number for number in range(20))
    await guest.call(trio.sleep, 0.02)
    assert await guest.begin(_double, 21) == 42
    if way == "in the loop" and sys.platform == "linux":
        assert trio_threads() <= before


async def _double(number: int) -> int:
    await trio.lowlevel.checkpoint()
    return 2 * number


async def test_what_is_begun_has_done_what_it_can_when_the_call_returns(way: str, guest: TrioGuest) -> None:
    await guest.call(trio.sleep, 0)
    await asyncio.sleep(0.01)
    done: list[str] = []

    async def work() -> None:
        done.append("begun")
        await trio.lowlevel.checkpoint()
        done.append("over")

    begun = guest.begin(work)
    if way == "in the loop" and sys.platform == "linux":
        assert done == ["begun", "over"]
    await begun
    assert done == ["begun", "over"]


async def test_cancelling_what_was_begun_cancels_the_work(guest: TrioGuest) -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    begun = guest.begin(work)
    await asyncio.sleep(0.01)
    begun.cancel()
    async with asyncio.timeout(30):
        await ended.wait()


async def test_a_trio_task_that_never_waits_leaves_the_loop_its_turns(guest: TrioGuest) -> None:
    turns, stopped = 0, False

    async def spin() -> None:
        nonlocal turns
        while not stopped:
            await trio.lowlevel.checkpoint()
            turns += 1

    spinning = guest.begin(spin)
    ours = 0
    while turns < 1000:
        await asyncio.sleep(0)
        ours += 1
    stopped = True
    await spinning
    assert ours > 1000 // (2 * ticks.STEPS)


async def test_a_guest_that_ends_leaves_no_reader_behind(way: str) -> None:
    for _ in range(3):
        guest = TrioGuest()
        await guest.start()
        assert await guest.call(_double, 1) == 2
        await guest.stop()


def test_a_free_lock_is_taken_without_letting_others_run() -> None:
    order: list[str] = []

    async def take(name: str, lock: PromptLock) -> None:
        for _ in range(3):
            async with lock:
                order.append(name)

    async def main() -> None:
        lock = PromptLock()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take, "a", lock)
            nursery.start_soon(take, "b", lock)

    trio.run(main)
    assert order in (["a"] * 3 + ["b"] * 3, ["b"] * 3 + ["a"] * 3)


def test_a_taken_lock_is_waited_for_and_given_to_one_at_a_time() -> None:
    inside, most = 0, 0

    async def take(lock: PromptLock) -> None:
        nonlocal inside, most
        for _ in range(5):
            async with lock:
                inside += 1
                most = max(most, inside)
                await trio.lowlevel.checkpoint()
                inside -= 1

    async def main() -> None:
        lock = PromptLock()
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(take, lock)

    trio.run(main)
    assert most == 1
