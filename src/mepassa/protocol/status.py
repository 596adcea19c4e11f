"""Where an outgoing message stands, as a table that one can print (docs/protocol/delivery.md, "Status")."""

from enum import StrEnum

from mepassa.model.status import MessageStatus


class StatusEvent(StrEnum):
    SENT_ON_PATH = "sent_on_path"
    """The recipient's device acknowledged it on a live path, and said no more."""
    OPENED_ON_PATH = "opened_on_path"
    """It acknowledged it on a live path, as opened there: as good as a receipt, and faster."""
    DEPOSIT_SYNCED = "deposit_synced"
    RECEIPT_RECEIVED = "receipt_received"
    READ_RECEIVED = "read_received"
    EXPIRED = "expired"
    """Fourteen days without a receipt."""
    SENT_AGAIN = "sent_again"
    """The person asked for it."""


_S, _E = MessageStatus, StatusEvent

_RISE = {
    _E.SENT_ON_PATH: _S.SENT,
    _E.DEPOSIT_SYNCED: _S.STORED,
    _E.OPENED_ON_PATH: _S.DELIVERED,
    _E.RECEIPT_RECEIVED: _S.DELIVERED,
    _E.READ_RECEIVED: _S.READ,
}


def _stay(status: MessageStatus) -> dict[StatusEvent, MessageStatus]:
    """News that comes late or twice is legal and changes nothing."""
    return dict.fromkeys((*_RISE, _E.EXPIRED), status)


TRANSITIONS: dict[MessageStatus, dict[StatusEvent, MessageStatus]] = {
    _S.QUEUED: {**_RISE, _E.EXPIRED: _S.FAILED},
    # The insurance deposit of a message that a path has taken as well is no news.
    _S.SENT: {**_RISE, _E.DEPOSIT_SYNCED: _S.SENT, _E.EXPIRED: _S.FAILED},
    _S.STORED: {**_RISE, _E.SENT_ON_PATH: _S.STORED, _E.EXPIRED: _S.FAILED},
    _S.DELIVERED: {**_stay(_S.DELIVERED), _E.READ_RECEIVED: _S.READ},
    _S.READ: _stay(_S.READ),
    _S.FAILED: {
        **_stay(_S.FAILED),
        _E.OPENED_ON_PATH: _S.DELIVERED,
        _E.RECEIPT_RECEIVED: _S.DELIVERED,
        _E.READ_RECEIVED: _S.READ,
        _E.SENT_AGAIN: _S.QUEUED,
    },
}


class IllegalMoveError(AssertionError):
    """Our bug: the table has no such move."""


def move(status: MessageStatus, event: StatusEvent) -> MessageStatus:
    try:
        return TRANSITIONS[status][event]
    except KeyError:
        raise IllegalMoveError(f"{event} does not happen to a message that is {status}") from None


def diagram() -> str:
    """The table as a Mermaid state diagram, moves that change nothing left out; docs/protocol/delivery.md shows it."""
    lines = ["stateDiagram-v2", "    [*] --> queued"]
    for status, moves in TRANSITIONS.items():
        lines += [f"    {status} --> {after} : {event}" for event, after in moves.items() if after is not status]
    return "\n".join(lines)
