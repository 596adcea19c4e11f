"""Sending, and what becomes of it: compose, send again, outcomes, expiry, renewal (docs/protocol/delivery.md)."""

from dataclasses import dataclass, replace

from mepassa.model.content import MAX_REQUEST_TEXT_BYTES, MAX_TEXT_BYTES, Text
from mepassa.model.errors import (
    ConflictError,
    DecryptionError,
    InvalidInputError,
    NotFoundError,
    SignatureError,
    TextTooLongError,
    UnlistedDeviceError,
)
from mepassa.model.ids import AccountId, Address, EnvelopeId, MessageId, Timestamp
from mepassa.model.route import Route
from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.mailbox import FetchedAccount
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Contact, EventKind, MessageKind, MessageRow, OutboxKind, OutboxRow, Tx
from mepassa.protocol.account import local_identity
from mepassa.protocol.contacts import require
from mepassa.protocol.devices import counterpart, learn_list, remote_device
from mepassa.protocol.outbound import (
    EXPIRY_MS,
    Draft,
    address,
    address_others,
    drop_rows,
    make_content,
    renew,
    seal_due,
)
from mepassa.protocol.receipts import adopted_route, release_due
from mepassa.protocol.removal import check_not_removed, is_removed
from mepassa.protocol.sent import drop
from mepassa.protocol.session import initiate
from mepassa.protocol.session_rows import keep_session, load_session
from mepassa.protocol.status import StatusEvent, move

CLIENT_ID_BYTES = 16
BACKOFF_BASE_S, BACKOFF_CAP_S = 1.0, 300.0
"""Full-jitter back-off of one row: at first within a second, then within five minutes…"""
REQUEST_BACKOFF_CAP_S = 3600.0
"""…and for a request within an hour: without a token each try is work, some seconds of it where the home asks for much."""


def compose_text(
    tx: Tx, chat: AccountId, text: str, *, client_id: bytes, reply_to: MessageId | None, now_ms: Timestamp, rng: Rng
) -> MessageRow:
    """The message row, the ratchet step for each device and the sealed envelopes, together.

    The same `client_id` again gives the same message. Raises `TextTooLongError`, `NotFoundError`, `ConflictError`
    (blocked, or a request that waits for an answer), `InvalidInputError`.
    """
    if len(client_id) != CLIENT_ID_BYTES:
        raise InvalidInputError("client_id is 16 bytes.", field="client_id")
    check_not_removed(tx)
    contact = require(tx, chat)
    sent = tx.message_by_client_id(client_id)
    if sent is not None:
        if sent.chat != chat or sent.text != text:
            raise ConflictError("This client_id belongs to another message.", field="client_id")
        return sent
    _check_text(contact, text)
    if reply_to is not None:
        quoted = tx.message(reply_to)
        if quoted is None or quoted.chat != chat:
            raise NotFoundError("The message to reply to is not in this chat.", field="reply_to")
    seq = contact.last_sender_seq + 1
    tx.put_sender_seq(chat, seq)
    row = MessageRow(
        id=MessageId(rng.token(16)),
        chat=chat,
        sender=tx.own().address.account,
        kind=MessageKind.TEXT,
        text=text,
        sent_at_ms=now_ms,
        sender_seq=seq,
        status=MessageStatus.QUEUED,
        reply_to=reply_to,
        client_id=client_id,
        expires_ms=Timestamp(now_ms + EXPIRY_MS),
    )
    tx.insert_message(row)
    tx.append_event(EventKind.MESSAGE, chat=chat, message_id=row.id)
    _send(tx, contact, row, now_ms, rng)
    return row


def send_again(tx: Tx, message_id: MessageId, now_ms: Timestamp, rng: Rng, *, stored_only: bool = False) -> MessageRow:
    """A failed message once more: new envelopes, the same message id. Raises `NotFoundError` or `ConflictError`."""
    check_not_removed(tx)
    row = _own_message(tx, message_id)
    contact = require(tx, row.chat)
    if row.status is not MessageStatus.FAILED:
        raise ConflictError("Only a message that has failed is sent again.")
    _check_text(contact, row.text)
    row = replace(row, status=move(row.status, StatusEvent.SENT_AGAIN), expires_ms=Timestamp(now_ms + EXPIRY_MS))
    tx.update_message(row)
    tx.append_event(EventKind.STATUS, chat=row.chat, message_id=row.id)
    _send(tx, contact, row, now_ms, rng, stored_only=stored_only)
    return row


