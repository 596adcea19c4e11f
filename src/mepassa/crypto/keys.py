"""Curve25519 key pairs of the protocol, and agreement that refuses improper keys (Signal specification X3DH §2.1)."""

from typing import Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from mepassa.crypto.errors import CorruptRecordError, InvalidKeyError
from mepassa.crypto.primitives import RandomBytes
from mepassa.identity.curve import EC_TYPE, check_ec_public, is_torsion_free, montgomery_from_edwards
from mepassa.identity.device_key import IdentityKeyPair, sign_xeddsa, signing_secret
from mepassa.model.errors import MalformedError

EC_PUBLIC_BYTES = 33
EC_PRIVATE_BYTES = 32


def check_public(raw: bytes) -> bytes:
    """`raw` when it is `05` + a canonical u-coordinate, not of low order. Raises `InvalidKeyError`."""
    try:
        return check_ec_public(raw)
    except MalformedError as error:
        raise InvalidKeyError from error


def check_base_key(raw: bytes) -> bytes:
    """As `check_public`, and free of torsion: the base key of a PreKey message names a session (docs/protocol/session.md)."""
    check_public(raw)
    if not is_torsion_free(raw[1:]):
        raise InvalidKeyError
    return raw


class EcKeyPair:
    """X25519, immutable: `private` 32 bytes, `public` 33 bytes. Ratchet keys, base keys, prekeys, ephemerals."""

    __slots__ = ("_key", "private", "public")

    def __init__(self, private: bytes, public: bytes | None = None) -> None:
        """`public` only from `saved`: computing it costs as much as an agreement."""
        if len(private) != EC_PRIVATE_BYTES:
            raise CorruptRecordError
        self.private = private
        self._key: X25519PrivateKey | None = None
        self.public = public or bytes((EC_TYPE,)) + self._loaded().public_key().public_bytes_raw()

    @classmethod
    def generate(cls, random: RandomBytes) -> Self:
        return cls(random(EC_PRIVATE_BYTES))

    @classmethod
    def saved(cls, private: bytes, public: bytes) -> Self:
        """From our own record, which holds both halves; the private one is loaded when it is first used."""
        if len(public) != EC_PUBLIC_BYTES:
            raise CorruptRecordError
        return cls(private, public)

    def agree(self, public: bytes) -> bytes:
        """The shared secret with a 33-byte public key, 32 bytes. Raises `InvalidKeyError`."""
        check_public(public)
        try:
            return self._loaded().exchange(X25519PublicKey.from_public_bytes(public[1:]))
        except ValueError as error:
            raise InvalidKeyError from error

    def _loaded(self) -> X25519PrivateKey:
        if self._key is None:
            self._key = X25519PrivateKey.from_private_bytes(self.private)
        return self._key

    def __repr__(self) -> str:
        return f"EcKeyPair({self.public[1:5].hex()}…)"


class SigningKeyPair:
    """Signs a sender key's messages (XEdDSA), immutable: `seed` 32 bytes of Ed25519, `public` 33 bytes."""

    __slots__ = ("_secret", "public", "seed")

    def __init__(self, seed: bytes, public: bytes | None = None) -> None:
        """`public` only from `saved`."""
        if len(seed) != EC_PRIVATE_BYTES:
            raise CorruptRecordError
        self.seed = seed
        self._secret = b"" if public is not None else signing_secret(seed)
        self.public = public or bytes((EC_TYPE,)) + montgomery_from_edwards(self._secret[32:])

    @classmethod
    def generate(cls, random: RandomBytes) -> Self:
        return cls(random(EC_PRIVATE_BYTES))

    @classmethod
    def saved(cls, seed: bytes, public: bytes) -> Self:
        """From our own record, which holds both halves; the seed is loaded when it first signs."""
        if len(public) != EC_PUBLIC_BYTES:
            raise CorruptRecordError
        return cls(seed, public)

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        self._secret = self._secret or signing_secret(self.seed)
        return sign_xeddsa(self._secret, message)

    def __repr__(self) -> str:
        return f"SigningKeyPair({self.public[1:5].hex()}…)"


def agree(identity: IdentityKeyPair, public: bytes) -> bytes:
    """The identity key's shared secret with a 33-byte public key. Raises `InvalidKeyError`."""
    try:
        return identity.agree(public)
    except MalformedError as error:
        raise InvalidKeyError from error
