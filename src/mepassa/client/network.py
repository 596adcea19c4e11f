"""This machine's own addresses: where to listen, which private ranges are ours, and the gateway that is never dialled."""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from pathlib import Path

import ifaddr

from mepassa.model.addresses import IpAddress, is_never_dialled, parse_ip
from mepassa.model.errors import MalformedError
from mepassa.routing import AddressRules

log = logging.getLogger("mepassa.network")

LOOK_EVERY_S = 5.0
"""How often the interfaces are looked at (0.2 ms): a laptop that changes its Wi-Fi is reachable again soon after."""

ROUTES = Path("/proc/net/route")
"""Linux's routing table. Elsewhere the gateway is not known, and the guess below stands for it."""


@dataclass(frozen=True, slots=True)
class OwnNetwork:
    """What the interfaces say now. `listen` holds literals to bind, loopback only where that is asked for."""

    listen: tuple[IpAddress, ...]
    prefixes: tuple[IPv4Network | IPv6Network, ...]
    gateways: frozenset[IpAddress]


def look_at_network(*, allow_loopback: bool) -> OwnNetwork:
    listen: list[IpAddress] = []
    prefixes: list[IPv4Network | IPv6Network] = []
    for adapter in ifaddr.get_adapters():
        for found in adapter.ips:
            text = found.ip if isinstance(found.ip, str) else found.ip[0]
            address = parse_ip(text.partition("%")[0])
            if address.is_loopback and str(address) != "127.0.0.1":
                continue
            if is_never_dialled(address, allow_loopback=allow_loopback):
                continue
            listen.append(address)
            prefixes.append(ip_network(f"{address}/{found.network_prefix}", strict=False))
    return OwnNetwork(tuple(listen), tuple(prefixes), gateways(tuple(prefixes)))


def gateways(prefixes: tuple[IPv4Network | IPv6Network, ...]) -> frozenset[IpAddress]:
    """The default gateways; where the system does not tell, the first address of each own IPv4 network."""
    try:
        rows = [line.split() for line in ROUTES.read_text().splitlines()[1:]]
    except OSError:
        return frozenset(
            net.network_address + 1 for net in prefixes if isinstance(net, IPv4Network) and net.prefixlen < 31
        )
    found = (struct.pack("<I", int(row[2], 16)) for row in rows if row[1] == "00000000" and row[2] != "00000000")
    return frozenset(IPv4Address(socket.inet_ntoa(raw)) for raw in found)


class NetworkWatch:
    """The network as it is now; `run` looks again and again, and calls back when it has changed (Wi-Fi, cable, VPN)."""

    def __init__(self, *, allow_loopback: bool) -> None:
        self._allow_loopback = allow_loopback
        self.own = look_at_network(allow_loopback=allow_loopback)

    @property
    def rules(self) -> AddressRules:
        """Which addresses may be dialled from here."""
        return AddressRules(self.own.prefixes, self.own.gateways, self._allow_loopback)

    async def run(self, on_change: Callable[[OwnNetwork], Awaitable[bool]]) -> None:
        """Until cancelled. `on_change` says whether it could use what there is; if not, it is called again."""
        settled = True
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                seen = look_at_network(allow_loopback=self._allow_loopback)
            except (OSError, MalformedError):
                continue  # the interfaces changed while they were read
            if seen != self.own or not settled:
                self.own = seen
                log.info("network.changed", extra={"addresses": len(seen.listen)})
                settled = await on_change(seen)
