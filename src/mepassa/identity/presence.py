"""Blinded presence keys (docs/protocol/identity.md, "Presence"): slots that only contacts can find, only the owner fill.

For each UTC day and device h = SHA-512(label, A, day, device) mod L; the slot is A' = h·A; the owner signs with h·a.
Whoever does not know A can link no two slots. The scheme is that of Tor's blinded onion keys (rend-spec-v3, appendix A).
"""

import hashlib
import os
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl import bindings
from nacl.exceptions import CryptoError

from mepassa.identity.ed25519 import verify_ed25519
from mepassa.identity.labels import Label, labelled
from mepassa.model.errors import DecryptionError, InvalidInputError, MalformedError
from mepassa.model.keys import PresencePublicKey
from mepassa.model.secret import SecretBytes

DAY_MS = 86_400_000
SEALED_SIZES = (512, 928)
"""Bytes of a sealed record: two classes, so that its length tells next to nothing; the DHT record stays under 1 KiB."""
_OVERHEAD = 12 + 16 + 1
"""Nonce, tag, and the 0x80 that ends the record before its zeros."""


def utc_day(now_ms: int) -> int:
    """Days since 1970-01-01, UTC."""
    return now_ms // DAY_MS


def presence_slot(key: PresencePublicKey, day: int, device: int) -> bytes:
    """A', 32 bytes: the DHT key of that day, and the public key that its records are signed with.

    Raises `MalformedError` when `key` is not a point of the prime-order group.
    """
    try:
        if not bindings.crypto_core_ed25519_is_valid_point(key.raw):
            raise MalformedError("A presence key is not a proper curve point.")
        return bytes(bindings.crypto_scalarmult_ed25519_noclamp(_blinding_factor(key, day, device), key.raw))
    except (CryptoError, TypeError) as error:
        raise MalformedError("A presence key is not a proper curve point.") from error


def verify_blinded(slot: bytes, message: bytes, signature: bytes) -> None:
    """Plain Ed25519 under the blinded key. Raises `SignatureError`."""
    verify_ed25519(slot, message, signature)


def seal_presence(key: PresencePublicKey, day: int, device: int, record: bytes) -> bytes:
    """AES-256-GCM under HKDF(A, day, device), padded to a size class. Raises `InvalidInputError` over 899 bytes."""
    size = next((size for size in SEALED_SIZES if len(record) + _OVERHEAD <= size), None)
    if size is None:
        raise InvalidInputError("A presence record is too long.")
    nonce = os.urandom(12)
    padded = (record + b"\x80").ljust(size - 28, b"\x00")
    return nonce + AESGCM(_sealing_key(key, day, device)).encrypt(nonce, padded, None)


def open_presence(key: PresencePublicKey, day: int, device: int, sealed: bytes) -> bytes:
    """The record. Raises `DecryptionError`."""
    if len(sealed) not in SEALED_SIZES:
        raise DecryptionError
    try:
        padded = AESGCM(_sealing_key(key, day, device)).decrypt(sealed[:12], sealed[12:], None)
    except InvalidTag as error:
        raise DecryptionError from error
    record, mark, zeros = padded.rpartition(b"\x80")
    if not mark or zeros.strip(b"\x00"):
        raise DecryptionError
    return record


class BlindedKeyPair:
    """Signs for one slot. `public` is the slot, 32 bytes."""

    __slots__ = ("_nonce_key", "_scalar", "public")

    def __init__(self, scalar: bytes, nonce_key: bytes) -> None:
        self._scalar, self._nonce_key = SecretBytes(scalar), SecretBytes(nonce_key)
        self.public = bytes(bindings.crypto_scalarmult_ed25519_base_noclamp(scalar))

    def sign(self, message: bytes) -> bytes:
        """Ed25519 (RFC 8032 §5.1.6) with a scalar that no seed belongs to: the nonce comes from a key of its own."""
        r = _reduce(hashlib.sha512(self._nonce_key.expose() + message).digest())
        big_r = bytes(bindings.crypto_scalarmult_ed25519_base_noclamp(r))
        k = _reduce(hashlib.sha512(big_r + self.public + message).digest())
        product = bindings.crypto_core_ed25519_scalar_mul(k, self._scalar.expose())
        return big_r + bytes(bindings.crypto_core_ed25519_scalar_add(r, product))


class PresenceKeyPair:
    """Ed25519 from a 32-byte seed, one per account, on all its devices; never signs unblinded."""

    __slots__ = ("_prefix", "_scalar", "public", "seed")

    def __init__(self, seed: SecretBytes) -> None:
        if len(seed) != 32:
            raise InvalidInputError("A presence key is made from 32 bytes.")
        self.seed = seed
        expanded = hashlib.sha512(seed.expose()).digest()
        clamped = bytes([expanded[0] & 248, *expanded[1:31], expanded[31] & 127 | 64])
        # Reduced mod L it multiplies points of the prime-order group just the same.
        self._scalar = SecretBytes(_reduce(clamped + bytes(32)))
        self._prefix = SecretBytes(expanded[32:])
        self.public = PresencePublicKey(bytes(bindings.crypto_scalarmult_ed25519_base_noclamp(self._scalar.expose())))

    @classmethod
    def generate(cls) -> Self:
        return cls(SecretBytes(os.urandom(32)))

    def blinded(self, day: int, device: int) -> BlindedKeyPair:
        factor = _blinding_factor(self.public, day, device)
        scalar = bindings.crypto_core_ed25519_scalar_mul(factor, self._scalar.expose())
        # One nonce key per slot: the same message under two blinded keys must not share its nonce.
        nonce_key = hashlib.sha512(labelled(Label.PRESENCE, b"nonce", self._prefix.expose(), factor)).digest()
        return BlindedKeyPair(bytes(scalar), nonce_key[:32])

    def __repr__(self) -> str:
        return f"PresenceKeyPair({self.public.short()}…)"


def _reduce(wide: bytes) -> bytes:
    """64 bytes, little-endian, mod L."""
    return bytes(bindings.crypto_core_ed25519_scalar_reduce(wide))


def _slot_context(key: PresencePublicKey, day: int, device: int) -> bytes:
    return labelled(Label.PRESENCE, key.raw, day.to_bytes(4, "big"), bytes([device]))


def _blinding_factor(key: PresencePublicKey, day: int, device: int) -> bytes:
    return _reduce(hashlib.sha512(_slot_context(key, day, device)).digest())


def _sealing_key(key: PresencePublicKey, day: int, device: int) -> bytes:
    return HKDF(SHA256(), 32, None, b"mepassa presence seal 1" + _slot_context(key, day, device)).derive(key.raw)
