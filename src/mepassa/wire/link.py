"""The records of a link, the same on libp2p and QUIC streams (docs/protocol/link.md).

Each record is a u32 length (big-endian, at most 64 KiB) and that many bytes of MessagePack `[1, [kind, …]]`.
"""

from enum import IntEnum
from typing import Annotated

import msgspec

from mepassa.model.envelope import MAX_ENVELOPE_BYTES
from mepassa.model.errors import TooLargeError
from mepassa.model.ids import AccountId, DeviceId, EnvelopeId
from mepassa.wire.codec import Codec

MAX_RECORD_BYTES = 64 * 1024
"""The largest record, its length field not counted: an envelope and room for later kinds."""
LENGTH_BYTES = 4

Nonce = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class ByeReason(IntEnum):
    """Why a side ends a link in order. Numbers that this version does not know are read as `CLOSED`."""

    CLOSED = 0
    REPLACED = 1
    """A newer link to the same device has said hello."""
    REFUSED = 2
    """The chat no longer allows this path."""


class ErrorCode(IntEnum):
    """Which rule the other side broke. Numbers that this version does not know are read as `MALFORMED`."""

    MALFORMED = 0
    OUT_OF_PLACE = 1
    """A second hello, or a record that this state does not take."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Who speaks. `signature`: XEdDSA by that device's key over role, both addresses and the channel's binding."""

    account: AccountId
    device: DeviceId
    list_version: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


class EnvelopeRecord(msgspec.Struct, frozen=True, array_like=True, tag=2):
    sealed: Annotated[bytes, msgspec.Meta(min_length=1, max_length=MAX_ENVELOPE_BYTES)]


class Ack(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The envelope is committed at the receiver. Acks come in any order.

    `opened`: this very copy was the first, and what it says has been taken: whoever wrote it may call it delivered.
    """

    envelope_id: EnvelopeId
    opened: bool = False


class Ping(msgspec.Struct, frozen=True, array_like=True, tag=4):
    nonce: Nonce


class Pong(msgspec.Struct, frozen=True, array_like=True, tag=5):
    nonce: Nonce


class Bye(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """The last record of its sender: nothing more comes, and nothing more is acknowledged."""

    reason: Annotated[int, msgspec.Meta(ge=0, le=255)] = ByeReason.CLOSED


class ErrorRecord(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """The last record of its sender: the reader broke a rule."""

    code: Annotated[int, msgspec.Meta(ge=0, le=255)] = ErrorCode.MALFORMED


LinkRecord = Hello | EnvelopeRecord | Ack | Ping | Pong | Bye | ErrorRecord

_CODEC: Codec[LinkRecord] = Codec(LinkRecord, limit_bytes=MAX_RECORD_BYTES)


def encode_record(record: LinkRecord) -> bytes:
    """The record with its length in front, ready for a stream. Raises `TooLargeError`."""
    body = _CODEC.encode(record)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def decode_record(body: bytes) -> LinkRecord:
    """One record without its length. Raises `TooLargeError` or `MalformedError`."""
    return _CODEC.decode(body)


class RecordDecoder:
    """Cuts a stream into records, however the bytes are split.

    Holds at most one incomplete record and the chunk it was handed. After an error it is spent: the stream has lost
    its place and must be closed.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes) -> None:
        """Take what has come; then ask `next_record` until it says None."""
        self._buffer += data

    def next_record(self) -> LinkRecord | None:
        """The next complete record. Raises `TooLargeError` as soon as a length says too much, and `MalformedError`."""
        if len(self._buffer) < LENGTH_BYTES:
            return None
        size = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
        if size > MAX_RECORD_BYTES:
            raise TooLargeError(size, MAX_RECORD_BYTES)
        end = LENGTH_BYTES + size
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[LENGTH_BYTES:end])
        del self._buffer[:end]
        return decode_record(body)

    @property
    def in_record(self) -> bool:
        """Whether the stream would break off inside a record if it ended here."""
        return bool(self._buffer)
