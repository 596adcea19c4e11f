"""The device key: one Ed25519 seed that signs (XEdDSA) and agrees (X25519), as a Signal identity key does."""

import hashlib
import os
from functools import lru_cache
from typing import Self

from nacl import bindings
from nacl.exceptions import CryptoError

from mepassa.identity.curve import EC_TYPE, check_ec_public, edwards_from_montgomery
from mepassa.model.errors import InvalidInputError, MalformedError, SignatureError
from mepassa.model.keys import IdentityKey
from mepassa.model.secret import SecretBytes

EDWARDS_KEYS_REMEMBERED = 1_024
"""Public keys whose Edwards form is kept: finding it costs a third of a verification, and the same few keys sign all the
time (sender keys with every message)."""


def check_identity_key(raw: bytes) -> IdentityKey:
    """Raises `MalformedError` unless `raw` is `05` + a canonical u-coordinate that is not of low order."""
    return IdentityKey(check_ec_public(raw))


# libsodium, not OpenSSL: it signs and verifies Ed25519 in half the time, and agrees without loading the key first.


def verify_xeddsa(key: IdentityKey, message: bytes, signature: bytes) -> None:
    """Signal's XEdDSA: the sign bit of the Edwards key travels in the top bit of the signature's last byte.

    Raises `SignatureError`, also for keys that `check_identity_key` refuses.
    """
    try:
        if len(signature) != 64:
            raise SignatureError
        edwards = _edwards_form(key.raw, signature[63] & 0x80)
        stripped = signature[:63] + bytes([signature[63] & 0x7F])
        bindings.crypto_sign_open(stripped + message, edwards)
    except (CryptoError, ValueError, MalformedError) as error:
        raise SignatureError from error


@lru_cache(EDWARDS_KEYS_REMEMBERED)
def _edwards_form(raw: bytes, sign_bit: int) -> bytes:
    """Nothing secret, and nothing that changes. Raises `MalformedError`, which is not remembered."""
    check_ec_public(raw)
    return edwards_from_montgomery(raw[1:], sign_bit)


def signing_secret(seed: bytes) -> bytes:
    """What `sign_xeddsa` takes, 64 bytes: the 32-byte seed, then the Ed25519 public key."""
    return bindings.crypto_sign_seed_keypair(seed)[1]


def sign_xeddsa(secret: bytes, message: bytes) -> bytes:
    """XEdDSA over exactly `message`, 64 bytes: stock Ed25519, then the sign of the Edwards key in the top bit."""
    signature = bytearray(bindings.crypto_sign(message, secret)[:64])
    signature[63] |= secret[63] & 0x80
    return bytes(signature)


class IdentityKeyPair:
    """`seed`: 32 bytes. The X25519 scalar is clamp(SHA-512(seed)[:32]), the one that Ed25519 uses, too."""

    __slots__ = ("public", "seed")

    def __init__(self, seed: SecretBytes, public: IdentityKey | None = None) -> None:
        """`public` only from `saved`: computing it costs half an agreement."""
        if len(seed) != 32:
            raise InvalidInputError("A device key is made from 32 bytes.")
        self.seed = seed
        self.public = public or IdentityKey(bytes([EC_TYPE]) + bindings.crypto_scalarmult_base(_scalar(seed)))

    @classmethod
    def saved(cls, seed: SecretBytes, public: IdentityKey) -> Self:
        """From our own database, which holds both halves: every message asks for this device's."""
        return cls(seed, public)

    @classmethod
    def generate(cls) -> Self:
        return cls(SecretBytes(os.urandom(32)))

    def sign(self, message: bytes) -> bytes:
        """XEdDSA over exactly `message`, 64 bytes. Ours begin with a label (`labelled`); Signal's formats are raw."""
        # Made here: a key pair is read for every message, and hardly ever signs.
        return sign_xeddsa(signing_secret(self.seed.expose()), message)

    def agree(self, public: bytes) -> bytes:
        """The X25519 secret with a 33-byte public key, 32 bytes. Raises `MalformedError` for an improper key."""
        check_ec_public(public)
        try:
            return bindings.crypto_scalarmult(_scalar(self.seed), public[1:])
        except CryptoError as error:
            raise MalformedError("A public key is not a proper curve point.") from error

    def __repr__(self) -> str:
        return f"IdentityKeyPair({self.public.short()}…)"


def _scalar(seed: SecretBytes) -> bytes:
    """libsodium clamps it (RFC 7748 §5), and refuses a point that gives zero."""
    return hashlib.sha512(seed.expose()).digest()[:32]
