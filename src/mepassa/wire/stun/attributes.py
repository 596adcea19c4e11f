"""STUN attributes as types that cannot be wrong (RFC 8489 §14, RFC 8656 §18, RFC 8445 §16.1).

Each class knows its type number, writes its own value and reads it back; `decode_value` raises `MalformedError` and
nothing else. Addresses are `ipaddress` objects; the XOR forms are masked with the magic cookie and, for IPv6, the
transaction id.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar, Self

from mepassa.model.addresses import IpAddress
from mepassa.model.errors import MalformedError

MAGIC_COOKIE_BYTES = b"\x21\x12\xa4\x42"

Endpoint = tuple[IpAddress, int]
"""A transport address without its protocol: address and port."""

FAMILY_IPV4 = 0x01
FAMILY_IPV6 = 0x02


def _xor(value: bytes, mask: bytes) -> bytes:
    return (int.from_bytes(value) ^ int.from_bytes(mask[: len(value)])).to_bytes(len(value))


def _text(value: bytes, limit_bytes: int, name: str) -> str:
    if len(value) > limit_bytes:
        raise MalformedError(f"{name} is {len(value)} bytes, at most {limit_bytes} are allowed.")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"{name} is not UTF-8.") from error


def _exactly(value: bytes, size_bytes: int, name: str) -> bytes:
    if len(value) != size_bytes:
        raise MalformedError(f"{name} is {len(value)} bytes, expected {size_bytes}.")
    return value


class Attribute:
    """`TYPE` below 0x8000: comprehension-required (RFC 8489 §14)."""

    __slots__ = ()
    TYPE: ClassVar[int]

    def encode_value(self, transaction_id: bytes) -> bytes:
        raise NotImplementedError

    @classmethod
    def decode_value(cls, value: bytes, transaction_id: bytes) -> Self:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class _Text(Attribute):
    """UTF-8 of bounded length."""

    text: str
    LIMIT_BYTES: ClassVar[int]

    def encode_value(self, transaction_id: bytes) -> bytes:
        return self.text.encode()

    @classmethod
    def decode_value(cls, value: bytes, transaction_id: bytes) -> Self:
        return cls(_text(value, cls.LIMIT_BYTES, cls.__name__))


@dataclass(frozen=True, slots=True)
class _Raw(Attribute):
    """Opaque bytes of bounded length."""

    raw: bytes
    LIMITS_BYTES: ClassVar[tuple[int, int]]

    def encode_value(self, transaction_id: bytes) -> bytes:
        return self.raw

    @classmethod
    def decode_value(cls, value: bytes, transaction_id: bytes) -> Self:
        low, high = cls.LIMITS_BYTES
        if not low <= len(value) <= high:
            raise MalformedError(f"{cls.__name__} is {len(value)} bytes, expected {low} to {high}.")
        return cls(value)


@dataclass(frozen=True, slots=True)
class _Number(Attribute):
    """An unsigned big-endian number, `WIDTH` bytes of value followed by `RESERVED` zero bytes that readers ignore."""

    number: int
    WIDTH: ClassVar[int]
    RESERVED: ClassVar[int] = 0

    def encode_value(self, transaction_id: bytes) -> bytes:
        return self.number.to_bytes(self.WIDTH) + bytes(self.RESERVED)

    @classmethod
    def decode_value(cls, value: bytes, transaction_id: bytes) -> Self:
        return cls(int.from_bytes(_exactly(value, cls.WIDTH + cls.RESERVED, cls.__name__)[: cls.WIDTH]))


@dataclass(frozen=True, slots=True)
class _Address(Attribute):
    """MAPPED-ADDRESS layout (RFC 8489 §14.1): reserved, family, port, address."""

    endpoint: Endpoint
    MASKED: ClassVar[bool] = True

    def encode_value(self, transaction_id: bytes) -> bytes:
        address, port = self.endpoint
        family = FAMILY_IPV4 if isinstance(address, IPv4Address) else FAMILY_IPV6
        body = port.to_bytes(2), address.packed
        if self.MASKED:
            mask = MAGIC_COOKIE_BYTES + transaction_id
            body = _xor(body[0], mask), _xor(body[1], mask)
        return bytes((0, family)) + body[0] + body[1]

    @classmethod
    def decode_value(cls, value: bytes, transaction_id: bytes) -> Self:
        if len(value) not in {8, 20} or value[1] != (FAMILY_IPV4 if len(value) == 8 else FAMILY_IPV6):
            raise MalformedError(f"{cls.__name__} names no address family that fits its length.")
        port, packed = value[2:4], value[4:]
        if cls.MASKED:
            mask = MAGIC_COOKIE_BYTES + transaction_id
            port, packed = _xor(port, mask), _xor(packed, mask)
        address = IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
        return cls((address, int.from_bytes(port)))


class MappedAddress(_Address):
    __slots__ = ()
    TYPE = 0x0001
    MASKED = False


class XorMappedAddress(_Address):
    __slots__ = ()
    TYPE = 0x0020


class XorPeerAddress(_Address):
    __slots__ = ()
    TYPE = 0x0012


class XorRelayedAddress(_Address):
    __slots__ = ()
    TYPE = 0x0016


class Username(_Text):
    __slots__ = ()
    TYPE = 0x0006
    LIMIT_BYTES = 508


class Realm(_Text):
    __slots__ = ()
    TYPE = 0x0014
    LIMIT_BYTES = 763


class Software(_Text):
    __slots__ = ()
    TYPE = 0x8022
    LIMIT_BYTES = 763


class Nonce(_Raw):
    __slots__ = ()
    TYPE = 0x0015
    LIMITS_BYTES = (0, 763)


class Userhash(_Raw):
    """RFC 8489 §14.4: a hashed user name. Read so that it can be answered, not offered by our relay."""

    __slots__ = ()
    TYPE = 0x001E
    LIMITS_BYTES = (32, 32)


class Data(_Raw):
    """The application's bytes in a Send or Data indication (RFC 8656 §18.4)."""

    __slots__ = ()
    TYPE = 0x0013
    LIMITS_BYTES = (0, 0xFFFF)


