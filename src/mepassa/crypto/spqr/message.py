"""The SPQR field of a SignalMessage: version, epoch, index, type and, for most types, one chunk."""

from enum import IntEnum

from mepassa.crypto.errors import InvalidMessageError, SpqrError
from mepassa.crypto.protobuf import decode_varint, encode_varint
from mepassa.model.state import State

VERSION = 1
CHUNK_BYTES = 32
MAX_CHUNK_NUMBER = 65_535


class MessageType(IntEnum):
    NONE = 0
    HDR = 1
    EK = 2
    EK_WITH_CT1_ACK = 3
    CT1_ACK = 4
    CT1 = 5
    CT2 = 6


class Chunk(State, frozen=True):
    number: int
    data: bytes


class SpqrMessage(State, frozen=True):
    """`epoch`: the sender's Braid epoch, from 1. `index`: of the message key in key epoch `epoch - 1`, from 1."""

    epoch: int
    index: int
    type: MessageType
    chunk: Chunk | None


_WITHOUT_CHUNK = frozenset({MessageType.NONE, MessageType.CT1_ACK})
_TYPES = {int(kind): kind for kind in MessageType}


def encode_spqr_message(message: SpqrMessage) -> bytes:
    head = b"\x01" + encode_varint(message.epoch) + encode_varint(message.index) + _TYPE_BYTES[message.type]
    if message.chunk is None:
        return head
    return head + encode_varint(message.chunk.number) + message.chunk.data


_TYPE_BYTES = {kind: bytes((kind,)) for kind in MessageType}


def decode_spqr_message(data: bytes) -> SpqrMessage:
    """Raises `SpqrError`: also for an absent field, version 0 and index 0, which would all be ways down from SPQR.

    Trailing bytes are ignored, non-minimal numbers accepted, as the official reader does.
    """
    if not data or data[0] != VERSION:
        raise SpqrError
    try:
        epoch, position = decode_varint(data, 1)
        index, position = decode_varint(data, position)
        if not 1 <= epoch < 2**64 or not 1 <= index < 2**32 or position >= len(data):
            raise SpqrError
        kind = _TYPES.get(data[position])
        if kind is None:
            raise SpqrError
        if kind in _WITHOUT_CHUNK:
            return SpqrMessage(epoch, index, kind, None)
        number, position = decode_varint(data, position + 1)
    except InvalidMessageError as error:
        raise SpqrError from error
    chunk = data[position : position + CHUNK_BYTES]
    if number > MAX_CHUNK_NUMBER or len(chunk) != CHUNK_BYTES:
        raise SpqrError
    return SpqrMessage(epoch, index, kind, Chunk(number, chunk))
