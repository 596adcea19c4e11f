"""Tokens: rights without a name (docs/protocol/identity.md, "Tokens"). Contacts compute them from the profile key."""

import hashlib
from hmac import compare_digest

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mepassa.model.card import TOKEN_BYTES
from mepassa.model.errors import InvalidInputError


def delivery_token(profile_key: bytes) -> bytes:
    """16 bytes: deposit and fetch prekeys. `profile_key` is 32 bytes."""
    return _derive(profile_key, b"mepassa delivery token 1")


def signal_token(profile_key: bytes) -> bytes:
    """16 bytes: signal through the home. `profile_key` is 32 bytes."""
    return _derive(profile_key, b"mepassa signal token 1")


def hash_token(token: bytes) -> bytes:
    """SHA-256: what a home keeps. Tokens hold 128 random bits, so no salt is needed."""
    return hashlib.sha256(token).digest()


def token_matches(sha256: bytes, token: bytes) -> bool:
    """In constant time."""
    return compare_digest(sha256, hash_token(token))


def _derive(profile_key: bytes, info: bytes) -> bytes:
    if len(profile_key) != 32:
        raise InvalidInputError("A profile key is 32 bytes.")
    return HKDF(SHA256(), TOKEN_BYTES, None, info).derive(profile_key)
