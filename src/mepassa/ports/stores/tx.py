"""One open transaction: every family at once."""

from typing import Protocol

from mepassa.model.ids import Timestamp
from mepassa.ports.stores.messages import EventStore, MessageStore
from mepassa.ports.stores.own import OwnStore, PrekeyStore, TokenStore
from mepassa.ports.stores.people import AddressBook, ContactStore
from mepassa.ports.stores.queue import InboxStore, OutboxStore
from mepassa.ports.stores.sender_keys import SenderKeyStore
from mepassa.ports.stores.sessions import SessionStore


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
    SenderKeyStore,
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
