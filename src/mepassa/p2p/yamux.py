"""Yamux over a `NoiseSession`: a frame is handed to its stream, and leaves its stream, without a task in between.

The library's own wakes one task for the connection and another for the stream, takes some ten locks, and answers nearly
every frame with a window update (docs/decisions/0097). Names as in the specification
(https://github.com/hashicorp/yamux/blob/master/spec.md).
"""

import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import trio
from libp2p.abc import IMuxedConn, IMuxedStream, ISecureConn
from libp2p.connection_types import ConnectionType
from libp2p.peer.id import ID
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH
from libp2p.stream_muxer.exceptions import (
    MuxedConnUnavailable,
    MuxedStreamClosed,
    MuxedStreamEOF,
    MuxedStreamError,
    MuxedStreamReset,
)
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from multiaddr import Multiaddr

from mepassa.model.errors import MalformedError
from mepassa.p2p.noise import NoiseSession
from mepassa.p2p.prompt_lock import PromptLock

HEADER = struct.Struct("!BBHII")
"""version, type, flags, stream id, length"""
INITIAL_WINDOW_BYTES = 256 * 1024
"""What each side of a new stream may send before it hears of more."""
WIDE_WINDOW_BYTES = 2**20
"""What a stream may be given (`wide`): about what a link has in flight, all its slots full. No frame is longer."""
MAX_FRAME_BYTES = MAX_PLAINTEXT_LENGTH - HEADER.size
"""Of ours: it fits one Noise message."""
MAX_STREAMS = 256
"""Open at a time; past it the peer's are reset and ours fail: a peer that closes none of them would grow without end.
A link is one stream, a query in the DHT another."""
MAX_HELD_BYTES = 2 * WIDE_WINDOW_BYTES
"""Received for all streams together and not taken: the windows of `MAX_STREAMS` add up to 64 MiB."""
MAX_UNSENT_BYTES = 2**20
"""A peer that makes us answer and does not read the answers is left."""
IDLE_S = 30.0
"""A connection that carries no stream for so long, or up to twice as long, is over: its peer may be dead, and TCP does
not say so while nothing is sent. The DHT's pings are streams, every few seconds."""

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8


class YamuxStream(IMuxedStream):
    """`on_change` is called when there is something to read, or the stream has ended."""

    def __init__(self, conn: "Yamux", stream_id: int) -> None:
        self.muxed_conn: Yamux = conn  # type: ignore[mutable-override]  # a stream changes its connection nowhere
        self.stream_id = stream_id
        self.on_change: Callable[[], None] = _nothing
        self._held = bytearray()
        self._window_bytes = INITIAL_WINDOW_BYTES
        self._receive_window = self._send_window = INITIAL_WINDOW_BYTES
        self._all_sent = self._all_received = self._reset = False
        self._changed = trio.lowlevel.ParkingLot()
        self._turn = PromptLock()

    @property
    def ended(self) -> bool:
        """Nothing comes any more but what is held."""
        return self._all_received or self._reset

    @property
    def held_bytes(self) -> int:
        return len(self._held)

    def wide(self) -> None:
        """Let the peer send up to `WIDE_WINDOW_BYTES` before they are taken, and tell it so."""
        self._window_bytes = WIDE_WINDOW_BYTES
        self.take(0)

    def take(self, limit_bytes: int) -> bytes:
        """What has come; b"" when there is nothing. The peer hears of the room when it is half the window."""
        data = bytes(self._held[:limit_bytes])
        del self._held[:limit_bytes]
        room = self._window_bytes - self._receive_window - len(self._held)
        if room >= self._window_bytes // 2 and not self.ended:
            self._receive_window += room
            self.muxed_conn.tell(WINDOW_UPDATE, 0, self.stream_id, room)
        return data

    def send(self, data: bytes | memoryview) -> bytes | memoryview:
        """One frame, as long as the window allows; what is left of `data`. Raises `MuxedStreamError` at the end."""
        if self._reset:
            raise MuxedStreamReset
        if self._all_sent:
            raise MuxedStreamClosed
        size = min(len(data), self._send_window, MAX_FRAME_BYTES)
        if size:
            self._send_window -= size
            self.muxed_conn.send(DATA, 0, self.stream_id, size, data[:size])
        return data[size:]

    async def wait_ended(self) -> None:
        while not self.ended:
            await self._changed.park()

    # --- what the connection says -------------------------------------------------------------------------------------

    def receive_frame(self, flags: int, data: bytes, delta: int) -> None:
        """Raises `MalformedError` for more data than the window allows."""
        if len(data) > self._receive_window:
            raise MalformedError("More data than the window allows.")
        self._receive_window -= len(data)
        self._send_window += delta
        if not self.ended:
            self._held += data
        if flags & RST:
            self.lose()
        elif flags & FIN:
            self._all_received = True
            self._forget_when_over()
        self._changed.unpark_all()
        self.on_change()

    def lose(self) -> None:
        """Reset by either side, or the connection is lost. What is held can still be read."""
        self._reset = True
        self._forget_when_over()
        self._changed.unpark_all()
        self.on_change()

    def _forget_when_over(self) -> None:
        if self._reset or (self._all_received and self._all_sent):
            self.muxed_conn.forget(self)

    # --- what `IMuxedStream` asks for ---------------------------------------------------------------------------------

    async def read(self, n: int | None = None) -> bytes:
        """What has come, at most `n` bytes of it."""
        while not self._held and n != 0:
            if self._all_received:
                raise MuxedStreamEOF
            if self._reset:
                raise MuxedStreamReset
            await self._changed.park()
        return self.take(len(self._held) if n is None or n < 0 else n)

    async def write(self, data: bytes | memoryview) -> None:
        """Until all of it is the kernel's."""
        async with self._turn:
            data = memoryview(data)
            try:
                while data := self.send(data):
                    await self.muxed_conn.flushed()
                    while not (self._send_window or self._reset or self._all_sent):
                        await self._changed.park()
            except trio.Cancelled:  # what came next would be read as the rest of it
                await self.reset()
                raise
            await self.muxed_conn.flushed()

    async def close(self) -> None:
        """Nothing more is written; what the peer writes can still be read."""
        if not self._all_sent and not self._reset:
            self._all_sent = True
            self.muxed_conn.tell(WINDOW_UPDATE, FIN, self.stream_id, 0)
            self._forget_when_over()
            self._changed.unpark_all()

    async def reset(self) -> None:
        if not self._reset:
            self.muxed_conn.tell(WINDOW_UPDATE, RST, self.stream_id, 0)
            self.lose()

    def set_deadline(self, ttl: int) -> None:
        raise NotImplementedError

    def get_remote_address(self) -> tuple[str, int] | None:
        return self.muxed_conn.get_remote_address()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()


