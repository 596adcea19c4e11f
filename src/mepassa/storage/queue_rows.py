"""What is on its way out, what must be remembered of it, and what has come in before."""

from dataclasses import replace
from typing import Any

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import AccountId, Address, EnvelopeId, MessageId, Timestamp
from mepassa.ports.stores import OutboxKind, OutboxRow, OwedReceipt, Renewal, SentRow, UnopenedRow
from mepassa.storage.rows import (
    MAX_ROWS_REMEMBERED,
    Rows,
    from_message_id,
    from_route,
    to_message_id,
    to_route,
    to_time,
)

_OUTBOX = (
    "account, device, kind, content, envelope, message_id, created_ms, expires_ms, next_try_ms, attempts, stored_only,"
    " resends, last_error, ratchet_key, sealed_ms"
)
_MARKS = ", ".join("?" for _ in _OUTBOX.split(","))
_RENEWED = ", ".join(f"{name.strip()} = ?" for name in _OUTBOX.split(","))


def _to_outbox(row: tuple[Any, ...]) -> OutboxRow:
    return OutboxRow(
        id=row[0],
        to=Address(AccountId(row[1]), row[2]),
        kind=OutboxKind(row[3]),
        content=row[4],
        envelope=SealedEnvelope(row[5]) if row[5] is not None else None,
        message_id=to_message_id(row[6]),
        created_ms=to_time(row[7]),
        expires_ms=to_time(row[8]),
        next_try_ms=to_time(row[9]),
        attempts=row[10],
        stored_only=bool(row[11]),
        resends=row[12],
        last_error=row[13],
        ratchet_key=row[14],
        sealed_ms=None if row[15] is None else to_time(row[15]),
    )


def _from_outbox(row: OutboxRow) -> tuple[object, ...]:
    return (
        row.to.account.raw,
        row.to.device,
        row.kind.value,
        row.content,
        row.envelope.raw if row.envelope is not None else None,
        from_message_id(row.message_id),
        row.created_ms,
        row.expires_ms,
        row.next_try_ms,
        row.attempts,
        row.stored_only,
        row.resends,
        row.last_error,
        row.ratchet_key,
        row.sealed_ms,
    )


