"""Prekeys: taken from devices, handed out to initiators, each one-time key exactly once."""

from dataclasses import dataclass
from enum import IntEnum

from mepassa.model.errors import MalformedError
from mepassa.model.prekeys import (
    LAST_RESORT_ID_BASE,
    KyberPrekey,
    OneTimePrekey,
    PrekeyBundle,
    PrekeyUpload,
    SignedPrekey,
)
from mepassa.ports.db import Db
from mepassa.server.db import Tx
from mepassa.server.directory.accounts import AccountEntry, DeviceRow, drop_prekeys
from mepassa.server.limits import HomePolicy
from mepassa.wire.codec import Codec
from mepassa.wire.mailbox import Refusal

_ONE_TIME: Codec[OneTimePrekey] = Codec(OneTimePrekey, limit_bytes=256)
_SIGNED: Codec[SignedPrekey] = Codec(SignedPrekey, limit_bytes=256)
_KYBER: Codec[KyberPrekey] = Codec(KyberPrekey, limit_bytes=2048)


class _Kind(IntEnum):
    """As it stands in the database."""

    EC = 0
    KYBER = 1


@dataclass(frozen=True, slots=True)
class PrekeyCounts:
    """One-time keys left to hand out."""

    one_time: int
    kyber: int


@dataclass(frozen=True, slots=True)
class HandedOut:
    """The bundles, and how many one-time keys each mailbox has left."""

    bundles: tuple[PrekeyBundle, ...]
    left: tuple[tuple[int, PrekeyCounts], ...]


class Prekeys:
    def __init__(self, db: Db[Tx], policy: HomePolicy) -> None:
        self._db, self._policy = db, policy

    async def put(self, mailbox: int, upload: PrekeyUpload) -> Refusal | None:
        """Take an upload in one transaction. One-time ids at or below the highest ever taken are skipped: sent twice.

        Raises `MalformedError` where an id is on the wrong side of 2^24.
        """
        check_ids(upload)

        def work(tx: Tx) -> Refusal | None:
            if upload.replace:
                drop_prekeys(tx, mailbox)
            row = tx.row("SELECT one_time_high, kyber_high FROM device WHERE mailbox = $1", mailbox)
            if row is None:
                return Refusal.LOGIN
            ec = [(key.id, _ONE_TIME.encode(key)) for key in upload.one_time_prekeys]
            kyber = [(key.id, _KYBER.encode(key)) for key in upload.kyber_prekeys]
            ec_high = _add(tx, mailbox, _Kind.EC, ec, int(row[0]))
            kyber_high = _add(tx, mailbox, _Kind.KYBER, kyber, int(row[1]))
            tx.execute(
                "UPDATE device SET signed_prekey = $2, last_resort_prekey = $3, one_time_high = $4, kyber_high = $5"
                " WHERE mailbox = $1",
                mailbox,
                _SIGNED.encode(upload.signed_prekey),
                _KYBER.encode(upload.last_resort_prekey),
                ec_high,
                kyber_high,
            )
            counts = count_prekeys(tx, mailbox)
            if max(counts.one_time, counts.kyber) > self._policy.prekeys_kept:
                raise _TooManyError
            return None

        try:
            return await self._db.run(work)
        except _TooManyError:
            return Refusal.LIMIT

    async def hand_out(self, entry: AccountEntry, devices: tuple[int, ...], *, one_time: bool) -> HandedOut:
        """One bundle a device, of these or (none named) of all; with `one_time` each spends one key of each kind, gone for good once this returns.

        A device without a signed prekey (never uploaded, or dropped after a roll-back) has no bundle.
        """

        wanted = [row for row in entry.devices if not devices or row.device in devices]

        def work(tx: Tx) -> HandedOut:
            bundles = [bundle for row in wanted if (bundle := _bundle(tx, row, one_time)) is not None]
            left = tuple((row.mailbox, count_prekeys(tx, row.mailbox)) for row in wanted) if one_time else ()
            return HandedOut(tuple(bundles), left)

        return await self._db.run(work)

    async def count(self, mailbox: int) -> PrekeyCounts:
        return await self._db.run(lambda tx: count_prekeys(tx, mailbox))


class _TooManyError(Exception):
    """Rolls the transaction back."""


def check_ids(upload: PrekeyUpload) -> None:
    """A reader tells one-time from last-resort by the id alone. Raises `MalformedError`."""
    if upload.last_resort_prekey.id < LAST_RESORT_ID_BASE:
        raise MalformedError("A last-resort prekey id is below 2^24.")
    if any(key.id >= LAST_RESORT_ID_BASE for key in upload.kyber_prekeys):
        raise MalformedError("A one-time Kyber prekey id is not below 2^24.")


def _add(tx: Tx, mailbox: int, kind: _Kind, keys: list[tuple[int, bytes]], high: int) -> int:
    """Insert the keys above `high`; the new highest id."""
    new = [(mailbox, kind.value, id_, body) for id_, body in keys if id_ > high]
    tx.execute_many(
        "INSERT INTO one_time_prekey (mailbox, kind, id, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING", new
    )
    return max([high, *(id_ for id_, _ in keys)])


def count_prekeys(tx: Tx, mailbox: int) -> PrekeyCounts:
    rows = tx.rows("SELECT kind, count(*) FROM one_time_prekey WHERE mailbox = $1 GROUP BY kind", mailbox)
    counted: dict[int, int] = dict(rows)
    return PrekeyCounts(counted.get(_Kind.EC.value, 0), counted.get(_Kind.KYBER.value, 0))


def _take(tx: Tx, mailbox: int, kind: _Kind) -> bytes | None:
    row = tx.row(
        "DELETE FROM one_time_prekey WHERE mailbox = $1 AND kind = $2 AND id ="
        " (SELECT min(id) FROM one_time_prekey WHERE mailbox = $1 AND kind = $2) RETURNING body",
        mailbox,
        kind.value,
    )
    return None if row is None else bytes(row[0])


def _bundle(tx: Tx, device: DeviceRow, one_time: bool) -> PrekeyBundle | None:
    row = tx.row("SELECT signed_prekey, last_resort_prekey FROM device WHERE mailbox = $1", device.mailbox)
    if row is None or row[0] is None:
        return None
    ec = _take(tx, device.mailbox, _Kind.EC) if one_time else None
    kyber = _take(tx, device.mailbox, _Kind.KYBER) if one_time else None
    return PrekeyBundle(
        device=device.device,
        registration_id=device.registration_id,
        identity_key=device.identity_key,
        signed_prekey=_SIGNED.decode(row[0]),
        kyber_prekey=_KYBER.decode(kyber or row[1]),
        one_time_prekey=None if ec is None else _ONE_TIME.decode(ec),
    )