def send_by_server(tx: Tx, message_id: MessageId, now_ms: Timestamp, rng: Rng) -> MessageRow:
    """The stored route for this message, whatever the chat's policy. A failed one is sent again that way.

    Raises `NotFoundError`; `ConflictError` when it is on its way or has arrived already.
    """
    check_not_removed(tx)
    row = _own_message(tx, message_id)
    if row.status is MessageStatus.FAILED:
        return send_again(tx, message_id, now_ms, rng, stored_only=True)
    waiting = [entry for entry in tx.outbox(row.chat) if entry.message_id == message_id]
    if row.status is not MessageStatus.QUEUED or not waiting:
        raise ConflictError("This message is on its way already.")
    for entry in waiting:
        tx.update_outbox(replace(entry, stored_only=True, next_try_ms=now_ms))
    return row


def record_taken(
    tx: Tx,
    row_id: int,
    envelope_id: EnvelopeId,
    to: Address,
    message_id: MessageId | None,
    event: StatusEvent,
    route: Route,
) -> None:
    """The envelope is with the recipient's device or its home: the row's work is done, the message rises.

    A row that was sealed anew meanwhile (its session has been reset) stays: that envelope has not been brought yet. And
    only a row that still stands lifts its message: a device that was removed while the envelope was on its way does not.
    """
    waiting = tx.outbox_row(row_id)
    stands = waiting is not None and waiting.envelope is not None and waiting.envelope.id == envelope_id
    if waiting is not None and stands:
        if event is StatusEvent.OPENED_ON_PATH:
            tx.delete_outbox(row_id)
        else:
            drop(tx, waiting)
    row = tx.message(message_id) if message_id is not None else None
    if row is None or row.chat != to.account or row.sender == to.account:
        return
    lifted = replace(row, status=move(row.status, event)) if stands else row
    if lifted.status is not row.status:
        lifted = replace(lifted, route=route)
    elif row.status in {MessageStatus.DELIVERED, MessageStatus.READ}:  # the receipt was faster than the acknowledgement
        lifted = replace(lifted, route=adopted_route(row.route, route))
    if lifted != row:
        tx.update_message(lifted)
        tx.append_event(EventKind.STATUS, chat=row.chat, message_id=row.id)


def record_refused(
    tx: Tx, row_id: int, error_name: str, retry_after_s: float | None, now_ms: Timestamp, rng: Rng
) -> Timestamp | None:
    """Another try later, full jitter. Returns when; None when the row is gone meanwhile."""
    row = tx.outbox_row(row_id)
    if row is None:
        return None
    cap_s = REQUEST_BACKOFF_CAP_S if row.kind is OutboxKind.REQUEST else BACKOFF_CAP_S
    wait_s = rng.uniform(0, min(cap_s, BACKOFF_BASE_S * 2 ** min(row.attempts, 16)))
    next_try_ms = Timestamp(now_ms + int(1000 * max(wait_s, retry_after_s or 0.0)))
    tx.update_outbox(replace(row, attempts=row.attempts + 1, next_try_ms=next_try_ms, last_error=error_name))
    return next_try_ms


def retry_all(tx: Tx, now_ms: Timestamp) -> tuple[AccountId, ...]:
    """What was put off is due at once (a network or a home came back). Returns whose rows there are."""
    for row in tx.outbox():
        if row.attempts and row.next_try_ms > now_ms:
            tx.update_outbox(replace(row, next_try_ms=now_ms))
    return tx.outbox_accounts()


@dataclass(frozen=True, slots=True)
class Ready:
    """An account's outbox after all that can be sealed is. `rows`: sealed, in order, per device whatever is due."""

    contact: Contact
    rows: tuple[OutboxRow, ...]
    lacking: tuple[int, ...]
    """Devices for which rows are due that need a prekey bundle first."""
    next_try_ms: Timestamp | None
    """When the next row or receipt is due that is not now."""

    @property
    def lacks_session(self) -> bool:
        return bool(self.lacking)


def prepare(tx: Tx, account: AccountId, now_ms: Timestamp, rng: Rng) -> Ready | None:
    """Seal what is due, receipts among it; None when nothing may be sent to this account, or by this device."""
    contact = counterpart(tx, account)
    if is_removed(tx) or contact is None or contact.state not in {ChatState.REQUESTED, ChatState.ACCEPTED}:
        return None
    receipts_ms = release_due(tx, contact, now_ms, rng)
    rows = seal_due(tx, contact, now_ms, rng)
    due = [row for row in rows if row.next_try_ms <= now_ms]
    later = [row.next_try_ms for row in rows if row.next_try_ms > now_ms]
    if receipts_ms is not None:
        later.append(receipts_ms)
    return Ready(
        contact,
        tuple(row for row in due if row.envelope is not None),
        tuple(sorted({row.to.device for row in due if row.envelope is None})),
        min(later, default=None),
    )


