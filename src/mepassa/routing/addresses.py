"""Which addresses of a contact are dialled (docs/protocol/routing.md §6): literals, few, never inward by surprise.

Everything here filters: what is not admitted is left out, nothing raises. The ranges are the model's, shared with the
relay.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from itertools import islice

from mepassa.model.addresses import IpAddress, is_never_dialled, is_private, parse_ip
from mepassa.model.errors import MalformedError
from mepassa.routing.times import MAX_ADDRESSES

MAX_LINE = 300
IP_KINDS = {"ip4": 4, "ip6": 6}
TRANSPORTS = frozenset({"tcp", "udp"})
SUFFIXES_WITHOUT_VALUE = frozenset({"quic-v1", "ws", "wss", "tls", "noise"})
SUFFIXES_WITH_VALUE = frozenset({"p2p"})


@dataclass(frozen=True, slots=True)
class AddressRules:
    own_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Prefixes of this device's own interfaces: private addresses are dialled inside these only."""
    never: frozenset[IpAddress] = frozenset()
    """Gateways, and what else must not be reached on somebody's word."""
    allow_loopback: bool = False
    """Demo and tests."""


def admit_ip(address: IpAddress, rules: AddressRules) -> bool:
    if address in rules.never or is_never_dialled(address, allow_loopback=rules.allow_loopback):
        return False
    if not is_private(address):
        return True
    return any(address.version == network.version and address in network for network in rules.own_networks)


def admit_multiaddrs(lines: Iterable[str], rules: AddressRules) -> tuple[str, ...]:
    """Of the first 16: /ip4 or /ip6, a literal, /tcp or /udp, a port; in order, each once. Names are not resolved."""
    return _admit(lines, lambda line: _multiaddr_is_admitted(line, rules))


def admit_candidates(lines: Iterable[str], rules: AddressRules) -> tuple[str, ...]:
    """Of the first 16 RFC 8839 candidate lines (without "candidate:"): those whose connection address is admitted."""
    return _admit(lines, lambda line: _candidate_is_admitted(line, rules))


def _admit(lines: Iterable[str], admitted: Callable[[str], bool]) -> tuple[str, ...]:
    first = islice(lines, MAX_ADDRESSES)
    return tuple(dict.fromkeys(line for line in first if len(line) <= MAX_LINE and admitted(line)))


def _multiaddr_is_admitted(line: str, rules: AddressRules) -> bool:
    parts = line.split("/")
    if len(parts) < 5 or parts[0] or parts[1] not in IP_KINDS or parts[3] not in TRANSPORTS:
        return False
    return (
        _host_is_admitted(parts[2], IP_KINDS[parts[1]], rules)
        and _port_is_valid(parts[4])
        and _suffix_is_known(parts[5:])
    )


def _suffix_is_known(parts: list[str]) -> bool:
    """No second address may hide behind the first (/p2p-circuit, another /ip4)."""
    at = 0
    while at < len(parts):
        if parts[at] in SUFFIXES_WITHOUT_VALUE:
            at += 1
        elif parts[at] in SUFFIXES_WITH_VALUE and at + 1 < len(parts) and parts[at + 1].isalnum():
            at += 2
        else:
            return False
    return True


def _candidate_is_admitted(line: str, rules: AddressRules) -> bool:
    """foundation component transport priority address port "typ" type … (RFC 8839 §5.1)"""
    parts = line.split()
    if len(parts) < 8 or parts[6] != "typ":
        return False
    return _host_is_admitted(parts[4], None, rules) and _port_is_valid(parts[5])


def _host_is_admitted(text: str, version: int | None, rules: AddressRules) -> bool:
    try:
        address = parse_ip(text)
    except MalformedError:
        return False
    return version in {None, address.version} and admit_ip(address, rules)


def _port_is_valid(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65_535
