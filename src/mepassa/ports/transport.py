"""A live path to one device: libp2p, QUIC over ICE, or a loopback pair in tests (docs/protocol/link.md)."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import Address
from mepassa.model.keys import IdentityKey
from mepassa.model.route import AddressClass, FoundBy, RouteKind, RouteTransport


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """What the route record says of a path. `via` is the relay's host:port when relayed."""

    kind: RouteKind
    transport: RouteTransport
    address_class: AddressClass
    found_by: FoundBy | None
    via: str | None = None


class Link(Protocol):
    """Both hellos have been verified: `peer` is proven."""

    @property
    def peer(self) -> Address: ...

    @property
    def facts(self) -> LinkFacts: ...

    @property
    def srtt_s(self) -> float | None:
        """Smoothed round trip in seconds; None until the first ping has come back."""
        ...

    def send(self, envelope: SealedEnvelope) -> Awaitable[bool]:
        """Awaited until the peer has acknowledged, which it does only after its commit. Raises `LinkLostError`. Where
        there is room on the link the envelope has left when the call returns.

        True: the peer has opened this copy, and it was the first. False says nothing but that it is on its disk.

        Cancelling (a time-out of the caller's) leaves the link open; the same bytes may then go another way.
        """
        ...

    async def wait_closed(self) -> None: ...

    async def close(self) -> None: ...


class LinkHandler(Protocol):
    """What the owner of links is told. Calls for one link come in order."""

    async def link_opened(self, link: Link) -> None: ...

    async def envelope_received(self, link: Link, envelope: SealedEnvelope) -> bool:
        """Returns after the commit; only then is it acknowledged. Raising means: not acknowledged, link kept.

        Whether this copy was the first and has been opened: the acknowledgement says so.
        """
        ...

    async def link_closed(self, link: Link) -> None: ...


class LinkIdentity(Protocol):
    """What a link needs of the account: who we are, and whose key may answer."""

    @property
    def own(self) -> Address: ...

    @property
    def list_version(self) -> int: ...

    def sign(self, message: bytes) -> bytes:
        """XEdDSA by the device key over `message`, which begins with its context string. 64 bytes."""
        ...

    def peer_key(self, peer: Address) -> IdentityKey | None:
        """The listed key of a device of an accepted contact whose chat allows this; None for everyone else."""
        ...

    def unlisted_hello(self, peer: Address) -> None:
        """Somebody has said to be this device, which has no `peer_key`. Nothing is proven, and the answer is silence."""
        ...
