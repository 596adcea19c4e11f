"""A signal: how two devices meet. Sealed, unratcheted, never stored (docs/protocol/signal.md)."""

from enum import StrEnum
from typing import Annotated

import msgspec

from mepassa.model.ids import AttemptId, Timestamp
from mepassa.model.route import NatKind
from mepassa.model.secret import silent

MAX_ADDRESSES = 16
"""Addresses (ICE candidates and libp2p addresses each) that one signal or presence record may name."""

Line = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
Lines = Annotated[tuple[Line, ...], msgspec.Meta(max_length=MAX_ADDRESSES)]
Key32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class SignalKind(StrEnum):
    OFFER = "offer"
    ANSWER = "answer"


class Signal(msgspec.Struct, frozen=True, array_like=True):
    """`candidates` are RFC 8839 candidate lines without "candidate:"; `libp2p_addresses` are multiaddrs without /p2p.

    `relay_only`: this side hides its address (no host or srflx candidate, no PeerId, no libp2p address follow).
    `direct` / `relay`: whether this side takes paths of that kind at all right now.
    """

    kind: SignalKind
    attempt_id: AttemptId
    sent_at_ms: Timestamp
    ice_ufrag: Annotated[str, msgspec.Meta(min_length=4, max_length=32)]
    ice_password: Annotated[str, msgspec.Meta(min_length=22, max_length=64)]
    candidates: Lines
    nat_kind: NatKind
    quic_certificate_sha256: Key32
    path_secret: Key32
    libp2p_peer_id: Annotated[str, msgspec.Meta(min_length=1, max_length=80)] | None = None
    libp2p_addresses: Lines = ()
    relay_only: bool = False
    direct: bool = True
    relay: bool = True

    __repr__ = silent
