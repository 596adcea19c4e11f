"""A contact that has recovered its account (docs/protocol/identity.md, "Recovery"): the same person by the same root key, on
devices that are all new and know nobody. We ask again with the newest text that had not arrived; the others follow the answer.

Whoever holds the root key makes such lists as often as they like, and without a token each deposit is work for us. So only
what the person has written since the last time makes us ask again by ourselves (docs/decisions/0160).
"""

from dataclasses import replace

from mepassa.model.card import Card
from mepassa.model.content import MAX_REQUEST_TEXT_BYTES, Content, Introduction, Text
from mepassa.model.device_list import DeviceList
from mepassa.model.ids import Address
from mepassa.model.status import ChatState
from mepassa.ports.stores import Contact, MessageKind, MessageRow, OutboxKind, OutboxRow, OwnAccount, Tx
from mepassa.protocol.device_changes import ALWAYS, drop_waiting
from mepassa.wire.content import encode_content

MAX_TAKEN_ALONG = 20
"""Texts that had not arrived and follow the answer."""

_ASKED = "asked-anew-"
"""A setting for each contact that has begun anew; its account id follows."""


def has_restarted(before: DeviceList, after: DeviceList) -> bool:
    """None of the devices that were known is left, so nobody there knows us any more."""
    known = {entry.identity_key for entry in before.devices}
    return not any(entry.identity_key in known for entry in after.devices)


def ask_anew(tx: Tx, contact: Contact, devices: DeviceList) -> Contact:
    """From a contact to a request again; `contact` has the new list already. Verified stays verified."""
    if contact.state not in {ChatState.ACCEPTED, ChatState.REQUESTED}:
        return contact
    contact = replace(contact, state=ChatState.REQUESTED, profile_key=None, presence_key=None, invite_token=None)
    tx.put_contact(contact)
    drop_waiting(tx, contact.account)
    asked, _ = _asked(tx, contact)
    written = [row for row in _missing(tx, contact, contact.last_sender_seq) if row.sender_seq > asked]
    if written:
        _put_asked(tx, contact, contact.last_sender_seq, owed=True)
    row = next((row for row in reversed(written) if _fits_a_request(row)), None)
    if row is not None:
        content = encode_content(_again(tx.own(), contact, row))
        for entry in devices.devices:
            tx.append_outbox(
                OutboxRow(
                    id=0,
                    to=Address(contact.account, entry.device),
                    kind=OutboxKind.REQUEST,
                    content=content,
                    envelope=None,
                    message_id=row.id,
                    created_ms=row.sent_at_ms,
                    expires_ms=row.expires_ms,
                    next_try_ms=row.sent_at_ms,
                )
            )
    return contact


def owed_texts(tx: Tx, contact: Contact) -> list[MessageRow]:
    """What had not arrived when they began anew, now that they have answered; once."""
    asked, owed = _asked(tx, contact)
    if not owed:
        return []
    _put_asked(tx, contact, asked, owed=False)
    under_way = {row.message_id for row in tx.outbox(contact.account)}
    return [row for row in _missing(tx, contact, asked) if row.id not in under_way][-MAX_TAKEN_ALONG:]


def introduction(own: OwnAccount, contact: Contact) -> Introduction:
    """Who we are, for somebody who has not answered yet."""
    return Introduction(
        card=Card(own.home.url, own.home.key, own.root_key, own.name),
        device_list=own.device_list,
        profile_key=own.profile_key.expose(),
        invite_token=contact.invite_token,
    )


def _missing(tx: Tx, contact: Contact, up_to: int) -> list[MessageRow]:
    """Texts of ours without a receipt, by the numbers that this chat has given, oldest first."""
    rows = (row for row in tx.overdue(ALWAYS) if row.chat == contact.account and row.kind is MessageKind.TEXT)
    return sorted((row for row in rows if row.sender_seq <= up_to), key=lambda row: row.sender_seq)


def _asked(tx: Tx, contact: Contact) -> tuple[int, bool]:
    """The last number that this chat had given when we asked anew, and whether what was missing then is still owed."""
    raw = tx.setting(_ASKED + contact.account.hex()) or bytes(9)
    return int.from_bytes(raw[:8], "big"), raw[8] == 1


def _put_asked(tx: Tx, contact: Contact, number: int, *, owed: bool) -> None:
    tx.put_setting(_ASKED + contact.account.hex(), number.to_bytes(8, "big") + bytes([owed]))


def _fits_a_request(row: MessageRow) -> bool:
    return len(row.text.encode()) <= MAX_REQUEST_TEXT_BYTES


def _again(own: OwnAccount, contact: Contact, row: MessageRow) -> Content:
    return Content(
        message_id=row.id,
        sender_seq=row.sender_seq,
        sent_at_ms=row.sent_at_ms,
        list_version=own.list_version,
        list_hash=own.device_list.hash,
        body=Text(row.text, row.reply_to),
        introduction=introduction(own, contact),
        chat=contact.account,
    )
