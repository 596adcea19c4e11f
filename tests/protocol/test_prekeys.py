"""docs/protocol/session.md, "Prekeys": made, rotated, spent and ended, in a real database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mepassa.identity import verify_xeddsa
from mepassa.model.errors import DecryptionError
from mepassa.model.prekeys import LAST_RESORT_ID_BASE, PrekeyBundle, PrekeyUpload
from mepassa.model.secret import SecretBytes
from mepassa.ports.stores import PrekeyKind, PrekeyStore
from mepassa.protocol import session
from mepassa.protocol.prekeys import (
    KEEP_MS,
    ONE_TIME_COUNT,
    REFILL_BELOW,
    ROTATE_AFTER_MS,
    StoredPrekeys,
    consume,
    end_old_prekeys,
    prepare_upload,
)
from mepassa.protocol.session import MessageType, SessionRecord
from mepassa.storage import InlineDb
from tests.crypto.people import NOW_MS, Person

BRUNO = Person("bruno")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[InlineDb]:
    database = InlineDb(tmp_path / "messages.db", SecretBytes(b"\x11" * 32), create=True)
    yield database
    database.close()


def upload(store: PrekeyStore, left: int, now_ms: int = NOW_MS, *, replace: bool = False) -> PrekeyUpload:
    return prepare_upload(
        store, BRUNO.own, one_time_left=left, kyber_left=left, now_ms=now_ms, rng=BRUNO.rng, replace=replace
    )


async def test_a_first_upload_is_full_and_signed(db: InlineDb) -> None:
    given = await db.run(lambda tx: upload(tx, 0, replace=True))
    assert given.replace
    assert [prekey.id for prekey in given.one_time_prekeys] == list(range(1, ONE_TIME_COUNT + 1))
    assert [prekey.id for prekey in given.kyber_prekeys] == list(range(1, ONE_TIME_COUNT + 1))
    assert given.last_resort_prekey.id == LAST_RESORT_ID_BASE
    verify_xeddsa(BRUNO.own.key.public, given.signed_prekey.public, given.signed_prekey.signature)
    for prekey in (given.last_resort_prekey, *given.kyber_prekeys[:3]):
        verify_xeddsa(BRUNO.own.key.public, prekey.public, prekey.signature)


async def test_refills_come_below_25_and_never_reuse_an_id(db: InlineDb) -> None:
    first = await db.run(lambda tx: upload(tx, 0, replace=True))
    enough = await db.run(lambda tx: upload(tx, REFILL_BELOW))
    assert (len(enough.one_time_prekeys), len(enough.kyber_prekeys)) == (0, 0)
    assert (enough.signed_prekey, enough.last_resort_prekey) == (first.signed_prekey, first.last_resort_prekey)
    refill = await db.run(lambda tx: upload(tx, REFILL_BELOW - 1))
    assert len(refill.one_time_prekeys) == len(refill.kyber_prekeys) == ONE_TIME_COUNT - REFILL_BELOW + 1
    assert refill.one_time_prekeys[0].id == refill.kyber_prekeys[0].id == ONE_TIME_COUNT + 1


async def test_signed_and_last_resort_prekeys_rotate_after_a_week_and_end_30_days_later(db: InlineDb) -> None:
    first = await db.run(lambda tx: upload(tx, 0))
    before = await db.run(lambda tx: upload(tx, 100, NOW_MS + ROTATE_AFTER_MS - 1))
    assert before.signed_prekey.id == first.signed_prekey.id
    rotated_ms = NOW_MS + ROTATE_AFTER_MS
    second = await db.run(lambda tx: upload(tx, 100, rotated_ms))
    assert second.signed_prekey.id == first.signed_prekey.id + 1
    assert second.last_resort_prekey.id == first.last_resort_prekey.id + 1

    def kept(tx: PrekeyStore, now_ms: int) -> list[int]:
        end_old_prekeys(tx, now_ms)
        return [row.id for row in tx.prekeys(PrekeyKind.SIGNED)]

    assert await db.run(lambda tx: kept(tx, rotated_ms + KEEP_MS - 1)) == [1, 2]
    assert await db.run(lambda tx: kept(tx, rotated_ms + KEEP_MS)) == [2]
    assert await db.run(lambda tx: kept(tx, rotated_ms + 100 * KEEP_MS)) == [2]


@pytest.mark.parametrize("last_resort", [False, True])
async def test_a_session_starts_from_stored_prekeys_and_spends_them(db: InlineDb, *, last_resort: bool) -> None:
    given = await db.run(lambda tx: upload(tx, 0))
    bundle = PrekeyBundle(
        1,
        BRUNO.own.registration_id,
        BRUNO.own.key.public,
        given.signed_prekey,
        given.last_resort_prekey if last_resort else given.kyber_prekeys[4],
        None if last_resort else given.one_time_prekeys[7],
    )
    ana = Person("ana")
    ana.initiate(BRUNO.remote, bundle)
    first = ana.encrypt(BRUNO.remote, b"first")

    def open_first(tx: PrekeyStore) -> session.Decrypted:
        opened = session.decrypt(
            SessionRecord.EMPTY, BRUNO.own, ana.remote, first.type, first.body,
            prekeys=StoredPrekeys(tx), now_ms=NOW_MS, rng=BRUNO.rng,
        )  # fmt: skip
        consume(tx, opened.consumed)
        return opened

    assert first.type is MessageType.PREKEY
    assert (await db.run(open_first)).plaintext == b"first"
    with pytest.raises(DecryptionError):  # spent, or remembered
        await db.run(open_first)
