"""The blind relay: STUN and TURN (RFC 8489, RFC 8656; docs/protocol/relay.md).

`role` starts and stops it · `machine` is the protocol without sockets: `requests` who may have what, `relaying` data
through it, `allocations` `allocation` what it remembers, `outputs` what it asks of its shell · `peers` to whom it relays ·
`nonces` `credentials` who may use it · `udp` `tcp` the sockets · `config` `counters`.
"""

from mepassa.server.relay.config import RelayConfig, RelayFacts
from mepassa.server.relay.counters import RelayCounters
from mepassa.server.relay.credentials import RelayCredentials, make_credentials, password_for
from mepassa.server.relay.role import RelayRole

__all__ = [
    "RelayConfig",
    "RelayCounters",
    "RelayCredentials",
    "RelayFacts",
    "RelayRole",
    "make_credentials",
    "password_for",
]
