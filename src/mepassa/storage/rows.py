"""Between SQL values and the model's words; used by the families of `SqlTx`."""

from typing import Any, TypeVar

from mepassa.model.device_list import SignedDeviceList
from mepassa.model.ids import AccountId, Address, MessageId, Timestamp
from mepassa.model.route import Route
from mepassa.model.secret import SecretBytes
from mepassa.ports.stores import Contact, EventRow, MessageRow, OutboxRow, OwnAccount
from mepassa.wire.codec import Codec

ROUTE: Codec[Route] = Codec(Route, limit_bytes=1024)
SIGNED_LIST: Codec[SignedDeviceList] = Codec(SignedDeviceList, limit_bytes=8192)


MAX_CONTACTS_REMEMBERED = 64
"""Some KB each: with whom one talks today."""
MAX_SESSIONS_REMEMBERED = 64
"""2 to 3 KB each."""
MAX_SETTINGS_REMEMBERED = 64
MAX_ROWS_REMEMBERED = 8
"""Of one account in the outbox: what is brought at once is asked for three times until it is there; a pile of it waits."""
MAX_MESSAGES_REMEMBERED = 16
"""What was written last: its ticks follow within milliseconds."""

K = TypeVar("K")
V = TypeVar("V")


class Remembered:
    """What nearly every transaction reads and hardly one changes, and what was written a moment ago, as it is on disk. It
    lives as long as the connection, which is the database's only one; a transaction that fails leaves nothing in it."""

    def __init__(self) -> None:
        self.own: OwnAccount | None = None
        self.contacts = Few[AccountId, Contact](MAX_CONTACTS_REMEMBERED)
        self.sessions = Few[Address, bytes](MAX_SESSIONS_REMEMBERED)
        self.sessions_read = Few[Address, object](MAX_SESSIONS_REMEMBERED)
        self.settings = Few[str, bytes | None](MAX_SETTINGS_REMEMBERED)
        """None: there is none of that name."""
        self.messages = Few[MessageId, MessageRow](MAX_MESSAGES_REMEMBERED)
        self.outbox: dict[AccountId, dict[int, OutboxRow | None]] | None = None
        """Each account's rows by number, in order; a few with what they say. None: not looked at since the last failure."""
        self.owed: dict[AccountId, Timestamp] | None = None
        """When the first receipt of each account that is owed any is due. None: as above."""
        self.last_outbox_id = 0
        """No number is given twice, also of what was rolled back: this one is never forgotten."""

    def forget(self) -> None:
        self.own = self.outbox = self.owed = None
        for few in (self.contacts, self.sessions, self.sessions_read, self.settings, self.messages):
            few.clear()


class Few(dict[K, V]):
    """At most so many; when one more comes, the one that has been in here longest goes."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: K, value: V) -> V:
        self.pop(key, None)
        if len(self) >= self._most:
            del self[next(iter(self))]
        self[key] = value
        return value


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
