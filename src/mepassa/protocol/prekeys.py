"""Prekeys: made, published, found again, and ended (docs/protocol/session.md, "Prekeys").

Every function works inside the caller's transaction, on its `PrekeyStore`. When which are made: `own_prekeys`.
"""

from dataclasses import dataclass
from typing import Protocol

from mepassa.crypto.kem import KYBER_SEED_BYTES, KyberKeyPair
from mepassa.crypto.keys import EC_PRIVATE_BYTES, EcKeyPair
from mepassa.model.ids import Timestamp
from mepassa.model.prekeys import LAST_RESORT_ID_BASE, KyberPrekey, OneTimePrekey, SignedPrekey
from mepassa.model.secret import SecretBytes
from mepassa.model.state import State
from mepassa.ports.rng import Rng
from mepassa.ports.stores import PrekeyKind, PrekeyRow, PrekeyStore
from mepassa.protocol.parties import LocalIdentity

ONE_TIME_COUNT = 100
"""One-time prekeys of each kind that a home holds for a device."""
REFILL_BELOW = 25
"""One-time prekeys of a kind left at the home when new ones are uploaded."""
ROTATE_AFTER_MS = 7 * 86_400_000
"""Age at which the signed prekey and the last-resort Kyber prekey are replaced."""
KEEP_MS = 30 * 86_400_000
"""How long the private half of a replaced one stays: an envelope waits 14 days, and a sender may hold a bundle longer."""


# --- opening -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LastResortUse:
    """What is remembered of a session made with a last-resort Kyber prekey, for as long as that prekey is kept."""

    kyber_id: int
    signed_id: int
    base_key: bytes


class ConsumedPrekeys(State, frozen=True):
    """What opening a message has used up; `consume` it in the transaction that commits the message."""

    one_time_id: int | None = None
    kyber_id: int | None = None
    """A one-time one."""
    last_resort: LastResortUse | None = None


class PrekeyLookup(Protocol):
    """Where private prekeys are found while a message is being opened. `StoredPrekeys` is the one in a database."""

    def one_time(self, prekey_id: int) -> SecretBytes | None: ...

    def signed(self, prekey_id: int) -> SecretBytes | None: ...

    def kyber(self, prekey_id: int) -> SecretBytes | None: ...

    def last_resort_used(self, use: LastResortUse) -> bool: ...


@dataclass(frozen=True, slots=True)
class StoredPrekeys:
    """The `PrekeyLookup` over a device's own store."""

    store: PrekeyStore

    def one_time(self, prekey_id: int) -> SecretBytes | None:
        return self._secret(PrekeyKind.ONE_TIME, prekey_id)

    def signed(self, prekey_id: int) -> SecretBytes | None:
        return self._secret(PrekeyKind.SIGNED, prekey_id)

    def kyber(self, prekey_id: int) -> SecretBytes | None:
        return self._secret(kyber_kind(prekey_id), prekey_id)

    def last_resort_used(self, use: LastResortUse) -> bool:
        return self.store.last_resort_used(use.kyber_id, use.signed_id, use.base_key)

    def _secret(self, kind: PrekeyKind, prekey_id: int) -> SecretBytes | None:
        row = self.store.prekey(kind, prekey_id)
        return None if row is None else row.secret


def consume(store: PrekeyStore, consumed: ConsumedPrekeys) -> None:
    """Delete what was for one use, remember what was not."""
    if consumed.one_time_id is not None:
        store.delete_prekey(PrekeyKind.ONE_TIME, consumed.one_time_id)
    if consumed.kyber_id is not None:
        store.delete_prekey(PrekeyKind.KYBER_ONE_TIME, consumed.kyber_id)
    if (use := consumed.last_resort) is not None:
        store.put_last_resort_use(use.kyber_id, use.signed_id, use.base_key)


# --- making ------------------------------------------------------------------------------------------------------------


def kyber_kind(prekey_id: int) -> PrekeyKind:
    return PrekeyKind.KYBER_LAST_RESORT if prekey_id >= LAST_RESORT_ID_BASE else PrekeyKind.KYBER_ONE_TIME


def generate(kind: PrekeyKind, prekey_id: int, *, now_ms: int, rng: Rng) -> PrekeyRow:
    """`secret`: an X25519 scalar, 32 bytes, or for Kyber the ML-KEM-1024 seed, 64 bytes."""
    ec = kind in {PrekeyKind.ONE_TIME, PrekeyKind.SIGNED}
    secret = SecretBytes(rng.token(EC_PRIVATE_BYTES if ec else KYBER_SEED_BYTES))
    return PrekeyRow(kind, prekey_id, secret, Timestamp(now_ms))


def publish_one_time(row: PrekeyRow) -> OneTimePrekey:
    return OneTimePrekey(row.id, EcKeyPair(row.secret.expose()).public)


def publish_signed(own: LocalIdentity, row: PrekeyRow) -> SignedPrekey:
    public = EcKeyPair(row.secret.expose()).public
    return SignedPrekey(row.id, public, own.key.sign(public))


def publish_kyber(own: LocalIdentity, row: PrekeyRow) -> KyberPrekey:
    public = KyberKeyPair(row.secret.expose()).public
    return KyberPrekey(row.id, public, own.key.sign(public))


def end_old_prekeys(store: PrekeyStore, now_ms: int) -> None:
    """Delete signed and last-resort prekeys that were replaced more than 30 days ago, and what is remembered of their use.

    Replaced is one when the home has been told of a later one: until then it hands out the old one, however old.
    """
    for kind in (PrekeyKind.SIGNED, PrekeyKind.KYBER_LAST_RESORT):
        rows = store.prekeys(kind)
        for row in rows:
            successor = next((later for later in rows if later.id > row.id and later.uploaded), None)
            if successor is not None and now_ms - successor.created_ms >= KEEP_MS:
                store.delete_prekey(kind, row.id)
