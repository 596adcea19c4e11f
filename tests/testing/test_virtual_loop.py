"""mepassa.testing.virtual_loop: a month in a moment, the same for the same seed, and no door to the real world."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncGenerator
from random import Random

import pytest

from mepassa.testing import DeadlockError, RealWorldError, VirtualLoop

DAY_S = 86_400.0


async def thirty_days_of_post(dice: Random) -> tuple[str, int]:
    """Five peers pass letters around, each an hour late at most; the log of all that happened, hashed, and its length."""
    log: list[tuple[float, int, int]] = []
    queues: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(5)]
    loop = asyncio.get_running_loop()

    async def later(peer: int, letter: int, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        queues[peer].put_nowait(letter)

    async def peer(number: int, group: asyncio.TaskGroup) -> None:
        while True:
            letter = await queues[number].get()
            log.append((loop.time(), number, letter))
            if letter < 200:
                group.create_task(later(dice.randrange(5), letter + 1, dice.random() * 3600))

    try:
        async with asyncio.timeout(30 * DAY_S), asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(peer(number, group))
                queues[number].put_nowait(0)
    except TimeoutError:
        pass
    assert loop.time() == 30 * DAY_S
    return hashlib.sha256(repr(log).encode()).hexdigest(), len(log)


def month(loop_seed: int | None) -> tuple[str, int]:
    return VirtualLoop(loop_seed).run(thirty_days_of_post(Random(1)))


@pytest.mark.parametrize("loop_seed", [None, 1])
def test_thirty_virtual_days_are_the_same_for_the_same_seed(loop_seed: int | None) -> None:
    assert month(loop_seed) == month(loop_seed)
    assert month(loop_seed)[1] == 1005


def test_another_seed_gives_another_order() -> None:
    assert len({month(loop_seed)[0] for loop_seed in range(4)}) > 1


def test_waiting_moves_only_the_clock() -> None:
    async def century() -> float:
        await asyncio.sleep(36_525 * DAY_S)
        return asyncio.get_running_loop().time()

    assert VirtualLoop().run(century()) == 36_525 * DAY_S


def test_a_deadlock_is_an_error() -> None:
    with pytest.raises(DeadlockError):
        VirtualLoop().run(asyncio.Event().wait())


def test_asking_for_a_thread_is_an_error() -> None:
    with pytest.raises(RealWorldError):
        VirtualLoop().run(asyncio.to_thread(print))


def test_asking_for_a_socket_is_an_error() -> None:
    with pytest.raises((RealWorldError, NotImplementedError)):
        VirtualLoop().run(asyncio.open_connection("127.0.0.1", 9))


def test_a_call_from_another_thread_is_an_error() -> None:
    async def main() -> list[BaseException]:
        loop, caught = asyncio.get_running_loop(), list[BaseException]()

        def intrude() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except RealWorldError as error:
                caught.append(error)

        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
        return caught

    assert len(VirtualLoop().run(main())) == 1


def test_what_a_forgotten_task_raised_is_raised_at_the_end() -> None:
    kept = []

    async def main() -> None:
        async def fails() -> None:
            raise LookupError("lost")

        kept.append(asyncio.create_task(fails()))
        await asyncio.sleep(1)

    with pytest.raises(BaseExceptionGroup) as caught:
        VirtualLoop().run(main())
    assert caught.group_contains(LookupError, match="lost")


def test_what_a_callback_raised_is_raised_at_the_end() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(1, lambda: 1 // 0)
        await asyncio.sleep(2)

    with pytest.raises(BaseExceptionGroup) as caught:
        VirtualLoop().run(main())
    assert caught.group_contains(ZeroDivisionError)


def test_tasks_left_running_are_cancelled_and_tidy_up() -> None:
    tidied = []

    async def main() -> None:
        async def stays(name: str) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(5)
                tidied.append(name)

        kept = [asyncio.create_task(stays(name)) for name in "abc"]
        await asyncio.sleep(0)
        assert not any(task.done() for task in kept)

    VirtualLoop().run(main())
    assert tidied == ["a", "b", "c"]


def test_an_abandoned_async_generator_is_closed_on_the_loop() -> None:
    closed = []

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            closed.append(True)

    async def main() -> None:
        async for _ in numbers():
            break
        await asyncio.sleep(1)

    VirtualLoop().run(main())
    assert closed == [True]
