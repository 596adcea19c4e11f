"""What a connection remembers is what is on disk, whatever has been done and whatever has failed (decision 0098)."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import AccountId, Address, MessageId, Timestamp
from mepassa.model.keys import RootPublicKey
from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.stores import Contact, MessageKind, MessageRow, OutboxKind, OutboxRow, OwedReceipt, Tx
from mepassa.storage import InlineDb
from tests.storage.test_rows import HOME, OWN

NOW = Timestamp(1_700_000_000_000)
ACCOUNTS = [AccountId(bytes([number]) * 16) for number in range(3)]
NAMES = [f"setting-{number}" for number in range(70)]
IDS = [MessageId(bytes([number]) * 16) for number in range(24)]
STEPS = 400
BETO = Contact(ACCOUNTS[0], RootPublicKey(bytes(32)), "Beto", ChatState.ACCEPTED, HOME)

Step = Callable[[Tx], object]


def some_row(dice: Random) -> OutboxRow:
    to = Address(dice.choice(ACCOUNTS), dice.randint(1, 2))
    envelope = SealedEnvelope(dice.randbytes(300)) if dice.random() < 0.7 else None
    return OutboxRow(0, to, OutboxKind.TEXT, b"content", envelope, dice.choice(IDS), NOW, NOW, NOW)


def some_message(dice: Random) -> MessageRow:
    chat = dice.choice(ACCOUNTS)
    return MessageRow(dice.choice(IDS), chat, chat, MessageKind.TEXT, "oi", NOW, 1, MessageStatus.DELIVERED)


def a_step(dice: Random) -> Step:
    """One change, of all kinds that touch something remembered."""
    account, row_id = dice.choice(ACCOUNTS), dice.randint(1, 60)
    peer = Address(account, dice.randint(1, 30))

    def change_row(tx: Tx) -> None:
        rows = tx.outbox(account)
        row = dice.choice(rows) if rows else replace(some_row(dice), id=999)  # which nobody has appended
        tx.update_outbox(replace(row, attempts=dice.randint(0, 9)))

    def delete_rows(tx: Tx) -> None:
        for row in tx.outbox(account)[: dice.randint(0, 9)]:
            tx.delete_outbox(row.id)

    def change_contact(tx: Tx) -> None:
        known = tx.contact(account)
        if known is None or dice.random() < 0.5:
            tx.put_contact(replace(known or BETO, account=account, name=f"name {dice.randint(1, 9)}"))
        else:
            tx.put_sender_seq(account, dice.randint(1, 99))

    def put_session_as_read(tx: Tx) -> None:
        record = dice.randbytes(40)
        tx.put_session(peer, record, record.hex())

    def put_message(tx: Tx) -> None:
        row = some_message(dice)
        if (known := tx.message(row.id)) is None:
            tx.insert_message(row)
        else:
            tx.update_message(replace(known, status=MessageStatus.READ))
        tx.update_message(replace(row, id=MessageId(b"n" * 16)))  # which nobody has inserted

    steps: tuple[Step, ...] = (
        lambda tx: tx.append_outbox(some_row(dice)),
        lambda tx: tx.delete_outbox(row_id),
        delete_rows,
        change_row,
        change_contact,
        lambda tx: tx.put_own(replace(OWN, name=f"name {dice.randint(1, 9)}")),
        lambda tx: tx.owe_receipt(OwedReceipt(account, None, dice.choice(IDS), None, Timestamp(dice.randint(1, 99)))),
        lambda tx: tx.forget_owed(account if dice.random() < 0.8 else None),
        lambda tx: tx.put_session(peer, dice.randbytes(40)),
        put_session_as_read,
        lambda tx: tx.read_session(peer, bytes.hex),
        lambda tx: tx.delete_session(peer),
        lambda tx: tx.put_setting(dice.choice(NAMES), dice.randbytes(4) if dice.random() < 0.7 else None),
        put_message,
        lambda tx: tx.delete_message(dice.choice(IDS)),
    )
    return dice.choice(steps)


def everything(tx: Tx) -> list[object]:
    """Through every door that may answer from memory."""
    peers = [Address(account, device) for account in ACCOUNTS for device in range(1, 31)]
    return [
        [tx.outbox(account) for account in ACCOUNTS],
        [tx.outbox_row(number) for number in range(1, 999)],
        tx.own(),
        [tx.contact(account) for account in ACCOUNTS],
        [tx.has_outbox(account) for account in ACCOUNTS],
        tx.outbox_accounts(),
        tx.waiting(),
        [tx.receipts_due(account) for account in ACCOUNTS],
        [tx.session(peer) for peer in peers],
        [tx.read_session(peer, bytes.hex) for peer in peers],
        [tx.setting(name) for name in NAMES],
        [tx.message(message_id) for message_id in (*IDS, MessageId(b"n" * 16))],
    ]


@pytest.mark.parametrize("seed", range(6))
def test_memory_and_disk_say_the_same(db: InlineDb, seed: int) -> None:
    dice = Random(seed)
    db.run_now(lambda tx: tx.put_own(OWN))
    for _ in range(STEPS):
        steps = [a_step(dice) for _ in range(dice.randint(1, 4))]
        fails = dice.random() < 0.2

        def work(tx: Tx, steps: list[Step] = steps, *, fails: bool = fails) -> None:
            for step in steps:
                step(tx)
            if fails:
                raise LookupError

        try:
            db.run_now(work)
        except LookupError:
            pass
        if dice.random() < 0.2:
            remembered = db.run_now(everything)
            db._connection._remembered.forget()
            assert db.run_now(everything) == remembered


def test_a_session_is_read_once_and_anew_after_a_failure(db: InlineDb) -> None:
    peer, reads = Address(ACCOUNTS[0], 1), list[bytes]()

    def read(record: bytes) -> str:
        reads.append(record)
        return record.hex()

    def fails(tx: Tx) -> None:
        tx.put_session(peer, b"two", "as two")
        assert tx.read_session(peer, read) == "as two"
        raise LookupError

    db.run_now(lambda tx: tx.put_session(peer, b"one"))
    assert db.run_now(lambda tx: (tx.read_session(peer, read), tx.read_session(peer, read))) == (b"one".hex(),) * 2
    assert reads == [b"one"]
    with pytest.raises(LookupError):
        db.run_now(fails)
    assert db.run_now(lambda tx: tx.read_session(peer, read)) == b"one".hex()
    assert reads == [b"one", b"one"]
    db.run_now(lambda tx: tx.delete_session(peer))
    assert db.run_now(lambda tx: tx.read_session(peer, read)) is None


def test_no_number_is_given_twice_though_its_row_was_rolled_back(db: InlineDb) -> None:
    given: list[int] = []

    def fails(tx: Tx) -> None:
        given.append(tx.append_outbox(some_row(Random(1))).id)
        raise LookupError

    with pytest.raises(LookupError):
        db.run_now(fails)
    given.append(db.run_now(lambda tx: tx.append_outbox(some_row(Random(1)))).id)
    db.run_now(lambda tx: tx.delete_outbox(given[-1]))
    given.append(db.run_now(lambda tx: tx.append_outbox(some_row(Random(1)))).id)
    assert given == sorted(set(given))
