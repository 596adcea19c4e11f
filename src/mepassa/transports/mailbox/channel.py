"""Requests and answers over one stream of frames: many in flight, many records a frame, one flush a loop turn."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from mepassa.identity import hello_message, verify_home
from mepassa.model.errors import HomeUnreachableError, LinkLostError, MalformedError, SignatureError
from mepassa.model.home_url import parse_home_url
from mepassa.ports.clock import Clock
from mepassa.ports.frames import FrameStream
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.rng import Rng
from mepassa.wire.mailbox import MAX_FRAME_BYTES, MAX_RECORDS, Hello, HomeHello, size_of

Out = TypeVar("Out")
In = TypeVar("In")

CONNECT_DEADLINE_S = 10.0
"""From dialling to the verified hello."""
ANSWER_DEADLINE_S = 20.0
"""A home that answers nothing for so long counts as away; every request may be repeated."""
FRAME_BUDGET_BYTES = MAX_FRAME_BYTES - 1024


class Channel(Generic[Out, In]):
    """One open connection. `read` has to run for answers to come."""

    def __init__(
        self,
        stream: FrameStream,
        encode: Callable[[Sequence[Out]], bytes],
        decode: Callable[[bytes], Sequence[In]],
    ) -> None:
        self._stream, self._encode, self._decode = stream, encode, decode
        self._next_request = 0
        self._answers: dict[int, asyncio.Future[In]] = {}
        self._records: deque[Out] = deque()
        self._sender: asyncio.Task[None] | None = None
        self.closed = False

    @property
    def waiting(self) -> int:
        """Requests without an answer."""
        return len(self._answers)

    def send(self, record: Out) -> None:
        """Queue a record. Nothing is said when it is lost with the connection."""
        if self.closed:
            return
        self._records.append(record)
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send(), name="home sender")

    async def _send(self) -> None:
        try:
            while self._records:
                await self._stream.send(self._encode(self._next_frame()))
        except LinkLostError:
            await self.close()
        finally:
            self._sender = None

    def _next_frame(self) -> list[Out]:
        records = [self._records.popleft()]
        budget = FRAME_BUDGET_BYTES - size_of(records[0])
        while self._records and len(records) < MAX_RECORDS and size_of(self._records[0]) <= budget:
            records.append(self._records.popleft())
            budget -= size_of(records[-1])
        return records

    async def ask(self, make: Callable[[int], Out]) -> In:
        """Send what `make` builds around a fresh request number; its answer. Raises `HomeUnreachableError`. Cancelled, it
        does not leave any more, unless it has."""
        if self.closed:
            raise HomeUnreachableError
        self._next_request += 1
        number = self._next_request
        future: asyncio.Future[In] = asyncio.get_running_loop().create_future()
        self._answers[number] = future
        record = make(number)
        self.send(record)
        try:
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                return await future
        except TimeoutError:
            raise HomeUnreachableError from None
        except asyncio.CancelledError:
            with contextlib.suppress(ValueError):
                self._records.remove(record)
            raise
        finally:
            self._answers.pop(number, None)

    async def read(self, tell: Callable[[In], None]) -> None:
        """Until the connection ends: answers go to who asked, all else to `tell`. Raises `MalformedError`."""
        try:
            while (frame := await self._stream.receive()) is not None:
                for record in self._decode(frame):
                    future = self._answers.get(getattr(record, "request", 0))
                    if future is None:
                        tell(record)
                    elif not future.done():
                        future.set_result(record)
        finally:
            await self.close()

    async def receive_one(self) -> In:
        """The next frame, which has to hold one record: before the log-in they come one at a time."""
        frame = await self._stream.receive()
        if frame is None:
            raise HomeUnreachableError
        records = self._decode(frame)
        if len(records) != 1:
            raise MalformedError("One record was expected.")
        return records[0]

    async def close(self) -> None:
        """Idempotent; whoever waits for an answer gets `HomeUnreachableError`."""
        self.closed = True
        self._records.clear()
        for future in self._answers.values():
            if not future.done():
                future.set_exception(HomeUnreachableError())
        await self._stream.close()


class Greeting:
    """What the home's hello said, once its signature has been verified."""

    __slots__ = ("client_nonce", "clock_offset_s", "home")

    def __init__(self, client_nonce: bytes, home: HomeHello, clock_offset_s: float) -> None:
        self.client_nonce, self.home, self.clock_offset_s = client_nonce, home, clock_offset_s


async def greet(
    channel: Channel[Out, In], home: HomeAddress, clock: Clock, rng: Rng, hello: Callable[[Hello], Out]
) -> Greeting:
    """Say hello and verify the answer: this is the home whose key we know. Raises `SignatureError`, `MalformedError`."""
    nonce = rng.token(32)
    channel.send(hello(Hello(nonce)))
    answer = await channel.receive_one()
    if not isinstance(answer, HomeHello):
        raise HomeUnreachableError
    if answer.host != parse_home_url(home.url).authority:
        raise SignatureError
    message = hello_message(client_nonce=nonce, home_nonce=answer.nonce, host=answer.host, time_ms=answer.time_ms)
    verify_home(home.key, message, answer.signature)
    return Greeting(nonce, answer, (clock.now_ms() - answer.time_ms) / 1000)