class Yamux(IMuxedConn):
    """`on_close` is set by the swarm, and called when the connection has ended by itself."""

    def __init__(self, conn: ISecureConn, peer_id: ID) -> None:
        if not isinstance(conn, NoiseSession):
            raise TypeError("our Yamux goes over our Noise")
        self.secured_conn, self.peer_id = conn, peer_id
        self.event_started = trio.Event()
        self.on_close: Callable[[], Awaitable[Any]] | None = None
        self._received = bytearray()
        """Not yet a whole frame."""
        self._answers = bytearray()
        """To what is being received, so that frames sent by the thousand are not answered by thousands of packets."""
        self._streams: dict[int, YamuxStream] = {}
        self._next_id = 1 if conn.is_initiator else 2
        self._offered, self._to_accept = trio.open_memory_channel[YamuxStream](MAX_STREAMS)
        self._unsent, self._flushed = trio.lowlevel.ParkingLot(), trio.lowlevel.ParkingLot()
        self._ended = self._used = False

    # --- bytes in -----------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Hand every frame that is complete now to its stream. Raises `MalformedError`."""
        self._received += data
        begin = 0
        while (body := begin + HEADER.size) <= len(self._received) and not self._ended:
            version, kind, flags, stream_id, length = HEADER.unpack_from(self._received, begin)
            if version != 0 or kind > GO_AWAY:
                raise MalformedError("Not a frame of Yamux 0.")
            size = length if kind == DATA else 0
            if size > WIDE_WINDOW_BYTES:
                raise MalformedError("A frame longer than any window.")
            if body + size > len(self._received):
                break
            begin = body + size
            self._receive_frame(kind, flags, stream_id, length, bytes(self._received[body:begin]))
        del self._received[:begin]
        if self._answers:
            answers, self._answers = bytes(self._answers), bytearray()
            with suppress(Exception):  # as `tell`
                self._send(answers)

    def _receive_frame(self, kind: int, flags: int, stream_id: int, length: int, data: bytes) -> None:
        if kind == PING:
            if flags & SYN:
                self._answers += HEADER.pack(0, PING, ACK, 0, length)
        elif kind == GO_AWAY:
            self._end()
        else:
            stream = self._open_for_peer(stream_id) if flags & SYN else self._streams.get(stream_id)
            if stream is not None:  # else it ended a moment ago
                stream.receive_frame(flags, data, length if kind == WINDOW_UPDATE else 0)

    def _open_for_peer(self, stream_id: int) -> YamuxStream | None:
        if stream_id == 0 or stream_id % 2 == self._next_id % 2 or stream_id in self._streams:
            raise MalformedError("Not a stream that the peer may open.")
        stream = YamuxStream(self, stream_id)
        try:
            if len(self._streams) >= MAX_STREAMS:
                raise trio.WouldBlock
            self._offered.send_nowait(stream)
        except trio.WouldBlock:
            self._answers += HEADER.pack(0, WINDOW_UPDATE, RST, stream_id, 0)
            return None
        self._keep(stream)
        self._answers += HEADER.pack(0, WINDOW_UPDATE, ACK, stream_id, 0)
        return stream

    def _keep(self, stream: YamuxStream) -> None:
        self._streams[stream.stream_id] = stream
        self._used = True

    # --- bytes out ----------------------------------------------------------------------------------------------------

    def send(self, kind: int, flags: int, stream_id: int, length: int, data: bytes | memoryview = b"") -> None:
        """Raises what the connection's end raises, or `MuxedStreamError` after it."""
        self._send(b"".join((HEADER.pack(0, kind, flags, stream_id, length), data)))

    def _send(self, frames: bytes) -> None:
        if self._ended:
            raise MuxedStreamError
        self.secured_conn.send(frames)
        if self.secured_conn.unsent:
            self._unsent.unpark_all()

    def tell(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        """A frame without data. On a connection that is lost nobody misses it, and whoever reads meets the end."""
        with suppress(Exception):
            self.send(kind, flags, stream_id, length)

    @property
    def has_unsent(self) -> bool:
        return bool(self.secured_conn.unsent)

    async def flushed(self) -> None:
        """Wait until all that was sent is the kernel's. Raises `MuxedStreamReset` when the connection ends before."""
        while self.has_unsent and not self._ended:
            await self._flushed.park()
        if self._ended:
            raise MuxedStreamReset

    # --- tasks --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Runs as long as the connection."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._until_the_end, self._flush, nursery.cancel_scope)
                nursery.start_soon(self._until_the_end, self._receive, nursery.cancel_scope)
                nursery.start_soon(self._until_the_end, self._wait_idle, nursery.cancel_scope)
                self.event_started.set()
        finally:
            self._end()
            with trio.CancelScope(shield=True), suppress(Exception):
                await self.secured_conn.close()
        if self.on_close is not None:
            with suppress(Exception):  # the swarm runs us beside all others: what escapes here ends the host
                await self.on_close()

    async def _until_the_end(self, work: Callable[[], Awaitable[None]], every: trio.CancelScope) -> None:
        with suppress(Exception):  # a stranger's frame, a lost connection: each is the end of this connection alone
            await work()
        every.cancel()

    async def _wait_idle(self) -> None:
        self._used = True
        while self._used:
            self._used = bool(self._streams)
            await trio.sleep(IDLE_S)

    async def _receive(self) -> None:
        while not self._ended and (data := await self.secured_conn.receive()):
            self.receive_data(data)
            if len(self.secured_conn.unsent) > MAX_UNSENT_BYTES:
                raise MalformedError("Asks, and does not read the answers.")
            if sum(stream.held_bytes for stream in self._streams.values()) > MAX_HELD_BYTES:
                raise MalformedError("Sends more than is taken.")

    async def _flush(self) -> None:
        while True:
            await self.secured_conn.flush()
            self._flushed.unpark_all()
            await self._unsent.park()

    def forget(self, stream: YamuxStream) -> None:
        self._streams.pop(stream.stream_id, None)

    def _end(self) -> None:
        self._ended = True
        self._offered.close()
        for stream in list(self._streams.values()):
            stream.lose()
        self._flushed.unpark_all()

    # --- what `IMuxedConn` asks for -----------------------------------------------------------------------------------

    @property
    def is_initiator(self) -> bool:
        return self.secured_conn.is_initiator

    @property
    def is_established(self) -> bool:
        return self.event_started.is_set() and not self._ended

    @property
    def is_closed(self) -> bool:
        return self._ended

    async def close(self) -> None:
        """Idempotent."""
        self.tell(GO_AWAY, 0, 0, 0)
        self._end()
        await self.secured_conn.close()

    async def open_stream(self) -> YamuxStream:
        if len(self._streams) >= MAX_STREAMS:
            raise MuxedStreamError
        stream = YamuxStream(self, self._next_id)
        self._next_id += 2
        self.send(WINDOW_UPDATE, SYN, stream.stream_id, 0)
        self._keep(stream)
        return stream

    async def accept_stream(self) -> YamuxStream:
        try:
            return await self._to_accept.receive()
        except trio.EndOfChannel:
            raise MuxedConnUnavailable from None

    def get_remote_address(self) -> tuple[str, int] | None:
        return self.secured_conn.get_remote_address()

    def get_transport_addresses(self) -> list[Multiaddr]:
        return self.secured_conn.get_transport_addresses()

    def get_connection_type(self) -> ConnectionType:
        return self.secured_conn.get_connection_type()


class GivenMuxer(MuxerMultistream):
    """The library's makes its own `Yamux`, whichever it was given."""

    async def new_conn(self, conn: ISecureConn, peer_id: ID) -> IMuxedConn:
        muxer = await self.select_transport(conn)
        return muxer(conn, peer_id)


def _nothing() -> None:
    pass
