"""From a body to sealed envelopes in the outbox, one for each device (docs/protocol/delivery.md, "Sending").

Everything here happens in the caller's transaction: the ratchet step, the envelope that it made and the row that will
send it are committed together, so that no ciphertext leaves before the ratchet behind it is on disk.
"""

from collections.abc import Container
from dataclasses import dataclass, replace

from mepassa.identity import PresenceKeyPair
from mepassa.model.content import Body, ContactAccepted, Content, Hello, PresenceKey, ProfileKey, Receipt, Text
from mepassa.model.envelope import MAX_REQUEST_ENVELOPE_BYTES
from mepassa.model.errors import TooLargeError
from mepassa.model.ids import Address, EnvelopeId, MessageId, Timestamp
from mepassa.model.status import ChatState
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Contact, OutboxKind, OutboxRow, OwnAccount, Renewal, Tx
from mepassa.protocol.account import DAY_MS, local_identity, sender_certificate
from mepassa.protocol.devices import ourselves, recipients, remote_device
from mepassa.protocol.restarts import introduction
from mepassa.protocol.sealing import seal_content
from mepassa.protocol.sent import drop
from mepassa.protocol.session import NoSessionError, StaleSessionError
from mepassa.protocol.session_rows import keep_session, load_session
from mepassa.wire.content import decode_content, encode_content

EXPIRY_MS = 14 * DAY_MS
"""What a home keeps an envelope, and when a message without a receipt has failed."""
RENEWED_EVERY_MS = 13 * DAY_MS
"""Keys and answers are deposited anew this often until their receipt, so that one copy is always waiting."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What one content says besides its body."""

    body: Body
    message_id: MessageId
    sender_seq: int = 0
    resend_of: EnvelopeId | None = None


def make_content(tx: Tx, contact: Contact, draft: Draft, now_ms: Timestamp) -> Content:
    """`sent_at_ms` is now; until the contact has answered, who we are is enclosed."""
    own = tx.own()
    return Content(
        message_id=draft.message_id,
        sender_seq=draft.sender_seq,
        sent_at_ms=now_ms,
        list_version=own.list_version,
        list_hash=own.device_list.hash,
        body=draft.body,
        introduction=introduction(own, contact) if contact.state is ChatState.REQUESTED else None,
        resend_of=draft.resend_of,
        chat=contact.account,
    )


def _kind_of(contact: Contact, body: Body) -> OutboxKind:
    if contact.state is ChatState.REQUESTED and contact.profile_key is None:
        return OutboxKind.REQUEST
    # A hello asks somebody for a contact as a text does; to a contact it only names our newest list.
    from_person = isinstance(body, Text) or (isinstance(body, Hello) and contact.state is ChatState.REQUESTED)
    return OutboxKind.TEXT if from_person else OutboxKind.CONTROL


def address(
    tx: Tx,
    contact: Contact,
    content: Content,
    now_ms: Timestamp,
    rng: Rng,
    *,
    stored_only: bool = False,
) -> None:
    """Put a content into the outbox for every listed device, sealed at once where a session allows."""
    for to in recipients(tx, contact):
        address_device(tx, contact, to.address.device, content, now_ms, rng, stored_only=stored_only)


def address_others(tx: Tx, content: Content, now_ms: Timestamp, rng: Rng) -> None:
    """The same content, byte for byte, to our own other devices: `content.chat` tells them where it belongs."""
    address(tx, ourselves(tx), content, now_ms, rng)


def address_device(
    tx: Tx,
    contact: Contact,
    device: int,
    content: Content,
    now_ms: Timestamp,
    rng: Rng,
    *,
    stored_only: bool = False,
) -> None:
    """The same for one device alone."""
    row = replace(outbox_row(contact, device, content, now_ms), stored_only=stored_only)
    tx.append_outbox(sealed(tx, contact, row, now_ms, rng))


def outbox_row(contact: Contact, device: int, content: Content, now_ms: Timestamp) -> OutboxRow:
    """What brings a content to one device, due now and not sealed yet."""
    return OutboxRow(
        id=0,
        to=Address(contact.account, device),
        kind=_kind_of(contact, content.body),
        content=encode_content(content),
        envelope=None,
        message_id=None if isinstance(content.body, Receipt) else content.message_id,
        created_ms=now_ms,
        expires_ms=Timestamp(now_ms + EXPIRY_MS),
        next_try_ms=now_ms,
    )


