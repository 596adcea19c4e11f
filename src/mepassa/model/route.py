"""How a message travelled, and what a person allows."""

from enum import StrEnum
from typing import Annotated

import msgspec


class RouteKind(StrEnum):
    DIRECT = "direct"
    RELAYED = "relayed"
    STORED = "stored"


class RouteTransport(StrEnum):
    LIBP2P = "libp2p"
    QUIC = "quic"
    MAILBOX = "mailbox"


class AddressClass(StrEnum):
    """What kind of address carried the bytes, in the words of the route record."""

    LOOPBACK = "loopback"
    LAN = "lan"
    PUBLIC = "public"
    IPV6 = "ipv6"
    HOLE_PUNCHED = "hole_punched"
    MAPPED = "mapped"
    RELAY = "relay"
    HOME = "home"


class FoundBy(StrEnum):
    SIGNAL = "signal"
    DHT = "dht"
    LAN = "lan"
    LAST_KNOWN = "last_known"


class Route(msgspec.Struct, frozen=True, array_like=True):
    """Who carried the copy that the recipient committed first. `via` names the relay or home (host:port), else None."""

    kind: RouteKind
    transport: RouteTransport
    via: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    address_class: AddressClass | None = None
    found_by: FoundBy | None = None
    rtt_ms: Annotated[float, msgspec.Meta(ge=0, le=600_000)] | None = None


class Policy(StrEnum):
    """Per chat: which routes may be used (docs/protocol/routing.md)."""

    AUTO = "auto"
    DIRECT_ONLY = "direct_only"
    HIDE_MY_IP = "hide_my_ip"
    DATA_SAVER = "data_saver"


class NatKind(StrEnum):
    """What two Binding requests to different ports showed."""

    UNKNOWN = "unknown"
    OPEN = "open"
    CONE = "cone"
    SYMMETRIC = "symmetric"
    UDP_BLOCKED = "udp_blocked"
