"""What the machines keep, as rows and small Protocols by family; all belong to one open transaction.

Implemented by `storage.tx` over SQLCipher. Nothing here is asynchronous: a machine runs inside `Db.run`, so that all
that one step changes is committed together or not at all (docs/protocol/delivery.md).
"""

import hashlib
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol

from mepassa.model.device_list import SignedDeviceList
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import AccountId, Address, EnvelopeId, MessageId, Timestamp
from mepassa.model.keys import IdentityKey, PresencePublicKey, RootPublicKey
from mepassa.model.route import Policy, Route
from mepassa.model.secret import SecretBytes
from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.mailbox import HomeAddress, TokenRecord

NEVER = Timestamp(0)
"""A time that has not come yet."""


@dataclass(frozen=True, slots=True)
class OwnAccount:
    """This account and this device. `root_seed` is on the primary device only; seeds are 32 bytes of Ed25519."""

    address: Address
    name: str
    root_key: RootPublicKey
    root_seed: SecretBytes | None
    identity_key: IdentityKey
    device_seed: SecretBytes
    registration_id: int
    device_certificate: bytes
    """Signal's server certificate, by the root key for the device key."""
    device_list: SignedDeviceList
    list_version: int
    home: HomeAddress
    profile_key: SecretBytes
    presence_seed: SecretBytes


@dataclass(frozen=True, slots=True)
class Contact:
    """The other account and the chat with it: a pair chat's id is the account's id.

    `home` is what the newest verified device list (at first: the card) says; while the state is `REQUEST` nobody may
    contact it. `device_list` is None between adding a card and the first answer of its home. `list_wanted`: the
    newest version that a message has named; fetched when above `list_version`.
    """

    account: AccountId
    root_key: RootPublicKey
    name: str
    state: ChatState
    home: HomeAddress
    policy: Policy = Policy.AUTO
    device_list: SignedDeviceList | None = None
    list_version: int = 0
    list_wanted: int = 0
    profile_key: SecretBytes | None = None
    """Theirs: gives the tokens for their mailbox. None until their answer has come."""
    presence_key: PresencePublicKey | None = None
    invite_token: bytes | None = None
    """Theirs, from the card: what we deposit with until `profile_key` is there."""
    last_sender_seq: int = 0
    """Ours, in this chat."""
    added_ms: Timestamp = NEVER

    @property
    def allows_direct(self) -> bool:
        return self.policy is not Policy.HIDE_MY_IP


class MessageKind(StrEnum):
    TEXT = "text"
    UNOPENED = "unopened"
    """An envelope that could not be opened; its id stands in for the message id until it is sent again."""
    UNKNOWN = "unknown"
    """A body of a later version."""


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One thing on the screen. `status` of an incoming one is DELIVERED or READ. `route`: see ARCHITECTURE, route record.

    `receipt_held`: an incoming request's delivery receipt waits for the person's answer.
    """

    id: MessageId
    chat: AccountId
    sender: AccountId
    kind: MessageKind
    text: str
    sent_at_ms: Timestamp
    sender_seq: int
    status: MessageStatus
    reply_to: MessageId | None = None
    route: Route | None = None
    client_id: bytes | None = None
    receipt_held: bool = False
    expires_ms: Timestamp = NEVER
    """Outgoing: without a receipt by then the message has failed."""


class OutboxKind(StrEnum):
    TEXT = "text"
    """What a person sent: may start an attempt for a path."""
    CONTROL = "control"
    """Receipts, keys, answers, resend requests: take a live path or are deposited."""
    REQUEST = "request"
    """For the request lane: stored route only, with the invite token."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One envelope on its way to one device. `envelope` None: it waits for a session (prekeys must be fetched).

    `message_id` None: nothing on the screen or in the renewals follows it (a resend request, a receipt).
    """

    id: int
    to: Address
    kind: OutboxKind
    content: bytes
    envelope: SealedEnvelope | None
    message_id: MessageId | None
    created_ms: Timestamp
    expires_ms: Timestamp
    next_try_ms: Timestamp
    attempts: int = 0
    stored_only: bool = False
    resends: int = 0
    last_error: str | None = None
    """Class name of what went wrong last, for the person's eyes."""


@dataclass(frozen=True, slots=True)
class SentRow:
    """What we remember of an envelope, 15 days, so that it can be made again when the other side could not open it."""

    id: EnvelopeId
    to: Address
    message_id: MessageId | None
    content: bytes
    ratchet_key: bytes
    resends: int
    sent_ms: Timestamp


