"""Bytes in links: base64url without padding (RFC 4648 §5), and of every value exactly one spelling."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode_base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes | None:
    """None for what `encode_base64url` does not make: padding, another alphabet, stray bits. The caller has bounded it."""
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    return data if encode_base64url(data) == text else None
