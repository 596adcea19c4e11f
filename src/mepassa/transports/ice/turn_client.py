"""A relay candidate from one TURN server: aioice's client, made safe against junk and against a relay that is gone."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable

from aioice import stun, turn
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import StunProtocol

from mepassa.transports.ice.servers import TurnServer

DELETE_WITHIN_S = 0.5
"""Seconds given to the request that frees the allocation. Where it gets no answer the relay frees it by itself after
its lifetime; aioice alone would go on asking for a minute."""

MALFORMED = (ValueError, KeyError, IndexError, struct.error, AssertionError)
"""What aioice's STUN parser and handlers raise on bytes that are not what they should be."""


class _UdpClient(turn.TurnClientUdpProtocol):
    async def delete(self) -> None:
        async with _bounded_delete(self.transport):
            await super().delete()

    def datagram_received(self, data: bytes | str, addr: tuple[str, int]) -> None:
        with contextlib.suppress(*MALFORMED):
            super().datagram_received(data, addr)


class _TcpClient(turn.TurnClientTcpProtocol):
    async def delete(self) -> None:
        async with _bounded_delete(self.transport):
            await super().delete()

    def datagram_received(  # type: ignore[mutable-override]  # aioice declares it as a callable for its mixin
        self, data: bytes | str, addr: tuple[str, int]
    ) -> None:
        with contextlib.suppress(*MALFORMED):
            super().datagram_received(data, addr)


@contextlib.asynccontextmanager
async def _bounded_delete(transport: asyncio.BaseTransport) -> AsyncIterator[None]:
    """Give up after `DELETE_WITHIN_S`, and close the socket in any case."""
    try:
        with contextlib.suppress(TimeoutError, ConnectionError, stun.TransactionError):
            async with asyncio.timeout(DELETE_WITHIN_S):
                yield
    finally:
        transport.close()


async def relay_candidate(
    server: TurnServer,
    *,
    username: str,
    password: str,
    local_preference: int,
    protocol_factory: Callable[[], StunProtocol],
) -> tuple[Candidate, StunProtocol]:
    """Allocate at `server` (host already an address). Raises `OSError`, `stun.TransactionError` or `ConnectionError`;
    on any exception, cancellation included, its socket is closed.

    The related address is left out: it would name our own address to whoever reads the line.
    """
    protocol, transport = await _allocate(server, username, password, protocol_factory)
    address, port = transport.get_extra_info("sockname")
    candidate = Candidate(
        foundation=candidate_foundation("relay", "udp", address),
        component=1,
        transport="udp",
        priority=candidate_priority(1, "relay", local_preference),
        host=address,
        port=port,
        type="relay",
    )
    protocol.local_candidate = candidate
    return candidate, protocol


async def _allocate(
    server: TurnServer, username: str, password: str, protocol_factory: Callable[[], StunProtocol]
) -> tuple[StunProtocol, turn.TurnTransport]:
    loop = asyncio.get_running_loop()
    address = (server.host, server.port)
    lifetime, refresh = turn.DEFAULT_ALLOCATION_LIFETIME, turn.DEFAULT_CHANNEL_REFRESH_TIME
    inner: turn.TurnClientProtocol
    socket: asyncio.BaseTransport
    if server.transport == "tcp":
        socket, inner = await loop.create_connection(
            lambda: _TcpClient(address, username, password, lifetime, refresh), host=server.host, port=server.port
        )
    else:
        socket, inner = await loop.create_datagram_endpoint(
            lambda: _UdpClient(address, username, password, lifetime, refresh), remote_addr=address
        )
    try:
        protocol = protocol_factory()
        transport = turn.TurnTransport(inner)
        await transport._connect(protocol)  # noqa: SLF001 (as aioice's create_turn_endpoint, which fixes the client class)
    except BaseException:
        if inner.refresh_task is not None:
            inner.refresh_task.cancel()
        socket.close()
        raise
    return protocol, transport
