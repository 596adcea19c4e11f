"""What the relay counts for the person who runs it: sums only, no address, no user."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class RelayCounters:
    allocations_live: int = 0
    allocations_total: int = 0
    binding_requests: int = 0
    bytes_to_peers: int = 0
    bytes_to_clients: int = 0
    datagrams_to_peers: int = 0
    datagrams_to_clients: int = 0
    datagrams_dropped: int = 0
    """Without permission, to a refused peer, or over a full buffer."""
    malformed: int = 0
    tcp_connections: int = 0
    refusals: Counter[int] = field(default_factory=Counter)
    """By STUN error code. 401 counts the first, unsigned request of every client too: that is how TURN begins."""

    @property
    def relayed_bytes(self) -> int:
        return self.bytes_to_peers + self.bytes_to_clients

    def snapshot(self) -> dict[str, int]:
        """Stable names for metrics."""
        plain = {
            name: getattr(self, name)
            for name in (
                "allocations_live",
                "allocations_total",
                "binding_requests",
                "bytes_to_peers",
                "bytes_to_clients",
                "datagrams_to_peers",
                "datagrams_to_clients",
                "datagrams_dropped",
                "malformed",
                "tcp_connections",
                "relayed_bytes",
            )
        }
        return plain | {f"refused_{code}": count for code, count in sorted(self.refusals.items())}
