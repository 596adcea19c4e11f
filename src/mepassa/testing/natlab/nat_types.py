"""The kinds of NAT that the lab can play, and their nftables rules. Pure text.

The words are RFC 3489's and RFC 4787's: what a NAT lets in after the client has sent something out.
"""

from enum import StrEnum


class NatType(StrEnum):
    OPEN = "open"
    """No NAT: the client has an address of its own (198.51.100.x) and everything reaches it."""
    FULLCONE = "fullcone"
    """Endpoint-independent mapping and filtering: anyone may send to the mapped address."""
    ADDRCONE = "addrcone"
    """Endpoint-independent mapping, address-dependent filtering."""
    PORTCONE = "portcone"
    """Endpoint-independent mapping, address- and port-dependent filtering: most home routers."""
    PORTCONE_ACCEPT = "portcone_accept"
    """The same with a router that accepts what nobody asked for: its own entry then moves the client's next flow to
    another port, and punching fails. Such routers exist."""
    SYMMETRIC = "symmetric"
    """Another random port for every destination: mobile networks, strict firewalls."""
    UDPBLOCKED = "udpblocked"
    """Only TCP to port 443 gets out: offices, hotels."""


_INPUT = 'chain input { type filter hook input priority 0; policy accept; iifname "wan" ct state new drop; }'
_MASQUERADE = 'chain post { type nat hook postrouting priority 100; oifname "wan" masquerade persistent; }'
_FORWARD = (
    "chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept; "
    'ct status dnat accept; iifname "lan" oifname "wan" accept; }'
)


def ruleset(kind: NatType, client: str) -> str:
    """`table ip natlab` for the NAT's namespace; its interfaces are "lan" and "wan". `client`: address behind it."""
    return "table ip natlab {\n" + "\n".join(_chains(kind, client)) + "\n}\n"


def _chains(kind: NatType, client: str) -> list[str]:
    match kind:
        case NatType.OPEN:
            return []
        case NatType.FULLCONE:
            inward = f'iifname "wan" udp dport 1024-65535 dnat to {client}'
            return [_INPUT, _dnat(inward), _MASQUERADE, _FORWARD]
        case NatType.ADDRCONE:
            learn = 'oifname "wan" udp dport 1-65535 update @peers { ip daddr timeout 60s }'
            inward = f'iifname "wan" ip saddr @peers udp dport 1024-65535 dnat to {client}'
            return [
                _INPUT,
                "set peers { type ipv4_addr; flags timeout; timeout 60s; }",
                f"chain learn {{ type filter hook forward priority -5; {learn}; }}",
                _dnat(inward),
                _MASQUERADE,
                _FORWARD,
            ]
        case NatType.PORTCONE:
            return [_INPUT, _MASQUERADE, _FORWARD]
        case NatType.PORTCONE_ACCEPT:
            return [_MASQUERADE, _FORWARD]
        case NatType.SYMMETRIC:
            return [_INPUT, _MASQUERADE.replace("masquerade persistent", "masquerade random,fully-random"), _FORWARD]
        case NatType.UDPBLOCKED:
            only_443 = (
                "chain forward { type filter hook forward priority 0; policy drop; "
                'ct state established,related accept; iifname "lan" oifname "wan" tcp dport 443 accept; }'
            )
            return [_INPUT, _MASQUERADE, only_443]


def _dnat(rule: str) -> str:
    return f"chain pre {{ type nat hook prerouting priority -100; {rule}; }}"
