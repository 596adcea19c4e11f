"""Names of things, as types that cannot be wrong."""

import hashlib
from typing import Annotated, ClassVar, NewType, Self
from uuid import UUID

import msgspec

from mepassa.model.errors import MalformedError


class FixedBytes:
    """Public bytes of one exact length. Not a dataclass: the codecs see an opaque value and write its raw bytes."""

    __slots__ = ("raw",)
    SIZE: ClassVar[int]
    raw: bytes

    def __init__(self, raw: bytes) -> None:
        if len(raw) != self.SIZE:
            raise MalformedError(f"{type(self).__name__} is {len(raw)} bytes, expected {self.SIZE}.")
        object.__setattr__(self, "raw", bytes(raw))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Raises `MalformedError` unless `text` is exactly the right number of hex digits."""
        try:
            return cls(bytes.fromhex(text))
        except ValueError as error:
            raise MalformedError(f"{cls.__name__} is not written in hex.") from error

    def hex(self) -> str:
        return self.raw.hex()

    def short(self) -> str:
        """Eight hex digits: enough to follow one thing through a log on this device, too few to be it."""
        return self.raw[:4].hex()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.raw == self.raw

    def __lt__(self, other: Self) -> bool:
        return self.raw < other.raw

    def __hash__(self) -> int:
        return hash((type(self), self.raw))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.short()}…)"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[bytes]]:
        return type(self), (self.raw,)


class AccountId(FixedBytes):
    """UUIDv8 over the root public key. An index, never a proof: compare keys, not ids."""

    __slots__ = ()
    SIZE = 16

    @property
    def uuid(self) -> UUID:
        return UUID(bytes=self.raw)


class EnvelopeId(FixedBytes):
    """SHA-256 of the sealed bytes, first 16 bytes: computed at both ends, never sent."""

    __slots__ = ()
    SIZE = 16

    @classmethod
    def of(cls, sealed: bytes) -> Self:
        return cls(hashlib.sha256(sealed).digest()[:16])


class MessageId(FixedBytes):
    """16 random bytes inside the encryption: what the screen removes duplicates by."""

    __slots__ = ()
    SIZE = 16


class DistributionId(FixedBytes):
    """Names one sender key of every member of a group, 16 bytes. Ours are version 4 UUIDs: an older official wrapper takes
    no others."""

    __slots__ = ()
    SIZE = 16

    @classmethod
    def from_random(cls, random: bytes) -> Self:
        """A version 4 UUID of 16 random bytes (RFC 9562 §5.4)."""
        return cls(UUID(bytes=random, version=4).bytes)

    @property
    def uuid(self) -> UUID:
        return UUID(bytes=self.raw)


class AttemptId(FixedBytes):
    """16 random bytes naming one attempt of two devices to meet."""

    __slots__ = ()
    SIZE = 16


class RunId(FixedBytes):
    """16 random bytes drawn at each start of a node (docs/protocol/home.md)."""

    __slots__ = ()
    SIZE = 16


DeviceId = Annotated[int, msgspec.Meta(ge=1, le=127)]
"""1..127, as in a Signal address. Whoever removes one does not give it again; a recovery may, for another key."""

Timestamp = NewType("Timestamp", int)
"""Unix milliseconds, UTC, wall clock. Monotonic seconds are a bare `float` named `now`."""

NEVER = Timestamp(0)
"""A time that has not come yet."""


class Address(msgspec.Struct, frozen=True, array_like=True, order=True):
    """One device of one account: what every message is addressed to."""

    account: AccountId
    device: DeviceId

    def __post_init__(self) -> None:
        if not 1 <= self.device <= 127:
            raise MalformedError(f"device number {self.device} is not in 1..127.")

    @property
    def service_id(self) -> bytes:
        """Signal's 17-byte service id: kind 0 (account), then the UUID."""
        return b"\x00" + self.account.raw

    def short(self) -> str:
        return f"{self.account.short()}.{self.device}"
