"""A libp2p stream as asyncio sees it, with a connection of its own."""

import asyncio
from contextlib import suppress
from typing import Any

from libp2p.abc import INetStream

from mepassa.model.addresses import parse_ip
from mepassa.model.errors import LinkLostError, MalformedError
from mepassa.p2p.addresses import TcpAddress
from mepassa.p2p.guest import TrioGuest
from mepassa.p2p.yamux import YamuxStream


class HostStream:
    """One stream. Closing it closes the connection that carries it: each link has its own.

    `peer_id` (binary form) is proven by Noise. `remote` is the other end's address as the socket says it.
    """

    def __init__(self, guest: TrioGuest, stream: INetStream, connection: Any) -> None:
        carried: Any = stream
        self._guest, self._connection = guest, connection
        self._stream: YamuxStream = carried.muxed_stream
        self.peer_id = connection.muxed_conn.peer_id.to_bytes()
        self.remote = _remote_of(stream)
        self._changed = asyncio.Event()
        self._writing = 0
        self._closed = False
        self._stream.wide()
        self._stream.on_change = self._changed.set

    async def read(self, limit_bytes: int) -> bytes:
        """1 to `limit_bytes` bytes; b"" at the end."""
        while not (data := self._stream.take(limit_bytes)) and not self._stream.ended and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        return data

    def write(self, data: bytes) -> "asyncio.Future[None]":
        """Begun when this returns; awaited until the connection took it. Raises `LinkLostError` when awaited."""
        try:
            if self._closed:
                raise LinkLostError
            rest = data if self._writing else self._stream.send(data)
            if rest or self._stream.muxed_conn.has_unsent:
                self._writing += 1
                return self._guest.begin(self._write, rest)
        except Exception:  # noqa: BLE001 - end, reset, lost connection and trio's end are one thing to a writer
            return _written(LinkLostError())
        return _written()

    async def _write(self, rest: bytes | memoryview) -> None:
        try:
            await self._stream.write(rest)
        except Exception as error:
            raise LinkLostError from error
        finally:
            self._writing -= 1

    async def close(self) -> None:
        """Idempotent, does not wait: what was written before is already the kernel's."""
        if not self._closed:
            self._closed = True
            self._changed.set()
            with suppress(RuntimeError):  # trio is over, and the connection with it
                self._guest.spawn(self._close_connection)

    async def wait_ended(self) -> None:
        """trio: whoever was handed the stream may leave it then."""
        await self._stream.wait_ended()

    async def _close_connection(self) -> None:
        with suppress(Exception):  # it is gone, which was the wish
            await self._connection.close()


def _written(error: LinkLostError | None = None) -> "asyncio.Future[None]":
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
    return done


def _remote_of(stream: INetStream) -> TcpAddress | None:
    remote = stream.get_remote_address()
    if remote is None:
        return None
    try:
        return TcpAddress(parse_ip(remote[0].partition("%")[0]), remote[1])
    except MalformedError:
        return None