@dataclass(frozen=True, slots=True)
class Renewal:
    """A control content without a 14-day end: made and sent anew every 13 days until its receipt comes."""

    account: AccountId
    message_id: MessageId
    content: bytes
    next_ms: Timestamp


@dataclass(frozen=True, slots=True)
class UnopenedRow:
    """An envelope that we could not open, and how often we have asked for it (docs/protocol/delivery.md)."""

    id: EnvelopeId
    sender: Address
    ratchet_key: bytes
    failed_at_ms: Timestamp
    asked: int
    next_ask_ms: Timestamp


class InviteKind(StrEnum):
    LINK = "link"
    QR = "qr"


@dataclass(frozen=True, slots=True)
class Invite:
    token: bytes
    kind: InviteKind
    created_ms: Timestamp
    expires_ms: Timestamp
    uses_left: int
    revoked: bool = False

    @property
    def id(self) -> bytes:
        """16 bytes that name it on this device and tell nothing of the token."""
        return hashlib.sha256(b"mepassa invite id" + self.token).digest()[:16]

    def live(self, now_ms: Timestamp) -> bool:
        return not self.revoked and self.uses_left > 0 and now_ms < self.expires_ms


class EventKind(StrEnum):
    MESSAGE = "message"
    STATUS = "status"
    CHAT = "chat"
    HOME = "home"
    PATH = "path"
    ALARM = "alarm"
    """Something that a person must know: a forked device list, a rolled-back database, a new device."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """That something changed; what it is now is read when it is told. `note` is a stable word for alarms."""

    seq: int
    kind: EventKind
    chat: AccountId | None = None
    message_id: MessageId | None = None
    note: str | None = None


class PrekeyKind(IntEnum):
    ONE_TIME = 1
    SIGNED = 2
    KYBER_ONE_TIME = 3
    KYBER_LAST_RESORT = 4


@dataclass(frozen=True, slots=True)
class PrekeyRow:
    """A private prekey in the encoding of `crypto`; the public half follows from it."""

    kind: PrekeyKind
    id: int
    secret: SecretBytes
    created_ms: Timestamp
    uploaded: bool = False


class OwnStore(Protocol):
    def own(self) -> OwnAccount:
        """Raises `NotInitialisedError`."""
        ...

    def put_own(self, own: OwnAccount) -> None: ...

    def setting(self, name: str) -> bytes | None: ...

    def put_setting(self, name: str, value: bytes | None) -> None: ...


class PrekeyStore(Protocol):
    def prekey(self, kind: PrekeyKind, prekey_id: int) -> PrekeyRow | None: ...

    def prekeys(self, kind: PrekeyKind) -> tuple[PrekeyRow, ...]:
        """By rising id."""
        ...

    def untold_prekeys(self, kind: PrekeyKind) -> tuple[PrekeyRow, ...]:
        """Those that the home has not got yet, by rising id."""
        ...

    def prekey_count(self, kind: PrekeyKind) -> int: ...

    def put_prekey(self, row: PrekeyRow) -> None: ...

    def delete_prekey(self, kind: PrekeyKind, prekey_id: int) -> None: ...

    def next_prekey_id(self, kind: PrekeyKind, count: int, first: int = 1) -> int:
        """The first of `count` numbers that this database has never given; numbering begins at `first`."""
        ...

    def mark_prekeys_uploaded(self, kind: PrekeyKind, prekey_id: int) -> None: ...

    def last_resort_used(self, kyber_id: int, signed_id: int, base_key: bytes) -> bool: ...

    def put_last_resort_use(self, kyber_id: int, signed_id: int, base_key: bytes) -> None: ...


class SessionStore(Protocol):
    def session(self, peer: Address) -> bytes | None:
        """The encoded session record (current and archived states)."""
        ...

    def put_session(self, peer: Address, record: bytes) -> None: ...

    def sessions(self) -> tuple[Address, ...]: ...

    def add_reset(self, peer: Address, at_ms: Timestamp) -> None: ...

    def resets_since(self, peer: Address, since_ms: Timestamp) -> int: ...


class ContactStore(Protocol):
    def contact(self, account: AccountId) -> Contact | None: ...

    def put_contact(self, contact: Contact) -> None: ...

    def contacts(self) -> tuple[Contact, ...]:
        """Newest activity first."""
        ...

    def put_invite(self, invite: Invite) -> None: ...

    def invite(self, token: bytes) -> Invite | None: ...

    def invites(self) -> tuple[Invite, ...]: ...

    def use_invite(self, token: bytes, account: AccountId) -> bool:
        """Count an account's use; False when this account had used it before."""
        ...


