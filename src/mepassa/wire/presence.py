"""Presence records: where a device can be reached, as the DHT holds it (docs/protocol/presence.md).

Three layers: the *body* (PeerId and addresses) is signed by the device; *body + signature* is sealed for those who know
the account's presence key; the sealed bytes, a sequence number and the blinded slot's signature are what strangers store.
"""

from typing import Annotated

import msgspec

from mepassa.model.signal import MAX_ADDRESSES
from mepassa.wire.codec import Codec

MAX_PRESENCE_BYTES = 1024
"""The whole value in the DHT."""
LIFE_MS = 2 * 3_600_000
"""From its sequence number on, a record may be found for two hours."""
MAX_AHEAD_MS = 10 * 60_000
"""How far a sequence number may lie in the future: clocks differ, but nobody books a slot for tomorrow."""

Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


class PresenceBody(msgspec.Struct, frozen=True, array_like=True):
    """`addresses` are multiaddrs without /p2p."""

    peer_id: Annotated[str, msgspec.Meta(min_length=40, max_length=60)]
    addresses: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=64)], ...], msgspec.Meta(max_length=MAX_ADDRESSES)
    ]


class PresenceRecord(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed. `signature`: XEdDSA by the device key over device, slot, expiry and `body` as encoded."""

    body: Annotated[bytes, msgspec.Meta(min_length=1, max_length=900)]
    signature: Signature


class StoredPresence(msgspec.Struct, frozen=True, array_like=True):
    """The DHT value. `sequence`: unix ms when it was made; `signature`: Ed25519 by the slot over sequence and `sealed`."""

    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    sealed: Annotated[bytes, msgspec.Meta(min_length=1, max_length=940)]
    signature: Signature

    @property
    def expires_at_ms(self) -> int:
        return self.sequence + LIFE_MS

    def is_fresh(self, now_ms: int) -> bool:
        """Not expired, and not further ahead than clocks may differ."""
        return now_ms < self.expires_at_ms and self.sequence <= now_ms + MAX_AHEAD_MS


_BODY: Codec[PresenceBody] = Codec(PresenceBody, limit_bytes=900)
_RECORD: Codec[PresenceRecord] = Codec(PresenceRecord, limit_bytes=1000)
_STORED: Codec[StoredPresence] = Codec(StoredPresence, limit_bytes=MAX_PRESENCE_BYTES)


def encode_presence_body(body: PresenceBody) -> bytes:
    """Raises `TooLargeError`."""
    return _BODY.encode(body)


def decode_presence_body(data: bytes) -> PresenceBody:
    """Raises `TooLargeError` or `MalformedError`."""
    return _BODY.decode(data)


def encode_presence_record(record: PresenceRecord) -> bytes:
    return _RECORD.encode(record)


def decode_presence_record(data: bytes) -> PresenceRecord:
    """Raises `TooLargeError` or `MalformedError`."""
    return _RECORD.decode(data)


def encode_stored_presence(stored: StoredPresence) -> bytes:
    return _STORED.encode(stored)


def decode_stored_presence(data: bytes) -> StoredPresence:
    """Raises `TooLargeError` or `MalformedError`."""
    return _STORED.decode(data)
