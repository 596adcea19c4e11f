"""`GET /.well-known/mepassa`: what a home says of itself, signed by its key (docs/protocol/home.md)."""

from enum import StrEnum
from typing import Annotated

import msgspec

from mepassa.model.ids import Timestamp
from mepassa.model.keys import HomeKey
from mepassa.wire.codec import Codec

WELL_KNOWN_PATH = "/.well-known/mepassa"
MAILBOX_PATH = "/v1/mailbox"
DEPOSIT_PATH = "/v1/deposit"
MAX_WELL_KNOWN_BYTES = 16 * 1024

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Multiaddr = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]


class RegistrationPolicy(StrEnum):
    OPEN = "open"
    INVITE = "invite"
    WORK = "work"


class WellKnown(msgspec.Struct, frozen=True, array_like=True):
    """`turn_host` None: the host that the document was fetched from. Times in unix ms, `ttl_s` in seconds."""

    home_key: HomeKey
    issued_at_ms: Timestamp
    versions: Annotated[tuple[int, ...], msgspec.Meta(min_length=1, max_length=16)]
    """Versions of docs/protocol/home.md that are spoken here."""
    mailbox: bool
    """Whether this home keeps mailboxes (both sockets are there), or is a relay or bootstrap node only."""
    registration: RegistrationPolicy
    register_work_bits: Annotated[int, msgspec.Meta(ge=0, le=40)]
    request_work_bits: Annotated[int, msgspec.Meta(ge=0, le=40)]
    turn_udp: Annotated[tuple[Port, ...], msgspec.Meta(max_length=8)] = ()
    """Both answer STUN Binding, so that a device can tell a symmetric NAT; TURN is on the first."""
    turn_tcp: Port | None = None
    turn_host: Annotated[str, msgspec.Meta(max_length=253)] | None = None
    bootstrap: Annotated[tuple[Multiaddr, ...], msgspec.Meta(max_length=32)] = ()
    mailbox_envelopes: Annotated[int, msgspec.Meta(ge=0)] = 0
    mailbox_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0
    ttl_s: Annotated[int, msgspec.Meta(ge=0)] = 0


class SignedWellKnown(msgspec.Struct, frozen=True, array_like=True):
    """The exact bytes that were signed; `identity.home_document_message` makes what the signature is over."""

    body: Annotated[bytes, msgspec.Meta(max_length=MAX_WELL_KNOWN_BYTES - 128)]
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


_BODY: Codec[WellKnown] = Codec(WellKnown, limit_bytes=MAX_WELL_KNOWN_BYTES - 128)
_SIGNED: Codec[SignedWellKnown] = Codec(SignedWellKnown, limit_bytes=MAX_WELL_KNOWN_BYTES)


def encode_well_known(document: WellKnown) -> bytes:
    return _BODY.encode(document)


def decode_well_known(body: bytes) -> WellKnown:
    """Unsigned: only for bytes whose signature has been checked. Raises `MalformedError` or `TooLargeError`."""
    return _BODY.decode(body)


def encode_signed_well_known(signed: SignedWellKnown) -> bytes:
    return _SIGNED.encode(signed)


def decode_signed_well_known(data: bytes) -> SignedWellKnown:
    """Raises `MalformedError` or `TooLargeError`, whatever the bytes."""
    return _SIGNED.decode(data)
