"""Signal's message formats, version 4, and how we read them (docs/protocol/session.md, "Messages").

Whatever the official parser takes beyond what official senders write is refused: other low nibbles, keys with bytes
after the 33rd, numbers over 32 bits, an absent SPQR field (that one by `spqr.message`).
"""

from dataclasses import dataclass
from enum import IntEnum

from mepassa.crypto.errors import InvalidMessageError
from mepassa.crypto.kem import KYBER_CIPHERTEXT_BYTES
from mepassa.crypto.keys import check_public
from mepassa.crypto.protobuf import Kind, Schema, decode_varint, encode_bytes, encode_uint, encode_varint
from mepassa.model.errors import DecryptionError
from mepassa.model.ids import Address
from mepassa.model.state import State

VERSION_BYTE = 0x44
"""Version 4 in both nibbles: the message's, and the newest that its sender speaks."""
MAC_BYTES = 8
ADDRESSES_BYTES = 36


class MessageType(IntEnum):
    """The official library's numbers. What they are inside a sealed envelope is `sealed_sender`'s business."""

    SIGNAL = 2
    PREKEY = 3
    SENDER_KEY = 7
    PLAINTEXT = 8


_SIGNAL_MESSAGE = Schema(
    {1: Kind.BYTES, 2: Kind.UINT32, 3: Kind.UINT32, 4: Kind.BYTES, 5: Kind.BYTES, 6: Kind.BYTES},
    required=(1, 2, 4),
)
_PREKEY_SIGNAL_MESSAGE = Schema(
    {
        1: Kind.UINT32,
        2: Kind.BYTES,
        3: Kind.BYTES,
        4: Kind.BYTES,
        5: Kind.UINT32,
        6: Kind.UINT32,
        7: Kind.UINT32,
        8: Kind.BYTES,
    },
    required=(2, 3, 4, 6, 7, 8),
)


def encode_addresses(sender: Address, receiver: Address) -> bytes:
    """36 bytes: service id and device of the sender, then of the receiver."""
    return b"%b%c%b%c" % (sender.service_id, sender.device, receiver.service_id, receiver.device)


class SignalMessage(State, frozen=True):
    """`authenticated`: version byte and body, which the MAC covers after both identity keys.

    `addresses` are there in every message that we write; official senders write them in PreKey messages only.
    """

    ratchet_key: bytes
    number: int
    ciphertext: bytes
    spqr: bytes
    addresses: bytes | None
    authenticated: bytes
    mac: bytes


def encode_signal_body(
    *, ratchet_key: bytes, number: int, previous_chain_length: int, ciphertext: bytes, spqr: bytes, addresses: bytes
) -> bytes:
    """Version byte and protobuf; the MAC is appended by the ratchet."""
    return b"".join(
        (
            b"\x44\x0a\x21",  # version; field 1, 33 bytes
            ratchet_key,
            b"\x10",
            encode_varint(number),
            b"\x18",
            encode_varint(previous_chain_length),
            b"\x22",
            encode_varint(len(ciphertext)),
            ciphertext,
            b"\x2a",
            encode_varint(len(spqr)),
            spqr,
            b"\x32\x24",  # field 6, 36 bytes
            addresses,
        )
    )


def decode_signal_message(data: bytes) -> SignalMessage:
    """Raises `InvalidMessageError` or `InvalidKeyError`. Nothing is authenticated yet."""
    if len(data) < 1 + MAC_BYTES or data[0] != VERSION_BYTE:
        raise InvalidMessageError
    body, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
    return _read_usual_body(body, mac) or _read_any_body(body, mac)


def _read_usual_body(body: bytes, mac: bytes) -> SignalMessage | None:
    """A body as `encode_signal_body` writes it, field by field; None for every other, which is `_read_any_body`'s.

    Takes half as long as the general way, which the tests hold it against.
    """
    # After the version: 0a, 33 bytes of ratchet key; 10, the number. At the end: 32, 36 bytes of addresses.
    if body[1:3] != b"\x0a\x21" or body[36:37] != b"\x10" or body[-38:-36] != b"\x32\x24":
        return None
    number, end = decode_varint(body, 37)
    if body[end : end + 1] != b"\x18":  # the length of the previous chain
        return None
    previous_chain_length, end = decode_varint(body, end + 1)
    if body[end : end + 1] != b"\x22":  # the ciphertext
        return None
    size, start = decode_varint(body, end + 1)
    end = start + size
    # 2a: what is for the sparse post-quantum ratchet, up to the addresses.
    if body[end : end + 1] != b"\x2a" or number >= 2**32 or previous_chain_length >= 2**32:
        return None
    spqr_size, spqr_start = decode_varint(body, end + 1)
    if spqr_start + spqr_size != len(body) - 38:
        return None
    return SignalMessage(
        check_public(body[3:36]), number, body[start:end], body[spqr_start:-38], body[-ADDRESSES_BYTES:], body, mac
    )


def _read_any_body(body: bytes, mac: bytes) -> SignalMessage:
    fields = _SIGNAL_MESSAGE.decode(body[1:])
    addresses = fields.value_or_none(6)
    if addresses is not None and len(addresses) != ADDRESSES_BYTES:
        raise InvalidMessageError
    return SignalMessage(
        check_public(fields.value(1)),
        fields.number(2),
        fields.value(4),
        fields.value_or_none(5) or b"",
        addresses,
        body,
        mac,
    )


