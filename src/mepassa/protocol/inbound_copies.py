"""What the account's other devices tell this one (docs/protocol/delivery.md, "Own devices").

Who they are is proven as for any sender: by our own root key and the list that it has signed.
"""

from dataclasses import replace
from typing import assert_never

from mepassa.identity import account_id, verify_device_list
from mepassa.model.content import (
    AccountCopy,
    ContactAccepted,
    ContactCopy,
    Content,
    Hello,
    PresenceKey,
    ProfileKey,
    Receipt,
    SenderKeyDistribution,
    Text,
    UnknownBody,
)
from mepassa.model.errors import DeviceListForkError
from mepassa.model.home_url import check_home_url
from mepassa.model.ids import AccountId, Address, Timestamp
from mepassa.model.secret import SecretBytes
from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Contact, EventKind, Tx
from mepassa.protocol.contacts import tell_keys
from mepassa.protocol.device_changes import drop_waiting
from mepassa.protocol.devices import alarm_fork, is_of_before, learn_list, ourselves
from mepassa.protocol.outbound import EXPIRY_MS
from mepassa.protocol.receipts import acknowledge_to_sender, read_elsewhere, release_held, take_receipt
from mepassa.protocol.sender_keys import take_distribution
from mepassa.protocol.shown import row_of
from mepassa.protocol.tokens import adopt_keys, keys_ms

NEWEST = 100
"""Rows at the end of a chat that are looked through for the highest number given."""
_STRENGTH = {ChatState.REQUEST: 0, ChatState.REQUESTED: 1, ChatState.ACCEPTED: 2, ChatState.BLOCKED: 3}
"""Of two decisions of one millisecond the stronger counts, on every device."""


def take_copy(tx: Tx, sender: Address, content: Content, now_ms: Timestamp, rng: Rng) -> bool:
    """What one of our own other devices says. Whether it was taken.

    Raises `MalformedError` or `SignatureError` for a list in it that is not the account's; the caller then drops it.
    """
    body, us = content.body, ourselves(tx)
    match body:
        case Receipt() if content.chat == us.account:
            take_receipt(tx, us, sender, body)
            return False  # receipts are not receipted
        case Receipt():
            if content.chat is not None:
                read_elsewhere(tx, content.chat, body)
        case ContactCopy():
            _contact(tx, us.account, body, now_ms, rng)
        case AccountCopy():
            _account(tx, us, body, now_ms, rng)
        case SenderKeyDistribution():
            take_distribution(tx, sender, body, now_ms)
        case Text() | UnknownBody():
            if content.chat is not None and content.sender_seq > 0:
                _show(tx, us.account, content.chat, content, now_ms)
        case ContactAccepted() | ProfileKey() | PresenceKey() | Hello():
            pass  # said to contacts, never to ourselves
        case _:
            assert_never(body)
    acknowledge_to_sender(tx, us, content.message_id, None, now_ms, rng, only=sender)
    return True


def _show(tx: Tx, own: AccountId, chat: AccountId, content: Content, now_ms: Timestamp) -> None:
    """A message that another device of ours has sent: ours here, too. How it travels only that device knows, until the
    recipient's receipt, which comes here as well."""
    if chat == own or tx.message(content.message_id) is not None:
        return
    row = row_of(content, chat=chat, sender=own, status=MessageStatus.SENT, now_ms=now_ms)
    tx.insert_message(replace(row, expires_ms=Timestamp(row.sent_at_ms + EXPIRY_MS)))
    contact = tx.contact(chat)
    if contact is not None and contact.last_sender_seq < content.sender_seq:
        tx.put_sender_seq(contact.account, content.sender_seq)
    tx.append_event(EventKind.MESSAGE, chat=chat, message_id=content.message_id)
    tx.append_event(EventKind.CHAT, chat=chat)


def _contact(tx: Tx, own: AccountId, copy: ContactCopy, now_ms: Timestamp, rng: Rng) -> None:
    """The newest decision counts; what is only known there is known here from now on."""
    account = account_id(copy.root_key)
    before = tx.contact(account)
    if account == own or (before is not None and before.root_key != copy.root_key):
        return
    check_home_url(copy.home_url)
    if copy.device_list is not None:
        verify_device_list(copy.root_key, copy.device_list)  # before anything is kept
    if before is None:
        home = HomeAddress(copy.home_url, copy.home_key)
        contact = Contact(account, copy.root_key, copy.name, copy.state, home, added_ms=now_ms)
        tx.put_contact(contact)
    else:
        contact = before
    if copy.device_list is not None:
        if is_of_before(contact, copy.device_list):
            return
        try:
            contact = learn_list(tx, contact, copy.device_list)
        except DeviceListForkError:
            alarm_fork(tx, contact)
    known = (contact.changed_ms, _STRENGTH[contact.state])
    if before is None or (copy.changed_ms, _STRENGTH[copy.state]) > known:
        contact = replace(
            contact,
            name=copy.name,
            state=copy.state,
            policy=copy.policy,
            changed_ms=copy.changed_ms,
            profile_key=SecretBytes(copy.profile_key) if copy.profile_key is not None else contact.profile_key,
            presence_key=copy.presence_key if copy.state is not ChatState.BLOCKED else None,
            invite_token=copy.invite_token,
        )
    # Texts may have come before their chat did.
    shown = (row.sender_seq for row in tx.messages(account, None, NEWEST) if row.sender == own)
    contact = replace(contact, last_sender_seq=max(contact.last_sender_seq, copy.last_sender_seq, *shown))
    tx.put_contact(contact)
    tx.append_event(EventKind.CHAT, chat=account)
    if contact.state is ChatState.BLOCKED:
        drop_waiting(tx, account)
    elif contact.state is ChatState.ACCEPTED and before is not None and before.state is ChatState.REQUEST:
        release_held(tx, contact, now_ms, rng)


def _account(tx: Tx, us: Contact, copy: AccountCopy, now_ms: Timestamp, rng: Rng) -> None:
    """The newest list of our own, and the newest keys: the device that made these has told them to everybody."""
    try:
        learn_list(tx, us, copy.device_list)
    except DeviceListForkError:
        alarm_fork(tx, us)
    own = tx.own()
    profile_key, presence_seed = SecretBytes(copy.profile_key), SecretBytes(copy.presence_seed)
    if (profile_key, presence_seed) == (own.profile_key, own.presence_seed):
        return
    tie = copy.keys_ms == keys_ms(tx) and copy.profile_key > own.profile_key.expose()
    if copy.keys_ms > keys_ms(tx) or tie:
        adopt_keys(tx, profile_key, presence_seed, copy.keys_ms)
    else:
        # Two devices made new keys before they heard of each other. Contacts may have heard of these last.
        tell_keys(tx, now_ms, rng)
