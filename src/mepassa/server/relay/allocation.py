"""What the relay remembers of one client: its allocation with permissions and channel bindings (RFC 8656 §2, §9, §12)."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from typing import NamedTuple

from mepassa.wire.stun import Endpoint, Message

Sockaddr = tuple[str, int]
"""Literal address and port, as sockets give them: the hot path compares these without parsing."""


class FiveTuple(NamedTuple):
    """Who talks to which of our ports: what an allocation is known by."""

    transport: str
    """"udp" or "tcp"."""
    client: Sockaddr
    server: Sockaddr


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request whose sender has shown that it knows the key of `username`."""

    message: Message
    five_tuple: FiveTuple
    username: str
    key: bytes


@dataclass(slots=True)
class Allocation:
    """All `…_at` are monotonic seconds; nothing is relayed past them."""

    five_tuple: FiveTuple
    relayed_port: int
    username: str
    transaction_id: bytes
    """Of the Allocate that made it: its retransmission gets the same answer."""
    expires_at: float
    permissions: dict[str, float] = field(default_factory=dict)
    """Peer's address (no port, RFC 8656 §9) -> when it ends."""
    channels: dict[int, tuple[Sockaddr, float]] = field(default_factory=dict)
    """Channel number -> peer, when the binding ends."""
    numbers: dict[Sockaddr, int] = field(default_factory=dict)
    """The same the other way round."""

    def permits(self, host: str, now: float) -> bool:
        return self.permissions.get(host, 0.0) > now

    def peer_of(self, channel: int, now: float) -> Sockaddr | None:
        bound = self.channels.get(channel)
        return bound[0] if bound is not None and bound[1] > now else None

    def channel_of(self, peer: Sockaddr, now: float) -> int | None:
        number = self.numbers.get(peer)
        return number if number is not None and self.channels[number][1] > now else None

    def bind(self, channel: int, peer: Sockaddr, until: float) -> None:
        self.channels[channel] = (peer, until)
        self.numbers[peer] = channel

    def forget_expired(self, now: float) -> None:
        self.permissions = {host: until for host, until in self.permissions.items() if until > now}
        self.channels = {number: bound for number, bound in self.channels.items() if bound[1] > now}
        self.numbers = {peer: number for number, (peer, _until) in self.channels.items()}


def endpoint_of(address: Sockaddr) -> Endpoint:
    """As STUN attributes have it; a mapped IPv4 address is IPv4."""
    parsed = ip_address(address[0])
    if not isinstance(parsed, IPv4Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped, address[1]
    return parsed, address[1]
