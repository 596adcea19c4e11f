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


def is_private(address: IpAddress) -> bool:
    return any(address.version == network.version and address in network for network in PRIVATE_NETWORKS)


def is_never_dialled(address: IpAddress, *, allow_loopback: bool = False) -> bool:
    """Loopback (outside demo and tests), link-local, multicast, unspecified, broadcast, reserved."""
    if address.is_loopback:
        return not allow_loopback
    if isinstance(address, IPv4Address) and (
        address in IPv4Network("0.0.0.0/8") or address in IPv4Network("240.0.0.0/4")
    ):
        return True
    return address.is_link_local or address.is_multicast or address.is_unspecified
