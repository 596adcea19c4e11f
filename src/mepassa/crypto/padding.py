"""Hiding how long a message is (docs/protocol/envelope.md, "Padding"): 0x80, then zeros, to 256 · 2^k bytes."""

from mepassa.crypto.errors import InvalidMessageError
from mepassa.model.envelope import MAX_PLAINTEXT_BYTES
from mepassa.model.errors import TooLargeError

SMALLEST_BYTES = 256
MAX_CONTENT_BYTES = MAX_PLAINTEXT_BYTES - 1
"""The mark takes one byte."""


def pad(content: bytes) -> bytes:
    """Raises `TooLargeError` when `content` is over 32 767 bytes."""
    if len(content) > MAX_CONTENT_BYTES:
        raise TooLargeError(len(content), MAX_CONTENT_BYTES)
    size = SMALLEST_BYTES
    while size < len(content) + 1:
        size *= 2
    return (content + b"\x80").ljust(size, b"\x00")


def unpad(padded: bytes) -> bytes:
    """Raises `InvalidMessageError` unless `padded` is exactly what `pad` makes."""
    content, mark, zeros = padded.rpartition(b"\x80")
    if not mark or zeros.strip(b"\x00") or len(content) > MAX_CONTENT_BYTES or len(pad(content)) != len(padded):
        raise InvalidMessageError
    return content
