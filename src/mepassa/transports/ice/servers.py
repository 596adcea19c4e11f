"""STUN and TURN servers of our own home, from their URIs (RFC 7064, RFC 7065)."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from mepassa.model.addresses import IpAddress, is_never_dialled, is_private
from mepassa.model.errors import MalformedError
from mepassa.model.home_url import parse_home_url

MAX_SERVERS = 4
"""URIs of one kind that are looked at; a home needs two STUN ports and TURN over UDP and TCP."""

_HOST_PORT = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<host>[A-Za-z0-9.-]{1,253}))(?::(?P<port>[0-9]{1,5}))?\Z"
)
_DEFAULT_PORT = 3478

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StunServer:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class TurnServer:
    """`transport` is "udp" or "tcp"; what is relayed is UDP either way."""

    host: str
    port: int
    transport: str

    @property
    def name(self) -> str:
        """host:port, as the route record names a relay."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ServerRules:
    """Which hosts our own home may send us to for STUN and TURN: itself by name, and literal addresses.

    It must not make this device look up other names, nor speak to the network around it or to this machine unless the
    home is there itself. `inside`: the home is at a private address; `loopback`: on this machine.
    """

    home_host: str
    inside: bool
    loopback: bool

    @classmethod
    def of(cls, home_url: str, *, inside: bool) -> "ServerRules":
        url = parse_home_url(home_url)
        return cls(url.host, inside, url.is_loopback)

    def admits_name(self, name: str) -> bool:
        return name.lower() == self.home_host

    def admits(self, address: IpAddress) -> bool:
        if is_never_dialled(address, allow_loopback=self.loopback):
            return False
        return self.inside or not is_private(address)


def decode_stun_uri(uri: str) -> StunServer:
    """ "stun:HOST:PORT". Raises `MalformedError`."""
    rest = _strip_scheme(uri, "stun:")
    return StunServer(*_host_port(rest))


def decode_turn_uri(uri: str) -> TurnServer:
    """ "turn:HOST:PORT?transport=udp|tcp" (udp when left out). Raises `MalformedError`, for "turns:" too."""
    rest, _, query = _strip_scheme(uri, "turn:").partition("?")
    if query not in {"", "transport=udp", "transport=tcp"}:
        raise MalformedError("A TURN address names an unknown transport.")
    return TurnServer(*_host_port(rest), transport="tcp" if query == "transport=tcp" else "udp")


def usable(decode: Callable[[str], T], uris: Iterable[str]) -> list[T]:
    """The first few that this version can speak to; a later kind of address is skipped, not an error."""
    found: list[T] = []
    for uri in uris:
        try:
            found.append(decode(uri))
        except MalformedError:
            continue
        if len(found) == MAX_SERVERS:
            break
    return found


def _strip_scheme(uri: str, scheme: str) -> str:
    if len(uri) > 300 or not uri.startswith(scheme):
        raise MalformedError(f"A server address must begin with {scheme}")
    return uri.removeprefix(scheme)


def _host_port(text: str) -> tuple[str, int]:
    match = _HOST_PORT.match(text)
    if match is None:
        raise MalformedError("A server address must be HOST:PORT.")
    port = int(match["port"] or _DEFAULT_PORT)
    if not 1 <= port <= 65_535:
        raise MalformedError("A server's port is out of range.")
    return match["v6"] or match["host"], port
