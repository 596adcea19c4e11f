"""docs/protocol/delivery.md, "Status": the table of legal moves."""

from pathlib import Path

import pytest

from mepassa.model.status import MessageStatus
from mepassa.protocol.status import TRANSITIONS, IllegalMoveError, StatusEvent, diagram, move

RANK = {
    MessageStatus.FAILED: 0,
    MessageStatus.QUEUED: 0,
    MessageStatus.SENT: 1,
    MessageStatus.STORED: 1,
    MessageStatus.DELIVERED: 2,
    MessageStatus.READ: 3,
}


def test_every_status_knows_every_event_that_can_reach_it() -> None:
    for status, moves in TRANSITIONS.items():
        expected = set(StatusEvent) - (set() if status is MessageStatus.FAILED else {StatusEvent.SENT_AGAIN})
        assert set(moves) == expected, status


def test_status_only_rises_but_for_failing_and_sending_again() -> None:
    for status, moves in TRANSITIONS.items():
        for event, after in moves.items():
            if event not in {StatusEvent.EXPIRED, StatusEvent.SENT_AGAIN}:
                assert RANK[after] >= RANK[status], (status, event)


@pytest.mark.parametrize("event", [StatusEvent.RECEIPT_RECEIVED, StatusEvent.READ_RECEIVED])
def test_a_late_receipt_lifts_a_failed_message(event: StatusEvent) -> None:
    assert RANK[move(MessageStatus.FAILED, event)] >= 2


def test_what_has_arrived_never_fails() -> None:
    for status in (MessageStatus.DELIVERED, MessageStatus.READ):
        assert move(status, StatusEvent.EXPIRED) is status


def test_an_illegal_move_fails_loudly() -> None:
    with pytest.raises(IllegalMoveError):
        move(MessageStatus.READ, StatusEvent.SENT_AGAIN)


def test_the_documented_diagram_is_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs/protocol/delivery.md").read_text()
    assert diagram() in page
