"""Peers for link tests: real keys, handlers that write down what they are told."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from mepassa.identity import IdentityKeyPair
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import AccountId, Address
from mepassa.model.keys import IdentityKey
from mepassa.model.secret import SecretBytes
from mepassa.ports.transport import Link

REFUSES_AFTER_S = 0.05
"""Longer than a link's way there and back: what is sent at once is there by then."""


class Person:
    """A device with a real key; `peer_key` knows whom `befriend` named. Implements `LinkIdentity`."""

    def __init__(self, number: int, *, device: int = 1) -> None:
        self.own = Address(AccountId(bytes([number]) * 16), device)
        self.list_version = 1
        self.key = IdentityKeyPair(SecretBytes(bytes([number, device]) * 16))
        self.listed: dict[Address, IdentityKey] = {}
        self.unlisted: list[Address] = []

    def befriend(self, *others: "Person") -> None:
        for other in others:
            self.listed[other.own] = other.key.public
            other.listed[self.own] = self.key.public

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message)

    def peer_key(self, peer: Address) -> IdentityKey | None:
        return self.listed.get(peer)

    def unlisted_hello(self, peer: Address) -> None:
        self.unlisted.append(peer)


def two_friends() -> tuple[Person, Person]:
    ana, bruno = Person(1), Person(2)
    ana.befriend(bruno)
    return ana, bruno


@dataclass
class Recorder:
    """A `LinkHandler`. `hold` keeps `envelope_received` from returning (no commit, no acknowledgement)."""

    opened: list[Link] = field(default_factory=list)
    closed: list[Link] = field(default_factory=list)
    received: list[SealedEnvelope] = field(default_factory=list)
    hold: asyncio.Event | None = None
    refuse: type[Exception] | None = None
    refuse_link: type[Exception] | None = None
    """Raised a moment after the link has opened."""
    then: Callable[[], Awaitable[None]] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def link_opened(self, link: Link) -> None:
        self.opened.append(link)
        self.changed.set()
        if self.refuse_link is not None:
            await asyncio.sleep(REFUSES_AFTER_S)
            raise self.refuse_link

    async def envelope_received(self, link: Link, envelope: SealedEnvelope) -> bool:
        if self.hold is not None:
            await self.hold.wait()
        if self.refuse is not None:
            raise self.refuse
        if self.then is not None:
            await self.then()
        first = envelope not in self.received
        self.received.append(envelope)
        self.changed.set()
        return first

    async def link_closed(self, link: Link) -> None:
        self.closed.append(link)
        self.changed.set()


def envelope(number: int, size_bytes: int = 300) -> SealedEnvelope:
    return SealedEnvelope(number.to_bytes(4, "big").ljust(size_bytes, b"e"))
