"""One libp2p host: a fresh key, concrete listening addresses, one dial at a time, every stream owned."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import trio
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.exceptions import PeerIDMismatchesPubkey
from libp2p.transport.exceptions import OpenConnectionError
from multiaddr import Multiaddr

from mepassa.model.addresses import IpAddress
from mepassa.model.errors import LocalError, MalformedError, TransientError
from mepassa.p2p.addresses import TcpAddress, parse_multiaddr, parse_peer_id
from mepassa.p2p.guest import TrioGuest
from mepassa.p2p.hardening import HostLimits, new_hardened_host
from mepassa.p2p.stream import HostStream

NEGOTIATE_S = 5


class DialFailure(StrEnum):
    """Why one address gave no stream, as data for routing."""

    REFUSED = "refused"
    """Nobody listens there, or the network knows no way."""
    WRONG_PEER = "wrong_peer"
    """Somebody answered with another PeerId."""
    FAILED = "failed"
    """Somebody answered and did not speak as expected."""
    TIMED_OUT = "timed_out"
    NOT_ALLOWED = "not_allowed"
    """Ours to say: not an address that may be dialled."""


class HostDialError(TransientError):
    sentence = "That address could not be reached."

    def __init__(self, failure: DialFailure) -> None:
        super().__init__()
        self.failure = failure


class ListenError(LocalError):
    sentence = "No address could be listened on for direct paths."


class P2pHost:
    """`start` and `stop` once each. `for_dht` and `deny` as in `new_hardened_host`; `seed`: 32 bytes, else a fresh key.

    `public_ip`: told to others in place of the address listened on (which may be 0.0.0.0).
    """

    def __init__(
        self,
        guest: TrioGuest,
        *,
        seed: bytes | None = None,
        limits: HostLimits | None = None,
        for_dht: bool = False,
        deny: Sequence[str] = (),
        public_ip: IpAddress | None = None,
    ) -> None:
        self._guest, self._public_ip = guest, public_ip
        self.host: IHost = new_hardened_host(
            seed or secrets.token_bytes(32),
            limits or HostLimits(),
            for_dht=for_dht,
            deny=deny,
            advertise=None if public_ip is None else self._advertise,
        )
        self._halt: trio.Event | None = None
        self._finished = asyncio.Event()

    @property
    def peer_id(self) -> str:
        return str(self.host.get_id())

    @property
    def peer_id_bytes(self) -> bytes:
        return self.host.get_id().to_bytes()

    async def start(self, listen: Sequence[TcpAddress | str] = ()) -> tuple[TcpAddress, ...]:
        """Listen on these addresses (port 0: a free one) and say which they are. Raises `ListenError`."""
        started: asyncio.Future[tuple[TcpAddress, ...]] = asyncio.get_running_loop().create_future()
        self._guest.before_end(self.stop)
        self._guest.spawn(self._run, [Multiaddr(str(address)) for address in listen], started)
        return await started

    async def stop(self) -> None:
        """Close every connection and listener; returns when the sockets are closed. Idempotent."""
        self._guest.forget(self.stop)
        if self._halt is not None:
            self._halt.set()
            await self._finished.wait()

    def on_stream(self, protocol: str, take: Callable[[HostStream], None]) -> None:
        """`take` is called in the loop's thread for each incoming stream; whoever takes it closes it."""

        async def handle(stream: INetStream) -> None:
            taken = HostStream(self._guest, stream, _connection_of(stream))
            take(taken)
            await taken.wait_ended()

        self.host.set_stream_handler(TProtocol(protocol), handle)

    async def dial(self, address: TcpAddress, peer_id: str, protocol: str) -> HostStream:
        """A new connection to exactly this peer at exactly this address, and a stream on it. Raises `HostDialError`."""
        opened: list[HostStream] = []
        try:
            return await self._guest.call(self._dial, address, peer_id, protocol, opened)
        except asyncio.CancelledError:
            for stream in opened:  # it came just when nobody wanted it any more
                await stream.close()
            raise

    # --- trio ---------------------------------------------------------------------------------------------------------

    async def _run(self, listen: list[Multiaddr], started: "asyncio.Future[tuple[TcpAddress, ...]]") -> None:
        self._halt = trio.Event()
        try:
            async with self.host.run(listen_addrs=listen):
                addresses = self._listening()
                if listen and not addresses:
                    raise ListenError
                started.set_result(addresses)
                await self._halt.wait()
                await self.host.close()
        except Exception as error:  # noqa: BLE001 - told to `start`; later, the host is simply over
            if not started.done():
                started.set_exception(error if isinstance(error, LocalError) else ListenError())
        finally:
            self._finished.set()

    def _advertise(self, listened: list[Multiaddr]) -> list[Multiaddr]:
        ports = {address.value_for_protocol("tcp") for address in listened}
        return [Multiaddr(str(TcpAddress(self._public_ip, int(port)))) for port in ports if self._public_ip and port]

    def _listening(self) -> tuple[TcpAddress, ...]:
        found = []
        for address in self.host.get_addrs():
            try:
                found.append(parse_multiaddr(str(address))[0])
            except MalformedError:
                continue
        return tuple(found)

    async def _dial(self, address: TcpAddress, peer_id: str, protocol: str, opened: list[HostStream]) -> HostStream:
        network: Any = self.host.get_network()
        try:
            peer = ID.from_base58(parse_peer_id(peer_id))
        except (MalformedError, ValueError) as error:
            raise HostDialError(DialFailure.WRONG_PEER) from error
        try:
            connection = await network.dial_addr(Multiaddr(str(address)), peer)
        except Exception as error:
            raise HostDialError(_failure_of(error)) from error
        try:
            stream = await connection.new_stream()
            chosen = await self.host.multiselect_client.select_one_of(  # type: ignore[attr-defined]  # BasicHost has it, IHost not
                [TProtocol(protocol)], MultiselectCommunicator(stream), NEGOTIATE_S
            )
            stream.set_protocol(chosen)
        except Exception as error:
            await connection.close()
            raise HostDialError(DialFailure.FAILED) from error
        except BaseException:  # cancelled: another address won
            with trio.CancelScope(shield=True):
                await connection.close()
            raise
        taken = HostStream(self._guest, stream, connection)
        opened.append(taken)
        return taken


def _connection_of(stream: INetStream) -> Any:
    carried: Any = stream
    return carried.swarm_conn


def _failure_of(error: BaseException) -> DialFailure:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OpenConnectionError | OSError):
            return DialFailure.REFUSED
        if isinstance(cause, PeerIDMismatchesPubkey):
            return DialFailure.WRONG_PEER
        cause = cause.__cause__
    return DialFailure.FAILED
