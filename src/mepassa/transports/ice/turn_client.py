"""A relay candidate from one TURN server: aioice's client, made safe against junk and against a relay that is gone."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable

from aioice import stun, turn
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import StunProtocol

from mepassa.transports.ice.servers import TurnServer
from mepassa.transports.ice.sockets import open_udp

DELETE_WITHIN_S = 0.5
"""Seconds given to the request that frees the allocation. Where it gets no answer the relay frees it by itself after
its lifetime; aioice alone would go on asking for a minute."""

KEEP_MAPPING_S = 20.0
"""Seconds between Binding indications that keep a NAT's mapping (many last 30 s) while nothing else is sent."""

MALFORMED = (ValueError, KeyError, IndexError, struct.error, AssertionError)
"""What aioice's STUN parser and handlers raise on bytes that are not what they should be."""


class _UdpClient(turn.TurnClientUdpProtocol):
    """Stays reachable behind a NAT although TURN's own refresh comes only every eight minutes."""

    def __init__(self, server: tuple[str, int], username: str, password: str) -> None:
        super().__init__(
            server, username, password, turn.DEFAULT_ALLOCATION_LIFETIME, turn.DEFAULT_CHANNEL_REFRESH_TIME
        )
        self._due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._keep_mapping()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._due is not None:
            self._due.cancel()
        super().connection_lost(exc)

    def _keep_mapping(self) -> None:
        if self._due is not None:
            self.transport.sendto(bytes(binding_indication()))
        self._due = asyncio.get_running_loop().call_later(KEEP_MAPPING_S, self._keep_mapping)

    async def delete(self) -> None:
        async with _bounded_delete(self.transport):
            await super().delete()

    def datagram_received(self, data: bytes | str, addr: tuple[str, int]) -> None:
        with contextlib.suppress(*MALFORMED):
            super().datagram_received(data, addr)


class _TcpClient(turn.TurnClientTcpProtocol):
    def __init__(self, server: tuple[str, int], username: str, password: str) -> None:
        super().__init__(
            server, username, password, turn.DEFAULT_ALLOCATION_LIFETIME, turn.DEFAULT_CHANNEL_REFRESH_TIME
        )

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


def binding_indication() -> stun.Message:
    """Says nothing and asks for nothing (RFC 8445 §11): a datagram that keeps a mapping."""
    return stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.INDICATION)


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
    address = (server.host, server.port)
    inner: turn.TurnClientProtocol
    socket: asyncio.BaseTransport
    if server.transport == "tcp":
        socket, inner = await asyncio.get_running_loop().create_connection(
            lambda: _TcpClient(address, username, password), host=server.host, port=server.port
        )
    else:
        socket, inner = await open_udp(lambda: _UdpClient(address, username, password), remote_addr=address)
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
