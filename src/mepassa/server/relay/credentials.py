"""Ephemeral TURN credentials that need no database (draft-uberti-behave-turn-rest; coturn's `--use-auth-secret`).

username = "{unix seconds of expiry}:{holder}", password = base64(HMAC-SHA1(secret, username)). Whoever holds the secret
can make and check them; the relay learns no account from them. The holder's part is the same for all sets of one account
on one day (UTC), so that whoever asks for many sets gets no more allocations by it.
"""

import base64
import hmac
import re
from dataclasses import dataclass

from mepassa.model.ids import Timestamp
from mepassa.model.secret import SecretBytes
from mepassa.ports.rng import Rng
from mepassa.wire.stun import long_term_key

LIFETIME_S = 86_400
"""A day: a node asks for new ones at each log-in, and a stolen one is worth a day of relaying at most."""

HOLDER_BYTES = 12
DAY_MS = 86_400_000

USERNAME = re.compile(r"([0-9]{1,12}):([0-9A-Za-z_-]{1,64})")


@dataclass(frozen=True, slots=True)
class RelayCredentials:
    username: str
    password: SecretBytes
    """Base64 text, as clients put it into their TURN stack."""
    expires_at_ms: Timestamp


def password_for(secret: SecretBytes, username: str) -> SecretBytes:
    digest = hmac.digest(secret.expose(), username.encode(), "sha1")
    return SecretBytes(base64.b64encode(digest))


def make_credentials(
    secret: SecretBytes, *, now_ms: Timestamp, rng: Rng, holder: bytes | None = None, lifetime_s: int = LIFETIME_S
) -> RelayCredentials:
    """`holder`: who asks, as bytes that only the secret's owner can tell from the name; None: nobody in particular."""
    expires_at_s = now_ms // 1000 + lifetime_s
    if holder is None:
        name = rng.token(HOLDER_BYTES)
    else:
        day = (now_ms // DAY_MS).to_bytes(8, "big")
        name = hmac.digest(secret.expose(), b"mepassa relay holder 1" + day + holder, "sha256")[:HOLDER_BYTES]
    username = f"{expires_at_s}:{name.hex()}"
    return RelayCredentials(username, password_for(secret, username), Timestamp(expires_at_s * 1000))


def holder_of(username: str) -> str:
    """Whose quota an allocation under `username` counts against."""
    return username.partition(":")[2]


def key_of(secret: SecretBytes, username: str, realm: str, now_ms: Timestamp) -> bytes | None:
    """The HMAC key that a request under `username` must be signed with; None when expired or not of our form."""
    match = USERNAME.fullmatch(username)
    if match is None or int(match[1]) * 1000 <= now_ms:
        return None
    return long_term_key(username, realm, password_for(secret, username).expose().decode())