class MessageStore(Protocol):
    def message(self, message_id: MessageId) -> MessageRow | None: ...

    def message_by_client_id(self, client_id: bytes) -> MessageRow | None: ...

    def insert_message(self, row: MessageRow) -> None:
        """At the end of its chat, but before what the same sender wrote later: by `sender_seq` (0 = no order asked)
        and `sent_at_ms`."""
        ...

    def update_message(self, row: MessageRow) -> None: ...

    def delete_message(self, message_id: MessageId) -> None: ...

    def messages(self, chat: AccountId, before: MessageId | None, limit: int) -> tuple[MessageRow, ...]:
        """The newest before that message, oldest first."""
        ...

    def incoming_up_to(self, chat: AccountId, message_id: MessageId) -> tuple[MessageRow, ...]:
        """Incoming rows that are not READ, up to and with that message."""
        ...

    def held_receipts(self, chat: AccountId) -> tuple[MessageRow, ...]: ...

    def overdue(self, now_ms: Timestamp) -> tuple[MessageRow, ...]:
        """Outgoing rows without a receipt whose `expires_ms` has come."""
        ...

    def unread(self, chat: AccountId) -> int: ...


class OutboxStore(Protocol):
    def append_outbox(self, row: OutboxRow) -> OutboxRow:
        """`row.id` is ignored; the stored row comes back with its number, which rises."""
        ...

    def outbox_row(self, row_id: int) -> OutboxRow | None: ...

    def update_outbox(self, row: OutboxRow) -> None: ...

    def delete_outbox(self, row_id: int) -> None: ...

    def outbox(self, account: AccountId | None = None) -> tuple[OutboxRow, ...]:
        """All of an account's (or everybody's) rows in order."""
        ...

    def outbox_accounts(self) -> tuple[AccountId, ...]: ...

    def put_sent(self, row: SentRow) -> None: ...

    def sent(self, envelope_id: EnvelopeId) -> SentRow | None: ...

    def forget_sent(self, message_id: MessageId, to: AccountId) -> None:
        """The content arrived: it will not be asked for again."""
        ...

    def put_renewal(self, renewal: Renewal) -> None: ...

    def renewals(self, account: AccountId | None = None) -> tuple[Renewal, ...]: ...

    def delete_renewal(self, account: AccountId, message_id: MessageId) -> None: ...


class InboxStore(Protocol):
    def seen(self, envelope_id: EnvelopeId) -> bool: ...

    def put_seen(self, envelope_id: EnvelopeId, now_ms: Timestamp) -> None: ...

    def put_unopened(self, row: UnopenedRow) -> None: ...

    def unopened(self, envelope_id: EnvelopeId) -> UnopenedRow | None: ...

    def unopened_due(self, now_ms: Timestamp) -> tuple[UnopenedRow, ...]: ...

    def delete_unopened(self, envelope_id: EnvelopeId) -> None: ...


class EventStore(Protocol):
    def append_event(
        self,
        kind: EventKind,
        *,
        chat: AccountId | None = None,
        message_id: MessageId | None = None,
        note: str | None = None,
    ) -> int: ...

    def events_after(self, seq: int, limit: int = 1000) -> tuple[EventRow, ...]: ...

    def event_span(self) -> tuple[int, int]:
        """The oldest kept and the newest number; (1, 0) when there was none yet."""
        ...


class TokenStore(Protocol):
    """What our home has been told of tokens, so that only differences are sent."""

    def home_tokens(self) -> tuple[TokenRecord, ...]: ...

    def put_home_tokens(self, add: tuple[TokenRecord, ...], remove: tuple[bytes, ...]) -> None: ...


class AddressBook(Protocol):
    """Where a device was last reached, so that direct paths are tried while its home is away."""

    def put_known_addresses(self, peer: Address, addresses: tuple[str, ...], now_ms: Timestamp) -> None: ...

    def known_addresses(self, peer: Address) -> tuple[str, ...]: ...

    def forget_known_addresses(self, peer: Address | None = None) -> None: ...


class Trimming(Protocol):
    def trim(
        self, *, seen_before: Timestamp, sent_before: Timestamp, resets_before: Timestamp, events_kept: int
    ) -> None:
        """Drop what has outlived its use: seen ids, sent and unopened rows, resets, all but the newest events."""
        ...


class Tx(
    OwnStore,
    PrekeyStore,
    SessionStore,
    ContactStore,
    MessageStore,
    OutboxStore,
    InboxStore,
    EventStore,
    TokenStore,
    AddressBook,
    Trimming,
    Protocol,
):
    """One open transaction of the device's database: every family at once."""
