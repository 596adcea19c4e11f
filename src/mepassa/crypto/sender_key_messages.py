"""Signal's Sender Key formats, version 3, and how we read them (docs/protocol/groups.md, "Messages").

Stricter than the official parser in what official senders never write: other low nibbles of the version byte, numbers
over 32 bits, a signing key that is not canonical or of low order.
"""

from dataclasses import dataclass

from mepassa.crypto.errors import InvalidMessageError
from mepassa.crypto.keys import check_public
from mepassa.crypto.protobuf import Kind, Schema, encode_bytes, encode_uint
from mepassa.model.ids import DistributionId

VERSION_BYTE = 0x33
SIGNATURE_BYTES = 64
CHAIN_KEY_BYTES = 32

_MESSAGE = Schema({1: Kind.BYTES, 2: Kind.UINT32, 3: Kind.UINT32, 4: Kind.BYTES}, required=(1, 2, 3, 4))
_DISTRIBUTION = Schema(
    {1: Kind.BYTES, 2: Kind.UINT32, 3: Kind.UINT32, 4: Kind.BYTES, 5: Kind.BYTES}, required=(1, 2, 3, 4, 5)
)


@dataclass(frozen=True, slots=True)
class SenderKeyMessage:
    """`iteration`: its number in the chain, from 0. `signed`: version byte and body, which `signature` covers."""

    distribution_id: DistributionId
    chain_id: int
    iteration: int
    ciphertext: bytes
    signed: bytes
    signature: bytes


def encode_sender_key_body(distribution_id: DistributionId, chain_id: int, iteration: int, ciphertext: bytes) -> bytes:
    """Version byte and protobuf; the signature is appended by the sender key."""
    return b"".join(
        (
            bytes((VERSION_BYTE,)),
            encode_bytes(1, distribution_id.raw),
            encode_uint(2, chain_id),
            encode_uint(3, iteration),
            encode_bytes(4, ciphertext),
        )
    )


def decode_sender_key_message(data: bytes) -> SenderKeyMessage:
    """Raises `InvalidMessageError`. Nothing is authenticated yet."""
    if len(data) < 1 + SIGNATURE_BYTES or data[0] != VERSION_BYTE:
        raise InvalidMessageError
    fields = _MESSAGE.decode(data[1:-SIGNATURE_BYTES])
    return SenderKeyMessage(
        _distribution_id(fields.value(1)),
        fields.number(2),
        fields.number(3),
        fields.value(4),
        data[:-SIGNATURE_BYTES],
        data[-SIGNATURE_BYTES:],
    )


@dataclass(frozen=True, slots=True, repr=False)
class SenderKeyDistributionMessage:
    """What a member needs to read from `iteration` on. `chain_key` (32 B) is secret; `signing_key` has 33 bytes.

    Nothing in it proves who made it: it counts for the address whose pairwise session brought it, and for no other.
    """

    distribution_id: DistributionId
    chain_id: int
    iteration: int
    chain_key: bytes
    signing_key: bytes


def encode_sender_key_distribution_message(message: SenderKeyDistributionMessage) -> bytes:
    return b"".join(
        (
            bytes((VERSION_BYTE,)),
            encode_bytes(1, message.distribution_id.raw),
            encode_uint(2, message.chain_id),
            encode_uint(3, message.iteration),
            encode_bytes(4, message.chain_key),
            encode_bytes(5, message.signing_key),
        )
    )


def decode_sender_key_distribution_message(data: bytes) -> SenderKeyDistributionMessage:
    """Raises `InvalidMessageError` or `InvalidKeyError`."""
    if not data or data[0] != VERSION_BYTE:
        raise InvalidMessageError
    fields = _DISTRIBUTION.decode(data[1:])
    chain_key = fields.value(4)
    if len(chain_key) != CHAIN_KEY_BYTES:
        raise InvalidMessageError
    return SenderKeyDistributionMessage(
        _distribution_id(fields.value(1)), fields.number(2), fields.number(3), chain_key, check_public(fields.value(5))
    )


def _distribution_id(raw: bytes) -> DistributionId:
    if len(raw) != DistributionId.SIZE:
        raise InvalidMessageError
    return DistributionId(raw)
