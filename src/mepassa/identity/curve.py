"""Curve25519 in both its forms: checks on public keys, and the map between them (RFC 7748, XEdDSA §2)."""

from nacl import bindings

from mepassa.model.errors import MalformedError

FIELD_PRIME = 2**255 - 19
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
"""L, the order of the prime-order subgroup (RFC 8032 §5.1)."""

EC_TYPE = 0x05
"""Signal's type byte before an X25519 public key."""

LOW_ORDER_U = frozenset(
    {
        0,
        1,
        FIELD_PRIME - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)
"""The u-coordinates of points whose order divides 8, on the curve and its twist: a secret agreed with them is zero."""


def check_ec_public(raw: bytes) -> bytes:
    """`raw` itself when it is `05` + a canonical u-coordinate that is not of low order.

    Stricter than the official library, which takes non-canonical forms: with us one key has one encoding.
    Raises `MalformedError`.
    """
    if len(raw) != 33 or raw[0] != EC_TYPE:
        raise MalformedError("A public key is not 33 bytes of the expected type.")
    u = int.from_bytes(raw[1:], "little")
    if u >= FIELD_PRIME or u in LOW_ORDER_U:
        raise MalformedError("A public key is not a proper curve point.")
    return raw


def montgomery_from_edwards(ed25519_public: bytes) -> bytes:
    """The u-coordinate (32 B) of an Ed25519 public key: u = (1 + y) / (1 - y). Raises `MalformedError` for y = 1."""
    y = int.from_bytes(ed25519_public, "little") & (2**255 - 1)
    if y >= FIELD_PRIME or y == 1:
        raise MalformedError("An Ed25519 public key is not a proper curve point.")
    return ((1 + y) * pow(1 - y, -1, FIELD_PRIME) % FIELD_PRIME).to_bytes(32, "little")


def edwards_from_montgomery(u_bytes: bytes, sign_bit: int) -> bytes:
    """The Ed25519 public key with that u-coordinate: y = (u - 1) / (u + 1), `sign_bit` (0 or 0x80) of x on top."""
    u = int.from_bytes(u_bytes, "little")
    if u >= FIELD_PRIME - 1:  # u = -1 has no Edwards form
        raise MalformedError("A public key is not a proper curve point.")
    edwards = bytearray(((u - 1) * pow(u + 1, -1, FIELD_PRIME) % FIELD_PRIME).to_bytes(32, "little"))
    edwards[31] |= sign_bit
    return bytes(edwards)


def is_torsion_free(u_bytes: bytes) -> bool:
    """Whether the point is in the subgroup of prime order. Points of the twist are not: they have no Edwards form.

    By libsodium; not constant time, and need not be: the point is public. The sign of x does not matter here.
    """
    try:
        return bool(bindings.crypto_core_ed25519_is_valid_point(edwards_from_montgomery(u_bytes, 0)))
    except MalformedError:
        return False
