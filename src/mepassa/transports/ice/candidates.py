"""Candidate lines (RFC 8839 §5.1, without "candidate:") and the facts about the other side that a signal carries.

Everything here comes from a contact: sizes first, literals only, and nothing but UDP component 1.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from mepassa.model.addresses import IpAddress, parse_ip
from mepassa.model.errors import MalformedError, TooLargeError
from mepassa.model.ids import Address
from mepassa.model.route import NatKind
from mepassa.model.secret import SecretBytes
from mepassa.model.signal import MAX_ADDRESSES, Signal

MAX_LINE_CHARS = 300
"""As `model.signal.Line`: the longest line that a signal carries."""
MAX_WORDS = 24
"""Eight fixed words, the related address, and a few extensions that are skipped."""

_ICE_CHARS = re.compile(r"[A-Za-z0-9+/]+\Z", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,10}\Z", re.ASCII)


class CandidateKind(StrEnum):
    """RFC 8445 §5.1.1; prflx candidates are learnt, never signalled."""

    HOST = "host"
    SRFLX = "srflx"
    RELAY = "relay"


_KINDS = frozenset(kind.value for kind in CandidateKind)


@dataclass(frozen=True, slots=True)
class IceCandidate:
    """One transport address that a peer may be reached at: UDP, component 1. `priority` as RFC 8445 §5.1.2."""

    foundation: str
    priority: int
    address: IpAddress
    port: int
    kind: CandidateKind


@dataclass(frozen=True, slots=True)
class RemoteSide:
    """What the other device says about itself in its signal, checked."""

    ufrag: str
    password: SecretBytes
    candidates: tuple[IceCandidate, ...]
    nat_kind: NatKind
    direct: bool
    """Whether it takes direct paths at all; false under `relay_only`."""
    relay: bool

    @classmethod
    def from_signal(cls, signal: Signal) -> Self:
        """Raises `MalformedError` when ufrag or password are no ice-chars. Candidate lines that cannot be used are
        dropped, as are candidates of a kind that the signal itself rules out.
        """
        for text, least, most in ((signal.ice_ufrag, 4, 32), (signal.ice_password, 22, 64)):
            if not least <= len(text) <= most or not _ICE_CHARS.match(text):
                raise MalformedError("ICE credentials must be letters, digits, + and /.")
        direct = signal.direct and not signal.relay_only
        candidates = [c for c in _decode_usable(signal.candidates) if (signal.relay if _is_relay(c) else direct)]
        return cls(
            ufrag=signal.ice_ufrag,
            password=SecretBytes(signal.ice_password.encode()),
            candidates=tuple(candidates),
            nat_kind=signal.nat_kind,
            direct=direct,
            relay=signal.relay,
        )


def is_controlling(own: Address, peer: Address) -> bool:
    """The smaller (account, device) is ICE-controlling and QUIC client, so that roles never conflict."""
    return own < peer


def decode_candidate(line: str) -> IceCandidate:
    """Raises `TooLargeError` or `MalformedError` for anything but a UDP candidate with a literal address.

    The related address is not kept: it says where the peer sits inside its network, which nobody here needs.
    """
    if len(line) > MAX_LINE_CHARS:
        raise TooLargeError(len(line), MAX_LINE_CHARS)
    words = line.split(" ", MAX_WORDS)
    if not 8 <= len(words) <= MAX_WORDS or words[6] != "typ":
        raise MalformedError("A candidate line has the wrong number of words.")
    foundation, component, transport, priority, address, port, _, kind = words[:8]
    if len(foundation) > 32 or not _ICE_CHARS.match(foundation):
        raise MalformedError("A candidate's foundation must be 1 to 32 ice-chars.")
    if component != "1" or transport.lower() != "udp":
        raise MalformedError("Only UDP candidates of component 1 are used.")
    if kind not in _KINDS:
        raise MalformedError("Only host, srflx and relay candidates are signalled.")
    return IceCandidate(
        foundation=foundation,
        priority=_number(priority, 1, 2**31 - 1),
        address=parse_ip(address),
        port=_number(port, 1, 65_535),
        kind=CandidateKind(kind),
    )


def encode_candidate(candidate: IceCandidate) -> str:
    """The line for `Signal.candidates`. A srflx or relay candidate names no related address (RFC 8839 §5.1)."""
    line = (
        f"{candidate.foundation} 1 udp {candidate.priority} {candidate.address} {candidate.port} typ {candidate.kind}"
    )
    if candidate.kind is CandidateKind.HOST:
        return line
    return f"{line} raddr {'0.0.0.0' if candidate.address.version == 4 else '::'} rport 9"  # noqa: S104 - no socket is bound


def _number(text: str, low: int, high: int) -> int:
    if not _DIGITS.match(text) or not low <= int(text) <= high:
        raise MalformedError("A number in a candidate line is out of range.")
    return int(text)


def _is_relay(candidate: IceCandidate) -> bool:
    return candidate.kind is CandidateKind.RELAY


def _decode_usable(lines: tuple[str, ...]) -> list[IceCandidate]:
    """At most 16, the first of each transport address; lines of other kinds (TCP, mDNS names) are skipped."""
    usable: dict[tuple[IpAddress, int], IceCandidate] = {}
    for line in lines[:MAX_ADDRESSES]:
        try:
            candidate = decode_candidate(line)
        except MalformedError:
            continue
        usable.setdefault((candidate.address, candidate.port), candidate)
    return list(usable.values())
