"""To whom the relay sends (docs/protocol/relay.md §5): never into the network it stands in, unless told so."""

import socket
from collections.abc import Callable
from ipaddress import ip_address

from mepassa.model.addresses import IpAddress, is_never_dialled, is_private


def is_address_of_this_host(address: IpAddress) -> bool:
    """Whether a socket can be bound to it: the one question that needs no list of interfaces."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def own_address_check() -> Callable[[IpAddress], bool]:
    """`is_address_of_this_host`, unless this kernel binds to any address at all (net.ipv4.ip_nonlocal_bind)."""
    nobody_has_it = ip_address("192.0.2.1")
    return (lambda _address: False) if is_address_of_this_host(nobody_has_it) else is_address_of_this_host


class PeerRules:
    """`own`: addresses that stand for the relay itself, reachable only at ports that are live allocations."""

    def __init__(
        self,
        own: frozenset[str],
        *,
        allow_private: bool = False,
        is_of_this_host: Callable[[IpAddress], bool] = lambda _address: False,
    ) -> None:
        self._own, self._allow_private, self._is_of_this_host = own, allow_private, is_of_this_host

    def is_own(self, host: str) -> bool:
        return host in self._own

    def refuses(self, address: IpAddress) -> bool:
        """Whether no permission may be given for this address. The relay's own is judged by port, when it is used."""
        if str(address) in self._own:
            return False
        if is_never_dialled(address, allow_loopback=self._allow_private):
            return True
        if self._allow_private:
            return False
        return is_private(address) or self._is_of_this_host(address)