class OutboxRows(Rows):
    """Whose rows there are is remembered: mostly none, and every message asks several times."""

    def append_outbox(self, row: OutboxRow) -> OutboxRow:
        row = replace(row, id=self._next_id())
        self._do(f"INSERT INTO outbox (id, {_OUTBOX}) VALUES (?, {_MARKS})", row.id, *_from_outbox(row))
        self._remember(row)
        return row

    def outbox_row(self, row_id: int) -> OutboxRow | None:
        for of_account in self._numbers().values():
            if (known := of_account.get(row_id)) is not None:
                return known
        row = self._one(f"SELECT id, {_OUTBOX} FROM outbox WHERE id = ?", row_id)
        return _to_outbox(row) if row else None

    def update_outbox(self, row: OutboxRow) -> None:
        if self._do(f"UPDATE outbox SET {_RENEWED} WHERE id = ?", *_from_outbox(row), row.id):
            self._remember(row)

    def delete_outbox(self, row_id: int) -> None:
        self._do("DELETE FROM outbox WHERE id = ?", row_id)
        numbers = self._numbers()
        for account, of_account in numbers.items():
            if row_id in of_account:
                del of_account[row_id]
                if not of_account:
                    del numbers[account]
                return

    def outbox(self, account: AccountId | None = None) -> tuple[OutboxRow, ...]:
        if account is None:
            return tuple(_to_outbox(row) for row in self._all(f"SELECT id, {_OUTBOX} FROM outbox ORDER BY id"))
        numbers = self._numbers().get(account)
        if not numbers:
            return ()
        known = tuple(row for row in numbers.values() if row is not None)
        if len(known) == len(numbers):
            return known
        rows = self._all(
            f"SELECT id, {_OUTBOX} FROM outbox WHERE id BETWEEN ? AND ? AND account = ? ORDER BY id",
            next(iter(numbers)),
            next(reversed(numbers)),
            account.raw,
        )
        found = tuple(_to_outbox(row) for row in rows)
        if len(found) <= MAX_ROWS_REMEMBERED:
            numbers.update((row.id, row) for row in found)
        return found

    def has_outbox(self, account: AccountId) -> bool:
        return account in self._numbers()

    def outbox_accounts(self) -> tuple[AccountId, ...]:
        return tuple(sorted({*self._numbers(), *self._owed()}))

    def waiting(self) -> int:
        return sum(map(len, self._numbers().values())) + len(self._owed())

    def _remember(self, row: OutboxRow) -> None:
        of_account = self._numbers().setdefault(row.to.account, {})
        known = of_account.get(row.id) is not None or len(of_account) < MAX_ROWS_REMEMBERED
        of_account[row.id] = row if known else None

    def _numbers(self) -> dict[AccountId, dict[int, OutboxRow | None]]:
        numbers = self._remembered.outbox
        if numbers is None:
            numbers = self._remembered.outbox = {}
            for row_id, account in self._all("SELECT id, account FROM outbox ORDER BY id"):
                numbers.setdefault(AccountId(account), {})[row_id] = None
        return numbers

    def _next_id(self) -> int:
        """By hand: SQLite would give a number anew once its row is gone, and a delivery may still speak of that one."""
        highest = max((next(reversed(numbers)) for numbers in self._numbers().values()), default=0)
        self._remembered.last_outbox_id = max(self._remembered.last_outbox_id, highest) + 1
        return self._remembered.last_outbox_id

    def owe_receipt(self, owed: OwedReceipt) -> None:
        self._do(
            "INSERT INTO owed_receipts (account, device, message_id, route, due_ms) VALUES (?, ?, ?, ?, ?)",
            owed.account.raw,
            owed.device,
            owed.message_id.raw,
            from_route(owed.route),
            owed.due_ms,
        )
        due = self._owed()
        due[owed.account] = min(owed.due_ms, due.get(owed.account, owed.due_ms))

    def receipts_due(self, account: AccountId) -> Timestamp | None:
        return self._owed().get(account)

    def owed_receipts(self, account: AccountId) -> tuple[OwedReceipt, ...]:
        rows = self._all(
            "SELECT device, message_id, route, due_ms FROM owed_receipts WHERE account = ? ORDER BY id", account.raw
        )
        return tuple(OwedReceipt(account, row[0], MessageId(row[1]), to_route(row[2]), to_time(row[3])) for row in rows)

    def forget_owed(self, account: AccountId | None = None) -> None:
        if account is None:
            self._do("DELETE FROM owed_receipts")
            self._owed().clear()
        elif self._owed().pop(account, None) is not None:
            self._do("DELETE FROM owed_receipts WHERE account = ?", account.raw)

    def _owed(self) -> dict[AccountId, Timestamp]:
        owed = self._remembered.owed
        if owed is None:
            rows = self._all("SELECT account, min(due_ms) FROM owed_receipts GROUP BY account")
            owed = self._remembered.owed = {AccountId(row[0]): to_time(row[1]) for row in rows}
        return owed

    def put_sent(self, row: SentRow) -> None:
        self._do(
            "INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row.id.raw,
            row.to.account.raw,
            row.to.device,
            from_message_id(row.message_id),
            row.content,
            row.ratchet_key,
            row.resends,
            row.sent_ms,
        )

    def sent(self, envelope_id: EnvelopeId) -> SentRow | None:
        row = self._one(
            "SELECT account, device, message_id, content, ratchet_key, resends, sent_ms FROM sent WHERE id = ?",
            envelope_id.raw,
        )
        if row is None:
            return None
        to = Address(AccountId(row[0]), row[1])
        return SentRow(envelope_id, to, to_message_id(row[2]), row[3], row[4], row[5], to_time(row[6]))

    def forget_sent(self, to: Address, message_id: MessageId | None = None) -> None:
        sql, device = "DELETE FROM sent WHERE account = ? AND device = ?", (to.account.raw, to.device)
        if message_id is None:
            self._do(sql, *device)
        else:
            self._do(f"{sql} AND message_id = ?", *device, message_id.raw)

    def put_renewal(self, renewal: Renewal) -> None:
        self._do(
            "INSERT OR REPLACE INTO renewals (account, message_id, content, next_ms, confirmed) VALUES (?, ?, ?, ?, ?)",
            renewal.account.raw,
            renewal.message_id.raw,
            renewal.content,
            renewal.next_ms,
            bytes(renewal.confirmed),
        )

    def renewals(self, account: AccountId | None = None) -> tuple[Renewal, ...]:
        rows = self._all("SELECT account, message_id, content, next_ms, confirmed FROM renewals ORDER BY rowid")
        return tuple(
            Renewal(AccountId(row[0]), MessageId(row[1]), row[2], to_time(row[3]), tuple(row[4]))
            for row in rows
            if account is None or row[0] == account.raw
        )

    def delete_renewal(self, account: AccountId, message_id: MessageId) -> None:
        self._do("DELETE FROM renewals WHERE account = ? AND message_id = ?", account.raw, message_id.raw)


