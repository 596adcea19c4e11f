"""The transports as `paths` sees them: libp2p dials, ICE meetings, presence in the DHT. Made in `main`."""

from dataclasses import dataclass

from mepassa.client.home import HomeState
from mepassa.client.paths.meeting import Agent, Allowed, Listening
from mepassa.client.paths.reach import How
from mepassa.client.presence import PresenceService
from mepassa.model.addresses import IpAddress
from mepassa.model.ids import Address
from mepassa.model.route import FoundBy, RouteKind
from mepassa.model.signal import Signal
from mepassa.ports.rng import Rng
from mepassa.ports.transport import Link
from mepassa.routing import AddressRules, admit_ip
from mepassa.transports.ice import IceAttempt, IceConfig, IceTransport
from mepassa.transports.libp2p import Libp2pTransport

DIAL_TIMEOUT_S = 5.0
"""Longer than any TCP and Noise handshake that is worth having; routing has gone on long before."""


@dataclass
class Transports:
    """A `Reach`."""

    libp2p: Libp2pTransport
    ice: IceTransport
    presence: PresenceService
    home: HomeState
    rules: AddressRules
    rng: Rng
    allow_loopback_paths: bool

    @property
    def listening(self) -> Listening:
        facts = self.libp2p.listening
        return Listening(facts.peer_id, facts.addresses)

    @property
    def certificate_sha256(self) -> bytes:
        return self.ice.certificate_sha256

    async def dial(self, peer: Address, peer_id: str, addresses: tuple[str, ...], found_by: FoundBy) -> Link:
        return await self.libp2p.dial(peer, peer_id, addresses, found_by, DIAL_TIMEOUT_S)

    async def gather(self, allowed: Allowed) -> Agent:
        config = IceConfig(
            servers=self.home.turn,
            admit=self._admit,
            direct=allowed.direct,
            relay=allowed.relay,
            relay_only=allowed.hidden,
            allow_loopback_paths=self.allow_loopback_paths,
        )
        return await IceAttempt.gather(config, rng=self.rng)

    async def connect(self, agent: Agent, *, ours: Signal, theirs: Signal, peer: Address) -> Link:
        if not isinstance(agent, IceAttempt):
            raise TypeError("only an agent of our own gathering can connect")
        return await self.ice.connect(agent, own=ours, remote=theirs, peer=peer)

    def set_direct(self, on: bool, how: How) -> None:
        self.libp2p.set_direct(on, how)

    async def end_paths(self, kind: RouteKind, how: How) -> None:
        await self.ice.end_paths(kind, how)

    async def look_up(self, peer: Address) -> tuple[str, ...]:
        return await self.presence.look_up(peer)

    def _admit(self, address: IpAddress) -> bool:
        return admit_ip(address, self.rules)
