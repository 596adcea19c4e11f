"""What the screen shows, in its order, and the log of what changed."""

from typing import Any

from mepassa.model.ids import AccountId, MessageId, Timestamp
from mepassa.model.status import MessageStatus
from mepassa.ports.stores import EventKind, EventRow, Logged, MessageKind, MessageRow
from mepassa.storage.rows import (
    Rows,
    from_account,
    from_message_id,
    from_route,
    to_account,
    to_message_id,
    to_route,
    to_time,
)

POSITION_STEP = 1 << 20
"""Room between neighbours, so that a late message finds a place between them without moving anyone."""

LOOKED_BACK = 2_000
"""How many of a sender's messages a late one may be behind to find its place: as many keys are kept for late ones."""

_MESSAGE = (
    "id, chat, sender, kind, text, sent_at_ms, sender_seq, status, reply_to, route, client_id, receipt_held, expires_ms"
)


def _to_message(row: tuple[Any, ...]) -> MessageRow:
    return MessageRow(
        id=MessageId(row[0]),
        chat=AccountId(row[1]),
        sender=AccountId(row[2]),
        kind=MessageKind(row[3]),
        text=row[4],
        sent_at_ms=to_time(row[5]),
        sender_seq=row[6],
        status=MessageStatus(row[7]),
        reply_to=to_message_id(row[8]),
        route=to_route(row[9]),
        client_id=row[10],
        receipt_held=bool(row[11]),
        expires_ms=to_time(row[12]),
    )


