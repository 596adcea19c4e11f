"""Invites to register: codes that the host gives to people (docs/guides/hosting.md)."""

import base64
import hashlib

from mepassa.model.ids import Timestamp
from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.ports.rng import Rng
from mepassa.server.db import Tx

CODE_BYTES = 10
"""80 random bits, 16 letters: enough against guessing over a rate-limited door, short enough to read out."""


def _hash(code: str) -> bytes:
    cleaned = code.strip().upper().replace("-", "").replace(" ", "")
    return hashlib.sha256(b"mepassa registration invite 1\x00" + cleaned.encode()).digest()


def take_invite(tx: Tx, code: str | None) -> bool:
    """Spend one use of `code`; False when it is unknown or used up."""
    if code is None:
        return False
    return (
        tx.execute(
            "UPDATE registration_invite SET uses_left = uses_left - 1 WHERE sha256 = $1 AND uses_left > 0", _hash(code)
        )
        == 1
    )


class RegistrationInvites:
    def __init__(self, db: Db[Tx], clock: Clock, rng: Rng) -> None:
        self._db, self._clock, self._rng = db, clock, rng

    async def make(self, uses: int) -> str:
        """A new code like `ABCD-EFGH-IJKL-MNOP`; only its hash is kept, so it is shown once."""
        letters = base64.b32encode(self._rng.token(CODE_BYTES)).decode()
        code = "-".join(letters[start : start + 4] for start in range(0, len(letters), 4))
        now_ms = self._clock.now_ms()
        await self._db.run(lambda tx: _insert(tx, code, uses, now_ms))
        return code

    async def make_first(self, uses: int) -> str | None:
        """The invite of an empty home; None when there has been one, or an account, before."""
        row = await self._db.run(
            lambda tx: tx.row("SELECT (SELECT count(*) FROM registration_invite) + (SELECT count(*) FROM account)")
        )
        return None if row is None or row[0] else await self.make(uses)


def _insert(tx: Tx, code: str, uses: int, now_ms: Timestamp) -> None:
    tx.execute(
        "INSERT INTO registration_invite (sha256, uses_left, made_at_ms) VALUES ($1, $2, $3)", _hash(code), uses, now_ms
    )
