"""Owns what waits to be sent, from the commit that made it to the report that ends it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar, assert_never

from mepassa.client.courier import (
    Courier,
    DepositCourier,
    Homes,
    OutboxItem,
    Outcome,
    Refused,
    Report,
    Sent,
    Stored,
)
from mepassa.model.errors import (
    BusyError,
    DeviceListForkError,
    DiskFullError,
    MepassaError,
    TokenRefusedError,
    TooLargeError,
)
from mepassa.model.ids import AccountId, Address
from mepassa.ports.clock import Clock
from mepassa.ports.db import BriefDb
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Contact, OutboxKind, OutboxRow, Tx
from mepassa.protocol import delivery
from mepassa.protocol.delivery import Ready
from mepassa.protocol.devices import alarm_fork
from mepassa.protocol.status import StatusEvent
from mepassa.protocol.tokens import token_for

__all__ = [
    "Courier",
    "DepositCourier",
    "Homes",
    "Look",
    "Outbox",
    "OutboxItem",
    "OutboxKind",
    "Outcome",
    "Refused",
    "Report",
    "Sent",
    "Stored",
]

T = TypeVar("T")
log = logging.getLogger("mepassa.outbox")

FULL_DISK_PAUSE_S = 5.0
"""Nothing can be recorded while the disk is full; so nothing is sent either, and it is looked at again."""
TOO_LARGE_PAUSE_S = 60.0
"""Nothing should be, and if something is, it holds up its own account alone."""


@dataclass(slots=True)
class _Lane:
    """One account's queue and the task that works on it."""

    account: AccountId
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    in_flight: set[int] = field(default_factory=set)
    deliveries: set["asyncio.Task[None]"] = field(default_factory=set)
    fetching: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at an account's rows has made ready, and when that was."""

    account: AccountId
    ready: Ready | None
    copies: AccountId | None
    """Our own account, when something waits for our other devices."""
    decisions: int
    """How many blocks had been decided."""


