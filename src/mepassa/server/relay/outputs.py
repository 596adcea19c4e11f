"""What the TURN machine asks its shell to do, in order."""

from dataclasses import dataclass

from mepassa.server.relay.allocation import FiveTuple, Sockaddr


@dataclass(frozen=True, slots=True)
class ToClient:
    five_tuple: FiveTuple
    data: bytes


@dataclass(frozen=True, slots=True)
class ToPeer:
    """From the relay socket of that allocation."""

    five_tuple: FiveTuple
    data: bytes
    peer: Sockaddr


@dataclass(frozen=True, slots=True)
class OpenRelay:
    """Answer with `relay_opened` or `relay_failed`. `even`: the port must be even (RFC 8656 §18.7)."""

    five_tuple: FiveTuple
    even: bool


@dataclass(frozen=True, slots=True)
class CloseRelay:
    five_tuple: FiveTuple


Output = ToClient | ToPeer | OpenRelay | CloseRelay
