"""What a home takes from whom: every number with its unit and reason, and the counters that hold people to them."""

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from mepassa.model.envelope import MAX_REQUEST_ENVELOPE_BYTES
from mepassa.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class HomePolicy:
    """Quotas and rates of one home; the defaults are docs/protocol/home.md's."""

    mailbox_envelopes: int = 10_000
    """Envelopes waiting for one device."""
    mailbox_bytes: int = 64 * 1024 * 1024
    """Bytes waiting for one device."""
    previous_share: int = 10
    """The previous delivery token fills at most one part in so many of the quota."""
    request_envelopes: int = 50
    """Requests from strangers waiting for one device."""
    request_envelope_bytes: int = MAX_REQUEST_ENVELOPE_BYTES
    """Largest envelope in the request lane."""
    work_envelopes: int = 10
    """Of the requests, how many may have come without any token."""
    ttl_ms: int = 14 * 24 * 3600 * 1000
    """How long an envelope waits."""
    elision_s: float = 0.003
    """How long a deposit for a connected device waits for its acknowledgement before it goes to disk."""
    signal_life_s: float = 10.0
    """How long a signal may wait for a slow socket before it is dropped."""
    signals_per_minute: int = 12
    """Per signal token and depositing address."""
    fetches_per_minute: int = 10
    """Per account and fetching address."""
    requests_per_minute: int = 20
    """Into one account's request lane from one address. Who is connected empties the lane at once, so its size alone
    does not bound the work that a link's holder gives that device."""
    refusals_per_minute: int = 120
    """Wrong tokens, log-ins and work from one address before it is told to wait."""
    registrations_per_hour: int = 60
    """New accounts from one address: a family or a class behind one router, not a farm."""
    turn_credentials_per_hour: int = 30
    """Sets of relay credentials for one account."""
    sockets_per_address: int = 512
    """Open WebSockets from one address; carriers put many people behind one."""
    prekeys_kept: int = 200
    """One-time keys of each kind that are kept for a device."""
    prekeys_low: int = 25
    """Below this many the device is told."""
    tokens_kept: int = 512
    """Tokens of one account."""
    request_work_bits: int = 18
    """About a quarter of a second of one core in Python, a stranger's price for each request or fetch."""
    register_work_bits: int = 20
    """About a second, where registration asks for work."""
    first_invite_uses: int = 20
    """Accounts that the first invite, printed on an empty folder, lets in."""


MAX_KEYS = 50_000
"""Addresses and accounts that one limiter remembers; past that the longest unseen are forgotten."""


class RateLimiter:
    """At most `limit` events a `window_s` for each key, counted in fixed windows; memory is bounded.

    Keys hold people's internet addresses: `forget_past` is to be called every minute or so.
    """

    def __init__(self, clock: Clock, limit: int, window_s: float) -> None:
        self._clock, self._limit, self._window_s = clock, limit, window_s
        self._windows: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def retry_after_s(self, key: Hashable) -> float:
        """0 while the key is under its limit, else the seconds until the window ends. Counts nothing."""
        started, count = self._windows.get(key, (0.0, 0))
        left = started + self._window_s - self._clock.monotonic()
        return left if count >= self._limit and left > 0 else 0.0

    def count(self, key: Hashable) -> float:
        """Count one event. Returns 0 when it was within the limit, else the seconds to wait (not counted then)."""
        now = self._clock.monotonic()
        started, count = self._windows.get(key, (now, 0))
        if now - started >= self._window_s:
            started, count = now, 0
        if count >= self._limit:
            return started + self._window_s - now
        self._windows[key] = (started, count + 1)
        self._windows.move_to_end(key)
        if len(self._windows) > MAX_KEYS:
            self._windows.popitem(last=False)
        return 0.0

    def forget_past(self) -> None:
        """Drop the keys whose window is over: they say nothing any more but who was here."""
        over = self._clock.monotonic() - self._window_s
        while self._windows:
            key, (started, _count) = next(iter(self._windows.items()))
            if started > over:
                # Whoever stands behind was counted later. It may have begun earlier, and leaves a window later at most.
                return
            del self._windows[key]


def address_group(remote: str) -> str:
    """What counts as one address: an IPv4 address, an IPv6 /64 (a household has a whole one)."""
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
