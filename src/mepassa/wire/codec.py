"""The shape of all of MePassa's own bytes: MessagePack `[version, value]`, every value an array with bounded fields.

Size is checked before anything is decoded; unknown trailing elements are ignored, so that a later minor version may
add fields; another version number is refused (docs/protocol/encoding.md).
"""

from typing import Annotated, Any, Generic, TypeVar

import msgspec

from mepassa.model.errors import MalformedError, RemoteError, TooLargeError
from mepassa.model.ids import FixedBytes

T = TypeVar("T")


def _to_plain(value: object) -> object:
    if isinstance(value, FixedBytes):
        return value.raw
    raise NotImplementedError(f"{type(value).__name__} has no encoding")


def _from_plain(kind: type, value: object) -> object:
    if isinstance(kind, type) and issubclass(kind, FixedBytes):
        if isinstance(value, bytes):
            return kind(value)
        raise MalformedError(f"{kind.__name__} is not bytes.")
    raise NotImplementedError(f"{kind.__name__} has no encoding")


class Codec(Generic[T]):
    """Encodes and decodes one kind of value: `[version, value]`, at most `limit_bytes` long.

    `decode` raises `TooLargeError` or `MalformedError`, and nothing else, whatever the bytes.
    """

    def __init__(self, kind: Any, *, version: int = 1, limit_bytes: int) -> None:
        self._version, self._limit_bytes = version, limit_bytes
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_to_plain)
        shape = tuple[Annotated[int, msgspec.Meta(ge=0, le=255)], kind]
        self._decoder: msgspec.msgpack.Decoder[tuple[int, T]] = msgspec.msgpack.Decoder(shape, dec_hook=_from_plain)

    def encode(self, value: T) -> bytes:
        """Raises `TooLargeError` when the value does not fit its own limit."""
        data = self._encoder.encode((self._version, value))
        if len(data) > self._limit_bytes:
            raise TooLargeError(len(data), self._limit_bytes)
        return data

    def decode(self, data: bytes) -> T:
        if len(data) > self._limit_bytes:
            raise TooLargeError(len(data), self._limit_bytes)
        # A two-element array with a small version number begins 0x92, version: told apart before the body is looked at.
        if len(data) < 2 or data[0] != 0x92:
            raise MalformedError
        if data[1] != self._version:
            raise MalformedError(f"format version {data[1]} is not spoken here.")
        try:
            return self._decoder.decode(data)[1]
        except RemoteError:
            raise
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise MalformedError from error
