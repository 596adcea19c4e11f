"""The root key: is the account (docs/protocol/identity.md)."""

import hashlib
import os
from functools import lru_cache
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mepassa.identity.curve import EC_TYPE, montgomery_from_edwards
from mepassa.identity.ed25519 import verify_ed25519
from mepassa.identity.labels import Label, labelled
from mepassa.model.errors import InvalidInputError
from mepassa.model.ids import AccountId
from mepassa.model.keys import HomeKey, IdentityKey, RootPublicKey
from mepassa.model.secret import SecretBytes

ROOTS_REMEMBERED = 256
"""Every message that comes is checked against its contact's."""


def account_id(root: RootPublicKey) -> AccountId:
    """SHA-256 of "mepassa account 1" and the key, first 16 bytes, with the version and variant bits of a UUIDv8.

    An index for look-ups; to compare accounts, compare keys.
    """
    digest = bytearray(hashlib.sha256(Label.ACCOUNT.encode("ascii") + root.raw).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return AccountId(bytes(digest))


@lru_cache(ROOTS_REMEMBERED)
def trust_root(root: RootPublicKey) -> IdentityKey:
    """The root key in the form in which Signal's certificates and safety numbers take a key: `05` + u-coordinate.

    Raises `MalformedError` when the key has no such form.
    """
    return IdentityKey(bytes([EC_TYPE]) + montgomery_from_edwards(root.raw))


def verify_root(root: RootPublicKey, signature: bytes, label: Label, *parts: bytes) -> None:
    """Raises `SignatureError`."""
    verify_ed25519(root.raw, labelled(label, *parts), signature)


def verify_recovery(
    root: RootPublicKey, signature: bytes, home_key: HomeKey, client_nonce: bytes, home_nonce: bytes
) -> None:
    """Raises `SignatureError`."""
    verify_root(root, signature, Label.RECOVER, home_key.raw, client_nonce, home_nonce)


class RootKey:
    """Ed25519 from a 32-byte seed. Lives on the primary device and on paper; signs device lists and certificates."""

    __slots__ = ("_private", "public", "seed")

    def __init__(self, seed: SecretBytes) -> None:
        if len(seed) != 32:
            raise InvalidInputError("A root key is made from 32 bytes.")
        self.seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed.expose())
        self.public = RootPublicKey(self._private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> Self:
        return cls(SecretBytes(os.urandom(32)))

    @property
    def account_id(self) -> AccountId:
        return account_id(self.public)

    def sign(self, label: Label, *parts: bytes) -> bytes:
        """Ed25519 over `labelled(label, *parts)`, 64 bytes."""
        return self._private.sign(labelled(label, *parts))

    def sign_recovery(self, home_key: HomeKey, client_nonce: bytes, home_nonce: bytes) -> bytes:
        """To this home, in this hello: whoever is here has the root key, and may name the account's devices anew."""
        return self.sign(Label.RECOVER, home_key.raw, client_nonce, home_nonce)

    def sign_certificate(self, inner: bytes) -> bytes:
        """XEdDSA over the inner bytes of a server certificate, which begin with 08, as no label does."""
        if not inner.startswith(b"\x08"):
            raise InvalidInputError("Only a server certificate is signed without a label.")
        signature = bytearray(self._private.sign(inner))
        signature[63] |= self.public.raw[31] & 0x80
        return bytes(signature)

    def __repr__(self) -> str:
        return f"RootKey({self.account_id.short()}…)"
