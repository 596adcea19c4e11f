"""What a relay is told at its start, and what it tells back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RelayConfig:
    listen_host: str = "127.0.0.1"
    """A literal address; "0.0.0.0" or "::" for every interface."""
    turn_port: int = 0
    """UDP p and p+1, TCP p. 0: three free ports."""
    relay_ports: tuple[int, int] | None = None
    """First and last port that allocations may get; None: any free one."""
    public_address: str | None = None
    """The address that clients are told, where it differs from the one listened on (1:1 NAT)."""
    allow_private_peers: bool = False
    """Relay to loopback and private ranges: for demo, tests and closed networks."""
    realm: str = "mepassa"
    user_quota: int = 32
    """Allocations of one account at a time, whatever credentials it holds: a node keeps one warm and opens one an
    attempt, and what a crash leaves behind lives on for ten minutes."""
    total_quota: int = 1_000
    """Allocations in all; each costs one socket and about 4 KiB."""
    max_tcp_connections: int = 1_200
    max_tcp_per_address: int = 200
    """Of these, from one address (an IPv6 /64): nobody takes all of them, and an office behind one router fits."""
    default_lifetime_s: int = 600
    max_lifetime_s: int = 3_600
    permission_s: int = 300
    channel_s: int = 600
    nonce_s: int = 600
    max_permissions: int = 64
    max_channels: int = 64
    send_buffer_bytes: int = 256 * 1024
    """Bytes waiting for one TCP client; what is over it is dropped, as a full router would."""
    tcp_idle_s: float = 30.0
    """A TCP connection that holds no allocation this long after its last frame is closed."""


@dataclass(frozen=True, slots=True)
class RelayFacts:
    """The ports that were got."""

    udp: tuple[int, int]
    tcp: int

    def as_json(self) -> dict[str, object]:
        return {"udp": list(self.udp), "tcp": self.tcp}
