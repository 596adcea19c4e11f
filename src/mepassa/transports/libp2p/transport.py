"""Direct links over libp2p: TCP, Noise, Yamux, one connection and one stream a link (docs/protocol/link.md)."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from mepassa.identity import LinkRole, libp2p_binding
from mepassa.model.addresses import IpAddress, is_never_dialled
from mepassa.model.errors import MalformedError, PathRefusedError, RemoteError, TransientError
from mepassa.model.ids import Address
from mepassa.model.route import AddressClass, FoundBy, RouteKind, RouteTransport
from mepassa.model.signal import MAX_ADDRESSES
from mepassa.p2p.addresses import TcpAddress, parse_multiaddr, parse_peer_id
from mepassa.p2p.guest import TrioGuest
from mepassa.p2p.hardening import HostLimits
from mepassa.p2p.host import DialFailure, HostDialError, P2pHost
from mepassa.p2p.presence import network_of_address
from mepassa.p2p.stream import HostStream
from mepassa.ports.transport import LinkFacts, LinkHandler, LinkIdentity
from mepassa.transports.link import How, LinkSession, LinkSet, LinkTiming

PROTOCOL = "/mepassa/link/1"
MAX_UNPROVEN = 64
"""Incoming streams that have not said hello yet; more are closed unread."""
MAX_UNPROVEN_PER_NETWORK = 16
"""Of these, from one IPv4 /24 or IPv6 /48: a stranger who opens streams and says nothing does not keep contacts out."""


@dataclass(frozen=True, slots=True)
class Libp2pConfig:
    """`listen`: addresses of own interfaces, as literals; loopback ones are dropped unless `allow_loopback`."""

    listen: tuple[IpAddress, ...]
    port: int = 0
    """0: a free one for each address."""
    allow_loopback: bool = False
    timing: LinkTiming = field(default_factory=LinkTiming)
    max_connections: int = 512


@dataclass(frozen=True, slots=True)
class ListenFacts:
    """What a signal or presence record says: `addresses` are multiaddrs without /p2p, at most 16."""

    peer_id: str
    addresses: tuple[str, ...]


class DialFailedError(TransientError):
    """No address gave a link. `failures`: each offered address (as text) and why; empty when none could be tried."""

    sentence = "No direct path to the other device was found."

    def __init__(self, failures: dict[str, DialFailure]) -> None:
        super().__init__()
        self.failures = failures

    @property
    def all_refused(self) -> bool:
        """Nothing is to be waited for: every address was refused, or none was offered that may be dialled."""
        return all(failure is not DialFailure.TIMED_OUT for failure in self.failures.values())


class Libp2pTransport:
    """`may_dial` is routing's rule for addresses from others (docs/protocol/routing.md); it comes after our own:
    literals only, never loopback unless allowed, never link-local or multicast.
    """

    def __init__(
        self,
        config: Libp2pConfig,
        identity: LinkIdentity,
        handler: LinkHandler,
        *,
        guest: TrioGuest,
        may_dial: Callable[[IpAddress], bool] = lambda _: True,
    ) -> None:
        self._config, self._identity, self._handler, self._may_dial = config, identity, handler, may_dial
        self._host = P2pHost(guest, limits=HostLimits(max_connections=config.max_connections))
        self._host.on_stream(PROTOCOL, self._accept)
        self._tasks: set[asyncio.Task[None]] = set()
        self._unproven: Counter[str] = Counter()
        self._direct = True
        self.links = LinkSet()
        self.listening = ListenFacts(self._host.peer_id, ())

    async def start(self) -> ListenFacts:
        """Listen. Raises `ListenError` when no address could be used; with no address at all it only dials."""
        wanted = [
            TcpAddress(ip, self._config.port)
            for ip in self._config.listen
            if not is_never_dialled(ip, allow_loopback=self._config.allow_loopback)
        ]
        addresses = await self._host.start(wanted)
        self.listening = ListenFacts(self._host.peer_id, tuple(map(str, addresses))[:MAX_ADDRESSES])
        return self.listening

    async def stop(self) -> None:
        """Say bye on every link, then close everything."""
        self._direct = False
        await self.links.end_all("close")
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._host.stop()

    @property
    def unproven(self) -> int:
        """Incoming streams that have not said hello yet."""
        return self._unproven.total()

    @property
    def direct(self) -> bool:
        return self._direct

    def set_direct(self, on: bool, how: How = "close") -> None:
        """Off: live links end this way, nothing is dialled or accepted until it is on again."""
        self._direct = on
        if not on:
            self._spawn(self.links.end_all(how))

    async def dial(
        self, peer: Address, peer_id: str, addresses: Sequence[str], found_by: FoundBy, timeout_s: float
    ) -> LinkSession:
        """Dial all addresses at once; the first that proves to be `peer_id` carries the link, the others are closed.

        `addresses`: multiaddrs, with or without /p2p. Raises `DialFailedError`, or what the hello raises (`PathRefusedError`, `HelloRefusedError`, `LinkLostError`).
        """
        self._refuse_when_off()
        try:
            admitted, failures = self._admit(addresses, parse_peer_id(peer_id))
        except MalformedError as error:
            raise DialFailedError(dict.fromkeys(addresses[:MAX_ADDRESSES], DialFailure.WRONG_PEER)) from error
        stream = await self._race(admitted, failures, peer_id, timeout_s)
        try:
            self._refuse_when_off()
        except PathRefusedError:
            await stream.close()
            raise
        session = self._session(stream, LinkRole.DIALLER, peer, found_by)
        self._spawn(session.run())
        try:
            await session.wait_open()
        except asyncio.CancelledError:
            await stream.close()
            raise
        return session

    def _refuse_when_off(self) -> None:
        if not self._direct:
            raise PathRefusedError("Direct paths are switched off here.")

    # --- dialling -----------------------------------------------------------------------------------------------------

    def _admit(self, addresses: Sequence[str], peer_id: str) -> tuple[dict[str, TcpAddress], dict[str, DialFailure]]:
        admitted: dict[str, TcpAddress] = {}
        failures: dict[str, DialFailure] = {}
        for text in addresses[:MAX_ADDRESSES]:
            try:
                address, named = parse_multiaddr(text)
            except RemoteError:
                failures[text] = DialFailure.NOT_ALLOWED
                continue
            if named not in {None, peer_id}:
                failures[text] = DialFailure.WRONG_PEER
            elif is_never_dialled(address.ip, allow_loopback=self._config.allow_loopback) or not self._may_dial(
                address.ip
            ):
                failures[text] = DialFailure.NOT_ALLOWED
            else:
                admitted[text] = address
        return admitted, failures

    async def _race(
        self, admitted: dict[str, TcpAddress], failures: dict[str, DialFailure], peer_id: str, timeout_s: float
    ) -> HostStream:
        tries = {
            asyncio.create_task(self._host.dial(address, peer_id, PROTOCOL)): text for text, address in admitted.items()
        }
        pending = set(tries)
        deadline = asyncio.get_running_loop().time() + timeout_s
        won: HostStream | None = None
        try:
            while pending and won is None:
                left_s = deadline - asyncio.get_running_loop().time()
                done, pending = await asyncio.wait(
                    pending, timeout=max(0.0, left_s), return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    failures.update({tries[late]: DialFailure.TIMED_OUT for late in pending})
                    break
                for one in done:
                    match one.exception():
                        case None if won is None:
                            won = one.result()
                        case None:
                            await one.result().close()
                        case HostDialError(failure=failure):
                            failures[tries[one]] = failure
                        case _:
                            failures[tries[one]] = DialFailure.FAILED
        finally:
            await self._abandon(pending)
        if won is None:
            raise DialFailedError(failures)
        return won

    async def _abandon(self, tries: "set[asyncio.Task[HostStream]]") -> None:
        for one in tries:
            one.cancel()
        for result in await asyncio.gather(*tries, return_exceptions=True):
            if isinstance(result, HostStream):
                await result.close()

    # --- accepting ----------------------------------------------------------------------------------------------------

    def _accept(self, stream: HostStream) -> None:
        network = "" if stream.remote is None else network_of_address(stream.remote.ip)
        full = self.unproven >= MAX_UNPROVEN or self._unproven[network] >= MAX_UNPROVEN_PER_NETWORK
        if not self._direct or full:
            self._spawn(stream.close())
            return
        session = self._session(stream, LinkRole.LISTENER, None, None)
        self._spawn(session.run())
        self._unproven[network] += 1
        self._spawn(self._prove(session, network))

    async def _prove(self, session: LinkSession, network: str) -> None:
        try:
            await session.wait_open()
        except (RemoteError, TransientError):
            pass  # a stranger, and told nothing
        finally:
            self._unproven[network] -= 1
            if not self._unproven[network]:
                del self._unproven[network]

    def _session(
        self, stream: HostStream, role: LinkRole, peer: Address | None, found_by: FoundBy | None
    ) -> LinkSession:
        own, theirs = self._host.peer_id_bytes, stream.peer_id
        binding = libp2p_binding(own, theirs) if role is LinkRole.DIALLER else libp2p_binding(theirs, own)
        address_class = AddressClass.PUBLIC if stream.remote is None else stream.remote.address_class
        return LinkSession(
            stream,
            role=role,
            identity=self._identity,
            handler=self._handler,
            binding=binding,
            facts=LinkFacts(RouteKind.DIRECT, RouteTransport.LIBP2P, address_class, found_by),
            peer=peer,
            timing=self._config.timing,
            links=self.links,
        )

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
