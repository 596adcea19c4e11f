"""The home key: a home server signs its hello and its well-known document with it."""

import os
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mepassa.identity.ed25519 import verify_ed25519
from mepassa.model.errors import InvalidInputError
from mepassa.model.keys import HomeKey
from mepassa.model.secret import SecretBytes


def verify_home(key: HomeKey, message: bytes, signature: bytes) -> None:
    """Raises `SignatureError`. `message` comes from `transcripts`."""
    verify_ed25519(key.raw, message, signature)


class HomeKeyPair:
    """Ed25519 from a 32-byte seed."""

    __slots__ = ("_private", "public", "seed")

    def __init__(self, seed: SecretBytes) -> None:
        if len(seed) != 32:
            raise InvalidInputError("A home key is made from 32 bytes.")
        self.seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed.expose())
        self.public = HomeKey(self._private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> Self:
        return cls(SecretBytes(os.urandom(32)))

    def sign(self, message: bytes) -> bytes:
        """64 bytes. `message` comes from `transcripts`, so it begins with a label."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"HomeKeyPair({self.public.short()}…)"