class ReservationToken(_Raw):
    __slots__ = ()
    TYPE = 0x0022
    LIMITS_BYTES = (8, 8)


class Lifetime(_Number):
    """Seconds."""

    __slots__ = ()
    TYPE = 0x000D
    WIDTH = 4


class RequestedTransport(_Number):
    """An IP protocol number; 17 is UDP."""

    __slots__ = ()
    TYPE = 0x0019
    WIDTH, RESERVED = 1, 3


class RequestedAddressFamily(_Number):
    """0x01 IPv4, 0x02 IPv6."""

    __slots__ = ()
    TYPE = 0x0017
    WIDTH, RESERVED = 1, 3


class ChannelNumber(_Number):
    __slots__ = ()
    TYPE = 0x000C
    WIDTH, RESERVED = 2, 2


class Priority(_Number):
    """ICE (RFC 8445 §7.1.1)."""

    __slots__ = ()
    TYPE = 0x0024
    WIDTH = 4


class IceControlled(_Number):
    __slots__ = ()
    TYPE = 0x8029
    WIDTH = 8


class IceControlling(_Number):
    __slots__ = ()
    TYPE = 0x802A
    WIDTH = 8


class UseCandidate(_Raw):
    __slots__ = ()
    TYPE = 0x0025
    LIMITS_BYTES = (0, 0)


@dataclass(frozen=True, slots=True)
class EvenPort(Attribute):
    """Asks for an even relay port; `reserve_next`: and the one above it kept for later (RFC 8656 §18.7)."""

    reserve_next: bool
    TYPE: ClassVar[int] = 0x0018

    def encode_value(self, transaction_id: bytes) -> bytes:
        return b"\x80" if self.reserve_next else b"\x00"

    @classmethod
    def decode_value(cls, value: bytes, transaction_id: bytes) -> Self:
        return cls(bool(_exactly(value, 1, cls.__name__)[0] & 0x80))


@dataclass(frozen=True, slots=True)
class ErrorCode(Attribute):
    """300..699 and a reason for people (RFC 8489 §14.8)."""

    code: int
    reason: str = ""
    TYPE: ClassVar[int] = 0x0009

    def encode_value(self, transaction_id: bytes) -> bytes:
        return bytes((0, 0, self.code // 100, self.code % 100)) + self.reason.encode()

    @classmethod
    def decode_value(cls, value: bytes, transaction_id: bytes) -> Self:
        if len(value) < 4:
            raise MalformedError("ErrorCode is too short.")
        hundreds, rest = value[2] & 0x07, value[3]
        if not 3 <= hundreds <= 6 or rest > 99:
            raise MalformedError("ErrorCode is not in 300..699.")
        return cls(hundreds * 100 + rest, _text(value[4:], 763, "the reason of an error"))


@dataclass(frozen=True, slots=True)
class UnknownAttributes(Attribute):
    """The types that a 420 answer complains about (RFC 8489 §14.9)."""

    types: tuple[int, ...]
    TYPE: ClassVar[int] = 0x000A

    def encode_value(self, transaction_id: bytes) -> bytes:
        return b"".join(number.to_bytes(2) for number in self.types)

    @classmethod
    def decode_value(cls, value: bytes, transaction_id: bytes) -> Self:
        if len(value) % 2:
            raise MalformedError("UnknownAttributes has half a type at its end.")
        return cls(tuple(int.from_bytes(value[at : at + 2]) for at in range(0, len(value), 2)))


KNOWN: tuple[type[Attribute], ...] = (
    MappedAddress,
    Username,
    ErrorCode,
    UnknownAttributes,
    ChannelNumber,
    Lifetime,
    XorPeerAddress,
    Data,
    Realm,
    Nonce,
    XorRelayedAddress,
    RequestedAddressFamily,
    EvenPort,
    RequestedTransport,
    Userhash,
    XorMappedAddress,
    ReservationToken,
    Priority,
    UseCandidate,
    Software,
    IceControlled,
    IceControlling,
)

DECODERS: dict[int, Callable[[bytes, bytes], Attribute]] = {kind.TYPE: kind.decode_value for kind in KNOWN}
"""By type number. MESSAGE-INTEGRITY and FINGERPRINT belong to the message and are not listed."""
