"""What is known of the other device, of our own network and of what the person allows; and the budgets that protect both."""

from collections import deque
from dataclasses import dataclass, field
from typing import assert_never

from mepassa.model.route import NatKind, Policy, RouteKind
from mepassa.routing.events import KnownAddress, PeerSide
from mepassa.routing.policy import RULES, PolicyRules, Store
from mepassa.routing.times import (
    ACTIVE_S,
    DIAL_FAILURES,
    DIAL_WINDOW_S,
    MAX_ADDRESSES,
    OFFERS_ANSWERED,
    OFFERS_WINDOW_S,
    OFFLINE_MEMORY_S,
)

LONG_AGO = -float("inf")


@dataclass(slots=True)
class Knowledge:
    policy: Policy
    own_nat: NatKind
    direct_allowed: bool
    relay_allowed: bool
    other_side: PeerSide = field(default_factory=PeerSide)
    """From the newest signal of theirs."""
    addresses: dict[str, KnownAddress] = field(default_factory=dict)
    """By multiaddr, the newest first."""
    home_away: bool = False
    chat_open: bool = False
    presence_asked: float = LONG_AGO
    presence_pending: bool = False
    _offline_heard: float = LONG_AGO
    _last_activity: float = LONG_AGO
    _dial_failures: deque[tuple[float, frozenset[str]]] = field(default_factory=lambda: deque(maxlen=DIAL_FAILURES))
    """When, and which multiaddrs."""
    _offers_answered: deque[float] = field(default_factory=lambda: deque(maxlen=OFFERS_ANSWERED))

    # --- what is allowed ---------------------------------------------------------------------------------------------

    @property
    def rules(self) -> PolicyRules:
        return RULES[self.policy]

    @property
    def is_hidden(self) -> bool:
        return self.policy is Policy.HIDE_MY_IP

    def accepts(self, kind: RouteKind) -> bool:
        match kind:
            case RouteKind.DIRECT:
                return self.rules.direct and self.direct_allowed
            case RouteKind.RELAYED:
                return self.rules.relay and self.relay_allowed
            case RouteKind.STORED:
                return self.rules.store is not Store.ASKED
            case _:
                assert_never(kind)

    @property
    def direct(self) -> bool:
        return self.accepts(RouteKind.DIRECT)

    @property
    def relay(self) -> bool:
        return self.accepts(RouteKind.RELAYED)

    @property
    def some_path(self) -> bool:
        return self.direct or self.relay

    # --- the other side ----------------------------------------------------------------------------------------------

    def heard(self) -> None:
        """A sign of life, by whatever way."""
        self._offline_heard = LONG_AGO

    def heard_offline(self, now: float) -> None:
        self.home_away, self._offline_heard = False, now

    def is_offline(self, now: float) -> bool:
        return now < self.offline_until

    @property
    def offline_until(self) -> float:
        return self._offline_heard + OFFLINE_MEMORY_S

    def was_used(self, now: float) -> None:
        self._last_activity = now

    def is_active(self, now: float) -> bool:
        return self.chat_open or now - self._last_activity < ACTIVE_S

    def learn(self, addresses: tuple[KnownAddress, ...]) -> bool:
        """Whether any of them is new."""
        new = {each.multiaddr: each for each in addresses[:MAX_ADDRESSES]}
        fresh = bool(new.keys() - self.addresses.keys())
        older = [each for each in self.addresses.values() if each.multiaddr not in new]
        kept = [*new.values(), *older][:MAX_ADDRESSES]
        self.addresses = {each.multiaddr: each for each in kept}
        return fresh

    # --- budgets -----------------------------------------------------------------------------------------------------

    def dial_failed(self, addresses: frozenset[str], now: float) -> None:
        self._dial_failures.append((now, addresses))

    def may_be_dialled(self, now: float) -> tuple[KnownAddress, ...]:
        """The last try of a minute is kept for addresses that have not failed in it: stale ones must not use it up."""
        recent = [addresses for at, addresses in self._dial_failures if now - at < DIAL_WINDOW_S]
        if not self.direct or len(recent) >= DIAL_FAILURES:
            return ()
        failed = frozenset[str]().union(*recent) if len(recent) == DIAL_FAILURES - 1 else frozenset[str]()
        return tuple(each for each in self.addresses.values() if each.multiaddr not in failed)

    def envelope_followed(self) -> None:
        """The offers that we answered had a purpose."""
        self._offers_answered.clear()

    def spend_answer(self, now: float) -> bool:
        """Whether one more offer may be answered that perhaps nothing follows; counts it if so."""
        full = len(self._offers_answered) == OFFERS_ANSWERED
        if full and now - self._offers_answered[0] < OFFERS_WINDOW_S:
            return False
        self._offers_answered.append(now)
        return True

    def forget_network(self) -> None:
        self.own_nat = NatKind.UNKNOWN
        self._dial_failures.clear()
