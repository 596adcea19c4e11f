"""STUN and TURN servers of our own home, from their URIs (RFC 7064, RFC 7065)."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from mepassa.model.errors import MalformedError

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
