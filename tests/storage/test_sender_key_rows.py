# mypy: disable-error-code="func-returns-value, misc"
"""`ports.stores.SenderKeyStore` over SQLCipher; and databases from before it had tables."""

from pathlib import Path

import pytest

from mepassa.model.ids import AccountId, Address, DistributionId, Timestamp
from mepassa.model.keys import IdentityKey
from mepassa.model.secret import SecretBytes
from mepassa.ports.stores import OwnSenderKey, SenderKeyHolder
from mepassa.storage import InlineDb, connection
from mepassa.storage.schema import MIGRATIONS

ONE, TWO = DistributionId(b"1" * 16), DistributionId(b"2" * 16)
BETO_1, BETO_2, CAIO_1 = (Address(AccountId(name * 16), device) for name, device in ((b"B", 1), (b"B", 2), (b"C", 1)))
KEY, OTHER_KEY = IdentityKey(b"\x05" * 33), IdentityKey(b"\x05" + bytes(32))


def test_own_keys_and_their_holders(db: InlineDb) -> None:
    first, later = OwnSenderKey(ONE, b"record", Timestamp(5)), OwnSenderKey(ONE, b"moved", Timestamp(5))
    other = OwnSenderKey(TWO, b"other", Timestamp(6))
    db.run_now(lambda tx: [tx.put_own_sender_key(key) for key in (first, later, other)])
    assert db.run_now(lambda tx: (tx.own_sender_key(ONE), tx.own_sender_key(TWO))) == (later, other)
    holders = [SenderKeyHolder(address, KEY) for address in (CAIO_1, BETO_2, BETO_1)]
    db.run_now(lambda tx: [tx.put_sender_key_holder(group, holder) for holder in holders for group in (ONE, TWO)])
    again = SenderKeyHolder(BETO_1, OTHER_KEY)
    db.run_now(lambda tx: tx.put_sender_key_holder(ONE, again))
    assert db.run_now(lambda tx: tx.sender_key_holders(ONE)) == (again, holders[1], holders[0])

    assert db.run_now(lambda tx: tx.distributions_held_by(BETO_2)) == (ONE, TWO)
    assert db.run_now(lambda tx: tx.distributions_held_by(Address(AccountId(b"D" * 16), 1))) == ()

    db.run_now(lambda tx: tx.delete_own_sender_keys(ONE))
    assert db.run_now(lambda tx: (tx.own_sender_key(ONE), tx.sender_key_holders(ONE))) == (None, ())
    assert db.run_now(lambda tx: len(tx.sender_key_holders(TWO))) == 3
    db.run_now(lambda tx: tx.delete_own_sender_keys())
    assert db.run_now(lambda tx: (tx.own_sender_key(TWO), tx.sender_key_holders(TWO))) == (None, ())


def test_the_keys_of_others_by_device_and_distribution_least_used_first(db: InlineDb) -> None:
    db.run_now(lambda tx: tx.put_sender_key(BETO_1, ONE, b"a", Timestamp(1)))
    db.run_now(lambda tx: tx.put_sender_key(BETO_1, TWO, b"b", Timestamp(2)))
    db.run_now(lambda tx: tx.put_sender_key(BETO_2, ONE, b"c", Timestamp(3)))
    assert db.run_now(lambda tx: tuple(tx.sender_keys(BETO_1))) == (ONE, TWO)
    db.run_now(lambda tx: tx.put_sender_key(BETO_1, ONE, b"moved", Timestamp(4)))
    assert db.run_now(lambda tx: tuple(tx.sender_keys(BETO_1))) == (TWO, ONE)
    kept = db.run_now(lambda tx: [tx.sender_key(peer, ONE) for peer in (BETO_1, BETO_2, CAIO_1)])
    assert kept == [b"moved", b"c", None]
    db.run_now(lambda tx: tx.delete_sender_key(BETO_1, ONE))
    assert db.run_now(lambda tx: tuple(tx.sender_keys(BETO_1))) == (TWO,)
    db.run_now(lambda tx: tx.delete_sender_key(BETO_1))
    assert db.run_now(lambda tx: (tuple(tx.sender_keys(BETO_1)), tuple(tx.sender_keys(BETO_2)))) == ((), (ONE,))


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_a_database_of_each_earlier_version_is_brought_forward(
    tmp_path: Path, key: SecretBytes, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    monkeypatch.setattr(connection, "MIGRATIONS", MIGRATIONS[:version])
    old = InlineDb(tmp_path / "m.db", key, create=True)
    old.run_now(lambda tx: tx.put_session(BETO_1, b"kept"))
    old.close()
    monkeypatch.undo()
    db = InlineDb(tmp_path / "m.db", key)
    db.run_now(lambda tx: tx.put_sender_key(BETO_1, ONE, b"a", Timestamp(1)))
    assert db.run_now(lambda tx: (tx.session(BETO_1), tx.sender_key(BETO_1, ONE))) == (b"kept", b"a")
    db.close()
    again = InlineDb(tmp_path / "m.db", key)
    assert again.run_now(lambda tx: tx.sender_key(BETO_1, ONE)) == b"a"
    again.close()
