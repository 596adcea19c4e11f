"""Nonces that the relay need not remember (RFC 8489 §9.2): a time, and an HMAC over it and the client's address."""

import hmac

from mepassa.server.relay.allocation import FiveTuple

KEY_BYTES = 32
TAG_HEX = 24


class Nonces:
    """`key` is drawn anew at each start, so that nonces of an earlier run are stale."""

    def __init__(self, key: bytes, lifetime_s: float) -> None:
        self._key, self._lifetime_s = key, lifetime_s

    def make(self, five_tuple: FiveTuple, now: float) -> bytes:
        return self._at(five_tuple, int(now))

    def is_fresh(self, nonce: bytes, five_tuple: FiveTuple, now: float) -> bool:
        stamp, dash, _tag = nonce.partition(b"-")
        if not dash or len(stamp) > 16 or not stamp.isdigit():
            return False
        made_at = int(stamp)
        genuine = hmac.compare_digest(self._at(five_tuple, made_at), nonce)
        return genuine and 0 <= now - made_at <= self._lifetime_s

    def _at(self, five_tuple: FiveTuple, made_at: int) -> bytes:
        # `now` is monotonic and may be near zero after a boot; only differences are used.
        said = f"{made_at}|{five_tuple.transport}|{five_tuple.client[0]}|{five_tuple.client[1]}".encode()
        return b"%d-%s" % (made_at, hmac.digest(self._key, said, "sha256").hex()[:TAG_HEX].encode())
