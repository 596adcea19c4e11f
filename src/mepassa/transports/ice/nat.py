"""What the network allows, told from Binding answers; and how long a relay waits because of it. Pure."""

from collections.abc import Mapping, Sequence

from mepassa.model.addresses import IpAddress, is_private
from mepassa.model.route import NatKind

Endpoint = tuple[IpAddress, int]

RELAY_HOLD_S = 0.7
"""Seconds that pairs with a relay end wait for a direct one (ARCHITECTURE.md, routing). Hole punching succeeds with the
first check that is sent after both sides have started: at the latest the retransmission at 0.5 s (RFC 8489 §6.2.1)."""
UNLIKELY_HOLD_S = 0.4
"""The same where one side is symmetric and the other a cone of unknown filtering: works only against the kinder
cones, and then by the repeats at 0.1 and 0.25 s."""

_BEST_FIRST = (NatKind.OPEN, NatKind.CONE, NatKind.SYMMETRIC, NatKind.UNKNOWN, NatKind.UDP_BLOCKED)


def classify_nat(answers: Mapping[Endpoint, Sequence[Endpoint | None]]) -> NatKind:
    """The kind of NAT in front of us, from what two STUN ports saw (RFC 5780 §4.3, with ports instead of addresses).

    `answers`: for each own socket asked from (its address and port), the mapped address that each port reported, None
    where it kept silent. The same mapping at both ports: cone; different: symmetric; our own address: open; silence:
    UDP is blocked. The most favourable socket counts, since ICE will use it. A server inside our own network sees us
    untranslated, which says nothing about the way out: unknown.
    """
    kinds = {_kind_of(own, list(mapped)) for own, mapped in answers.items() if mapped}
    return next((kind for kind in _BEST_FIRST if kind in kinds), NatKind.UNKNOWN)


def _kind_of(own: Endpoint, mapped: list[Endpoint | None]) -> NatKind:
    seen = [endpoint for endpoint in mapped if endpoint is not None]
    if not seen:
        return NatKind.UDP_BLOCKED
    if own in seen:
        inside = is_private(own[0]) or own[0].is_loopback
        return NatKind.UNKNOWN if inside else NatKind.OPEN
    if len(seen) < 2:
        return NatKind.UNKNOWN
    return NatKind.CONE if len(set(seen)) == 1 else NatKind.SYMMETRIC


def relay_hold_s(own: NatKind, remote: NatKind, *, direct: bool) -> float:
    """Seconds for which pairs with a relay end are held back. `direct`: both sides allow a direct path."""
    if not direct or NatKind.UDP_BLOCKED in {own, remote} or own is remote is NatKind.SYMMETRIC:
        return 0.0
    if {own, remote} == {NatKind.SYMMETRIC, NatKind.CONE}:
        return UNLIKELY_HOLD_S
    return RELAY_HOLD_S
