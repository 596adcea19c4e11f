"""docs/protocol/home.md, "Work": what a home may ask a client to calculate is bounded, and given up when nobody wants it."""

import asyncio
import contextlib
from hashlib import sha256

import pytest

from mepassa.model.errors import UnsupportedError
from mepassa.server.limits import HomePolicy
from mepassa.transports.mailbox import work
from mepassa.transports.mailbox.work import MAX_BITS, PATIENCE, SLICE, solve
from mepassa.wire.work import WorkPurpose, search_work, verify_work

NONCE, SUBJECT = bytes(32), b"s" * 32


@pytest.mark.parametrize("bits", [0, 1, 8, 12])
@pytest.mark.parametrize("purpose", WorkPurpose)
async def test_what_is_found_is_what_the_home_verifies(purpose: WorkPurpose, bits: int) -> None:
    assert verify_work(NONCE, purpose, SUBJECT, bits, await solve(NONCE, purpose, SUBJECT, bits))


def test_a_bit_less_than_was_asked_for_is_not_enough() -> None:
    solution = search_work(NONCE, WorkPurpose.FETCH, SUBJECT, 7, range(100_000))
    while solution is not None and verify_work(NONCE, WorkPurpose.FETCH, SUBJECT, 8, solution):
        solution = search_work(NONCE, WorkPurpose.FETCH, SUBJECT, 7, range(solution + 1, 100_000))
    assert solution is not None
    assert verify_work(NONCE, WorkPurpose.FETCH, SUBJECT, 7, solution)
    digest = sha256(b"mepassa work 1\x00" + NONCE + b"\x02" + SUBJECT + solution.to_bytes(8)).digest()
    assert digest[0] == 1, "seven zero bits and a one"


@pytest.mark.parametrize("purpose", WorkPurpose)
async def test_a_home_that_asks_for_too_much_is_refused_before_anything_is_done(
    purpose: WorkPurpose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "search_work", None)
    for bits in (MAX_BITS[purpose] + 1, 40):
        with pytest.raises(UnsupportedError):
            await solve(NONCE, purpose, SUBJECT, bits)


def test_our_own_homes_ask_for_less() -> None:
    policy = HomePolicy()
    assert policy.request_work_bits < min(MAX_BITS.values())
    assert policy.register_work_bits < MAX_BITS[WorkPurpose.REGISTER]


async def test_it_is_given_up_when_luck_runs_out_and_stops_when_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    slices: list[range] = []

    def unlucky(_nonce: bytes, _purpose: WorkPurpose, _subject: bytes, _bits: int, tries: range) -> None:
        slices.append(tries)

    monkeypatch.setattr(work, "search_work", unlucky)
    with pytest.raises(UnsupportedError):
        await solve(NONCE, WorkPurpose.FETCH, SUBJECT, 14)
    assert [(tries.start, tries.stop) for tries in slices] == [
        (begin, begin + SLICE) for begin in range(0, PATIENCE << 14, SLICE)
    ]
    slices.clear()
    task = asyncio.create_task(solve(NONCE, WorkPurpose.FETCH, SUBJECT, 22))
    while not slices:
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    begun = len(slices)
    await asyncio.sleep(0.05)
    assert len(slices) <= begun + 1, "one thread may have been on its way"
