"""The bootstrap role: one node of the DHT, by which others get into it. It keeps sealed records for two hours."""

import asyncio
import contextlib
import os
import secrets
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from mepassa.model.addresses import IpAddress, is_private
from mepassa.p2p.addresses import TcpAddress
from mepassa.p2p.dht import DhtNode, any_near
from mepassa.p2p.guest import TrioGuest
from mepassa.p2p.hardening import HostLimits
from mepassa.ports.clock import Clock

MAX_CONNECTIONS = 6_000
"""1 500 connections take 175 MB; a node asks and leaves, so this many at once is a large place."""
MAX_PEERS = 20_000
REJOIN_S = 300.0
FIRST_REJOIN_S = 5.0
"""The other node may be starting just now, too."""


@dataclass(frozen=True, slots=True)
class BootstrapConfig:
    """`ip`: where to listen, 0.0.0.0 for everywhere; `port` 0: a free one. `key_file`: kept, so that lists stay true.

    `public_ip`: what others are told instead. `peers`: other nodes' multiaddrs with /p2p, joined, and listed beside ours.
    """

    key_file: Path
    ip: IpAddress
    port: int = 4001
    public_ip: IpAddress | None = None
    peers: tuple[str, ...] = ()


class BootstrapRole:
    """`multiaddr` once it has started; a process has at most one (trio runs once a thread)."""

    def __init__(self, config: BootstrapConfig, *, clock: Clock) -> None:
        self._config = config
        told = config.public_ip or (_outward_ip() if config.ip.is_unspecified else None)
        reachable = told or config.ip
        self._public_ip, self._reachable_ip, self._clock = told, reachable, clock
        self._guest = TrioGuest()
        self._running: DhtNode | None = None
        self._rejoining: asyncio.Task[None] | None = None
        self.multiaddr: str | None = None

    @property
    def multiaddrs(self) -> tuple[str, ...]:
        """For the well-known document: ours first."""
        return ((self.multiaddr,) if self.multiaddr else ()) + self._config.peers

    @property
    def values(self) -> int:
        """Records kept now."""
        return 0 if self._running is None else self._running.values

    async def start(self) -> None:
        """Raises `ListenError` when the port cannot be had."""
        await self._guest.start()
        node = DhtNode(
            self._guest,
            server=True,
            now_ms=self._clock.now_ms,
            allow_loopback=self._reachable_ip.is_loopback,
            near=is_private(self._reachable_ip) or any_near(self._config.peers),
            seed=load_or_make_key(self._config.key_file),
            public_ip=self._public_ip,
            limits=HostLimits(max_connections=MAX_CONNECTIONS, max_peers=MAX_PEERS),
        )
        try:
            addresses = await node.start([TcpAddress(self._config.ip, self._config.port)])
        except BaseException:
            await self._guest.stop()
            raise
        self._running = node
        self.multiaddr = f"{addresses[0]}/p2p/{node.peer_id}"
        if self._config.peers:
            self._rejoining = asyncio.create_task(self._rejoin(node))

    async def stop(self) -> None:
        """Does nothing when it has not started."""
        if self._rejoining is not None:
            self._rejoining.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._rejoining
            self._rejoining = None
        if self._running is not None:
            await self._running.stop()
            self._running = None
            await self._guest.stop()

    async def _rejoin(self, node: DhtNode) -> None:
        while True:
            joined = await node.join(self._config.peers)
            await asyncio.sleep(REJOIN_S if joined else FIRST_REJOIN_S)


def load_or_make_key(path: Path) -> bytes:
    """32 bytes, 0600. What others have listed stays true over a restart."""
    try:
        seed = path.read_bytes()
        if len(seed) == 32:
            return seed
    except FileNotFoundError:
        pass
    seed = secrets.token_bytes(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, seed)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    return seed


def _outward_ip() -> IpAddress:
    """The own address that a packet to the internet would carry; nothing is sent. Loopback where there is no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return IPv4Address("127.0.0.1")
        return IPv4Address(probe.getsockname()[0])
