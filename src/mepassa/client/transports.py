"""The transports as `paths` sees them: libp2p dials, ICE meetings, presence in the DHT. Made in `main`."""

import logging
from collections.abc import Callable
from dataclasses import replace

from mepassa.client.home import HomeState
from mepassa.client.network import NetworkWatch, OwnNetwork
from mepassa.client.paths.meeting import Agent, Allowed, Listening
from mepassa.client.paths.reach import How
from mepassa.client.presence import PresenceService
from mepassa.model.addresses import IpAddress
from mepassa.model.ids import Address
from mepassa.model.route import FoundBy, RouteKind
from mepassa.model.signal import Signal
from mepassa.ports.rng import Rng
from mepassa.ports.transport import Link
from mepassa.routing import admit_ip
from mepassa.transports.ice import IceAttempt, IceConfig, IceTransport, ServerRules
from mepassa.transports.libp2p import Libp2pTransport, ListenError, ListenFacts

log = logging.getLogger("mepassa.transports")

DIAL_TIMEOUT_S = 5.0
"""Longer than any TCP and Noise handshake that is worth having; routing has gone on long before."""


class Transports:
    """A `Reach`. The libp2p transport is made anew when this machine's addresses change."""

    def __init__(
        self,
        ice: IceTransport,
        home: HomeState,
        network: NetworkWatch,
        make_libp2p: Callable[[OwnNetwork], Libp2pTransport],
        *,
        rng: Rng,
        allow_loopback_paths: bool,
        private_home: bool,
    ) -> None:
        """`private_home`: the own home is at a private address, and so may its relay be."""
        self._server_rules = ServerRules.of(home.address.url, inside=private_home)
        self._ice, self._home, self._network, self._make_libp2p = ice, home, network, make_libp2p
        self._rng, self._allow_loopback_paths = rng, allow_loopback_paths
        self._libp2p = make_libp2p(network.own)
        self._direct = True
        self.presence: PresenceService | None = None
        """Set by `main`: it needs us to be made first."""

    async def start(self) -> None:
        await self._start(self._network.own)

    async def stop(self) -> None:
        await self._libp2p.stop()
        await self._ice.stop()

    async def listen_anew(self, network: OwnNetwork) -> bool:
        """Other addresses: the old links of libp2p stood on addresses that may be gone.

        False when none of them can be listened on yet: an IPv6 address is there a moment before it can be bound to.
        """
        await self._libp2p.stop()
        self._libp2p = self._make_libp2p(network)
        self._libp2p.set_direct(self._direct, "close")
        return await self._start(network)

    async def _start(self, network: OwnNetwork) -> bool:
        try:
            await self._libp2p.start()
        except ListenError:
            log.warning("libp2p.not_listening")
            await self._libp2p.stop()
            self._libp2p = self._make_libp2p(replace(network, listen=()))
            self._libp2p.set_direct(self._direct, "close")
            await self._libp2p.start()
            return False
        return True

    @property
    def facts(self) -> ListenFacts:
        return self._libp2p.listening

    @property
    def listening(self) -> Listening:
        facts = self._libp2p.listening
        return Listening(facts.peer_id, facts.addresses)

    @property
    def certificate_sha256(self) -> bytes:
        return self._ice.certificate_sha256

    async def dial(self, peer: Address, peer_id: str, addresses: tuple[str, ...], found_by: FoundBy) -> Link:
        return await self._libp2p.dial(peer, peer_id, addresses, found_by, DIAL_TIMEOUT_S)

    async def gather(self, allowed: Allowed) -> Agent:
        config = IceConfig(
            servers=self._home.turn,
            server_rules=self._server_rules,
            admit=self._admit,
            direct=allowed.direct,
            relay=allowed.relay,
            relay_only=allowed.hidden or not allowed.direct,
            allow_loopback_paths=self._allow_loopback_paths,
        )
        return await IceAttempt.gather(config, rng=self._rng)

    async def connect(self, agent: Agent, *, ours: Signal, theirs: Signal, peer: Address) -> Link:
        if not isinstance(agent, IceAttempt):
            raise TypeError("only an agent of our own gathering can connect")
        return await self._ice.connect(agent, own=ours, remote=theirs, peer=peer)

    def set_direct(self, on: bool, how: How) -> None:
        self._direct = on
        self._libp2p.set_direct(on, how)

    async def end_paths(self, kind: RouteKind, how: How) -> None:
        await self._ice.end_paths(kind, how)

    async def look_up(self, peer: Address) -> tuple[str, ...]:
        return () if self.presence is None else await self.presence.look_up(peer)

    def _admit(self, address: IpAddress) -> bool:
        return admit_ip(address, self._network.rules)