def address_renewed(tx: Tx, contact: Contact, body: Body, now_ms: Timestamp, rng: Rng) -> None:
    """A control content without an end: sent now, and anew every 13 days until each device's receipt.

    An older one of the same kind is replaced: only the newest key counts.
    """
    for renewal in tx.renewals(contact.account):
        if type(decode_content(renewal.content).body) is type(body):
            tx.delete_renewal(contact.account, renewal.message_id)
            drop_rows(tx, contact, renewal.message_id)
    content = make_content(tx, contact, Draft(body, MessageId(rng.token(16))), now_ms)
    tx.put_renewal(
        Renewal(contact.account, content.message_id, encode_content(content), Timestamp(now_ms + RENEWED_EVERY_MS))
    )
    address(tx, contact, content, now_ms, rng)


def renew(tx: Tx, contact: Contact, renewal: Renewal, now_ms: Timestamp, rng: Rng) -> None:
    """Made and sent anew, same message id, for the devices that have not confirmed it."""
    drop_rows(tx, contact, renewal.message_id)
    body = _of_today(tx.own(), decode_content(renewal.content).body)
    content = make_content(tx, contact, Draft(body, renewal.message_id), now_ms)
    for to in recipients(tx, contact):
        if to.address.device not in renewal.confirmed:
            address_device(tx, contact, to.address.device, content, now_ms, rng)
    tx.put_renewal(replace(renewal, next_ms=Timestamp(now_ms + RENEWED_EVERY_MS)))


def _of_today(own: OwnAccount, body: Body) -> Body:
    """Keys may have been replaced since the renewal was made, here or by another own device: the present ones are told."""
    profile_key, presence_key = own.profile_key.expose(), PresenceKeyPair(own.presence_seed).public
    match body:
        case ContactAccepted(presence_key=told):
            return ContactAccepted(profile_key, presence_key if told is not None else None)
        case ProfileKey():
            return ProfileKey(profile_key)
        case PresenceKey():
            return PresenceKey(presence_key)
        case _:
            return body


def confirm_renewals(tx: Tx, contact: Contact, device: int, arrived: Container[MessageId]) -> None:
    """That device has these; a renewal ends with the last listed device's receipt."""
    listed = {to.address.device for to in recipients(tx, contact)}
    for renewal in tx.renewals(contact.account):
        if renewal.message_id not in arrived:
            continue
        confirmed = {*renewal.confirmed, device}
        if listed <= confirmed:
            tx.delete_renewal(contact.account, renewal.message_id)
        else:
            tx.put_renewal(replace(renewal, confirmed=tuple(sorted(confirmed))))


def drop_rows(tx: Tx, contact: Contact, message_id: MessageId) -> None:
    for row in tx.outbox(contact.account):
        if row.message_id == message_id:
            drop(tx, row)


def sealed(tx: Tx, contact: Contact, row: OutboxRow, now_ms: Timestamp, rng: Rng) -> OutboxRow:
    """Step the ratchet and seal what is not sealed yet; unchanged when there is no session to that device, or only one
    that may not send.

    The caller puts the row into the outbox, in this transaction.
    """
    remote = remote_device(contact, row.to.device)
    if remote is None:
        return row
    own = tx.own()
    try:
        stepped, envelope, ratchet_key = seal_content(
            load_session(tx, row.to),
            local_identity(own),
            remote,
            sender_certificate(tx, own, now_ms),
            row.content,
            now_ms=now_ms,
            rng=rng,
        )
    except (NoSessionError, StaleSessionError):
        return row
    if row.kind is OutboxKind.REQUEST and len(envelope.raw) > MAX_REQUEST_ENVELOPE_BYTES:
        raise TooLargeError(len(envelope.raw), MAX_REQUEST_ENVELOPE_BYTES)
    keep_session(tx, row.to, stepped)
    return replace(row, envelope=envelope, ratchet_key=ratchet_key, sealed_ms=now_ms)


def seal_due(tx: Tx, contact: Contact, now_ms: Timestamp, rng: Rng) -> tuple[OutboxRow, ...]:
    """Seal what is due and can be. Returns the contact's outbox as it then is; what is due and unsealed lacks a session."""
    rows = []
    for row in tx.outbox(contact.account):
        if row.envelope is None and row.next_try_ms <= now_ms:
            if remote_device(contact, row.to.device) is None:
                tx.delete_outbox(row.id)  # that device is not the contact's any more
                continue
            after = sealed(tx, contact, row, now_ms, rng)
            if after.envelope is not None:
                tx.update_outbox(after)
            rows.append(after)
        else:
            rows.append(row)
    return tuple(rows)
