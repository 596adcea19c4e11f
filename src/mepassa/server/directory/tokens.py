"""Tokens: what lets a sender in (docs/protocol/home.md, "Tokens"). The home keeps only their SHA-256."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from hmac import compare_digest

from mepassa.identity import hash_token
from mepassa.model.ids import Timestamp
from mepassa.wire.mailbox import TokenRight

_NO_TOKEN = bytes(32)
"""Compared against when there is nothing to compare, so that an unknown account takes as long as a wrong token."""


class Grant(Enum):
    """What one request may do, after its token (or its work) was looked at."""

    CONTACT = 1
    PREVIOUS = 2
    INVITE = 3
    SIGNAL = 4
    WORK = 5

    @property
    def may_fetch(self) -> bool:
        return self in (Grant.CONTACT, Grant.INVITE, Grant.WORK)


_GRANTS = {
    TokenRight.DELIVERY: Grant.CONTACT,
    TokenRight.PREVIOUS: Grant.PREVIOUS,
    TokenRight.INVITE: Grant.INVITE,
    TokenRight.SIGNAL: Grant.SIGNAL,
}


@dataclass(frozen=True, slots=True)
class TokenRow:
    sha256: bytes
    right: TokenRight
    expires_at_ms: Timestamp | None


def find_grant(tokens: Iterable[TokenRow], token: bytes, now_ms: Timestamp) -> Grant | None:
    """The right that `token` gives now. Every row is compared, each in constant time; at least one comparison is made."""
    grant: Grant | None = None
    digest = hash_token(token)
    compare_digest(_NO_TOKEN, digest)
    for row in tokens:
        if compare_digest(row.sha256, digest) and (row.expires_at_ms is None or row.expires_at_ms > now_ms):
            grant = _GRANTS[row.right]
    return grant
