"""Sealing a profile for one's contacts (docs/protocol/blobs.md, "Profile"): a home keeps it and can't read it.

AES-256-GCM under a key from the profile key, bound to the account and to the profile's version: what a home hands out as
version 5 of somebody is that, or does not open.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mepassa.crypto.errors import AuthenticationError, InvalidMessageError
from mepassa.crypto.padding import mark, unmark
from mepassa.crypto.primitives import ZERO_SALT, RandomBytes, hkdf
from mepassa.model.errors import TooLargeError
from mepassa.model.ids import AccountId
from mepassa.model.secret import SecretBytes

SEALED_SIZES = (512, 2048)
"""Bytes of a sealed profile: a name and a reference to an avatar fit the first; the second is for what comes later."""
NONCE_BYTES, TAG_BYTES = 12, 16
MAX_PROFILE_BYTES = SEALED_SIZES[-1] - NONCE_BYTES - TAG_BYTES - 1
"""The mark that ends the profile before its zeros takes one byte."""

_INFO = b"mepassa profile 1"


def seal_profile(
    profile_key: SecretBytes, account: AccountId, version: int, profile: bytes, *, random: RandomBytes
) -> bytes:
    """`SEALED_SIZES` bytes: nonce, then ciphertext and tag. `version`: 0..2^64-1, and rises with every change.

    Raises `TooLargeError` over 2 019 bytes.
    """
    size = next((size for size in SEALED_SIZES if len(profile) <= _room(size)), None)
    if size is None:
        raise TooLargeError(len(profile), MAX_PROFILE_BYTES)
    nonce = random(NONCE_BYTES)
    padded = mark(profile, _room(size) + 1)
    return nonce + _cipher(profile_key).encrypt(nonce, padded, _bound_to(account, version))


def open_profile(profile_key: SecretBytes, account: AccountId, version: int, sealed: bytes) -> bytes:
    """The profile. Raises `InvalidMessageError` or `AuthenticationError`."""
    if len(sealed) not in SEALED_SIZES:
        raise InvalidMessageError
    nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        padded = _cipher(profile_key).decrypt(nonce, rest, _bound_to(account, version))
    except InvalidTag:
        raise AuthenticationError from None
    return unmark(padded)


def _room(sealed_bytes: int) -> int:
    return sealed_bytes - NONCE_BYTES - TAG_BYTES - 1


def _cipher(profile_key: SecretBytes) -> AESGCM:
    return AESGCM(hkdf(ZERO_SALT, profile_key.expose(), _INFO, 32))


def _bound_to(account: AccountId, version: int) -> bytes:
    return account.raw + version.to_bytes(8, "big")