class Outbox:
    """`run` until cancelled. `wake` after any commit that may have put something into the outbox."""

    def __init__(
        self,
        db: BriefDb[Tx],
        homes: Homes,
        courier: Courier,
        *,
        clock: Clock,
        rng: Rng,
    ) -> None:
        self._db, self._homes, self._courier = db, homes, courier
        self._clock, self._rng = clock, rng
        self.on_contacts: Callable[[], None] = lambda: None
        """A newer device list may have come with prekeys. Set where everybody has been made."""
        self._lanes: dict[AccountId, _Lane] = {}
        self._held: list[AccountId] = []
        """Whom a block is being committed of."""
        self._decisions = 0
        """Blocks that have been committed, or have failed. What an earlier look made ready does not leave then, whichever
        of the two commits is heard of first: it is looked at again."""
        self._tasks: asyncio.TaskGroup | None = None
        self.on_token_refused: Callable[[AccountId], None] = lambda _account: None
        """A home does not let us in any more: its account may be another one's devices now."""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as self._tasks:
            try:
                self.wake(*await self._db.run(lambda tx: tx.outbox_accounts()))
                await asyncio.Event().wait()
            finally:
                self._tasks = None  # before the group ends its tasks: what is woken in between would never end
                self._lanes.clear()

    def wake(self, *accounts: AccountId) -> None:
        """Look at these accounts' rows now. Before `run` this does nothing: it begins by looking at all."""
        if self._tasks is None:
            return
        for account in accounts:
            self._lane(self._tasks, account).woken.set()

    def look(self, tx: Tx, account: AccountId) -> Look:
        """Seal what is due, in the transaction that made it or in one of its own; `send` what comes of it."""
        ready = delivery.prepare(tx, account, self._clock.now_ms(), self._rng)
        return Look(account, ready, delivery.copies_wait(tx), self._decisions)

    def send(self, look: Look) -> None:
        """What a commit has just sealed leaves at once, without another look at the database."""
        if self._tasks is None:
            return
        if look.copies is not None:
            self.wake(look.copies)
        if look.ready is None:
            return
        lane = self._lane(self._tasks, look.account)
        self._begin(lane, look)
        if look.ready.next_try_ms is not None or not look.ready.rows:
            lane.woken.set()

    @contextmanager
    def hold(self, account: AccountId) -> Iterator[None]:
        """While a block is committed: nothing leaves for that account, and what is on its way is called back."""
        self._held.append(account)
        lane = self._lanes.get(account)
        for bringing in tuple(lane.deliveries) if lane is not None else ():
            bringing.cancel()
        try:
            yield
        finally:
            self._held.remove(account)
            self._decisions += 1
            self.wake(account)

    def _lane(self, tasks: asyncio.TaskGroup, account: AccountId) -> _Lane:
        lane = self._lanes.get(account)
        if lane is None:
            lane = self._lanes[account] = _Lane(account)
            tasks.create_task(self._work(lane))
        return lane

    def retry_now(self) -> None:
        """The network or a home came back: what waits for its next try is due at once."""
        if self._tasks is not None:
            self._tasks.create_task(self._retry_all())

    def send_by_server(self, account: AccountId, rows: tuple[int, ...]) -> None:
        """These rows are to be offered again although a call for them may be running."""
        if (lane := self._lanes.get(account)) is not None:
            lane.in_flight.difference_update(rows)
        self.wake(account)

    async def _retry_all(self) -> None:
        now_ms = self._clock.now_ms()
        self.wake(*(await self._commit(lambda tx: delivery.retry_all(tx, now_ms)) or ()))

    async def _work(self, lane: _Lane) -> None:
        wait_s: float | None = None
        while True:
            try:
                async with asyncio.timeout(wait_s):
                    await lane.woken.wait()
            except TimeoutError:
                pass
            lane.woken.clear()
            try:
                look = await self._db.run_brief(lambda tx: self.look(tx, lane.account))
            except DiskFullError:
                log.warning("outbox.disk_full")
                wait_s = FULL_DISK_PAUSE_S
                continue
            except TooLargeError:
                log.error("outbox.too_large", extra={"account": lane.account.short()})  # noqa: TRY400 - no user data
                wait_s = TOO_LARGE_PAUSE_S
                continue
            if look.copies is not None and look.copies != lane.account:
                self.wake(look.copies)
            self._begin(lane, look)
            next_try_ms = look.ready.next_try_ms if look.ready is not None else None
            if next_try_ms is None and not lane.in_flight and not lane.fetching and not lane.woken.is_set():
                self._lanes.pop(lane.account, None)
                return
            wait_s = None if next_try_ms is None else max(0.0, (next_try_ms - self._clock.now_ms()) / 1000)

    def _begin(self, lane: _Lane, look: Look) -> None:
        ready = look.ready
        if self._tasks is None or ready is None or lane.account in self._held:
            return
        if look.decisions != self._decisions:
            lane.woken.set()
            return
        if ready.lacks_session and not lane.fetching:
            lane.fetching = True
            self._tasks.create_task(self._fetch(lane, ready.contact, ready.lacking))
        by_device: dict[Address, list[OutboxItem]] = {}
        for row in ready.rows:
            if row.id not in lane.in_flight:
                by_device.setdefault(row.to, []).append(_item(ready.contact, row))
        for to, items in by_device.items():
            lane.in_flight.update(item.row_id for item in items)
            reported: set[int] = set()
            delivered = asyncio.ensure_future(self._courier.deliver(to, tuple(items), self._reporter(reported)))
            bringing = self._tasks.create_task(self._settle(delivered, tuple(items), reported))
            lane.deliveries.add(bringing)
            bringing.add_done_callback(partial(_delivered, lane, items, delivered))

    def _reporter(self, reported: set[int]) -> Report:
        async def report(item: OutboxItem, outcome: Outcome) -> None:
            reported.add(item.row_id)
            await self._record(item, outcome)

        return report

    async def _settle(self, delivered: Awaitable[None], items: tuple[OutboxItem, ...], reported: set[int]) -> None:
        await delivered
        for item in items:
            if item.row_id not in reported:
                await self._record(item, Refused(MepassaError()))

    async def _record(self, item: OutboxItem, outcome: Outcome) -> None:
        now_ms, error = self._clock.now_ms(), ""

        def taken(event: StatusEvent, taken_by: Sent | Stored) -> Callable[[Tx], None]:
            return lambda tx: delivery.record_taken(
                tx, item.row_id, item.envelope.id, item.to, item.message_id, event, taken_by.route
            )

        match outcome:
            case Sent():
                event = StatusEvent.OPENED_ON_PATH if outcome.opened else StatusEvent.SENT_ON_PATH
                await self._commit(taken(event, outcome), brief=True)
            case Stored():
                await self._commit(taken(StatusEvent.DEPOSIT_SYNCED, outcome), brief=True)
            case Refused(error=failed, retry_after_s=after_s):
                error = failed.code
                await self._commit(
                    lambda tx: delivery.record_refused(tx, item.row_id, failed.code, after_s, now_ms, self._rng)
                )
            case _:
                assert_never(outcome)
        if error == TokenRefusedError.__name__:
            self.on_token_refused(item.to.account)
        if error:
            log.info("outbox.refused", extra={"error": error, "attempt": item.attempts + 1})

    async def _fetch(self, lane: _Lane, contact: Contact, devices: tuple[int, ...]) -> None:
        """Prekeys for the devices that we have no session with; what still waits afterwards is put off."""
        error: MepassaError | None = None
        try:
            home = self._homes.recipient(contact.home)
            fetched = await home.fetch_account(contact.account, token_for(contact), devices=devices)
            await self._commit(
                lambda tx: delivery.start_sessions(tx, contact.account, fetched, self._clock.now_ms(), self._rng)
            )
            if fetched.device_list != contact.device_list:
                self.on_contacts()
        except MepassaError as failed:
            log.info("outbox.no_prekeys", extra={"error": failed.code})
            error = failed
        if isinstance(error, DeviceListForkError):
            await self._commit(lambda tx: alarm_fork(tx, contact))
        if isinstance(error, TokenRefusedError):
            self.on_token_refused(contact.account)
        name = error.code if error is not None else "NoPrekeysError"
        after_s = error.retry_after_s if isinstance(error, BusyError) else None
        await self._commit(
            lambda tx: delivery.put_off_unsealed(tx, contact.account, name, after_s, self._clock.now_ms(), self._rng)
        )
        lane.fetching = False
        lane.woken.set()

    async def _commit(self, work: Callable[[Tx], T], *, brief: bool = False) -> T | None:
        """None when the disk is full: nothing was changed, the row stands, and the same is tried again later."""
        try:
            return await (self._db.run_brief(work) if brief else self._db.run(work))
        except DiskFullError:
            log.warning("outbox.disk_full")
            await asyncio.sleep(FULL_DISK_PAUSE_S)
            return None


def _delivered(
    lane: _Lane, items: list[OutboxItem], delivered: "asyncio.Future[None]", bringing: "asyncio.Task[None]"
) -> None:
    """However it ended, also by being called back before it began: then the courier is told here, and the rows are free."""
    delivered.cancel()
    lane.deliveries.discard(bringing)
    lane.in_flight.difference_update(item.row_id for item in items)
    lane.woken.set()


def _item(contact: Contact, row: OutboxRow) -> OutboxItem:
    assert row.envelope is not None
    answered = contact.profile_key is not None
    return OutboxItem(
        row_id=row.id,
        to=row.to,
        kind=OutboxKind.TEXT if row.kind is OutboxKind.REQUEST and answered else row.kind,
        envelope=row.envelope,
        message_id=row.message_id,
        policy=contact.policy,
        home=contact.home,
        token=token_for(contact),
        composed_at_ms=row.created_ms,
        attempts=row.attempts,
        stored_only=row.stored_only,
    )
