"""Hiding how long something is: messages by 0x80 and zeros to 256 · 2^k bytes (docs/protocol/envelope.md, "Padding"),
blobs by Padmé (docs/protocol/blobs.md)."""

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
    return mark(content, size)


def mark(content: bytes, size: int) -> bytes:
    """`size` bytes, more than `content`: the mark 0x80 ends it, zeros fill up."""
    return (content + b"\x80").ljust(size, b"\x00")


def unmark(padded: bytes) -> bytes:
    """What `mark` was given. Raises `InvalidMessageError` where there is no mark, or something behind it."""
    content, found, zeros = padded.rpartition(b"\x80")
    if not found or zeros.strip(b"\x00"):
        raise InvalidMessageError
    return content


def unpad(padded: bytes) -> bytes:
    """Raises `InvalidMessageError` unless `padded` is exactly what `pad` makes."""
    content = unmark(padded)
    if len(content) > MAX_CONTENT_BYTES or len(pad(content)) != len(padded):
        raise InvalidMessageError
    return content


def padme_size(size_bytes: int) -> int:
    """What Padmé rounds a size up to: at most 12 % more, and for sizes up to M only O(log log M) bits tell.

    Of the size's binary digits only the first keep their value, as many as its exponent has digits
    (Nikitin, Barman, Lueks, Underwood, Hubaux, Ford: "Reducing Metadata Leakage from Encrypted Files and
    Communication with PURBs", 2019, algorithm 1).
    """
    if size_bytes < 2:
        return size_bytes
    exponent = size_bytes.bit_length() - 1
    zeroed = (1 << exponent - exponent.bit_length()) - 1
    return (size_bytes + zeroed) & ~zeroed
