"""What a connection remembers is what is on disk, whatever has been done and whatever has failed (decision 0098)."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import AccountId, Address, MessageId, Timestamp
from mepassa.model.status import MessageStatus
from mepassa.ports.stores import MessageKind, MessageRow, OutboxKind, OutboxRow, OwedReceipt, Tx
from mepassa.storage import InlineDb

NOW = Timestamp(1_700_000_000_000)
ACCOUNTS = [AccountId(bytes([number]) * 16) for number in range(3)]
NAMES = [f"setting-{number}" for number in range(70)]
IDS = [MessageId(bytes([number]) * 16) for number in range(24)]
STEPS = 400

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
        found = tx.outbox_row(row_id)
        tx.update_outbox(replace(found or replace(some_row(dice), id=row_id), attempts=dice.randint(0, 9)))

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
        change_row,
        lambda tx: tx.owe_receipt(OwedReceipt(account, None, dice.choice(IDS), None, Timestamp(dice.randint(1, 99)))),
        lambda tx: tx.forget_owed(account if dice.random() < 0.8 else None),
        lambda tx: tx.put_session(peer, dice.randbytes(40)),
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
        [tx.outbox_row(number) for number in range(1, 80)],
        [tx.has_outbox(account) for account in ACCOUNTS],
        tx.outbox_accounts(),
        tx.waiting(),
        [tx.receipts_due(account) for account in ACCOUNTS],
        [tx.session(peer) for peer in peers],
        [tx.setting(name) for name in NAMES],
        [tx.message(message_id) for message_id in (*IDS, MessageId(b"n" * 16))],
    ]


@pytest.mark.parametrize("seed", range(6))
def test_memory_and_disk_say_the_same(db: InlineDb, seed: int) -> None:
    dice = Random(seed)
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
