"""Receipts: end-to-end, by whichever route, naming the route that the message took (docs/protocol/delivery.md)."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from mepassa.model.content import Content, Receipt, ReceiptEntry, ReceiptKind
from mepassa.model.ids import AccountId, Address, MessageId, Timestamp
from mepassa.model.route import Route
from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Contact, EventKind, MessageKind, MessageRow, OwedReceipt, Tx
from mepassa.protocol.outbound import (
    Draft,
    address,
    address_device,
    address_others,
    confirm_renewals,
    make_content,
)
from mepassa.protocol.removal import is_removed
from mepassa.protocol.status import StatusEvent, move

BATCH = 50
"""Entries in one receipt, routes included, that certainly fit an envelope…"""
REQUEST_BATCH = 4
"""…and one in the request lane, which is small and says who we are besides."""
DELAY_S = (1.0, 5.0)
"""A delivery receipt leaves after a random while and takes others with it. The home that handed over a stored message
learns less from its time; and of what came by a live path, the acknowledgement has told the sender already."""


def acknowledge_to_sender(
    tx: Tx,
    contact: Contact,
    message_id: MessageId,
    route: Route | None,
    now_ms: Timestamp,
    rng: Rng,
    *,
    only: Address | None = None,
) -> None:
    """A delivery receipt is owed to each device of the sender, or to one alone. It waits a little, and takes others with it.
    A device that was removed owes none."""
    if is_removed(tx):
        return
    due_ms = _due(tx, contact, now_ms) or Timestamp(now_ms + int(1000 * rng.uniform(*DELAY_S)))
    tx.owe_receipt(OwedReceipt(contact.account, None if only is None else only.device, message_id, route, due_ms))


def release_due(tx: Tx, contact: Contact, now_ms: Timestamp, rng: Rng) -> Timestamp | None:
    """Once the first is due, all that are owed to this account go into the outbox. Returns when that will be, None when no
    receipt is owed any more."""
    due_ms = _due(tx, contact, now_ms)
    if due_ms is None or due_ms > now_ms:
        return due_ms
    most = BATCH if contact.profile_key is not None else REQUEST_BATCH
    owed: dict[int | None, dict[MessageId, ReceiptEntry]] = {}
    for receipt in tx.owed_receipts(contact.account):
        owed.setdefault(receipt.device, {})[receipt.message_id] = ReceiptEntry(receipt.message_id, receipt.route)
    for device, receipts in owed.items():
        for entries in _batches(receipts.values(), most):
            content = _content(tx, contact, ReceiptKind.DELIVERED, entries, now_ms, rng)
            if device is None:
                address(tx, contact, content, now_ms, rng)
            else:
                address_device(tx, contact, device, content, now_ms, rng)
    tx.forget_owed(contact.account)
    return None


def release_held(tx: Tx, contact: Contact, now_ms: Timestamp, rng: Rng) -> None:
    """They are a contact now, by our answer or by theirs: the delivery receipts that had to wait for it are made up for."""
    held = tx.held_receipts(contact.account)
    for entries in _batches(_entry(row) for row in held):
        address(tx, contact, _content(tx, contact, ReceiptKind.DELIVERED, entries, now_ms, rng), now_ms, rng)
    for row in held:
        tx.update_message(replace(row, receipt_held=False))


def mark_read(tx: Tx, contact: Contact, up_to: MessageId, now_ms: Timestamp, rng: Rng) -> None:
    """Everything up to there has been seen; accepted contacts are told, and our own other devices in any case. A device that
    was removed tells nobody."""
    rows = tx.incoming_up_to(contact.account, up_to)
    _become_read(tx, contact.account, rows)
    if is_removed(tx):
        return
    for entries in _batches(_entry(row) for row in rows if row.kind is not MessageKind.UNOPENED):
        content = _content(tx, contact, ReceiptKind.READ, entries, now_ms, rng)
        if contact.state is ChatState.ACCEPTED:
            address(tx, contact, content, now_ms, rng)
        address_others(tx, content, now_ms, rng)


def read_elsewhere(tx: Tx, chat: AccountId, receipt: Receipt) -> None:
    """Another device of ours has shown these to the person."""
    named = (tx.message(entry.message_id) for entry in receipt.entries)
    rows = [row for row in named if row is not None and row.chat == chat == row.sender]
    _become_read(tx, chat, [row for row in rows if row.status is MessageStatus.DELIVERED])


def _become_read(tx: Tx, chat: AccountId, rows: Collection[MessageRow]) -> None:
    for row in rows:
        tx.update_message(replace(row, status=MessageStatus.READ))
        tx.append_event(EventKind.STATUS, chat=chat, message_id=row.id)
    if rows:
        tx.append_event(EventKind.CHAT, chat=chat)


def _entry(row: MessageRow) -> ReceiptEntry:
    return ReceiptEntry(row.id, row.route)


def _due(tx: Tx, contact: Contact, now_ms: Timestamp) -> Timestamp | None:
    """When the first is due. None when none is owed; now where our clock was ahead when it came to be."""
    due_ms = tx.receipts_due(contact.account)
    return now_ms if due_ms is not None and due_ms > now_ms + int(1000 * DELAY_S[1]) else due_ms


def _batches(entries: Iterable[ReceiptEntry], most: int = BATCH) -> Iterator[tuple[ReceiptEntry, ...]]:
    found = tuple(entries)
    for start in range(0, len(found), most):
        yield found[start : start + most]


def take_receipt(tx: Tx, contact: Contact, sender: Address, receipt: Receipt) -> None:
    """Lift the messages that it names: the first of the recipient's devices counts. What waits for the other devices, or
    may be asked for by them, stays. The route that it names wins: it is how the recipient got the first copy."""
    event = StatusEvent.READ_RECEIVED if receipt.kind is ReceiptKind.READ else StatusEvent.RECEIPT_RECEIVED
    arrived = {entry.message_id for entry in receipt.entries}
    confirm_renewals(tx, contact, sender.device, arrived)
    for entry in receipt.entries:
        tx.forget_sent(sender, entry.message_id)
        row = tx.message(entry.message_id)
        if row is not None and row.chat == contact.account and row.sender != contact.account:
            _lift(tx, row, event, entry.route)
    for waiting in tx.outbox(contact.account):
        if waiting.to == sender and waiting.message_id in arrived:
            tx.delete_outbox(waiting.id)


def _lift(tx: Tx, row: MessageRow, event: StatusEvent, route: Route | None) -> None:
    lifted = replace(row, status=move(row.status, event))
    if lifted.status is not row.status:
        if row.status is not MessageStatus.DELIVERED:
            lifted = replace(lifted, route=adopted_route(route, row.route))
        tx.update_message(lifted)
        tx.append_event(EventKind.STATUS, chat=row.chat, message_id=row.id)


def _content(
    tx: Tx, contact: Contact, kind: ReceiptKind, entries: tuple[ReceiptEntry, ...], now_ms: Timestamp, rng: Rng
) -> Content:
    return make_content(tx, contact, Draft(Receipt(kind, entries), MessageId(rng.token(16))), now_ms)


def adopted_route(route: Route | None, ours: Route | None) -> Route | None:
    """The recipient says who carried the copy; how the path was found only the side that opened it may know."""
    if route is None or ours is None or route.found_by is not None:
        return route or ours
    same_path = (route.kind, route.transport) == (ours.kind, ours.transport)
    if not same_path:
        return route
    return Route(route.kind, route.transport, route.via, route.address_class, ours.found_by, route.rtt_ms)
