"""A libp2p stream as asyncio sees it, with a connection of its own."""

import asyncio
from contextlib import suppress
from typing import Any

import trio
from libp2p.abc import INetStream

from mepassa.model.addresses import parse_ip
from mepassa.model.errors import LinkLostError, MalformedError
from mepassa.p2p.addresses import TcpAddress
from mepassa.p2p.guest import TrioGuest

READ_BYTES = 64 * 1024
HELD_BYTES = 256 * 1024
"""Read and not yet taken; past it the stream is not read any further, and the peer's window closes."""


class HostStream:
    """One stream. Closing it closes the connection that carries it: each link has its own.

    `peer_id` (binary form) is proven by Noise. `remote` is the other end's address as the socket says it.
    """

    def __init__(self, guest: TrioGuest, stream: INetStream, connection: Any) -> None:
        self._guest, self._stream, self._connection = guest, stream, connection
        self.peer_id = connection.muxed_conn.peer_id.to_bytes()
        self.remote = _remote_of(stream)
        self._held = bytearray()
        self._arrived = asyncio.Event()
        self._taken: trio.Event | None = None
        self._ended = self._closed = False

    async def read(self, limit_bytes: int) -> bytes:
        """1 to `limit_bytes` bytes; b"" at the end."""
        while not self._held and not self._ended:
            self._arrived.clear()
            await self._arrived.wait()
        data = bytes(self._held[:limit_bytes])
        del self._held[:limit_bytes]
        if self._taken is not None and len(self._held) < HELD_BYTES:
            self._taken.set()
        return data

    def write(self, data: bytes) -> "asyncio.Future[None]":
        """Begun when this returns; awaited until the connection took it. Raises `LinkLostError` when awaited."""
        try:
            return self._guest.begin(self._write, data)
        except RuntimeError:  # trio is over, and the connection with it
            lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            lost.set_exception(LinkLostError())
            return lost

    async def _write(self, data: bytes) -> None:
        if self._closed:
            raise LinkLostError
        try:
            await self._stream.write(data)
        except Exception as error:
            raise LinkLostError from error

    async def close(self) -> None:
        """Idempotent, does not wait: what was written before is already the kernel's."""
        if not self._closed:
            self._closed = True
            self._end()
            with suppress(RuntimeError):  # trio is over, and the connection with it
                self._guest.spawn(self._close_connection)

    async def pump(self) -> None:
        """trio: carry what comes in to whoever reads, until the end."""
        try:
            with suppress(Exception):  # end, reset and lost connection are one thing to a reader
                while data := await self._stream.read(READ_BYTES):
                    self._held += data
                    self._arrived.set()
                    if len(self._held) >= HELD_BYTES:
                        self._taken = trio.Event()
                        await self._taken.wait()
        finally:
            self._end()

    def _end(self) -> None:
        self._ended = True
        self._arrived.set()
        if self._taken is not None:
            self._taken.set()

    async def _close_connection(self) -> None:
        with suppress(Exception):  # it is gone, which was the wish
            await self._connection.close()


def _remote_of(stream: INetStream) -> TcpAddress | None:
    remote = stream.get_remote_address()
    if remote is None:
        return None
    try:
        return TcpAddress(parse_ip(remote[0].partition("%")[0]), remote[1])
    except MalformedError:
        return None
