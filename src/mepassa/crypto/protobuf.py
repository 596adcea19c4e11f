"""The little of Protocol Buffers that Signal's messages need (protobuf.dev, "Encoding"), with strict reading.

Written by hand because parsing rules are part of the protocol here: unknown fields are skipped, the last of a repeated
field wins, a known field with another wire type is an error. Stricter than the official parser: numbers over 32 bits,
groups and field number 0 are refused (docs/protocol/session.md, "Parsing").
"""

from collections.abc import Iterable, Mapping
from enum import Enum

from mepassa.crypto.errors import InvalidMessageError


class Kind(Enum):
    """What a known field holds. The value is (wire type, largest number)."""

    UINT32 = (0, 2**32 - 1)
    UINT64 = (0, 2**64 - 1)
    FIXED64 = (1, 2**64 - 1)
    BYTES = (2, 0)


_ONE_BYTE = tuple(bytes((number,)) for number in range(0x80))


def encode_varint(number: int) -> bytes:
    """Minimal LEB128. Nearly all of a message's numbers and lengths have one byte or two."""
    if number < 0x80:
        return _ONE_BYTE[number]
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decode_varint(data: bytes, position: int, limit: int = 10) -> tuple[int, int]:
    """(number, position after it); at most `limit` bytes, non-minimal forms allowed. Raises `InvalidMessageError`."""
    number = shift = 0
    for byte in data[position : position + limit]:
        position += 1
        if byte < 0x80:
            return number | byte << shift, position
        number |= (byte & 0x7F) << shift
        shift += 7
    raise InvalidMessageError


def encode_uint(field: int, number: int) -> bytes:
    """One varint field, written even when 0. `field` is below 16 on every hot path."""
    return encode_varint(field << 3) + encode_varint(number)


def encode_fixed64(field: int, number: int) -> bytes:
    return encode_varint(field << 3 | 1) + number.to_bytes(8, "little")


def encode_bytes(field: int, value: bytes) -> bytes:
    return encode_varint(field << 3 | 2) + encode_varint(len(value)) + value


class Fields:
    """What was read of one message: known fields only. Asking for an absent one without a default is our bug."""

    __slots__ = ("_numbers", "_values")

    def __init__(self, numbers: dict[int, int], values: dict[int, bytes]) -> None:
        self._numbers, self._values = numbers, values

    def __contains__(self, field: int) -> bool:
        return field in self._values or field in self._numbers

    def value(self, field: int) -> bytes:
        return self._values[field]

    def number(self, field: int) -> int:
        return self._numbers[field]

    def value_or_none(self, field: int) -> bytes | None:
        return self._values.get(field)

    def number_or_none(self, field: int) -> int | None:
        return self._numbers.get(field)


class Schema:
    """The known fields of one message, and which of them must be there."""

    __slots__ = ("_fields", "_largest", "_required")

    def __init__(self, kinds: Mapping[int, Kind], *, required: Iterable[int] = ()) -> None:
        self._fields = frozenset(kinds)
        self._largest = {field << 3 | kind.value[0]: kind.value[1] for field, kind in kinds.items()}
        """By tag, so that one look tells a known field of the right wire type."""
        self._required = tuple(required)

    def decode(self, data: bytes) -> Fields:
        """Raises `InvalidMessageError`, and nothing else, whatever the bytes."""
        numbers: dict[int, int] = {}
        values: dict[int, bytes] = {}
        position, end, known = 0, len(data), self._largest
        while position < end:
            # Nearly all tags and lengths are one byte: read here, without a call.
            tag = data[position]
            position += 1
            if tag > 0x7F:
                tag, position = decode_varint(data, position - 1, 5)
            largest = known.get(tag)
            if largest is None:
                position = self._skip(tag, data, position)
                continue
            wire_type = tag & 7
            if wire_type == 1:
                number, position = int.from_bytes(data[position : position + 8], "little"), position + 8
            else:
                number = data[position] if position < end else 0x80
                position += 1
                if number > 0x7F:
                    number, position = decode_varint(data, position - 1)
            if wire_type == 2:
                start, position = position, position + number
                values[tag >> 3] = data[start:position]
            elif number > largest:
                raise InvalidMessageError
            else:
                numbers[tag >> 3] = number
        if position > end:  # the last field ran over it, and what was read of it is cut short
            raise InvalidMessageError
        for field in self._required:
            if field not in values and field not in numbers:
                raise InvalidMessageError
        return Fields(numbers, values)

    def _skip(self, tag: int, data: bytes, position: int) -> int:
        """The position after an unknown field, which may lie past the end."""
        field, wire_type = tag >> 3, tag & 7
        if field == 0 or field in self._fields or tag > 0xFFFFFFFF:
            raise InvalidMessageError
        match wire_type:
            case 0:
                return decode_varint(data, position)[1]
            case 1:
                return position + 8
            case 2:
                size, position = decode_varint(data, position)
                return position + size
            case 5:
                return position + 4
            case _:
                raise InvalidMessageError