def copies_wait(tx: Tx) -> AccountId | None:
    """Our own account, when something waits for our other devices."""
    own = tx.own().address.account
    return own if tx.has_outbox(own) else None


def start_sessions(tx: Tx, account: AccountId, fetched: FetchedAccount, now_ms: Timestamp, rng: Rng) -> None:
    """A home has handed out list and prekeys: begin the sessions that are missing, then seal what waited for them.

    Raises `SignatureError`, `MalformedError`, `DeviceListForkError` (all: nothing is to be believed).
    """
    contact = counterpart(tx, account)
    if contact is None:
        return
    contact = learn_list(tx, contact, fetched.device_list)
    bundles = {bundle.device: bundle for bundle in fetched.bundles}
    own = local_identity(tx.own())
    rows = seal_due(tx, contact, now_ms, rng)
    waiting = {row.to for row in rows if row.envelope is None and row.next_try_ms <= now_ms}
    for peer in sorted(waiting):
        bundle, remote = bundles.get(peer.device), remote_device(contact, peer.device)
        if bundle is None or remote is None:
            continue
        try:
            record = load_session(tx, peer)
            keep_session(tx, peer, initiate(record, own, remote, bundle, now_ms=now_ms, rng=rng))
        except (SignatureError, UnlistedDeviceError, DecryptionError):  # the last: a key that is none
            continue  # a home that hands out false prekeys keeps this device waiting, no more
    seal_due(tx, contact, now_ms, rng)


def put_off_unsealed(
    tx: Tx, account: AccountId, error_name: str, retry_after_s: float | None, now_ms: Timestamp, rng: Rng
) -> None:
    """No session could be begun for what is due: the prekeys are asked for again later."""
    for row in tx.outbox(account):
        if row.envelope is None and row.next_try_ms <= now_ms:
            record_refused(tx, row.id, error_name, retry_after_s, now_ms, rng)


def expire_due(tx: Tx, now_ms: Timestamp) -> None:
    """Fourteen days without a receipt: failed. Envelopes that no home would hand over any more are dropped."""
    for row in tx.overdue(now_ms):
        contact = tx.contact(row.chat)
        if contact is not None:
            drop_rows(tx, contact, row.id)
        tx.update_message(replace(row, status=move(row.status, StatusEvent.EXPIRED)))
        tx.append_event(EventKind.STATUS, chat=row.chat, message_id=row.id)
    for entry in tx.outbox():
        if entry.expires_ms <= now_ms:
            drop(tx, entry)


def renew_due(tx: Tx, now_ms: Timestamp, rng: Rng) -> None:
    """Keys and answers that nobody has confirmed: made and deposited anew, with the same message id."""
    for renewal in tx.renewals():
        contact = tx.contact(renewal.account)
        if renewal.next_ms > now_ms or contact is None or contact.state is not ChatState.ACCEPTED:
            continue
        renew(tx, contact, renewal, now_ms, rng)


def _send(tx: Tx, contact: Contact, row: MessageRow, now_ms: Timestamp, rng: Rng, *, stored_only: bool = False) -> None:
    draft = Draft(Text(row.text, row.reply_to), row.id, row.sender_seq)
    content = make_content(tx, contact, draft, row.sent_at_ms)
    address(tx, contact, content, now_ms, rng, stored_only=stored_only)
    address_others(tx, content, now_ms, rng)


def _check_text(contact: Contact, text: str) -> None:
    if contact.state is ChatState.BLOCKED:
        raise ConflictError("This contact is blocked.")
    if contact.state is ChatState.REQUEST:
        raise ConflictError("Accept the request before you answer.")
    limit = MAX_TEXT_BYTES if contact.state is ChatState.ACCEPTED else MAX_REQUEST_TEXT_BYTES
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidInputError("The text is not proper Unicode.", field="text") from error
    if not 1 <= size <= limit:
        raise TextTooLongError(size, limit)


def _own_message(tx: Tx, message_id: MessageId) -> MessageRow:
    row = tx.message(message_id)
    if row is None or row.sender != tx.own().address.account:
        raise NotFoundError("There is no such message of yours.")
    return row