class InboxRows(Rows):
    def seen(self, envelope_id: EnvelopeId) -> bool:
        return self._one("SELECT 1 FROM seen WHERE id = ?", envelope_id.raw) is not None

    def put_seen(self, envelope_id: EnvelopeId, now_ms: Timestamp) -> None:
        self._do("INSERT OR IGNORE INTO seen VALUES (?, ?)", envelope_id.raw, now_ms)

    def put_unopened(self, row: UnopenedRow) -> None:
        self._do(
            "INSERT OR REPLACE INTO unopened VALUES (?, ?, ?, ?, ?, ?, ?)",
            row.id.raw,
            row.sender.account.raw,
            row.sender.device,
            row.ratchet_key,
            row.failed_at_ms,
            row.asked,
            row.next_ask_ms,
        )

    def unopened(self, envelope_id: EnvelopeId) -> UnopenedRow | None:
        rows = self._unopened("id = ?", envelope_id.raw)
        return rows[0] if rows else None

    def unopened_due(self, now_ms: Timestamp) -> tuple[UnopenedRow, ...]:
        return self._unopened("next_ask_ms <= ?", now_ms)

    def _unopened(self, where: str, value: object) -> tuple[UnopenedRow, ...]:
        rows = self._all(
            "SELECT id, account, device, ratchet_key, failed_at_ms, asked, next_ask_ms FROM unopened"
            f" WHERE {where} ORDER BY rowid",
            value,
        )
        return tuple(
            UnopenedRow(
                EnvelopeId(row[0]), Address(AccountId(row[1]), row[2]), row[3], to_time(row[4]), row[5], to_time(row[6])
            )
            for row in rows
        )

    def delete_unopened(self, envelope_id: EnvelopeId) -> None:
        self._do("DELETE FROM unopened WHERE id = ?", envelope_id.raw)


class TrimRows(Rows):
    def trim(
        self, *, seen_before: Timestamp, sent_before: Timestamp, resets_before: Timestamp, events_kept: int
    ) -> None:
        self._do("DELETE FROM seen WHERE seen_ms < ?", seen_before)
        self._do("DELETE FROM sent WHERE sent_ms < ?", sent_before)
        self._do("DELETE FROM unopened WHERE failed_at_ms < ?", sent_before)
        self._do("DELETE FROM resets WHERE at_ms < ?", resets_before)
        # The newest stays whatever is asked: its number is what the next one is above.
        self._do("DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - ?", max(1, events_kept))
