"""What a connection still has to be told: many records a frame, bounded, and a reader that sleeps is let go."""

import asyncio
from collections.abc import Coroutine

import pytest

from mepassa.model.envelope import MAX_ENVELOPE_BYTES
from mepassa.server.mailbox import Outbox
from mepassa.server.mailbox.outbox import HIGH_WATER_BYTES, SEND_DEADLINE_S
from mepassa.testing import VirtualLoop
from mepassa.wire.mailbox import (
    MAX_FRAME_BYTES,
    Deliver,
    DeliverSignal,
    Done,
    MailboxToDevice,
    decode_mailbox_to_device,
    encode_mailbox_to_device,
)


class Valve:
    """A stream that takes a frame only while it is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.frames: list[tuple[MailboxToDevice, ...]] = []
        self.closed = False

    async def send(self, frame: bytes) -> None:
        await self.open.wait()
        assert len(frame) <= MAX_FRAME_BYTES
        self.frames.append(decode_mailbox_to_device(frame))

    async def receive(self) -> bytes | None:
        return None

    async def close(self) -> None:
        self.closed = True


def run_virtually(scenario: Coroutine[object, object, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scenario)


def test_what_one_turn_says_goes_in_one_frame_and_large_things_are_spread() -> None:
    async def scenario() -> None:
        valve = Valve()
        valve.open.set()
        outbox = Outbox(valve, encode_mailbox_to_device)
        for number in range(500):
            outbox.put(Done(number))
        await outbox.flush()
        assert [len(frame) for frame in valve.frames] == [500]
        for _ in range(20):
            outbox.put(Deliver(bytes(MAX_ENVELOPE_BYTES)))
        await outbox.flush()
        assert sum(map(len, valve.frames)) == 520
        assert len(valve.frames) > 2

    run_virtually(scenario())


def test_who_puts_more_than_is_read_waits_for_room() -> None:
    async def scenario() -> None:
        valve = Valve()
        outbox = Outbox(valve, encode_mailbox_to_device)
        for _ in range(2 * HIGH_WATER_BYTES // MAX_ENVELOPE_BYTES):
            outbox.put(Deliver(bytes(MAX_ENVELOPE_BYTES)))
        waiting = asyncio.create_task(outbox.room())
        await asyncio.sleep(1)
        assert not waiting.done()
        valve.open.set()
        await waiting

    run_virtually(scenario())


def test_a_reader_that_sleeps_for_half_a_minute_is_closed_and_costs_nothing_more() -> None:
    async def scenario() -> None:
        valve = Valve()
        outbox = Outbox(valve, encode_mailbox_to_device)
        for _ in range(100):
            outbox.put(Deliver(bytes(MAX_ENVELOPE_BYTES)))
        waiting = asyncio.create_task(outbox.room())
        await asyncio.sleep(SEND_DEADLINE_S + 1)
        assert valve.closed
        assert waiting.done()
        assert outbox.waiting == 0
        outbox.put(Done(1))
        assert outbox.waiting == 0

    run_virtually(scenario())


@pytest.mark.parametrize("seconds, arrives", [(9.0, True), (11.0, False)])
def test_a_signal_that_waited_ten_seconds_is_dropped(seconds: float, arrives: bool) -> None:
    async def scenario() -> None:
        valve = Valve()
        outbox = Outbox(valve, encode_mailbox_to_device)
        outbox.put(Done(1))
        await asyncio.sleep(0)
        outbox.put(DeliverSignal(b"meet"), life_s=10.0)
        await asyncio.sleep(seconds)
        valve.open.set()
        await outbox.flush()
        assert ((DeliverSignal(b"meet"),) in valve.frames) is arrives

    run_virtually(scenario())
