"""One STUN message: 20-byte header, attributes, MESSAGE-INTEGRITY, FINGERPRINT (RFC 8489 §5, §9, §14).

`decode_message` gives a `Message` or raises `MalformedError`. Comprehension-required attributes that this codec does
not know are kept in `unknown_required`, so that a server can answer 420 instead of falling silent. Attributes after
MESSAGE-INTEGRITY are ignored (§14.5): nobody vouches for them.
"""

import hashlib
import hmac
import zlib
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeVar

from mepassa.model.errors import MalformedError
from mepassa.wire.stun.attributes import DECODERS, MAGIC_COOKIE_BYTES, Attribute

MAGIC_COOKIE = 0x2112A442
HEADER_BYTES = 20
MAX_ATTRIBUTES = 64
"""No message of the RFCs has half as many; a bound on what one datagram can make us build."""

MESSAGE_INTEGRITY = 0x0008
FINGERPRINT = 0x8028
FINGERPRINT_XOR = 0x5354554E
INTEGRITY_BYTES = 20

A = TypeVar("A", bound=Attribute)


class Method(IntEnum):
    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND = 0x006
    DATA = 0x007
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009


class MessageClass(IntEnum):
    REQUEST = 0b00
    INDICATION = 0b01
    SUCCESS = 0b10
    ERROR = 0b11


METHODS = {int(method): method for method in Method}
CLASSES = tuple(MessageClass)


@dataclass(frozen=True, slots=True)
class Message:
    """`method` stays a bare number when it is none of ours. Equality is by what was said, not by how it was signed."""

    method: Method | int
    message_class: MessageClass
    transaction_id: bytes
    attributes: tuple[Attribute, ...] = ()
    unknown_required: tuple[int, ...] = ()
    signed: bytes = field(default=b"", compare=False, repr=False)
    """What MESSAGE-INTEGRITY covers, header length already adjusted; empty when there is none."""
    integrity: bytes = field(default=b"", compare=False, repr=False)

    def first(self, kind: type[A]) -> A | None:
        """The first attribute of that class; later ones of the same type are ignored (RFC 8489 §14)."""
        for attribute in self.attributes:
            if type(attribute) is kind:
                return attribute
        return None

    def every(self, kind: type[A]) -> tuple[A, ...]:
        return tuple(attribute for attribute in self.attributes if type(attribute) is kind)

    @property
    def has_integrity(self) -> bool:
        return bool(self.integrity)

    def verify_integrity(self, key: bytes) -> bool:
        """Constant time. False when the message carries no MESSAGE-INTEGRITY: no HMAC is empty."""
        return hmac.compare_digest(_integrity(key, self.signed), self.integrity)


def long_term_key(username: str, realm: str, password: str) -> bytes:
    """The HMAC key of the long-term credential mechanism, 16 bytes (RFC 8489 §9.2.2; MD5 is what the wire asks for)."""
    return hashlib.md5(f"{username}:{realm}:{password}".encode(), usedforsecurity=False).digest()


def _integrity(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, "sha1")


def _message_type(method: int, message_class: int) -> int:
    """RFC 8489 §5, figure 3: the class bits C1 C0 lie between the method's bits."""
    return (
        (method & 0x000F)
        | (message_class & 0b01) << 4
        | (method & 0x0070) << 1
        | (message_class & 0b10) << 7
        | (method & 0x0F80) << 2
    )


def _method_and_class(message_type: int) -> tuple[int, MessageClass]:
    method = (message_type & 0x000F) | (message_type & 0x00E0) >> 1 | (message_type & 0x3E00) >> 2
    return method, CLASSES[(message_type & 0x0010) >> 4 | (message_type & 0x0100) >> 7]


def _attribute(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2) + len(value).to_bytes(2) + value + bytes(-len(value) % 4)


def _header(message_type: int, length: int, transaction_id: bytes) -> bytes:
    return message_type.to_bytes(2) + length.to_bytes(2) + MAGIC_COOKIE_BYTES + transaction_id


def encode_message(message: Message, *, key: bytes | None = None, fingerprint: bool = False) -> bytes:
    """The bytes of a message, signed under `key` when one is given. Padding is zeros; unknown attributes are not sent."""
    tid, message_type = message.transaction_id, _message_type(message.method, message.message_class)
    if len(tid) != 12:
        raise MalformedError(f"a transaction id is {len(tid)} bytes, expected 12.")
    body = b"".join(_attribute(each.TYPE, each.encode_value(tid)) for each in message.attributes)
    if key is not None:
        signed = _header(message_type, len(body) + 4 + INTEGRITY_BYTES, tid) + body
        body += _attribute(MESSAGE_INTEGRITY, _integrity(key, signed))
    if fingerprint:
        covered = _header(message_type, len(body) + 8, tid) + body
        body += _attribute(FINGERPRINT, (zlib.crc32(covered) ^ FINGERPRINT_XOR).to_bytes(4))
    if len(body) > 0xFFFF:
        raise MalformedError(f"a message body of {len(body)} bytes does not fit a STUN message.")
    return _header(message_type, len(body), tid) + body


def _check_header(data: bytes) -> None:
    if len(data) < HEADER_BYTES or data[0] & 0xC0:
        raise MalformedError("these bytes are no STUN message.")
    length = int.from_bytes(data[2:4])
    if data[4:8] != MAGIC_COOKIE_BYTES or length % 4 or length != len(data) - HEADER_BYTES:
        raise MalformedError("the header of a STUN message is wrong.")


def decode_message(data: bytes) -> Message:
    """One whole message. Raises `MalformedError` for anything else, a wrong FINGERPRINT included."""
    _check_header(data)
    tid = data[8:20]
    attributes: list[Attribute] = []
    unknown: list[int] = []
    signed = integrity = b""
    at, end, count = HEADER_BYTES, len(data), 0
    while at < end:
        kind, size = int.from_bytes(data[at : at + 2]), int.from_bytes(data[at + 2 : at + 4])
        value = data[at + 4 : at + 4 + size]
        count += 1
        if len(value) != size or count > MAX_ATTRIBUTES:
            raise MalformedError("an attribute of a STUN message does not fit in it.")
        following = at + 4 + size + -size % 4  # not past the end: that is a multiple of four too
        if kind == FINGERPRINT:
            # Always last (§14.7); what it covers includes a header whose length counts it.
            if following != end or value != (zlib.crc32(data[:at]) ^ FINGERPRINT_XOR).to_bytes(4):
                raise MalformedError("the fingerprint of a STUN message does not fit.")
        elif integrity:
            pass  # after MESSAGE-INTEGRITY: not vouched for
        elif kind == MESSAGE_INTEGRITY:
            if size != INTEGRITY_BYTES:
                raise MalformedError("MESSAGE-INTEGRITY has the wrong size.")
            integrity = value
            signed = data[:2] + (following - HEADER_BYTES).to_bytes(2) + data[4:at]
        elif decoder := DECODERS.get(kind):
            attributes.append(decoder(value, tid))
        elif kind < 0x8000:
            unknown.append(kind)
        at = following
    method, message_class = _method_and_class(int.from_bytes(data[:2]))
    return Message(
        METHODS.get(method, method), message_class, tid, tuple(attributes), tuple(unknown), signed, integrity
    )
