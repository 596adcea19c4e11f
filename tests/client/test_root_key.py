"""docs/protocol/identity.md, "Root key at rest": apart from the database, and gone from one that held it."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from mepassa.client.root_key import keep_root_key, move_root_key_out
from mepassa.identity import RootKey
from mepassa.model.ids import Timestamp
from mepassa.model.secret import SecretBytes
from mepassa.ports.stores import Tx
from mepassa.protocol.account import create_account
from mepassa.storage import KeyPlace, SqlDb, load_key, make_key, open_database, root_key_file
from mepassa.testing import SeededRng
from tests.protocol.phones import HOME
from tests.storage.test_key_at_rest import MemoryKeyring

ROOT = RootKey(SecretBytes(b"\x5a" * 32))
NOW = Timestamp(1_800_000_000_000)
PAGE_BYTES, RESERVED_BYTES, SALT_BYTES, WAL_HEADER_BYTES, FRAME_HEADER_BYTES = 4096, 80, 16, 32, 24
"""SQLCipher 4: the page's IV and HMAC lie in its last 80 bytes, the file's salt in its first 16."""


def pages(folder: Path, key: SecretBytes) -> bytes:
    """Everything in the database file and its log, decrypted page by page: free space and old frames too."""
    database, log = (folder / "node.db").read_bytes(), folder / "node.db-wal"
    raw = [database[at : at + PAGE_BYTES] for at in range(0, len(database), PAGE_BYTES)]
    logged = log.read_bytes() if log.exists() else b""
    step = FRAME_HEADER_BYTES + PAGE_BYTES
    raw += [logged[at + FRAME_HEADER_BYTES : at + step] for at in range(WAL_HEADER_BYTES, len(logged), step)]
    return b"".join(_decrypt(page, key, first=number == 0) for number, page in enumerate(raw))


def _decrypt(page: bytes, key: SecretBytes, *, first: bool) -> bytes:
    sealed = page[SALT_BYTES if first else 0 : PAGE_BYTES - RESERVED_BYTES]
    iv = page[PAGE_BYTES - RESERVED_BYTES : PAGE_BYTES - RESERVED_BYTES + 16]
    decryptor = Cipher(AES(key.expose()), CBC(iv)).decryptor()
    return decryptor.update(sealed) + decryptor.finalize()


async def old_database(folder: Path, key: SecretBytes) -> SqlDb:
    """As the first version made it: the seed lies in the row of the account."""
    db = await open_database(folder / "node.db", key, create=True)

    def work(tx: Tx) -> None:
        create_account(tx, root=ROOT, home=HOME, name="ana", now_ms=NOW, rng=SeededRng(1))
        tx._do("UPDATE own SET root_seed = ?", ROOT.seed.expose())  # type: ignore[attr-defined]  # the port has no such door

    await db.run(work)
    return db


@pytest.mark.parametrize("place", KeyPlace)
async def test_an_older_database_gives_its_root_key_to_a_file_and_keeps_nothing_of_it(
    tmp_path: Path, place: KeyPlace
) -> None:
    keyring, passphrase = MemoryKeyring(), SecretBytes(b"correta cavalo")
    offered = {KeyPlace.PASSPHRASE: {"passphrase": passphrase}, KeyPlace.KEYRING: {"keyring": keyring}}
    key = make_key(tmp_path, SeededRng(2), **offered.get(place, {}))  # type: ignore[arg-type]  # each by its own name
    db = await old_database(tmp_path, key)
    before = await db.run(lambda tx: tx.own())
    assert ROOT.seed.expose() in pages(tmp_path, key), "the test can see it"
    for _ in range(2):  # the second time nothing is left to do
        await move_root_key_out(db, tmp_path, SeededRng(3), passphrase=passphrase, keyring=keyring)
    assert ROOT.seed.expose() not in pages(tmp_path, key)
    assert await db.run(lambda tx: (tx.kept_root_seed(), tx.own())) == (None, before)
    await db.close()
    assert ROOT.seed.expose() not in pages(tmp_path, key)
    file = root_key_file(tmp_path)
    assert file.place() is place
    assert file.load(passphrase=passphrase, keyring=keyring) == ROOT.seed
    assert load_key(tmp_path, passphrase=passphrase, keyring=keyring) == key


async def test_a_crash_between_the_two_steps_loses_nothing(tmp_path: Path) -> None:
    key = make_key(tmp_path, SeededRng(2))
    db = await old_database(tmp_path, key)
    keep_root_key(tmp_path, ROOT.seed, SeededRng(3), passphrase=None, keyring=None)  # and then the power went
    await move_root_key_out(db, tmp_path, SeededRng(4), passphrase=None, keyring=MemoryKeyring())
    assert root_key_file(tmp_path).load() == ROOT.seed
    assert await db.run(lambda tx: tx.kept_root_seed()) is None
    await db.close()


async def test_writing_the_account_anew_does_not_touch_what_an_older_version_kept(tmp_path: Path) -> None:
    key = make_key(tmp_path, SeededRng(2))
    db = await old_database(tmp_path, key)
    await db.run(lambda tx: tx.put_own(tx.own()))
    assert await db.run(lambda tx: tx.kept_root_seed()) == ROOT.seed
    await db.close()
