"""How states are saved: a plain, compact byte stream that only this device reads (docs/protocol/session.md, "Saved form").

Everything is written in one fixed order; a version byte leads each record. A reader raises `CorruptRecordError`.
"""

from collections.abc import Callable
from typing import TypeVar

from mepassa.crypto.errors import CorruptRecordError

T = TypeVar("T")


class Writer:
    __slots__ = ("_out",)

    def __init__(self) -> None:
        self._out = bytearray()

    def uint(self, number: int) -> None:
        """LEB128."""
        while number > 0x7F:
            self._out.append(number & 0x7F | 0x80)
            number >>= 7
        self._out.append(number)

    def raw(self, value: bytes) -> None:
        """A value whose length the format knows."""
        self._out += value

    def block(self, value: bytes) -> None:
        self.uint(len(value))
        self._out += value

    def optional(self, value: bytes | None) -> None:
        """Absent is one zero byte, present a one and the block."""
        self.uint(0 if value is None else 1)
        if value is not None:
            self.block(value)

    def keyed(self, entries: dict[int, bytes]) -> None:
        """Number -> equally long values, in the dictionary's order, which is part of the state."""
        self.uint(len(entries))
        for number, value in entries.items():
            self.uint(number)
            self._out += value

    def finish(self) -> bytes:
        return bytes(self._out)


class Reader:
    """`version`: of the record, for whoever reads older ones differently."""

    __slots__ = ("_data", "_position", "version")

    def __init__(self, data: bytes, version: int = 0) -> None:
        self._data, self._position, self.version = data, 0, version

    def uint(self, limit: int = 2**64 - 1) -> int:
        data, position = self._data, self._position
        number = shift = 0
        for byte in data[position : position + 10]:
            position += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                if number > limit:
                    raise CorruptRecordError
                self._position = position
                return number
            shift += 7
        raise CorruptRecordError

    def raw(self, size: int) -> bytes:
        value = self._data[self._position : self._position + size]
        if len(value) != size:
            raise CorruptRecordError
        self._position += size
        return value

    def block(self, size: int | None = None) -> bytes:
        length = self.uint()
        if size is not None and length != size:
            raise CorruptRecordError
        return self.raw(length)

    def flag(self) -> bool:
        return self.uint(1) == 1

    def optional(self, size: int | None = None) -> bytes | None:
        return self.block(size) if self.flag() else None

    def keyed(self, size: int, limit: int) -> dict[int, bytes]:
        return {self.uint(): self.raw(size) for _ in range(self.uint(limit))}

    def several(self, read: "Callable[[Reader], T]", limit: int) -> tuple[T, ...]:
        return tuple(read(self) for _ in range(self.uint(limit)))

    def end(self) -> None:
        if self._position != len(self._data):
            raise CorruptRecordError
