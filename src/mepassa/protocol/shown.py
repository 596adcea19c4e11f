"""A content as a row on the screen, whoever wrote it (docs/protocol/delivery.md, "Receiving" and "Own devices")."""

from mepassa.model.content import Content, Text
from mepassa.model.ids import AccountId, Timestamp
from mepassa.model.status import MessageStatus
from mepassa.ports.stores import MessageKind, MessageRow


def row_of(
    content: Content, *, chat: AccountId, sender: AccountId, status: MessageStatus, now_ms: Timestamp
) -> MessageRow:
    """A body that this version does not know holds its place. Never dated later than it came."""
    text = content.body if isinstance(content.body, Text) else None
    return MessageRow(
        id=content.message_id,
        chat=chat,
        sender=sender,
        kind=MessageKind.TEXT if text is not None else MessageKind.UNKNOWN,
        text=text.text if text is not None else "",
        sent_at_ms=min(content.sent_at_ms, now_ms),
        sender_seq=content.sender_seq,
        status=status,
        reply_to=text.reply_to if text is not None else None,
    )
