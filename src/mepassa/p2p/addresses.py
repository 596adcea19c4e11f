"""Multiaddrs as text, as far as we speak them: `/ip4/A/tcp/P`, `/ip6/A/tcp/P`, optionally `/p2p/ID`.

A parser of our own, since these come from strangers: no DNS names, no relays, nothing that makes a library look further.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address

from mepassa.model.addresses import IpAddress, is_private, parse_ip
from mepassa.model.errors import MalformedError
from mepassa.model.route import AddressClass

MAX_MULTIADDR_CHARS = 200
BASE58 = frozenset("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """Where a libp2p host listens."""

    ip: IpAddress
    port: int

    def __str__(self) -> str:
        """The multiaddr without /p2p."""
        return f"/ip{self.ip.version}/{self.ip}/tcp/{self.port}"

    @property
    def address_class(self) -> AddressClass:
        if self.ip.is_loopback:
            return AddressClass.LOOPBACK
        if is_private(self.ip):
            return AddressClass.LAN
        return AddressClass.PUBLIC if isinstance(self.ip, IPv4Address) else AddressClass.IPV6


def parse_peer_id(text: str) -> str:
    """A PeerId in base58, as `/p2p/` shows it. Raises `MalformedError`; whether it is a key is the library's to say."""
    if not 40 <= len(text) <= 60 or not BASE58.issuperset(text):
        raise MalformedError("A PeerId is not written as one.")
    return text


def parse_multiaddr(text: str) -> tuple[TcpAddress, str | None]:
    """Address and, where it is named, PeerId. Raises `MalformedError` for everything that is not exactly this."""
    parts = text.split("/") if len(text) <= MAX_MULTIADDR_CHARS else []
    match parts:
        case ["", "ip4" | "ip6" as family, host, "tcp", port]:
            peer_id = None
        case ["", "ip4" | "ip6" as family, host, "tcp", port, "p2p", peer]:
            peer_id = parse_peer_id(peer)
        case _:
            raise MalformedError("A peer-to-peer address must be /ip4 or /ip6 with /tcp.")
    ip = parse_ip(host)
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65_536):
        raise MalformedError("A port must be a number from 1 to 65535.")
    if family == "ip4" and ip.version != 4:
        raise MalformedError("An /ip4 address must be four numbers.")
    return TcpAddress(ip, int(port)), peer_id
