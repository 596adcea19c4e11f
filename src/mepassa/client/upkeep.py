"""What time brings: expiry, renewals, asking again, prekeys and tokens for the home, and what may be forgotten."""

import asyncio
import logging
from dataclasses import dataclass

from mepassa.client.outbox import Outbox
from mepassa.model.errors import DeviceListForkError, DeviceListStaleError, DiskFullError, MepassaError
from mepassa.model.ids import AccountId, Timestamp
from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.ports.mailbox import OwnHome
from mepassa.ports.rng import Rng
from mepassa.ports.stores import PrekeyKind, Tx
from mepassa.protocol.account import DAY_MS
from mepassa.protocol.delivery import expire_due, renew_due
from mepassa.protocol.devices import alarm_fork, ourselves
from mepassa.protocol.healing import ask_again
from mepassa.protocol.own_devices import LIST_UNTOLD, list_told
from mepassa.protocol.own_prekeys import pending_upload, refill, stock_up, uploaded
from mepassa.protocol.prekeys import REFILL_BELOW
from mepassa.protocol.tokens import drop_confirmed_keys, token_changes, tokens_told

log = logging.getLogger("mepassa.upkeep")

EVERY_S = 900.0
"""Between two rounds when nothing is due earlier: all that ages here is counted in hours or days."""
TRIM_EVERY_S = 24 * 3600.0
"""It reads through tables that keep no index for it."""
TELL_DEADLINE_S = 5.0
"""How long the person waits for a new invite to be known to the home."""
SEEN_KEPT_MS = 61 * DAY_MS
"""Longer than a sender certificate is valid: what could still open is still known."""
SENT_KEPT_MS = 15 * DAY_MS
"""A day longer than a home keeps an envelope."""
EVENTS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class _Round:
    """What one round found."""

    accounts: tuple[AccountId, ...]
    device_list: bool
    tokens: bool
    prekeys: bool
    next_s: float


class Upkeep:
    """`run` until cancelled. `home_ready` at each log-in, `prekeys_low` when the home says so, `wake` after commands."""

    def __init__(self, db: Db[Tx], outbox: Outbox, *, clock: Clock, rng: Rng) -> None:
        self._db, self._outbox, self._clock, self._rng = db, outbox, clock, rng
        self._home: OwnHome | None = None
        self._woken = asyncio.Event()
        self._low: set[PrekeyKind] = set()
        self._trimmed_at: float | None = None

    def wake(self) -> None:
        self._woken.set()

    def home_ready(self, home: OwnHome) -> None:
        """Logged in: what the home does not know yet is told on this connection."""
        self._home = home
        self.wake()

    def prekeys_low(self, one_time_left: int, kyber_left: int) -> None:
        if one_time_left < REFILL_BELOW:
            self._low.add(PrekeyKind.ONE_TIME)
        if kyber_left < REFILL_BELOW:
            self._low.add(PrekeyKind.KYBER_ONE_TIME)
        self.wake()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            wait_s = EVERY_S
            try:
                wait_s = await self.once()
            except DiskFullError:
                log.warning("upkeep.disk_full")
            except MepassaError as error:
                log.info("upkeep.home_away", extra={"error": error.code})
            try:
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def once(self) -> float:
        """One round; returns in how many seconds the next is due.

        Raises `DiskFullError`, or what the home's connection raises; the next round goes on from there.
        """
        low, self._low = self._low, set()
        now = self._clock.monotonic()
        trims = self._trimmed_at is None or now >= self._trimmed_at + TRIM_EVERY_S
        done = await self._db.run(lambda tx: self._age(tx, low, trims=trims))
        if trims:
            self._trimmed_at = now
        self._outbox.wake(*done.accounts)
        if self._home is not None:
            if done.device_list:
                await self._tell_list(self._home)
            if done.tokens:
                await self._tell_tokens(self._home)
            if done.prekeys:
                await self._tell_prekeys(self._home)
        return done.next_s

    def _age(self, tx: Tx, low: set[PrekeyKind], *, trims: bool) -> _Round:
        now_ms = self._clock.now_ms()
        expire_due(tx, now_ms)
        renew_due(tx, now_ms, self._rng)
        ask_again(tx, now_ms, self._rng)
        drop_confirmed_keys(tx, now_ms)
        stock_up(tx, now_ms, self._rng)
        for kind in low:
            refill(tx, kind, now_ms, self._rng)
        if trims:
            tx.trim(
                seen_before=Timestamp(now_ms - SEEN_KEPT_MS),
                sent_before=Timestamp(now_ms - SENT_KEPT_MS),
                resets_before=Timestamp(now_ms - DAY_MS),
                events_kept=EVENTS_KEPT,
            )
        asks = tx.unopened_due(Timestamp(now_ms + int(EVERY_S * 1000)))
        return _Round(
            accounts=tx.outbox_accounts(),
            device_list=tx.setting(LIST_UNTOLD) is not None,
            tokens=bool(token_changes(tx, now_ms)),
            prekeys=pending_upload(tx) is not None,
            next_s=min((max(1.0, (row.next_ask_ms - now_ms) / 1000) for row in asks), default=EVERY_S),
        )

    async def _tell_list(self, home: OwnHome) -> None:
        """Our newest list, signed here: only once the home has it a new device is let in."""
        told = await self._db.run(lambda tx: tx.own().device_list)
        try:
            await home.put_device_list(told)
        except DeviceListStaleError:
            log.warning("upkeep.list_stale")  # signed elsewhere meanwhile; that list comes by way of our other devices
        except DeviceListForkError:
            await self._db.run(lambda tx: alarm_fork(tx, ourselves(tx)))
        await self._db.run(lambda tx: list_told(tx, told))

    async def tell_tokens(self) -> bool:
        """Tell the home at once of new and ended tokens; False when it is away (it is told at the next log-in)."""
        if self._home is None:
            return False
        try:
            async with asyncio.timeout(TELL_DEADLINE_S):
                await self._tell_tokens(self._home)
        except (MepassaError, TimeoutError):
            self.wake()
            return False
        return True

    async def _tell_tokens(self, home: OwnHome) -> None:
        changes = await self._db.run(lambda tx: token_changes(tx, self._clock.now_ms()))
        if changes:
            await home.put_tokens(changes.add, changes.remove)
            await self._db.run(lambda tx: tokens_told(tx, changes))

    async def _tell_prekeys(self, home: OwnHome) -> None:
        while (upload := await self._db.run(pending_upload)) is not None:
            told = upload
            await home.put_prekeys(told)
            await self._db.run(lambda tx: uploaded(tx, told))  # noqa: B023 - run before the next round
