"""The bootstrap role: one node of the DHT, by which others get into it. It keeps sealed records for two hours."""

import asyncio
import contextlib
import socket
import sys
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from mepassa.model.addresses import IpAddress, is_private, parse_ip
from mepassa.model.errors import PortTakenError
from mepassa.p2p.addresses import TcpAddress
from mepassa.p2p.dht import DhtNode, any_near
from mepassa.p2p.guest import TrioGuest
from mepassa.p2p.hardening import HostLimits
from mepassa.p2p.host import ListenError
from mepassa.ports.clock import Clock, SystemClock
from mepassa.ports.private_file import write_private
from mepassa.ports.rng import Rng, SystemRng

MAX_CONNECTIONS = 6_000
"""1 500 connections take 175 MB; a node asks and leaves, so this many at once is a large place."""
MAX_PEERS = 20_000
KEY_FILE = "bootstrap-key"
REJOIN_S = 300.0
FIRST_REJOIN_S = 5.0
"""The other node may be starting just now, too."""


@dataclass(frozen=True, slots=True)
class BootstrapConfig:
    """`listen_host` and `public_address` are literals; 0.0.0.0 listens everywhere, and then others are told the public
    address or the one that packets to the internet carry. `port` 0: a free one. `peers`: other nodes' multiaddrs with
    /p2p. `data`: the home's folder; the node's key lies in it, so that what others have listed stays true.
    """

    listen_host: str
    port: int
    data: Path
    public_address: str | None = None
    peers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BootstrapFacts:
    """For the ready line and the well-known document: where this node listens, with /p2p."""

    multiaddrs: tuple[str, ...]


class BootstrapRole:
    """A `server.roles.Role`. A process has at most one (trio runs once a thread)."""

    def __init__(self, config: BootstrapConfig, *, clock: Clock | None = None, rng: Rng | None = None) -> None:
        """Raises `MalformedError` for hosts that are not literals."""
        self._config, self._clock, self._rng = config, clock or SystemClock(), rng or SystemRng()
        self._ip = parse_ip(config.listen_host)
        told = None if config.public_address is None else parse_ip(config.public_address)
        self._public_ip = told or (_outward_ip() if self._ip.is_unspecified else None)
        self._guest = TrioGuest()
        self._node: DhtNode | None = None
        self._rejoining: asyncio.Task[None] | None = None

    @property
    def values(self) -> int:
        """Records kept now."""
        return 0 if self._node is None else self._node.values

    async def start(self) -> BootstrapFacts:
        """Raises `PortTakenError`."""
        _see_that_it_is_free(self._ip, self._config.port)
        reachable = self._public_ip or self._ip
        await self._guest.start()
        node = DhtNode(
            self._guest,
            server=True,
            now_ms=self._clock.now_ms,
            allow_loopback=reachable.is_loopback,
            near=is_private(reachable) or any_near(self._config.peers),
            seed=load_or_make_key(self._config.data / KEY_FILE, self._rng),
            public_ip=self._public_ip,
            limits=HostLimits(max_connections=MAX_CONNECTIONS, max_peers=MAX_PEERS),
        )
        try:
            addresses = await node.start([TcpAddress(self._ip, self._config.port)])
        except ListenError as error:
            await self._guest.stop()
            raise PortTakenError(self._config.port) from error
        self._node = node
        if self._config.peers:
            self._rejoining = asyncio.create_task(self._rejoin(node))
        return BootstrapFacts(tuple(f"{address}/p2p/{node.peer_id}" for address in addresses))

    async def stop(self) -> None:
        """Does nothing when it has not started."""
        if self._rejoining is not None:
            self._rejoining.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._rejoining
            self._rejoining = None
        if self._node is not None:
            await self._node.stop()
            self._node = None
            await self._guest.stop()

    async def _rejoin(self, node: DhtNode) -> None:
        while True:
            joined = await node.join(self._config.peers)
            await asyncio.sleep(REJOIN_S if joined else FIRST_REJOIN_S)


def load_or_make_key(path: Path, rng: Rng) -> bytes:
    """32 bytes, 0600. What others have listed stays true over a restart."""
    try:
        seed = path.read_bytes()
        if len(seed) == 32:
            return seed
    except FileNotFoundError:
        pass
    seed = rng.token(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, seed)
    return seed


def _see_that_it_is_free(ip: IpAddress, port: int) -> None:
    """py-libp2p shares its port with whoever asks (SO_REUSEPORT), so it would not notice. Raises `PortTakenError`."""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            if sys.platform != "win32":  # there the option means another thing: a port that is taken is shared
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what lingers in TIME_WAIT takes no port
            probe.bind((str(ip), port))
            probe.listen(1)
        except OSError as error:
            raise PortTakenError(port) from error


def _outward_ip() -> IpAddress:
    """The own address that a packet to the internet would carry; nothing is sent. Loopback where there is no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return IPv4Address("127.0.0.1")
        return IPv4Address(probe.getsockname()[0])
