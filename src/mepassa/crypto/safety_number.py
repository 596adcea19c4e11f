"""Safety numbers: what two people compare (Signal's numeric fingerprint, version 2), over the two *root* keys.

Iterated SHA-512 makes a forged match cost 2^112 times 5 200 hashes (docs/protocol/identity.md, "Safety number").
"""

import hashlib
from dataclasses import dataclass

from mepassa.crypto.errors import InvalidMessageError
from mepassa.crypto.primitives import equal
from mepassa.crypto.protobuf import Kind, Schema, encode_bytes, encode_uint
from mepassa.identity.root_key import trust_root
from mepassa.model.errors import DecryptionError
from mepassa.model.ids import AccountId
from mepassa.model.keys import RootPublicKey

ITERATIONS = 5_200
VERSION = 2

_COMBINED = Schema({1: Kind.UINT32, 2: Kind.BYTES, 3: Kind.BYTES})
_LOGICAL = Schema({1: Kind.BYTES}, required=(1,))


class SafetyNumberVersionError(DecryptionError):
    sentence = "The other device shows safety numbers of another version; update both."


@dataclass(frozen=True, slots=True)
class SafetyNumber:
    """`digits`: 60, the same on both sides. `scannable`: for a QR code, own side first."""

    digits: str
    scannable: bytes

    def matches(self, scanned: bytes) -> bool:
        """Whether `scanned`, the other side's `scannable`, is the mirror of ours.

        Raises `SafetyNumberVersionError`, or `InvalidMessageError` when it is none at all.
        """
        own, other = _COMBINED.decode(self.scannable), _COMBINED.decode(scanned)
        if (other.number_or_none(1) or 0) != VERSION:
            raise SafetyNumberVersionError
        if 2 not in other or 3 not in other:
            raise InvalidMessageError
        theirs_local, theirs_remote = (_LOGICAL.decode(other.value(field)).value(1) for field in (2, 3))
        ours_local, ours_remote = (_LOGICAL.decode(own.value(field)).value(1) for field in (2, 3))
        return equal(theirs_local, ours_remote) & equal(theirs_remote, ours_local)


def safety_number(own_root: RootPublicKey, own: AccountId, other_root: RootPublicKey, other: AccountId) -> SafetyNumber:
    """About 8 ms. Raises `MalformedError` when a root key is not a proper key."""
    return combine(fingerprint(trust_root(own_root).raw, own.raw), fingerprint(trust_root(other_root).raw, other.raw))


def fingerprint(key: bytes, identifier: bytes, iterations: int = ITERATIONS) -> bytes:
    """64 bytes: SHA-512 iterated over a prefixed key (33 B) and an identifier."""
    digest = hashlib.sha512(b"\x00\x00" + key + identifier + key).digest()
    for _ in range(iterations - 1):
        digest = hashlib.sha512(digest + key).digest()
    return digest


def combine(own: bytes, other: bytes) -> SafetyNumber:
    """From the two sides' `fingerprint`s."""
    digits = "".join(sorted((_digits(own), _digits(other))))
    scannable = (
        encode_uint(1, VERSION)
        + encode_bytes(2, encode_bytes(1, own[:32]))
        + encode_bytes(3, encode_bytes(1, other[:32]))
    )
    return SafetyNumber(digits, scannable)


def _digits(digest: bytes) -> str:
    return "".join(f"{int.from_bytes(digest[start : start + 5], 'big') % 100_000:05d}" for start in range(0, 30, 5))
