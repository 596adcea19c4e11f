"""What one envelope does to this device, in one transaction (docs/protocol/delivery.md, "Receiving").

seen before? -> open the seal -> who says it is from? -> pinned root, listed device -> decrypt on a copy -> what it says
-> session, message, seen id, receipt, used-up prekeys: committed together. Only then is it acknowledged.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from mepassa.model.content import (
    MAX_REQUEST_TEXT_BYTES,
    AccountCopy,
    ContactAccepted,
    ContactCopy,
    Content,
    Hello,
    Introduction,
    PresenceKey,
    ProfileKey,
    Receipt,
    SenderKeyDistribution,
    Text,
    UnknownBody,
)
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import DecryptionError, DeviceListForkError, MalformedError, SignatureError
from mepassa.model.ids import AccountId, Address, MessageId, Timestamp
from mepassa.model.route import Route
from mepassa.model.secret import SecretBytes
from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Contact, EventKind, Tx
from mepassa.protocol.account import local_identity
from mepassa.protocol.alarms import Alarm
from mepassa.protocol.contacts import answer_received, check_introduction, request_crossed, request_received
from mepassa.protocol.devices import (
    alarm_fork,
    alarm_unlisted,
    counterpart,
    is_disputed,
    learn_list,
    listed_devices,
    note_list_version,
    wants_list,
)
from mepassa.protocol.healing import answer_resend, could_not_open, healed, seen_again
from mepassa.protocol.inbound_copies import take_copy
from mepassa.protocol.prekeys import StoredPrekeys, consume
from mepassa.protocol.receipts import acknowledge_to_sender, take_receipt
from mepassa.protocol.sealing import (
    OPENING_DERIVATIONS,
    STRANGER_DERIVATIONS,
    ResendRequest,
    SenderVerdict,
    Unsealed,
    open_content,
    open_sealed,
    read_plaintext,
    validate_sender,
)
from mepassa.protocol.sender_keys import take_distribution
from mepassa.protocol.session import Decrypted, LocalIdentity, MessageType
from mepassa.protocol.session_rows import keep_session, load_session
from mepassa.protocol.shown import row_of
from mepassa.protocol.tokens import token_for
from mepassa.protocol.verification import withdraw
from mepassa.wire.content import decode_content

MAX_REQUEST_TEXTS = 20
"""Texts that one stranger may leave before the answer; later ones are not shown."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """How an envelope came: the route record, and the proven device of a link (None from a home)."""

    route: Route
    peer: Address | None = None


class Fate(StrEnum):
    """What became of an envelope. All but WAITS_FOR_LIST are acknowledged once this is committed."""

    OPENED = "opened"
    SEEN_BEFORE = "seen_before"
    COULD_NOT_OPEN = "could_not_open"
    DROPPED = "dropped"
    """Not for us, not from who it says, blocked, or over a limit. It leaves no trace but its id."""
    WAITS_FOR_LIST = "waits_for_list"
    """From a device that our list does not name: neither opened nor acknowledged until the list was asked for."""


ALIVE_MS = 10_000
"""How old an envelope's content may be to show that its sender is online: a receipt's delay and the way, and some more."""


@dataclass(frozen=True, slots=True)
class Received:
    fate: Fate
    account: AccountId | None = None
    list_wanted: bool = False
    """A newer device list of `account` should be fetched."""
    alive: Address | None = None
    """The device that wrote this only a moment ago: it is online now, however this came."""
    delivered: bool = False
    """What the sender wrote was taken from this copy; by a live path the acknowledgement says so, ahead of the receipt."""
    contacts_changed: bool = False
    """Keys, tokens, states or what is asked for may be others now: whoever tells homes and links should look."""


def receive(
    tx: Tx, envelope: SealedEnvelope, arrival: Arrival, now_ms: Timestamp, rng: Rng, *, list_is_fresh: bool = False
) -> Received:
    """Take one envelope; nothing but a failing database makes it raise.

    `list_is_fresh`: the sender's home was asked for the list since this envelope came.
    """
    if tx.seen(envelope.id):
        return Received(Fate.SEEN_BEFORE, seen_again(tx, envelope.id, now_ms, rng))
    own = local_identity(tx.own())
    try:
        unsealed = open_sealed(own, envelope)
    except DecryptionError:
        return _done(tx, envelope, now_ms, Received(Fate.DROPPED))
    sender = unsealed.sender
    if sender == own.address or (arrival.peer is not None and arrival.peer != sender):
        return _done(tx, envelope, now_ms, Received(Fate.DROPPED))
    contact = counterpart(tx, sender.account)
    if contact is None or contact.state is ChatState.REQUEST:
        outcome = _from_stranger(tx, own, contact, unsealed, arrival, now_ms, rng)
    elif contact.state is ChatState.BLOCKED:
        outcome = Received(Fate.DROPPED)
    else:
        outcome = _from_contact(tx, own, contact, unsealed, envelope, arrival, now_ms, rng, list_is_fresh=list_is_fresh)
    return outcome if outcome.fate is Fate.WAITS_FOR_LIST else _done(tx, envelope, now_ms, outcome)


def _done(tx: Tx, envelope: SealedEnvelope, now_ms: Timestamp, outcome: Received) -> Received:
    tx.put_seen(envelope.id, now_ms)
    return outcome


def _from_contact(
    tx: Tx,
    own: LocalIdentity,
    contact: Contact,
    unsealed: Unsealed,
    envelope: SealedEnvelope,
    arrival: Arrival,
    now_ms: Timestamp,
    rng: Rng,
    *,
    list_is_fresh: bool,
) -> Received:
    dropped = Received(Fate.DROPPED, contact.account)
    verdict = validate_sender(unsealed, contact.root_key, listed_devices(contact), now_ms)
    if verdict is SenderVerdict.UNLISTED_DEVICE:
        if not list_is_fresh:
            return Received(Fate.WAITS_FOR_LIST, contact.account, list_wanted=True)
        alarm_unlisted(tx, contact)
    if verdict is not SenderVerdict.VALID:
        return dropped
    if unsealed.type is MessageType.PLAINTEXT:
        return _plaintext(tx, contact, unsealed, now_ms, rng)
    if unsealed.type is MessageType.SENDER_KEY:
        return dropped  # sender keys are kept (`protocol.sender_keys`); the groups that would show it are still to come
    try:
        opened = _open(tx, own, unsealed, now_ms, rng)
    except DecryptionError:
        could_not_open(tx, contact, unsealed, envelope, now_ms, rng)
        return Received(Fate.COULD_NOT_OPEN, contact.account, contacts_changed=True)
    _keep_session(tx, unsealed.sender, opened)
    return _said(tx, own, contact, unsealed.sender, opened.plaintext, arrival, now_ms, rng)


def _said(
    tx: Tx,
    own: LocalIdentity,
    contact: Contact,
    sender: Address,
    plaintext: bytes,
    arrival: Arrival,
    now_ms: Timestamp,
    rng: Rng,
) -> Received:
    """What a listed device of a contact has written, once it is open."""
    dropped = Received(Fate.DROPPED, contact.account)
    try:
        content = decode_content(plaintext)
        contact = note_list_version(tx, contact, content, now_ms)
        if contact.account == own.address.account:
            taken = take_copy(tx, sender, content, now_ms, rng)
        elif content.chat not in {None, own.address.account}:
            return dropped  # it belongs to a chat that this version does not know
        else:
            if content.introduction is not None:
                contact = _introduced(tx, contact, content, now_ms, rng)
            taken = _take(tx, contact, sender, content, arrival, now_ms, rng)
    except (MalformedError, SignatureError):
        return dropped
    except DeviceListForkError:
        alarm_fork(tx, contact)
        return dropped
    contact = counterpart(tx, contact.account) or contact
    keys = isinstance(content.body, ContactAccepted | ProfileKey | PresenceKey | ContactCopy | AccountCopy)
    return Received(
        Fate.OPENED,
        contact.account,
        list_wanted=wants_list(contact) or is_disputed(tx, contact),
        delivered=taken,
        contacts_changed=keys or content.introduction is not None,
        alive=sender if abs(now_ms - content.sent_at_ms) <= ALIVE_MS else None,
    )


def _from_stranger(
    tx: Tx,
    own: LocalIdentity,
    contact: Contact | None,
    unsealed: Unsealed,
    arrival: Arrival,
    now_ms: Timestamp,
    rng: Rng,
) -> Received:
    """Everything is checked on a copy, without any network; until all of it holds, nothing has happened."""
    dropped = Received(Fate.DROPPED, unsealed.sender.account)
    if unsealed.type not in {MessageType.PREKEY, MessageType.SIGNAL}:
        return dropped
    try:
        opened = _open(tx, own, unsealed, now_ms, rng, STRANGER_DERIVATIONS)
        content = decode_content(opened.plaintext)
        devices = check_introduction(content.introduction, unsealed.sender.account)
        assert content.introduction is not None
        root_key = content.introduction.card.root_key
        if contact is not None and contact.root_key != root_key:
            withdraw(tx, contact.account, Alarm.ROOT_CHANGED)
            return dropped
        if validate_sender(unsealed, root_key, devices, now_ms) is not SenderVerdict.VALID:
            return dropped
        if isinstance(content.body, Text) and len(content.body.text.encode()) > MAX_REQUEST_TEXT_BYTES:
            return dropped
        if contact is None:
            asking = request_received(tx, content.introduction, devices, unsealed.sender.account, now_ms, rng)
        else:
            asking = _asks_again(tx, contact, unsealed, content.introduction, now_ms)
    except (DecryptionError, MalformedError, SignatureError):
        return dropped
    except DeviceListForkError:
        if contact is not None:
            alarm_fork(tx, contact)
        return dropped
    if asking is None:
        return dropped
    _keep_session(tx, unsealed.sender, opened)
    if isinstance(content.body, Text | Hello):
        _take(tx, asking, unsealed.sender, content, arrival, now_ms, rng)
    return Received(Fate.OPENED, asking.account, contacts_changed=True)


def _asks_again(
    tx: Tx, contact: Contact, unsealed: Unsealed, introduction: Introduction, now_ms: Timestamp
) -> Contact | None:
    """One whose request waits for our answer, and who has the same root key. None: the device is listed no more."""
    contact = learn_list(tx, contact, introduction.device_list)
    if validate_sender(unsealed, contact.root_key, listed_devices(contact), now_ms) is not SenderVerdict.VALID:
        return None  # the enclosed list is older than ours
    if contact.device_list == introduction.device_list:  # what opens their mailbox now
        contact = replace(contact, profile_key=SecretBytes(introduction.profile_key))
        tx.put_contact(contact)
    return contact


def _plaintext(tx: Tx, contact: Contact, unsealed: Unsealed, now_ms: Timestamp, rng: Rng) -> Received:
    try:
        payload = read_plaintext(unsealed)
    except DecryptionError:
        return Received(Fate.DROPPED, contact.account)
    if isinstance(payload, ResendRequest):
        answer_resend(tx, contact, unsealed.sender, payload, now_ms, rng)
        return Received(Fate.OPENED, contact.account)
    # A signal is never stored: one that comes as an envelope is none.
    return Received(Fate.DROPPED, contact.account)


def _open(
    tx: Tx, own: LocalIdentity, unsealed: Unsealed, now_ms: Timestamp, rng: Rng, derivations: int = OPENING_DERIVATIONS
) -> Decrypted:
    return open_content(
        load_session(tx, unsealed.sender), own, unsealed,
        prekeys=StoredPrekeys(tx), now_ms=now_ms, rng=rng, derivations=derivations,
    )  # fmt: skip


def _keep_session(tx: Tx, peer: Address, opened: Decrypted) -> None:
    keep_session(tx, peer, opened.record)
    consume(tx, opened.consumed)


def _introduced(tx: Tx, contact: Contact, content: Content, now_ms: Timestamp, rng: Rng) -> Contact:
    """An introduction from someone we know: two requests that cross, or an accepted contact who has not our answer yet."""
    introduction = content.introduction
    assert introduction is not None
    if contact.state is ChatState.ACCEPTED:
        answers = [decode_content(renewal.content).body for renewal in tx.renewals(contact.account)]
        if any(isinstance(body, ContactAccepted) for body in answers):
            return contact  # the answer is on its way and stays so until its receipt
    return request_crossed(tx, contact, introduction, now_ms, rng)


def _take(
    tx: Tx, contact: Contact, sender: Address, content: Content, arrival: Arrival, now_ms: Timestamp, rng: Rng
) -> bool:
    """What the content says, by its body. Whether its sender is to know that it has been delivered."""
    if content.resend_of is not None:
        healed(tx, contact, MessageId(content.resend_of.raw))
        unopened = tx.unopened(content.resend_of)
        if unopened is not None and unopened.sender == sender:
            tx.delete_unopened(content.resend_of)
    match content.body:
        case Receipt():
            take_receipt(tx, contact, sender, content.body)
            return False
        case ContactAccepted():
            contact = answer_received(tx, contact, content.body, now_ms, rng)
        case ProfileKey(profile_key=key):
            contact = replace(contact, profile_key=SecretBytes(key))
            tx.put_contact(contact)
        case PresenceKey(presence_key=key):
            contact = replace(contact, presence_key=key)
            tx.put_contact(contact)
        case SenderKeyDistribution():
            take_distribution(tx, sender, content.body, now_ms)
        case Hello():
            pass
        case ContactCopy() | AccountCopy():
            return False  # only our own other devices may say that
        case Text() | UnknownBody():
            if not _show(tx, contact, content, arrival, now_ms):
                return False
    if _waits_for_an_answer(contact):
        return False
    acknowledge_to_sender(tx, contact, content.message_id, arrival.route, now_ms, rng)
    return True


def _waits_for_an_answer(contact: Contact) -> bool:
    """Receipts to a request wait for ours. Receipts without a token wait for theirs: each is work, and it would be theirs
    to ask for, as often as they write."""
    return contact.state is ChatState.REQUEST or token_for(contact) is None


def _show(tx: Tx, contact: Contact, content: Content, arrival: Arrival, now_ms: Timestamp) -> bool:
    """Put it on the screen, once. False when it is somebody else's id, or over a limit: then there is no receipt."""
    known = tx.message(content.message_id)
    if known is not None:
        return known.chat == contact.account and known.sender == contact.account
    is_request = contact.state is ChatState.REQUEST
    if is_request and len(tx.messages(contact.account, None, MAX_REQUEST_TEXTS)) >= MAX_REQUEST_TEXTS:
        return False
    if isinstance(content.body, UnknownBody) and content.sender_seq == 0:
        return True  # a later version's control content: nothing to show, but it did arrive
    row = row_of(content, chat=contact.account, sender=contact.account, status=MessageStatus.DELIVERED, now_ms=now_ms)
    tx.insert_message(replace(row, route=arrival.route, receipt_held=_waits_for_an_answer(contact)))
    tx.append_event(EventKind.MESSAGE, chat=contact.account, message_id=content.message_id)
    tx.append_event(EventKind.CHAT, chat=contact.account)
    return True
