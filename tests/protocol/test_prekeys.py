"""docs/protocol/session.md, "Prekeys": made, published, spent and ended, in a real database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mepassa.identity import verify_xeddsa
from mepassa.model.errors import DecryptionError
from mepassa.model.prekeys import LAST_RESORT_ID_BASE, PrekeyBundle
from mepassa.model.secret import SecretBytes
from mepassa.ports.stores import PrekeyKind, PrekeyRow, PrekeyStore
from mepassa.protocol import session
from mepassa.protocol.prekeys import (
    KEEP_MS,
    ROTATE_AFTER_MS,
    StoredPrekeys,
    consume,
    end_old_prekeys,
    generate,
    kyber_kind,
    publish_kyber,
    publish_one_time,
    publish_signed,
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


def made(store: PrekeyStore, kind: PrekeyKind, prekey_id: int, now_ms: int = NOW_MS) -> PrekeyRow:
    row = generate(kind, prekey_id, now_ms=now_ms, rng=BRUNO.rng)
    store.put_prekey(row)
    return row


def test_signed_kinds_are_signed_over_the_prefixed_public_key() -> None:
    signed = publish_signed(BRUNO.own, generate(PrekeyKind.SIGNED, 1, now_ms=NOW_MS, rng=BRUNO.rng))
    kyber = publish_kyber(BRUNO.own, generate(PrekeyKind.KYBER_ONE_TIME, 1, now_ms=NOW_MS, rng=BRUNO.rng))
    assert (signed.public[0], len(signed.public)) == (0x05, 33)
    assert (kyber.public[0], len(kyber.public)) == (0x08, 1569)
    verify_xeddsa(BRUNO.own.key.public, signed.public, signed.signature)
    verify_xeddsa(BRUNO.own.key.public, kyber.public, kyber.signature)


def test_a_kyber_prekeys_kind_is_told_by_its_id() -> None:
    assert kyber_kind(LAST_RESORT_ID_BASE - 1) is PrekeyKind.KYBER_ONE_TIME
    assert kyber_kind(LAST_RESORT_ID_BASE) is PrekeyKind.KYBER_LAST_RESORT


async def test_a_replaced_prekey_ends_thirty_days_after_its_successor_came(db: InlineDb) -> None:
    def make_two(tx: PrekeyStore) -> None:
        for number, day in ((1, 0), (2, ROTATE_AFTER_MS)):
            made(tx, PrekeyKind.SIGNED, number, NOW_MS + day)
            tx.mark_prekeys_uploaded(PrekeyKind.SIGNED, number)

    await db.run(make_two)
    replaced_ms = NOW_MS + ROTATE_AFTER_MS
    assert await db.run(lambda tx: kept(tx, replaced_ms + KEEP_MS - 1)) == [1, 2]
    assert await db.run(lambda tx: kept(tx, replaced_ms + KEEP_MS)) == [2]
    assert await db.run(lambda tx: kept(tx, replaced_ms + 100 * KEEP_MS)) == [2]


async def test_a_prekey_that_the_home_still_hands_out_does_not_end(db: InlineDb) -> None:
    """A home that was away for months knows no successor: who writes meanwhile has only the old one."""

    def make_three(tx: PrekeyStore) -> None:
        for number in range(3):
            made(tx, PrekeyKind.SIGNED, 1 + number, NOW_MS + number * ROTATE_AFTER_MS)
        tx.mark_prekeys_uploaded(PrekeyKind.SIGNED, 1)

    await db.run(make_three)
    assert await db.run(lambda tx: kept(tx, NOW_MS + 100 * KEEP_MS)) == [1, 2, 3]
    await db.run(lambda tx: tx.mark_prekeys_uploaded(PrekeyKind.SIGNED, 3))
    assert await db.run(lambda tx: kept(tx, NOW_MS + 100 * KEEP_MS)) == [3]


def kept(tx: PrekeyStore, now_ms: int) -> list[int]:
    end_old_prekeys(tx, now_ms)
    return [row.id for row in tx.prekeys(PrekeyKind.SIGNED)]


async def test_what_is_remembered_of_a_last_resort_prekey_ends_with_it(db: InlineDb) -> None:
    kind, base_key = PrekeyKind.KYBER_LAST_RESORT, b"\x05" * 33

    def use_both(tx: PrekeyStore) -> None:
        for number, day in ((LAST_RESORT_ID_BASE, 0), (LAST_RESORT_ID_BASE + 1, ROTATE_AFTER_MS)):
            made(tx, kind, number, NOW_MS + day)
            tx.mark_prekeys_uploaded(kind, number)
            tx.put_last_resort_use(number, 1, base_key)

    def remembered(tx: PrekeyStore, now_ms: int) -> list[bool]:
        end_old_prekeys(tx, now_ms)
        return [tx.last_resort_used(LAST_RESORT_ID_BASE + number, 1, base_key) for number in range(2)]

    await db.run(use_both)
    assert await db.run(lambda tx: remembered(tx, NOW_MS + ROTATE_AFTER_MS + KEEP_MS - 1)) == [True, True]
    assert await db.run(lambda tx: remembered(tx, NOW_MS + ROTATE_AFTER_MS + KEEP_MS)) == [False, True]


@pytest.mark.parametrize("last_resort", [False, True])
async def test_a_session_starts_from_stored_prekeys_and_spends_them(db: InlineDb, *, last_resort: bool) -> None:
    kyber_id = LAST_RESORT_ID_BASE if last_resort else 5

    def make_bundle(tx: PrekeyStore) -> PrekeyBundle:
        return PrekeyBundle(
            1,
            BRUNO.own.registration_id,
            BRUNO.own.key.public,
            publish_signed(BRUNO.own, made(tx, PrekeyKind.SIGNED, 1)),
            publish_kyber(BRUNO.own, made(tx, kyber_kind(kyber_id), kyber_id)),
            None if last_resort else publish_one_time(made(tx, PrekeyKind.ONE_TIME, 8)),
        )

    bundle = await db.run(make_bundle)
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
