"""What is on the screen, and the record of what has changed there."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mepassa.model.ids import NEVER, AccountId, MessageId, Timestamp
from mepassa.model.route import Route
from mepassa.model.status import MessageStatus


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


class MessageStore(Protocol):
    def message(self, message_id: MessageId) -> MessageRow | None: ...

    def message_by_client_id(self, client_id: bytes) -> MessageRow | None: ...

    def insert_message(self, row: MessageRow) -> None:
        """At the end of its chat, but before what the same sender wrote later: by `sender_seq` (0 = no order asked)
        and `sent_at_ms`."""
        ...

    def update_message(self, row: MessageRow) -> None:
        """What may change of one that is there: kind, text, status, route, `receipt_held`, `expires_ms`."""
        ...

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


@dataclass(frozen=True, slots=True)
class Logged:
    """An event as its transaction left it; `message`: what it names, when that transaction wrote it."""

    event: EventRow
    message: MessageRow | None = None


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
