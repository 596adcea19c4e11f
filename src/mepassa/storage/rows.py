"""Between SQL values and the model's words; used by the families of `SqlTx`."""

from typing import Any

from mepassa.model.device_list import SignedDeviceList
from mepassa.model.ids import AccountId, MessageId, Timestamp
from mepassa.model.route import Route
from mepassa.model.secret import SecretBytes
from mepassa.ports.stores import EventRow, MessageRow
from mepassa.wire.codec import Codec

ROUTE: Codec[Route] = Codec(Route, limit_bytes=1024)
SIGNED_LIST: Codec[SignedDeviceList] = Codec(SignedDeviceList, limit_bytes=8192)


class Rows:
    """Holds the connection of an open transaction; every family of `SqlTx` is one of these."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
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
