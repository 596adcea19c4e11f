"""What is on its way: the outbox, what may be asked for again, what could not be opened."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import AccountId, Address, EnvelopeId, MessageId, Timestamp


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
        """`row.id` is ignored; the stored row comes back with its number, which rises."""
        ...

    def outbox_row(self, row_id: int) -> OutboxRow | None: ...

    def update_outbox(self, row: OutboxRow) -> None: ...

    def delete_outbox(self, row_id: int) -> None: ...

    def outbox(self, account: AccountId | None = None) -> tuple[OutboxRow, ...]:
        """All of an account's (or everybody's) rows in order."""
        ...

    def has_outbox(self, account: AccountId) -> bool: ...

    def outbox_accounts(self) -> tuple[AccountId, ...]: ...

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
