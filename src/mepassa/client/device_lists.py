"""Fetches contacts' device lists where something names a newer one (docs/protocol/identity.md, "Device list")."""

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from mepassa.client.courier import Homes
from mepassa.model.errors import DiskFullError, MepassaError, RemoteError, TokenRefusedError
from mepassa.model.ids import AccountId
from mepassa.model.status import ChatState
from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.ports.mailbox import FetchedAccount, RecipientHome
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Tx
from mepassa.protocol.alarms import Alarm, raise_alarm_once
from mepassa.protocol.devices import counterpart, is_disputed, learn_answered, ourselves, wants_list
from mepassa.protocol.tokens import token_for

log = logging.getLogger("mepassa.device_lists")

FETCH_EVERY_S = 60.0
"""One contact's list is asked for once a minute at most, whatever its envelopes say…"""
LONGEST_PAUSE_S = 3600.0
"""…and half as often after each answer that does not help, down to once an hour: a list that is held back costs no more."""
WITHHELD_AFTER = 3
"""Answers without the list, in a row, before the person is told: two may be a home that has not heard of it yet."""
LOOKED_AT_EVERY_S = 24 * 3600.0
"""A contact whose devices are all lost cannot tell us so: who they are now is asked for once a day without any reason…"""
LOOKED_AT_FIRST_S = 3600.0
"""…and within an hour after a start, at a random moment: a list of all contacts at once would show them to an observer."""
FETCHES_AT_ONCE = 8
"""Homes that are asked at the same time: one that answers slowly keeps nobody else's list from coming."""


class _Answer(Enum):
    CURRENT = auto()
    """The list is at least as new as any that we know of, or nobody needs it any more."""
    OUTDATED = auto()
    """The home answered, but not with that list."""
    NONE = auto()
    """The home is away."""


@dataclass(slots=True)
class _Asking:
    """One contact. `due`: when its home is asked next, monotonic; None: not at all."""

    due: float | None = None
    asked_at: float | None = None
    routine: bool = False
    """What is due is the daily look: an answer with nothing new is fine."""
    by_work: bool = False
    """The last time it was asked for by work, which is not done again within an hour, whatever messages name."""
    running: bool = False
    tries: int = 0
    outdated: int = 0


class OnAnswer(Protocol):
    """Awaited after each answer; `is_current`: it is at least as new as what we know of. True: ask again before long."""

    async def __call__(self, account: AccountId, *, is_current: bool) -> bool: ...


