"""What the machines keep, as rows and small Protocols by family; all belong to one open transaction.

`own` this device with its prekeys · `sessions` · `sender_keys` · `people` contacts, invites, addresses · `messages` the screen and its
events · `queue` what is on its way · `tx` all of them at once. Implemented by `storage.tx` over SQLCipher. Nothing here is
asynchronous: a machine runs inside `Db.run`, so that all that one step changes is committed together or not at all
(docs/protocol/delivery.md).
"""

from mepassa.ports.stores.messages import (
    EventKind,
    EventRow,
    EventStore,
    Logged,
    MessageKind,
    MessageRow,
    MessageStore,
)
from mepassa.ports.stores.own import OwnAccount, OwnStore, PrekeyKind, PrekeyRow, PrekeyStore, TokenStore, kept_number
from mepassa.ports.stores.people import AddressBook, Contact, ContactStore, Invite, InviteKind
from mepassa.ports.stores.queue import (
    InboxStore,
    OutboxKind,
    OutboxRow,
    OutboxStore,
    OwedReceipt,
    Renewal,
    SentRow,
    UnopenedRow,
)
from mepassa.ports.stores.sender_keys import OwnSenderKey, SenderKeyHolder, SenderKeyStore
from mepassa.ports.stores.sessions import SessionStore
from mepassa.ports.stores.tx import Trimming, Tx

__all__ = [
    "AddressBook",
    "Contact",
    "ContactStore",
    "EventKind",
    "EventRow",
    "EventStore",
    "InboxStore",
    "Invite",
    "InviteKind",
    "Logged",
    "MessageKind",
    "MessageRow",
    "MessageStore",
    "OutboxKind",
    "OutboxRow",
    "OutboxStore",
    "OwedReceipt",
    "OwnAccount",
    "OwnSenderKey",
    "OwnStore",
    "PrekeyKind",
    "PrekeyRow",
    "PrekeyStore",
    "Renewal",
    "SenderKeyHolder",
    "SenderKeyStore",
    "SentRow",
    "SessionStore",
    "TokenStore",
    "Trimming",
    "Tx",
    "UnopenedRow",
    "kept_number",
]
