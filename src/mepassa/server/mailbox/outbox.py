"""What one connection still has to be told: many records a frame, one flush a loop turn, bounded."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from mepassa.model.errors import LinkLostError
from mepassa.ports.frames import FrameStream
from mepassa.wire.mailbox import MAX_FRAME_BYTES, MAX_RECORDS, size_of

R = TypeVar("R")

SEND_DEADLINE_S = 30.0
"""A reader that takes no frame for so long is closed; everything for it is kept on disk."""
FRAME_BUDGET_BYTES = MAX_FRAME_BYTES - 1024
"""Records are added up to this: room for the frame's own head."""
HIGH_WATER_BYTES = 512 * 1024
"""Past this `room()` waits: the connection reads nothing more until its peer has read."""
GOODBYE_S = 1.0
"""How long the last word may take; a new connection of the same device waits for it."""


class Outbox(Generic[R]):
    """`put` never waits; `room` is where a connection feels that its peer does not read."""

    def __init__(self, stream: FrameStream, encode: Callable[[Sequence[R]], bytes]) -> None:
        self._stream, self._encode = stream, encode
        self._records: deque[tuple[R, int, float | None]] = deque()
        self._size_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self.closed = False

    @property
    def waiting(self) -> int:
        return len(self._records)

    def put(self, record: R, *, life_s: float | None = None) -> None:
        """Queue a record; with `life_s` it is dropped instead of sent later than that."""
        if self.closed:
            return
        loop = asyncio.get_running_loop()
        size_bytes = size_of(record)
        self._records.append((record, size_bytes, None if life_s is None else loop.time() + life_s))
        self._size_bytes += size_bytes
        if self._task is None:
            self._task = loop.create_task(self._send(), name="outbox")

    async def _send(self) -> None:
        try:
            while self._records and not self.closed:
                if records := self._next_frame():
                    async with asyncio.timeout(SEND_DEADLINE_S):
                        await self._stream.send(self._encode(records))
                if self._room is not None and self._size_bytes < HIGH_WATER_BYTES:
                    self._room.set_result(None)
                    self._room = None
        except (LinkLostError, TimeoutError):
            await self._abandon()
        finally:
            self._task = None

    def _next_frame(self) -> list[R]:
        now = asyncio.get_running_loop().time()
        records: list[R] = []
        budget = FRAME_BUDGET_BYTES
        while self._records and len(records) < MAX_RECORDS:
            record, size_bytes, deadline = self._records[0]
            if records and size_bytes > budget:
                break
            self._records.popleft()
            self._size_bytes -= size_bytes
            budget -= size_bytes
            if deadline is None or deadline > now:
                records.append(record)
        return records

    async def _abandon(self) -> None:
        self.closed = True
        self._records.clear()
        self._size_bytes = 0
        if self._room is not None:
            self._room.set_result(None)
            self._room = None
        await self._stream.close()

    async def room(self) -> None:
        """Returns once little enough waits to be read by the peer."""
        if self._size_bytes >= HIGH_WATER_BYTES and not self.closed:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await self._room

    async def flush(self) -> None:
        """Until all is handed to the transport, or the peer was given up."""
        while (task := self._task) is not None:
            await asyncio.wait([task])

    async def end(self, last_word: R) -> None:
        """Say a last record to whoever still reads, and close. Idempotent."""
        self.put(last_word)
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self.flush()
        except TimeoutError:
            pass  # it does not read: it learns by the closed socket
        await self._abandon()

    async def close(self) -> None:
        """Nothing more is sent; the stream is closed."""
        await self._abandon()
