"""TURN over TCP (RFC 8656 §3.1): frames in, frames out, with bounded buffers and no place for the idle."""

import asyncio
from collections.abc import Callable
from typing import cast

from mepassa.model.errors import MalformedError
from mepassa.server.relay.allocation import FiveTuple
from mepassa.wire.stun import StreamFramer


class TcpClient(asyncio.Protocol):
    """One connection. `receive(five_tuple, frame)` for each frame; `lost(five_tuple)` once at its end."""

    def __init__(
        self,
        *,
        accepted: Callable[["TcpClient"], bool],
        receive: Callable[[FiveTuple, bytes], None],
        lost: Callable[[FiveTuple], None],
        send_buffer_bytes: int,
    ) -> None:
        self._accepted, self._receive, self._lost = accepted, receive, lost
        self._send_buffer_bytes = send_buffer_bytes
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._known = False
        self.five_tuple = FiveTuple("tcp", ("", 0), ("", 0))
        self.last_heard = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = stream = cast("asyncio.Transport", transport)  # uvloop's is one in all but its base class
        peer, own = stream.get_extra_info("peername"), stream.get_extra_info("sockname")
        if peer is None or own is None:  # gone before it was accepted
            stream.abort()
            return
        self.five_tuple = FiveTuple("tcp", (peer[0], peer[1]), (own[0], own[1]))
        self.last_heard = asyncio.get_running_loop().time()
        self._known = self._accepted(self)
        if not self._known:
            stream.abort()

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._framer.receive_data(data)
        try:
            while (frame := self._framer.next_frame()) is not None:
                self.last_heard = asyncio.get_running_loop().time()
                self._receive(self.five_tuple, frame)
        except MalformedError:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if self._known:
            self._known = False
            self._lost(self.five_tuple)

    def send(self, frame: bytes) -> bool:
        """Whether it was taken: a client that does not read loses data, not our memory."""
        if self._transport is None or self._transport.is_closing():
            return False
        if self._transport.get_write_buffer_size() + len(frame) > self._send_buffer_bytes:
            return False
        self._transport.write(frame)
        return True

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
