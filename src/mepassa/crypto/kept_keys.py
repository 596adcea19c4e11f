"""Keys of messages that have not come yet, by number: what ratchets and sender keys keep of what they have passed over.

Packed into one value, so that a session which waits for thousands of messages is loaded, saved and moved on as fast as one
that waits for none. Numbers rise; they are public, the keys are not.
"""

import struct
from collections.abc import Iterable
from itertools import starmap

from mepassa.crypto.primitives import hmac_sha256, kdf_ck
from mepassa.crypto.records import Reader, Writer

KEY_BYTES = 32
_ENTRY = struct.Struct(f">I{KEY_BYTES}s")
_NUMBER = struct.Struct(">I")


class KeptKeys:
    """Immutable. `packed`: number (4 bytes, big-endian) and key, again and again."""

    __slots__ = ("packed",)

    def __init__(self, packed: bytes = b"") -> None:
        self.packed = packed

    def __len__(self) -> int:
        return len(self.packed) // _ENTRY.size

    def __repr__(self) -> str:
        return f"<{len(self)} keys>"

    def followed_by(self, entries: Iterable[tuple[int, bytes]]) -> "KeptKeys":
        """With more; their numbers go on rising."""
        return KeptKeys(self.packed + b"".join(starmap(_ENTRY.pack, entries)))

    def take(self, number: int) -> tuple["KeptKeys", bytes] | None:
        """(the others, its key), if it is here."""
        at = self._place(number) * _ENTRY.size
        if at == len(self.packed) or _NUMBER.unpack_from(self.packed, at)[0] != number:
            return None
        end = at + _ENTRY.size
        return KeptKeys(self.packed[:at] + self.packed[end:]), self.packed[end - KEY_BYTES : end]

    def newest(self, count: int) -> "KeptKeys":
        """The last `count` of them."""
        over = len(self.packed) - count * _ENTRY.size
        return KeptKeys(self.packed[over:]) if over > 0 else self

    def since(self, number: int) -> "KeptKeys":
        """Those of `number` and later."""
        place = self._place(number)
        return KeptKeys(self.packed[place * _ENTRY.size :]) if place else self

    def numbers(self) -> list[int]:
        return [number for number, _ in _ENTRY.iter_unpack(self.packed)]

    def _place(self, number: int) -> int:
        """How many have a lower number."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if _NUMBER.unpack_from(self.packed, middle * _ENTRY.size)[0] < number:
                low = middle + 1
            else:
                high = middle
        return low

    def write(self, out: Writer) -> None:
        out.uint(len(self))
        out.raw(self.packed)

    @classmethod
    def read(cls, saved: Reader, limit: int) -> "KeptKeys":
        """Raises `CorruptRecordError`, also for more than `limit`."""
        if saved.version == 1:
            return cls().followed_by(sorted(saved.keyed(KEY_BYTES, limit).items()))
        return cls(saved.raw(saved.uint(limit) * _ENTRY.size))


NO_KEYS = KeptKeys()


def pass_over(chain_key: bytes, numbers: range, kept: KeptKeys, limit: int) -> tuple[bytes, KeptKeys]:
    """(the chain key after those numbers, `kept` with their seeds, the newest `limit` of all).

    Seeds that would be dropped at once are not even derived: only the chain moves on.
    """
    skipped = []
    for passed in numbers:
        if passed + limit >= numbers.stop:
            chain_key, seed = kdf_ck(chain_key)
            skipped.append((passed, seed))
        else:
            chain_key = hmac_sha256(chain_key, b"\x02")
    return chain_key, kept.followed_by(skipped).newest(limit)
