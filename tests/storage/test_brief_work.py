"""docs/decisions/0094: brief work is done in the loop while the disk is quick; what a commit told is heard in any case."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mepassa.model.secret import SecretBytes
from mepassa.model.status import MessageStatus
from mepassa.ports.stores import EventKind, Logged, Tx
from mepassa.storage import SqlDb, database, open_database
from tests.storage.test_rows import BETO, mid, text


@pytest.fixture
async def node(tmp_path: Path, key: SecretBytes) -> AsyncIterator[SqlDb]:
    opened = await open_database(tmp_path / "node.db", key, create=True)
    yield opened
    await opened.close()


def here(_tx: Tx) -> bool:
    return threading.current_thread() is threading.main_thread()


async def test_brief_work_needs_no_thread_and_other_work_has_one(node: SqlDb) -> None:
    assert await node.run_brief(here)
    assert not await node.run(here)


async def test_behind_other_work_brief_work_waits_its_turn(node: SqlDb) -> None:
    order: list[str] = []
    held = threading.Event()

    def long(_tx: Tx) -> None:
        held.wait()
        order.append("long")

    def brief(tx: Tx) -> bool:
        order.append("brief")
        return here(tx)

    first = asyncio.ensure_future(node.run(long))
    second = asyncio.ensure_future(node.run_brief(brief))
    await asyncio.sleep(0.01)
    held.set()
    await first
    assert not await second
    assert order == ["long", "brief"]
    assert await node.run_brief(here)


async def test_work_that_is_not_brief_goes_to_the_thread_for_a_while(
    node: SqlDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("mepassa.storage.database.monotonic", lambda: now)

    def taking(seconds: float) -> Callable[[Tx], bool]:
        def work(tx: Tx) -> bool:
            nonlocal now
            now += seconds
            return here(tx)

        return work

    for _ in range(3):
        assert await node.run_brief(taking(60 * database.BRIEF_S)), "one slow commit is no slow disk"
        for _ in range(11):
            assert await node.run_brief(taking(0.9 * database.BRIEF_S))
    for _ in range(2):
        assert await node.run_brief(taking(1.1 * database.BRIEF_S))
    assert not await node.run_brief(here)
    now += 0.9 * database.SLOW_FOR_S
    assert not await node.run_brief(here)
    now += 0.2 * database.SLOW_FOR_S
    assert await node.run_brief(here)
    wait_s = database.SLOW_FOR_S
    for _ in range(9):  # the loop tries again, and the disk is as slow
        assert await node.run_brief(taking(2 * database.BRIEF_S))
        wait_s = min(2 * wait_s, database.SLOW_FOR_AT_MOST_S)
        now += 0.9 * wait_s
        assert not await node.run_brief(here)
        now += 0.2 * wait_s
    for _ in range(6):
        assert await node.run_brief(here)
    for _ in range(2):  # after a quick spell it begins anew
        assert await node.run_brief(taking(2 * database.BRIEF_S))
    assert not await node.run_brief(here)
    now += 1.1 * database.SLOW_FOR_S
    assert await node.run_brief(here)


@pytest.mark.parametrize("run", [SqlDb.run, SqlDb.run_brief])
async def test_work_that_raises_changes_and_tells_nothing(
    node: SqlDb, run: Callable[[SqlDb, Callable[[Tx], None]], "asyncio.Future[None]"]
) -> None:
    heard: list[Logged] = []
    node.on_events = heard.extend

    def work(tx: Tx) -> None:
        tx.put_setting("a", b"1")
        tx.append_event(EventKind.HOME)
        raise LookupError

    with pytest.raises(LookupError):
        await run(node, work)
    assert await node.run(lambda tx: (tx.setting("a"), tx.event_span())) == (None, (1, 0))
    assert heard == []


async def test_work_that_raises_what_a_future_refuses_is_not_waited_for_in_vain(node: SqlDb) -> None:
    def work(_tx: Tx) -> None:
        raise StopIteration

    with pytest.raises(RuntimeError):
        async with asyncio.timeout(30):
            await node.run(work)
    assert await node.run(lambda _tx: True)


async def test_a_commit_tells_its_events_with_the_messages_that_it_wrote(node: SqlDb) -> None:
    heard: list[Sequence[Logged]] = []
    node.on_events = heard.append
    sent = replace(text(1, 1), status=MessageStatus.SENT)

    def write(tx: Tx) -> None:
        tx.insert_message(text(1, 1))
        tx.append_event(EventKind.MESSAGE, chat=BETO, message_id=mid(1))
        tx.update_message(sent)
        tx.append_event(EventKind.STATUS, chat=BETO, message_id=mid(1))

    def lose(tx: Tx) -> None:
        tx.delete_message(mid(1))
        tx.append_event(EventKind.MESSAGE, chat=BETO, message_id=mid(1), note="gone")
        tx.append_event(EventKind.STATUS, chat=BETO, message_id=mid(2))

    await node.run_brief(write)
    await node.run(lose)
    assert await node.run(lambda tx: tx.events_after(0)) == tuple(told.event for logged in heard for told in logged)
    assert [[told.message for told in logged] for logged in heard] == [[sent, sent], [None, None]]


async def test_what_a_commit_told_is_heard_although_its_caller_has_gone(node: SqlDb) -> None:
    heard: list[Logged] = []
    node.on_events = heard.extend
    begun = threading.Event()

    def work(tx: Tx) -> None:
        begun.set()
        tx.append_event(EventKind.HOME)

    caller = asyncio.ensure_future(node.run(work))
    await asyncio.to_thread(begun.wait)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await node.run(here)
    assert [told.event.kind for told in heard] == [EventKind.HOME]


async def test_the_log_beside_the_database_does_not_grow_for_ever(node: SqlDb, tmp_path: Path) -> None:
    log = tmp_path / "node.db-wal"
    sizes = []
    for _ in range(4):
        for number in range(database.CHECKPOINT_EVERY):
            await node.run_brief(lambda tx, number=number: tx.put_setting(str(number), bytes(3000)))  # type: ignore[misc]  # a lambda with a default
        await node.run(here)  # behind the checkpoint
        sizes.append(log.stat().st_size)
    assert sizes[3] < 2 * sizes[0]


async def test_after_its_end_everything_is_refused_and_nothing_waits_for_ever(tmp_path: Path, key: SecretBytes) -> None:
    opened = await open_database(tmp_path / "node.db", key, create=True)
    for _ in range(database.CHECKPOINT_EVERY - 1):
        await opened.run_brief(here)
    before = asyncio.ensure_future(opened.run(here))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(opened.close())
    assert not await asyncio.wait_for(before, 30)
    await asyncio.wait_for(closing, 30)
    for call in (opened.run(here), opened.run_brief(here), opened.page_count(), opened.close()):
        with pytest.raises(RuntimeError, match="closed"):
            await asyncio.wait_for(call, 30)


async def test_who_listens_and_fails_leaves_nobody_waiting(node: SqlDb) -> None:
    def fails(_logged: Sequence[Logged]) -> None:
        raise ValueError("heard wrong")

    node.on_events = fails
    for run in (node.run, node.run_brief):
        with pytest.raises(ValueError, match="heard wrong"):
            await asyncio.wait_for(run(lambda tx: tx.append_event(EventKind.HOME)), 30)
    assert len(await node.run(lambda tx: tx.events_after(0))) == 2, "committed all the same"