class DeviceLists:
    """`run` until cancelled."""

    def __init__(self, db: Db[Tx], homes: Homes, *, clock: Clock, rng: Rng, on_answer: OnAnswer) -> None:
        self._db, self._homes, self._clock, self._rng, self._on_answer = db, homes, clock, rng, on_answer
        self._asking: dict[AccountId, _Asking] = {}
        self._changed = asyncio.Event()

    def named(self, account: AccountId) -> None:
        """A message has named a list that we do not have. Nothing new where its home is being asked for one already."""
        asking = self._of(account)
        if asking.due is None or asking.routine:
            self._ask_at(asking, self._clock.monotonic())

    def token_refused(self, account: AccountId) -> None:
        """Its home does not let us in any more, as when the account was recovered. Asked once an hour for that."""
        asking, now = self._of(account), self._clock.monotonic()
        if asking.due is None or asking.routine:
            self._ask_at(asking, now if asking.asked_at is None else max(now, asking.asked_at + LONGEST_PAUSE_S))

    def unlisted_sender(self, account: AccountId) -> None:
        """A device that this account certifies, and our list does not name, has sent something: ask soon."""
        self._ask_at(self._of(account), self._clock.monotonic())

    def unlisted_hello(self, account: AccountId) -> None:
        """Somebody says to be such a device and can't prove it yet.

        Asked within a minute, at a random moment: a stranger who says hello in a contact's name and watches that contact's
        home must not see by the very next request that we know each other. Who says hello again draws no second time, and
        does not shorten a pause.
        """
        asking = self._of(account)
        if asking.due is None or asking.routine:
            self._ask_at(asking, self._clock.monotonic() + self._rng.uniform(0, FETCH_EVERY_S))

    async def run(self) -> None:
        """At a start, what messages have named before is asked for first."""
        for account in await self._db.run(_named_before):
            self.named(account)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._enrol_contacts())
            while True:
                self._changed.clear()
                wait_s = self._begin_due(tasks)
                try:
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()
                except TimeoutError:
                    pass

    async def _enrol_contacts(self) -> None:
        """Whoever has become a contact is looked at within an hour from then on."""
        while True:
            for contact in await self._db.run(lambda tx: tx.contacts()):
                if contact.state is ChatState.ACCEPTED:
                    self._look_later(self._of(contact.account), self._rng.uniform(0, LOOKED_AT_FIRST_S))
            await asyncio.sleep(LOOKED_AT_FIRST_S)

    def _begin_due(self, tasks: asyncio.TaskGroup) -> float | None:
        """Ask whoever is due, the longest due first. Returns in how many seconds there is something to do again."""
        now = self._clock.monotonic()
        running = sum(asking.running for asking in self._asking.values())
        waiting = sorted(
            (asking.due, account.raw, account, asking)
            for account, asking in self._asking.items()
            if asking.due is not None and not asking.running
        )
        for due, _, account, asking in waiting:
            if running >= FETCHES_AT_ONCE:
                return None  # whoever ends makes room, and says so
            if due > now:
                return due - now
            asking.running = True
            running += 1
            tasks.create_task(self._ask(account, asking))
        return None

    def _of(self, account: AccountId) -> _Asking:
        return self._asking.setdefault(account, _Asking())

    def _ask_at(self, asking: _Asking, at: float) -> None:
        """Not later than `at`, but never twice a minute, and by work never twice an hour."""
        if asking.asked_at is not None:
            at = max(at, asking.asked_at + (LONGEST_PAUSE_S if asking.by_work else FETCH_EVERY_S))
        if asking.due is None or asking.routine or at < asking.due:
            asking.due, asking.routine = at, False
            self._changed.set()

    def _look_later(self, asking: _Asking, wait_s: float) -> None:
        if asking.due is None:
            asking.due, asking.routine = self._clock.monotonic() + wait_s, True
            self._changed.set()

    async def _ask(self, account: AccountId, asking: _Asking) -> None:
        asking.due, asking.asked_at = None, self._clock.monotonic()
        routine, asking.routine = asking.routine, False
        try:
            answer = await self._fetch(account, asking)
            is_current = answer is _Answer.CURRENT
            if is_current:
                asking.outdated = 0
            elif answer is _Answer.OUTDATED and not routine:
                asking.outdated += 1
                if asking.outdated == WITHHELD_AFTER:
                    await self._db.run(lambda tx: _alarm_withheld(tx, account))
            waits = answer is not _Answer.NONE and await self._on_answer(account, is_current=is_current)
            if not waits and (is_current or routine):
                if is_current:
                    asking.tries = 0
                self._look_later(asking, self._rng.uniform(0.5, 1.0) * LOOKED_AT_EVERY_S)
                return
        except DiskFullError:
            log.warning("device_lists.disk_full")
        finally:
            asking.running = False
            self._changed.set()
        self._ask_at(asking, asking.asked_at + min(FETCH_EVERY_S * 2**asking.tries, LONGEST_PAUSE_S))
        asking.tries = min(asking.tries + 1, 16)

    async def _fetch(self, account: AccountId, asking: _Asking) -> _Answer:
        contact = await self._db.run(lambda tx: counterpart(tx, account))
        if contact is None or contact.state not in {ChatState.ACCEPTED, ChatState.REQUESTED}:
            return _Answer.CURRENT
        asking.by_work = False
        try:
            home = self._homes.recipient(contact.home)
            fetched = await _fetch_by_token(home, account, token_for(contact))
            if fetched is None:
                asking.by_work = True
                fetched = await home.fetch_account(account, None, prekeys=False)
            current = await self._db.run(lambda tx: learn_answered(tx, account, fetched.device_list))
        except DiskFullError:
            raise
        except MepassaError as error:
            log.info("device_list.not_fetched", extra={"error": error.code})
            return _Answer.OUTDATED if isinstance(error, RemoteError) else _Answer.NONE
        return _Answer.CURRENT if current else _Answer.OUTDATED


def _named_before(tx: Tx) -> list[AccountId]:
    known = (*tx.contacts(), ourselves(tx))
    return [contact.account for contact in known if wants_list(contact) or is_disputed(tx, contact)]


def _alarm_withheld(tx: Tx, account: AccountId) -> None:
    """Our own list is told by our own devices as well, and no home can hold that back."""
    contact = tx.contact(account)
    if contact is not None:
        raise_alarm_once(tx, Alarm.LIST_WITHHELD, contact)


async def _fetch_by_token(home: RecipientHome, account: AccountId, token: bytes | None) -> FetchedAccount | None:
    """None: there is none, or it is good no more. Whoever has recovered their account cannot tell us the new one."""
    if token is None:
        return None
    try:
        return await home.fetch_account(account, token, prekeys=False)
    except TokenRefusedError:
        return None
