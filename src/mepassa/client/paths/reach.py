"""What paths need of the transports: one port, implemented in `client.transports`."""

from typing import Literal, Protocol

from mepassa.client.paths.meeting import Agent, Allowed, Listening
from mepassa.model.ids import Address
from mepassa.model.route import FoundBy, RouteKind
from mepassa.model.signal import Signal
from mepassa.ports.transport import Link

How = Literal["close", "silence"]


class Reach(Protocol):
    """Dials, meetings and look-ups. Everything that fails raises a `MepassaError`."""

    @property
    def listening(self) -> Listening:
        """Where libp2p listens now: what our signals say."""
        ...

    @property
    def certificate_sha256(self) -> bytes: ...

    async def dial(self, peer: Address, peer_id: str, addresses: tuple[str, ...], found_by: FoundBy) -> Link:
        """By libp2p, all addresses at once; the first that proves itself wins."""
        ...

    async def gather(self, allowed: Allowed) -> Agent: ...

    async def connect(self, agent: Agent, *, ours: Signal, theirs: Signal, peer: Address) -> Link:
        """ICE, QUIC and both hellos. Owns the agent from the call on."""
        ...

    def set_direct(self, on: bool, how: How) -> None:
        """Take direct libp2p links or not; live ones end as `how` says."""
        ...

    async def end_paths(self, kind: RouteKind, how: How) -> None:
        """End the live ICE paths of one kind."""
        ...

    async def look_up(self, peer: Address) -> tuple[str, ...]:
        """By DHT: multiaddrs with /p2p/ID; empty when nothing is said there."""
        ...
