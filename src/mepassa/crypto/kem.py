"""Kyber-1024 round 3, as PQXDH uses it, from ML-KEM-1024 (FIPS 203).

Keys and ciphertexts are the same; only the shared secret differs: SHAKE256(ML-KEM secret + SHA3-256(ciphertext), 32).
"""

import hashlib
from typing import Self

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey, MLKEM1024PublicKey

from mepassa.crypto.errors import CorruptRecordError, InvalidKeyError
from mepassa.crypto.primitives import RandomBytes

KYBER_TYPE = 0x08
"""The type byte before Kyber-1024 public keys and ciphertexts."""
KYBER_PUBLIC_BYTES = 1569
KYBER_CIPHERTEXT_BYTES = 1569
KYBER_SEED_BYTES = 64


def encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """(shared secret 32 B, prefixed ciphertext 1569 B) for a prefixed public key. Raises `InvalidKeyError`.

    The chance inside is the library's own: it cannot be seeded.
    """
    if len(public) != KYBER_PUBLIC_BYTES or public[0] != KYBER_TYPE:
        raise InvalidKeyError
    try:
        secret, ciphertext = MLKEM1024PublicKey.from_public_bytes(public[1:]).encapsulate()
    except ValueError as error:
        raise InvalidKeyError from error
    return _round_3_secret(secret, ciphertext), bytes([KYBER_TYPE]) + ciphertext


class KyberKeyPair:
    """`seed`: 64 bytes (d + z, FIPS 203 §7.1), all that need be kept; `public`: `08` + 1568 bytes."""

    __slots__ = ("_key", "public", "seed")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KYBER_SEED_BYTES:
            raise CorruptRecordError
        self.seed = seed
        self._key = MLKEM1024PrivateKey.from_seed_bytes(seed)
        self.public = bytes([KYBER_TYPE]) + self._key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls, random: RandomBytes) -> Self:
        return cls(random(KYBER_SEED_BYTES))

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """The shared secret of a prefixed ciphertext; a wrong one gives another secret, not an error (FIPS 203 §6.3).

        Raises `InvalidKeyError` for a wrong length or type byte.
        """
        if len(ciphertext) != KYBER_CIPHERTEXT_BYTES or ciphertext[0] != KYBER_TYPE:
            raise InvalidKeyError
        return _round_3_secret(self._key.decapsulate(ciphertext[1:]), ciphertext[1:])

    def __repr__(self) -> str:
        return f"KyberKeyPair({self.public[1:5].hex()}…)"


def _round_3_secret(secret: bytes, ciphertext: bytes) -> bytes:
    return hashlib.shake_256(secret + hashlib.sha3_256(ciphertext).digest()).digest(32)
