"""Public keys as types. What they do is said in docs/protocol/identity.md; arithmetic lives in `identity`."""

from mepassa.model.ids import FixedBytes


class RootPublicKey(FixedBytes):
    """Ed25519, 32 bytes: *is* the account. Signs device lists and device certificates."""

    __slots__ = ()
    SIZE = 32


class IdentityKey(FixedBytes):
    """A device's Signal identity key: 0x05 + X25519 u-coordinate (32 B). Verifies XEdDSA signatures, agrees on keys."""

    __slots__ = ()
    SIZE = 33


class HomeKey(FixedBytes):
    """Ed25519, 32 bytes: a home server signs its hello and its well-known document with it."""

    __slots__ = ()
    SIZE = 32


class PresencePublicKey(FixedBytes):
    """Ed25519, 32 bytes, one per account, given to accepted contacts whose chat allows direct paths."""

    __slots__ = ()
    SIZE = 32
