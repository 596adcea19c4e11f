"""Which internet addresses may be dialled, advertised or relayed to: one rule for devices and relay.

"Private" is the list below and nothing else (not `ipaddress.is_private`, which also holds for documentation ranges).
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from mepassa.model.errors import MalformedError

IpAddress = IPv4Address | IPv6Address

PRIVATE_NETWORKS: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("100.64.0.0/10"),
    IPv6Network("fc00::/7"),
)


def parse_ip(text: str) -> IpAddress:
    """A literal address, IPv4-mapped IPv6 unwrapped. Raises `MalformedError` for names, scopes and anything else."""
    if len(text) > 45 or "%" in text:
        raise MalformedError("An internet address must be written as numbers, without a zone.")
    try:
        address = ip_address(text)
    except ValueError as error:
        raise MalformedError("An internet address must be written as numbers.") from error
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


NEVER_DIALLED_IPV6: tuple[IPv6Network, ...] = (
    IPv6Network("64:ff9b:1::/48"),  # RFC 8215: translation inside one network
    IPv6Network("fec0::/10"),  # RFC 3879: site-local, private to whoever still routes it
)

_EMBEDDING: tuple[tuple[IPv6Network, int], ...] = (
    (IPv6Network("::/96"), 0),  # RFC 4291 §2.5.5.1, IPv4-compatible
    (IPv6Network("::ffff:0:0/96"), 0),  # RFC 4291 §2.5.5.2, IPv4-mapped
    (IPv6Network("::ffff:0:0:0/96"), 0),  # RFC 2765, IPv4-translated
    (IPv6Network("64:ff9b::/96"), 0),  # RFC 6052, NAT64
    (IPv6Network("2002::/16"), 80),  # RFC 3056, 6to4
)
"""IPv6 that ends at an IPv4 address, and how many bits stand behind that."""


def embedded_ipv4(address: IpAddress) -> IPv4Address | None:
    """The IPv4 address that a translator or a dual-stack socket would turn this one into; None for any other."""
    if isinstance(address, IPv4Address) or address.is_loopback or address.is_unspecified:
        return None
    behind = next((bits for network, bits in _EMBEDDING if address in network), None)
    return None if behind is None else IPv4Address(int(address) >> behind & 0xFFFF_FFFF)


def is_private(address: IpAddress) -> bool:
    return any(address.version == network.version and address in network for network in PRIVATE_NETWORKS)


def is_public(address: IpAddress) -> bool:
    return not is_private(address) and not is_never_dialled(address)


def is_never_dialled(address: IpAddress, *, allow_loopback: bool = False) -> bool:
    """Loopback (outside demo and tests), link-local, multicast, unspecified, broadcast, reserved; also IPv6 forms that
    hide an IPv4 address of such a kind or of a private network.
    """
    if (inside := embedded_ipv4(address)) is not None:
        return is_private(inside) or is_never_dialled(inside)
    if address.version == 6 and any(address in network for network in NEVER_DIALLED_IPV6):
        return True
    if address.is_loopback:
        return not allow_loopback
    if isinstance(address, IPv4Address) and (
        address in IPv4Network("0.0.0.0/8") or address in IPv4Network("240.0.0.0/4")
    ):
        return True
    return address.is_link_local or address.is_multicast or address.is_unspecified
