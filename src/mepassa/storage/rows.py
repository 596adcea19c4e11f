"""Between SQL values and the model's words; used by the families of `SqlTx`."""

from typing import Any

from mepassa.model.device_list import SignedDeviceList
from mepassa.model.ids import AccountId, MessageId, Timestamp
from mepassa.model.route import Route
from mepassa.model.secret import SecretBytes
from mepassa.ports.stores import Contact, EventRow, MessageRow, OwnAccount
from mepassa.wire.codec import Codec

ROUTE: Codec[Route] = Codec(Route, limit_bytes=1024)
SIGNED_LIST: Codec[SignedDeviceList] = Codec(SignedDeviceList, limit_bytes=8192)


MAX_CONTACTS_REMEMBERED = 64
"""Some KB each: with whom one talks today."""


class Remembered:
    """What nearly every transaction reads and hardly one changes, as it is on disk. It lives as long as the connection,
    which is the database's only one; a transaction that fails leaves nothing in it."""

    def __init__(self) -> None:
        self.own: OwnAccount | None = None
        self.contacts: dict[AccountId, Contact] = {}

    def contact(self, contact: Contact) -> Contact:
        """From now on this is what `contacts` says of it."""
        if contact.account not in self.contacts and len(self.contacts) >= MAX_CONTACTS_REMEMBERED:
            self.contacts.clear()
        self.contacts[contact.account] = contact
        return contact

    def forget(self) -> None:
        self.own = None
        self.contacts.clear()


class Rows:
    """Holds the connection of an open transaction; every family of `SqlTx` is one of these."""

    def __init__(self, raw: Any, remembered: Remembered) -> None:
        self._raw = raw
        self._remembered = remembered
        self._events: list[EventRow] = []
        self._written: dict[MessageId, MessageRow] = {}
        """Messages as this transaction left them: what its events name needs no second look."""

    def _one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._raw.execute(sql, values).fetchone()
        return row

    def _all(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._raw.execute(sql, values).fetchall()
        return rows

    def _do(self, sql: str, *values: object) -> int:
        """How many rows it changed."""
        return int(self._raw.execute(sql, values).rowcount)


def from_message_id(message_id: MessageId | None) -> bytes | None:
    return message_id.raw if message_id is not None else None


def to_message_id(raw: bytes | None) -> MessageId | None:
    return MessageId(raw) if raw is not None else None


def from_account(account: AccountId | None) -> bytes | None:
    return account.raw if account is not None else None


def to_account(raw: bytes | None) -> AccountId | None:
    return AccountId(raw) if raw is not None else None


def from_route(route: Route | None) -> bytes | None:
    return ROUTE.encode(route) if route is not None else None


def to_route(raw: bytes | None) -> Route | None:
    return ROUTE.decode(raw) if raw is not None else None


def from_secret(secret: SecretBytes | None) -> bytes | None:
    return secret.expose() if secret is not None else None


def to_secret(raw: bytes | None) -> SecretBytes | None:
    return SecretBytes(raw) if raw is not None else None


def to_time(value: int) -> Timestamp:
    return Timestamp(value)
