"""One open transaction: every family of `ports.stores.Tx` over one connection."""

from mepassa.storage.message_rows import EventRows, MessageRows
from mepassa.storage.own_rows import OwnRows, PrekeyRows, SessionRows
from mepassa.storage.people_rows import AddressRows, ContactRows
from mepassa.storage.queue_rows import InboxRows, OutboxRows, TrimRows
from mepassa.storage.sender_key_rows import SenderKeyRows


class SqlTx(
    OwnRows,
    PrekeyRows,
    SessionRows,
    SenderKeyRows,
    ContactRows,
    AddressRows,
    MessageRows,
    EventRows,
    OutboxRows,
    InboxRows,
    TrimRows,
):
    """Valid only inside the function that `Db.run` calls."""