class MessageRows(Rows):
    def message(self, message_id: MessageId) -> MessageRow | None:
        if (kept := self._remembered.messages.get(message_id)) is not None:
            return kept
        row = self._one(f"SELECT {_MESSAGE} FROM messages WHERE id = ?", message_id.raw)
        return _to_message(row) if row else None

    def message_by_client_id(self, client_id: bytes) -> MessageRow | None:
        row = self._one(f"SELECT {_MESSAGE} FROM messages WHERE client_id = ?", client_id)
        return _to_message(row) if row else None

    def insert_message(self, row: MessageRow) -> None:
        self._do(
            f"INSERT INTO messages ({_MESSAGE}, outgoing, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row.id.raw,
            row.chat.raw,
            row.sender.raw,
            row.kind.value,
            row.text,
            row.sent_at_ms,
            row.sender_seq,
            row.status.value,
            from_message_id(row.reply_to),
            from_route(row.route),
            row.client_id,
            row.receipt_held,
            row.expires_ms,
            row.chat != row.sender,
            self._position(row),
        )
        self._written[row.id] = self._remembered.messages.keep(row.id, row)

    def _position(self, row: MessageRow) -> int:
        """After everything in the chat, but before what the same sender wrote later.

        Later by number *and* by the sender's clock: a sender restored from a copy gives its numbers a second time.
        """
        later = self._later(row) if row.sender_seq else None
        if later is None:
            newest = self._one("SELECT max(position) FROM messages WHERE chat = ?", row.chat.raw)
            return (newest[0] if newest and newest[0] is not None else 0) + POSITION_STEP
        before = self._one("SELECT max(position) FROM messages WHERE chat = ? AND position < ?", row.chat.raw, later)
        below = before[0] if before and before[0] is not None else later - 2 * POSITION_STEP
        # Halving has an end after twenty; then equal positions fall back on sender_seq, which is what counts here.
        return int((below + later) // 2) if later - below > 1 else later

    def _later(self, row: MessageRow) -> int | None:
        """The first position of what the same sender wrote later. Looked for from the end of the chat, as far back as a
        message that is earlier both ways: nearly always that is the first one."""
        later = None
        from_the_end = self._raw.execute(
            "SELECT position, sender_seq, sent_at_ms FROM messages WHERE chat = ? AND sender = ? AND sender_seq > 0"
            " ORDER BY position DESC LIMIT ?",
            (row.chat.raw, row.sender.raw, LOOKED_BACK),
        )
        for position, sender_seq, sent_at_ms in from_the_end:
            if sender_seq > row.sender_seq and sent_at_ms >= row.sent_at_ms:
                later = int(position)
            elif sender_seq <= row.sender_seq and sent_at_ms <= row.sent_at_ms:
                break
        from_the_end.close()
        return later

    def update_message(self, row: MessageRow) -> None:
        changed = self._do(
            "UPDATE messages SET kind = ?, text = ?, status = ?, route = ?, receipt_held = ?, expires_ms = ?"
            " WHERE id = ?",
            row.kind.value,
            row.text,
            row.status.value,
            from_route(row.route),
            row.receipt_held,
            row.expires_ms,
            row.id.raw,
        )
        if changed:
            self._written[row.id] = row
            self._remembered.messages.pop(row.id, None)  # only these columns of it are on disk

    def delete_message(self, message_id: MessageId) -> None:
        self._do("DELETE FROM messages WHERE id = ?", message_id.raw)
        self._written.pop(message_id, None)
        self._remembered.messages.pop(message_id, None)

    def messages(self, chat: AccountId, before: MessageId | None, limit: int) -> tuple[MessageRow, ...]:
        bound, values = "", [chat.raw]
        if before is not None:
            bound = (
                " AND (position, sender_seq) < (SELECT position, sender_seq FROM messages WHERE id = ? AND chat = ?)"
            )
            values += [before.raw, chat.raw]
        rows = self._all(
            f"SELECT {_MESSAGE} FROM messages WHERE chat = ?{bound} ORDER BY position DESC, sender_seq DESC LIMIT ?",
            *values,
            limit,
        )
        return tuple(_to_message(row) for row in reversed(rows))

    def incoming_up_to(self, chat: AccountId, message_id: MessageId) -> tuple[MessageRow, ...]:
        rows = self._all(
            f"SELECT {_MESSAGE} FROM messages WHERE chat = ? AND outgoing = 0 AND status = 'delivered'"
            " AND (position, sender_seq) <= (SELECT position, sender_seq FROM messages WHERE id = ? AND chat = ?)"
            " ORDER BY position, sender_seq",
            chat.raw,
            message_id.raw,
            chat.raw,
        )
        return tuple(_to_message(row) for row in rows)

    def held_receipts(self, chat: AccountId) -> tuple[MessageRow, ...]:
        rows = self._all(
            f"SELECT {_MESSAGE} FROM messages WHERE chat = ? AND receipt_held = 1 ORDER BY position, sender_seq",
            chat.raw,
        )
        return tuple(_to_message(row) for row in rows)

    def overdue(self, now_ms: Timestamp) -> tuple[MessageRow, ...]:
        rows = self._all(
            f"SELECT {_MESSAGE} FROM messages WHERE outgoing = 1 AND status IN ('queued', 'sent', 'stored')"
            " AND expires_ms <= ? ORDER BY expires_ms",
            now_ms,
        )
        return tuple(_to_message(row) for row in rows)

    def unread(self, chat: AccountId) -> int:
        row = self._one(
            "SELECT count(*) FROM messages WHERE chat = ? AND outgoing = 0 AND status = 'delivered'", chat.raw
        )
        return int(row[0]) if row else 0


class EventRows(Rows):
    def append_event(
        self,
        kind: EventKind,
        *,
        chat: AccountId | None = None,
        message_id: MessageId | None = None,
        note: str | None = None,
    ) -> int:
        cursor = self._raw.execute(
            "INSERT INTO events (kind, chat, message_id, note) VALUES (?, ?, ?, ?)",
            (kind.value, from_account(chat), from_message_id(message_id), note),
        )
        seq = int(cursor.lastrowid)
        self._events.append(EventRow(seq, kind, chat, message_id, note))
        return seq

    def logged(self) -> tuple[Logged, ...]:
        """What this transaction told, each event with the message that it names if that was written here."""
        return tuple(
            Logged(event, None if event.message_id is None else self._written.get(event.message_id))
            for event in self._events
        )

    def events_after(self, seq: int, limit: int = 1000) -> tuple[EventRow, ...]:
        rows = self._all(
            "SELECT seq, kind, chat, message_id, note FROM events WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit
        )
        return tuple(
            EventRow(row[0], EventKind(row[1]), to_account(row[2]), to_message_id(row[3]), row[4]) for row in rows
        )

    def event_span(self) -> tuple[int, int]:
        oldest, newest = self._one("SELECT min(seq), max(seq) FROM events") or (None, None)
        return (1, 0) if newest is None else (int(oldest), int(newest))
