"""A contact that has recovered its account (docs/protocol/identity.md, "Recovery"): the same person by the same root key, on
devices that are all new and know nobody. We ask again, and what had not arrived goes along.
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
"""Texts that had not arrived and go along: as many as a stranger may leave."""


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
    missing = [row for row in tx.overdue(ALWAYS) if row.chat == contact.account and _fits_a_request(row)]
    for row in sorted(missing, key=lambda row: row.sender_seq)[-MAX_TAKEN_ALONG:]:
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


def introduction(own: OwnAccount, contact: Contact) -> Introduction:
    """Who we are, for somebody who has not answered yet."""
    return Introduction(
        card=Card(own.home.url, own.home.key, own.root_key, own.name),
        device_list=own.device_list,
        profile_key=own.profile_key.expose(),
        invite_token=contact.invite_token,
    )


def _fits_a_request(row: MessageRow) -> bool:
    return row.kind is MessageKind.TEXT and len(row.text.encode()) <= MAX_REQUEST_TEXT_BYTES


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
