"""How a home runs: one frozen dataclass, filled by `mepassa serve`, checked before anything starts."""

from dataclasses import dataclass, field
from pathlib import Path

from mepassa.model.addresses import parse_ip
from mepassa.model.errors import InvalidInputError, MalformedError
from mepassa.server.limits import HomePolicy
from mepassa.wire.wellknown import RegistrationPolicy

ROLES = ("mailbox", "relay", "bootstrap")
"""What one process can be: mailboxes with the directory, the TURN relay, a DHT node that others join by."""

PUBLIC_TURN_PORT = 3478
"""Where TURN listens when the home is not on loopback (RFC 8656); the second Binding port is the next one."""
PUBLIC_RELAY_PORTS = (49_152, 49_999)
"""Ports that allocations are made on when the home is not on loopback: what a host has to open for UDP."""
PUBLIC_BOOTSTRAP_PORT = 4001
"""libp2p's customary port."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Port 0 picks a free one everywhere. None stands for the default said beside each field."""

    data: Path
    """The home's folder: database, keys, lock. Made with 0700 where it is missing."""
    listen_host: str = "127.0.0.1"
    """Address of HTTP and WebSockets, and of the relay and the bootstrap node: an IP literal or "localhost"."""
    listen_port: int = 0
    registration: RegistrationPolicy = RegistrationPolicy.INVITE
    """Who may make an account: anyone, holders of an invite, or whoever does a second of work."""
    cert: Path | None = None
    """TLS certificate chain (PEM); with `key`. None: plain HTTP, for loopback or behind a proxy."""
    key: Path | None = None
    turn_port: int | None = None
    """UDP p and p + 1, TCP p. None: free ones on loopback, else 3478 and 3479."""
    relay_ports: tuple[int, int] | None = None
    """First and last UDP port of allocations. None: any on loopback, else 49152-49999."""
    bootstrap_port: int | None = None
    """None: a free one on loopback, else 4001."""
    public_address: str | None = None
    """Name or address at which others reach this machine, where `listen_host` is not it (1:1 NAT, 0.0.0.0)."""
    admin_host: str | None = None
    """Address of counters and invites, private: no TLS, no log-in. None: there is none."""
    admin_port: int = 0
    roles: tuple[str, ...] = ROLES
    bootstrap_peers: tuple[str, ...] = ()
    """Multiaddrs with /p2p of DHT nodes to join, listed in the well-known document beside the own one."""
    allow_private_peers: bool = False
    """Whether the relay carries to private and loopback addresses: labs and the demo only."""
    database_limit_bytes: int | None = None
    """The database file stays below this; past it deposits are refused as on a full disk. None: no limit."""
    policy: HomePolicy = field(default_factory=HomePolicy)
    """Quotas and rates."""

    def __post_init__(self) -> None:
        """Raises `InvalidInputError`, naming the field."""
        if unknown := set(self.roles) - set(ROLES):
            raise InvalidInputError(f"There is no role {min(unknown)}; roles are {', '.join(ROLES)}.", field="roles")
        if not self.roles:
            raise InvalidInputError("A home server needs at least one role.", field="roles")
        for name, host in (("listen_host", self.bind_host), ("admin_host", self.admin_host)):
            if host is not None and host != "localhost":
                _check_literal(name, host)
        if (self.cert is None) != (self.key is None):
            raise InvalidInputError("A certificate and its key are given together.", field="cert")
        for name in ("listen_port", "admin_port", "turn_port", "bootstrap_port"):
            port = getattr(self, name)
            if port is not None and not 0 <= port <= 65_535:
                raise InvalidInputError("A port is a number from 0 to 65535.", field=name)
        if self.relay_ports is not None and not 1 <= self.relay_ports[0] <= self.relay_ports[1] <= 65_535:
            raise InvalidInputError("Relay ports are given as FIRST-LAST.", field="relay_ports")

    @property
    def on_loopback(self) -> bool:
        return parse_ip(self.bind_host).is_loopback

    @property
    def bind_host(self) -> str:
        """`listen_host` as numbers."""
        return "127.0.0.1" if self.listen_host == "localhost" else self.listen_host

    def port_or(self, given: int | None, public: int) -> int:
        """A port as given, else free on loopback, else the public default."""
        if given is not None:
            return given
        return 0 if self.on_loopback else public


def _check_literal(name: str, host: str) -> None:
    try:
        parse_ip(host)
    except MalformedError as error:
        raise InvalidInputError(
            "An address to listen at is written as numbers, like 0.0.0.0:443.", field=name
        ) from error
