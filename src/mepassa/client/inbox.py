"""Takes envelopes from any route, one transaction each, and fetches the device lists that they make necessary."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mepassa.client.courier import Homes
from mepassa.client.outbox import Outbox
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import DeviceListForkError, DiskFullError, MepassaError, UnlistedDeviceError
from mepassa.model.ids import AccountId, Address, EnvelopeId
from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.ports.mailbox import OwnHome
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Tx
from mepassa.protocol.devices import alarm_fork, learn_list
from mepassa.protocol.inbound import Arrival, Fate, Received, receive
from mepassa.protocol.tokens import token_for

__all__ = ["Arrival", "Inbox"]

log = logging.getLogger("mepassa.inbox")

FETCH_EVERY_S = 60.0
"""One contact's list is asked for once a minute, whatever its envelopes say."""
MAX_HELD = 100
"""Envelopes of one contact that wait for a list. More are not kept here; unacknowledged, their home keeps them."""


@dataclass(slots=True)
class _Waiting:
    """One contact whose list is to be fetched, and what waits for that."""

    held: dict[EnvelopeId, tuple[SealedEnvelope, Arrival]] = field(default_factory=dict)
    last_fetch: float | None = None
    wanted: bool = False


class Inbox:
    """`receive` from any task; `run` until cancelled, for the lists."""

    def __init__(
        self,
        db: Db[Tx],
        homes: Homes,
        outbox: Outbox,
        *,
        own_home: Callable[[], OwnHome | None],
        clock: Clock,
        rng: Rng,
        on_change: Callable[[], None] = lambda: None,
        on_contacts: Callable[[], None] = lambda: None,
        on_alive: Callable[[Address], None] = lambda _device: None,
    ) -> None:
        """`on_change`: something may be new on the screen. `on_contacts`: keys, lists, tokens or states changed."""
        self._db, self._homes, self._own_home = db, homes, own_home
        self._clock, self._rng, self._outbox = clock, rng, outbox
        self._on_change, self._on_contacts, self._on_alive = on_change, on_contacts, on_alive
        self._waiting: dict[AccountId, _Waiting] = {}
        self._wanted = asyncio.Event()

    async def receive(self, envelope: SealedEnvelope, arrival: Arrival) -> bool:
        """Returns after the commit: then acknowledge, whatever the bytes were. Whether this copy delivered something.

        Raises `UnlistedDeviceError` (not to be acknowledged: the sender's device list is fetched first) or
        `DiskFullError`.
        """
        received = await self._db.run(lambda tx: receive(tx, envelope, arrival, self._clock.now_ms(), self._rng))
        self._tell(received)
        if received.fate is Fate.WAITS_FOR_LIST and received.account is not None:
            waiting = self._waiting.setdefault(received.account, _Waiting())
            if len(waiting.held) < MAX_HELD:
                waiting.held[envelope.id] = (envelope, arrival)
            raise UnlistedDeviceError
        return received.delivered

    async def run(self) -> None:
        """Fetches what is wanted; at a start, what a message has named before."""
        for contact in await self._db.run(lambda tx: tx.contacts()):
            if contact.list_wanted > contact.list_version:
                self._want(contact.account)
        while True:
            self._wanted.clear()
            for account, waiting in list(self._waiting.items()):
                if waiting.wanted and self._may_fetch(waiting):
                    try:
                        await self._fetch(account, waiting)
                    except DiskFullError:
                        waiting.wanted = True
                        log.warning("inbox.disk_full")
            wait_s = FETCH_EVERY_S if any(waiting.wanted for waiting in self._waiting.values()) else None
            try:
                async with asyncio.timeout(wait_s):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    def _tell(self, received: Received) -> None:
        if received.account is not None:
            if received.list_wanted:
                self._want(received.account)
            self._outbox.wake(received.account)
            if received.contacts_changed:
                self._on_contacts()
        if received.alive is not None:
            self._on_alive(received.alive)
        if received.fate is not Fate.SEEN_BEFORE:
            log.debug("envelope.taken", extra={"fate": received.fate.value})
            self._on_change()

    def _want(self, account: AccountId) -> None:
        self._waiting.setdefault(account, _Waiting()).wanted = True
        self._wanted.set()

    def _may_fetch(self, waiting: _Waiting) -> bool:
        return waiting.last_fetch is None or self._clock.monotonic() >= waiting.last_fetch + FETCH_EVERY_S

    async def _fetch(self, account: AccountId, waiting: _Waiting) -> None:
        waiting.last_fetch = self._clock.monotonic()
        contact = await self._db.run(lambda tx: tx.contact(account))
        if contact is None:
            del self._waiting[account]
            return
        try:
            home = self._homes.recipient(contact.home)
            fetched = await home.fetch_account(account, token_for(contact), prekeys=False)
            await self._db.run(lambda tx: _learn(tx, account, fetched.device_list))
        except DeviceListForkError:
            await self._db.run(lambda tx: alarm_fork(tx, contact))
        except MepassaError as error:
            log.info("device_list.not_fetched", extra={"error": error.code})
            return
        await self._release(account, waiting)

    async def _release(self, account: AccountId, waiting: _Waiting) -> None:
        """The list has answered: what waited is opened or dropped, and acknowledged where it came from a home."""
        waiting.wanted = False
        for envelope, arrival in list(waiting.held.values()):
            received = await self._db.run(
                lambda tx, envelope=envelope, arrival=arrival: receive(  # type: ignore[misc]
                    tx, envelope, arrival, self._clock.now_ms(), self._rng, list_is_fresh=True
                )
            )
            self._tell(received)
            waiting.held.pop(envelope.id, None)
            home = self._own_home()
            if home is not None:
                try:
                    await home.acknowledge((envelope.id,))
                except MepassaError:
                    pass  # it comes again at the next log-in, and is known then
        self._on_contacts()
        self._on_change()


def _learn(tx: Tx, account: AccountId, offered: SignedDeviceList) -> None:
    """A home that does not have the list that a message has named is asked again when the next message says so."""
    contact = tx.contact(account)
    if contact is not None:
        contact = learn_list(tx, contact, offered)
        tx.put_contact(replace(contact, list_wanted=contact.list_version))
