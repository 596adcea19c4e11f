"""What is asked on a connection to a home, and what becomes of it when nobody wants the answer any more."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from mepassa.testing import VirtualLoop
from mepassa.transports.mailbox.channel import Channel


class Asked(msgspec.Struct, frozen=True):
    request: int
    text: str


class Stalled:
    """A connection that takes a frame only when it is let."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.lets = asyncio.Event()

    async def send(self, frame: bytes) -> None:
        await self.lets.wait()
        self.taken += frame.decode().split()

    async def close(self) -> None: ...


def encode(records: Sequence[Asked]) -> bytes:
    return " ".join(record.text for record in records).encode()


def decode(_frame: bytes) -> Sequence[Asked]:
    return ()


def test_what_nobody_asks_any_more_does_not_leave() -> None:
    async def scenario() -> None:
        stream = Stalled()
        channel: Channel[Any, Any] = Channel(cast("Any", stream), cast("Any", encode), cast("Any", decode))
        asking: dict[str, asyncio.Future[Any]] = {}
        for text in ("first", "second", "third"):  # the first has left when the others come, and is not taken yet
            asking[text] = asyncio.ensure_future(channel.ask(lambda number, text=text: Asked(number, text)))  # type: ignore[misc]  # mypy reads no default of a lambda
            await asyncio.sleep(1)
        asking["second"].cancel()
        await asyncio.sleep(1)
        stream.lets.set()
        await asyncio.sleep(1)
        assert stream.taken == ["first", "third"]
        assert channel.waiting == 2
        asking["first"].cancel()  # it has left: nothing to take back
        with pytest.raises(asyncio.CancelledError):
            await asking["first"]
        await channel.close()
        await asyncio.gather(*asking.values(), return_exceptions=True)

    VirtualLoop().run(scenario())
