"""What this device owes its home in prekeys: made in time, told once, all anew after a roll-back.

Making, publishing and using a single prekey: `protocol.prekeys` (docs/protocol/session.md, "Prekeys").
"""

from mepassa.model.ids import Timestamp
from mepassa.model.prekeys import LAST_RESORT_ID_BASE, PrekeyUpload
from mepassa.ports.rng import Rng
from mepassa.ports.stores import PrekeyKind, PrekeyRow, Tx
from mepassa.protocol.account import PREKEYS_REPLACED, local_identity
from mepassa.protocol.prekeys import (
    ONE_TIME_COUNT,
    ROTATE_AFTER_MS,
    end_old_prekeys,
    generate,
    publish_kyber,
    publish_one_time,
    publish_signed,
)

KEPT_ONE_TIME = 4 * ONE_TIME_COUNT
"""One-time keys of a kind that are kept at most; the oldest were handed out long ago and never used."""

_FIRST_ID = {PrekeyKind.KYBER_LAST_RESORT: LAST_RESORT_ID_BASE}


def stock_up(tx: Tx, now_ms: Timestamp, rng: Rng) -> None:
    """What a device without prekeys (a new one, or one that was rolled back) needs before it can be written to."""
    rotate(tx, now_ms, rng)
    for kind in (PrekeyKind.ONE_TIME, PrekeyKind.KYBER_ONE_TIME):
        if not tx.prekey_count(kind):
            refill(tx, kind, now_ms, rng)


def rotate(tx: Tx, now_ms: Timestamp, rng: Rng) -> None:
    """New signed and last-resort keys after 7 days; old ones are kept 30 more, for messages still on their way."""
    end_old_prekeys(tx, now_ms)
    for kind in (PrekeyKind.SIGNED, PrekeyKind.KYBER_LAST_RESORT):
        rows = tx.prekeys(kind)
        # Made in the future: the clock was wrong then, and its day would perhaps never come.
        if not rows or not rows[-1].created_ms <= now_ms < rows[-1].created_ms + ROTATE_AFTER_MS:
            _make(tx, kind, 1, now_ms, rng)


def refill(tx: Tx, kind: PrekeyKind, now_ms: Timestamp, rng: Rng) -> None:
    """Another hundred one-time keys to upload, unless some wait for their upload already."""
    rows = tx.prekeys(kind)
    if all(row.uploaded for row in rows):
        _make(tx, kind, ONE_TIME_COUNT, now_ms, rng)
    for row in rows[: max(0, len(rows) - KEPT_ONE_TIME)]:
        tx.delete_prekey(kind, row.id)


def pending_upload(tx: Tx) -> PrekeyUpload | None:
    """What the home has not been told yet, at most a hundred of each; None when it knows all. After `stock_up`.

    With `replace` (the database was rolled back) the home drops what it had.
    """
    me, replaced = local_identity(tx.own()), tx.setting(PREKEYS_REPLACED) is not None
    signed, last_resort = tx.prekeys(PrekeyKind.SIGNED)[-1], tx.prekeys(PrekeyKind.KYBER_LAST_RESORT)[-1]
    one_time, kyber = _untold(tx, PrekeyKind.ONE_TIME), _untold(tx, PrekeyKind.KYBER_ONE_TIME)
    if signed.uploaded and last_resort.uploaded and not one_time and not kyber and not replaced:
        return None
    return PrekeyUpload(
        signed_prekey=publish_signed(me, signed),
        last_resort_prekey=publish_kyber(me, last_resort),
        one_time_prekeys=tuple(publish_one_time(row) for row in one_time),
        kyber_prekeys=tuple(publish_kyber(me, row) for row in kyber),
        replace=replaced,
    )


def uploaded(tx: Tx, upload: PrekeyUpload) -> None:
    """The home has them on disk."""
    if upload.replace:
        tx.put_setting(PREKEYS_REPLACED, None)
    tx.mark_prekeys_uploaded(PrekeyKind.SIGNED, upload.signed_prekey.id)
    tx.mark_prekeys_uploaded(PrekeyKind.KYBER_LAST_RESORT, upload.last_resort_prekey.id)
    for one_time in upload.one_time_prekeys:
        tx.mark_prekeys_uploaded(PrekeyKind.ONE_TIME, one_time.id)
    for kyber in upload.kyber_prekeys:
        tx.mark_prekeys_uploaded(PrekeyKind.KYBER_ONE_TIME, kyber.id)


def _untold(tx: Tx, kind: PrekeyKind) -> tuple[PrekeyRow, ...]:
    return tx.untold_prekeys(kind)[-ONE_TIME_COUNT:]


def _make(tx: Tx, kind: PrekeyKind, count: int, now_ms: Timestamp, rng: Rng) -> None:
    first = tx.next_prekey_id(kind, count, _FIRST_ID.get(kind, 1))
    for prekey_id in range(first, first + count):
        tx.put_prekey(generate(kind, prekey_id, now_ms=now_ms, rng=rng))