@dataclass(frozen=True, slots=True)
class PrekeySignalMessage:
    """`message`: a whole SignalMessage. Of the rest nothing is authenticated when the base key is known already."""

    one_time_prekey_id: int | None
    base_key: bytes
    identity_key: bytes
    message: bytes
    registration_id: int
    signed_prekey_id: int
    kyber_prekey_id: int
    kyber_ciphertext: bytes


def encode_prekey_signal_message(message: PrekeySignalMessage) -> bytes:
    one_time = b"" if message.one_time_prekey_id is None else encode_uint(1, message.one_time_prekey_id)
    return b"".join(
        (
            bytes((VERSION_BYTE,)),
            one_time,
            encode_bytes(2, message.base_key),
            encode_bytes(3, message.identity_key),
            encode_bytes(4, message.message),
            encode_uint(5, message.registration_id),
            encode_uint(6, message.signed_prekey_id),
            encode_uint(7, message.kyber_prekey_id),
            encode_bytes(8, message.kyber_ciphertext),
        )
    )


def decode_prekey_signal_message(data: bytes) -> PrekeySignalMessage:
    """Raises `InvalidMessageError` or `InvalidKeyError`. The base key's torsion is checked where it makes a session."""
    if not data or data[0] != VERSION_BYTE:
        raise InvalidMessageError
    fields = _PREKEY_SIGNAL_MESSAGE.decode(data[1:])
    kyber_ciphertext = fields.value(8)
    if len(kyber_ciphertext) != KYBER_CIPHERTEXT_BYTES:
        raise InvalidMessageError
    return PrekeySignalMessage(
        fields.number_or_none(1),
        check_public(fields.value(2)),
        check_public(fields.value(3)),
        fields.value(4),
        fields.number_or_none(5) or 0,
        fields.number(6),
        fields.number(7),
        kyber_ciphertext,
    )


def ratchet_key_of(kind: MessageType, data: bytes) -> bytes | None:
    """The ratchet key that a resend request names for a message that would not open; None when it cannot be read."""
    try:
        match kind:
            case MessageType.SIGNAL:
                return decode_signal_message(data).ratchet_key
            case MessageType.PREKEY:
                return decode_signal_message(decode_prekey_signal_message(data).message).ratchet_key
            case _:
                return None
    except DecryptionError:
        return None


# --- plaintext content: resend requests and signals --------------------------------------------------------------------

PLAINTEXT_BYTE = 0xC0
_PLAINTEXT_END = b"\x80"

SIGNAL_FIELD = 2_020
"""Field of Signal's Content message that carries our padded signal. The official parser knows no such field and skips it;
Signal numbers its own upwards from 1 and has used about twenty in ten years."""
ENVELOPE_ID_FIELD = 2_021
"""Field of Content that names the envelope which would not open, 16 bytes, beside field 8."""

_CONTENT = Schema({8: Kind.BYTES, SIGNAL_FIELD: Kind.BYTES, ENVELOPE_ID_FIELD: Kind.BYTES})
_DECRYPTION_ERROR = Schema({1: Kind.BYTES, 2: Kind.UINT64, 3: Kind.UINT32}, required=(2,))


@dataclass(frozen=True, slots=True)
class DecryptionErrorMessage:
    """`ratchet_key`: of the message that would not open; `device`: the one that *sent* it."""

    ratchet_key: bytes | None
    timestamp_ms: int
    device: int


@dataclass(frozen=True, slots=True)
class PlaintextContent:
    """Exactly one of `decryption_error` (then perhaps `envelope_id`) and `signal` (padded) is there."""

    decryption_error: DecryptionErrorMessage | None = None
    envelope_id: bytes | None = None
    signal: bytes | None = None


def encode_decryption_error_message(message: DecryptionErrorMessage) -> bytes:
    ratchet_key = b"" if message.ratchet_key is None else encode_bytes(1, message.ratchet_key)
    return ratchet_key + encode_uint(2, message.timestamp_ms) + encode_uint(3, message.device)


def decode_decryption_error_message(data: bytes) -> DecryptionErrorMessage:
    """Raises `InvalidMessageError` or `InvalidKeyError`."""
    fields = _DECRYPTION_ERROR.decode(data)
    ratchet_key = fields.value_or_none(1)
    if ratchet_key is not None:
        check_public(ratchet_key)
    return DecryptionErrorMessage(ratchet_key, fields.number(2), fields.number_or_none(3) or 0)


def encode_plaintext_content(content: PlaintextContent) -> bytes:
    body = b""
    if content.decryption_error is not None:
        body += encode_bytes(8, encode_decryption_error_message(content.decryption_error))
    if content.signal is not None:
        body += encode_bytes(SIGNAL_FIELD, content.signal)
    if content.envelope_id is not None:
        body += encode_bytes(ENVELOPE_ID_FIELD, content.envelope_id)
    return bytes((PLAINTEXT_BYTE,)) + body + _PLAINTEXT_END


def decode_plaintext_content(data: bytes) -> PlaintextContent:
    """Raises `InvalidMessageError` or `InvalidKeyError`."""
    if len(data) < 2 or data[0] != PLAINTEXT_BYTE or data[-1:] != _PLAINTEXT_END:
        raise InvalidMessageError
    fields = _CONTENT.decode(data[1:-1])
    error, signal, envelope_id = (fields.value_or_none(field) for field in (8, SIGNAL_FIELD, ENVELOPE_ID_FIELD))
    if (error is None) == (signal is None):
        raise InvalidMessageError
    if envelope_id is not None and (len(envelope_id) != 16 or error is None):
        raise InvalidMessageError
    return PlaintextContent(None if error is None else decode_decryption_error_message(error), envelope_id, signal)
