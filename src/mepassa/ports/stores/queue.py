"""What is on its way: the outbox, what may be asked for again, what could not be opened."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import AccountId, Address, EnvelopeId, MessageId, Timestamp
from mepassa.model.route import Route


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
    `ratchet_key`, `sealed_ms`: of a sealed one, what a request to send it again is judged by.
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
    ratchet_key: bytes | None = None
    sealed_ms: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class OwedReceipt:
    """That a message is to be receipted: to that device, or (None) to each that its account lists by then."""

    account: AccountId
    device: int | None
    message_id: MessageId
    route: Route | None
    due_ms: Timestamp


@dataclass(frozen=True, slots=True)
class SentRow:
    """What we remember of an envelope that has left the outbox, 15 days, so that it can be made again when the other side
    could not open it."""

    id: EnvelopeId
    to: Address
    message_id: MessageId | None
    content: bytes
    ratchet_key: bytes
    resends: int
    sent_ms: Timestamp


@dataclass(frozen=True, slots=True)
class Renewal:
    """A control content without a 14-day end: made and sent anew every 13 days until each device's receipt has come.

    `confirmed`: numbers of the account's devices whose receipt is there.
    """

    account: AccountId
    message_id: MessageId
    content: bytes
    next_ms: Timestamp
    confirmed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class UnopenedRow:
    """An envelope that we could not open, and how often we have asked for it (docs/protocol/delivery.md)."""

    id: EnvelopeId
    sender: Address
    ratchet_key: bytes
    failed_at_ms: Timestamp
    asked: int
    next_ask_ms: Timestamp


class OutboxStore(Protocol):
    def append_outbox(self, row: OutboxRow) -> OutboxRow:
        """`row.id` is ignored; the stored row comes back with its number, higher than any since the database was opened."""
        ...

    def outbox_row(self, row_id: int) -> OutboxRow | None: ...

    def update_outbox(self, row: OutboxRow) -> None: ...

    def delete_outbox(self, row_id: int) -> None: ...

    def outbox(self, account: AccountId | None = None) -> tuple[OutboxRow, ...]:
        """All of an account's (or everybody's) rows in order."""
        ...

    def has_outbox(self, account: AccountId) -> bool: ...

    def outbox_accounts(self) -> tuple[AccountId, ...]:
        """For whom there are rows, or receipts are owed."""
        ...

    def waiting(self) -> int:
        """How many rows there are, and accounts to which receipts are owed."""
        ...

    def owe_receipt(self, owed: OwedReceipt) -> None: ...

    def receipts_due(self, account: AccountId) -> Timestamp | None:
        """When the first of those owed to it is due; None when none is."""
        ...

    def owed_receipts(self, account: AccountId) -> tuple[OwedReceipt, ...]:
        """In the order in which they came to be owed."""
        ...

    def forget_owed(self, account: AccountId | None = None) -> None:
        """Of that account, or (None) of all."""
        ...

    def put_sent(self, row: SentRow) -> None: ...

    def sent(self, envelope_id: EnvelopeId) -> SentRow | None: ...

    def forget_sent(self, to: Address, message_id: MessageId | None = None) -> None:
        """The content arrived at that device (None: all that was for it): it will not be asked for again."""
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
