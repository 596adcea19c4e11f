"""Takes envelopes from any route, one transaction each; those of unlisted devices once the sender's list has come."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from mepassa.client.courier import Homes
from mepassa.client.device_lists import DeviceLists
from mepassa.client.outbox import Outbox
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import MepassaError, UnlistedDeviceError
from mepassa.model.ids import AccountId, Address, EnvelopeId
from mepassa.ports.clock import Clock
from mepassa.ports.db import BriefDb
from mepassa.ports.mailbox import OwnHome
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Tx
from mepassa.protocol.inbound import Arrival, Fate, Received, receive

__all__ = ["Arrival", "Inbox"]

log = logging.getLogger("mepassa.inbox")

MAX_HELD = 100
"""Envelopes of one contact that wait for its list, here and, not acknowledged, at our home. What comes beyond is dropped
with a note: a contact's unlisted device must not fill the mailbox with what cannot be opened."""

ANSWERS_WAITED_FOR = 3
"""Answers with no newer list, each later than the one before, until a device counts as unlisted: a home that has not heard
of a new device yet, or keeps quiet about it for a while, must not cost that device's first messages."""


@dataclass(slots=True)
class _Waiting:
    envelope: SealedEnvelope
    arrival: Arrival
    answers: int = 0
    """How often the home has answered since it came, with a list that does not name its device."""


Held = dict[EnvelopeId, _Waiting]


class Inbox:
    """`receive` from any task; `run` until cancelled, for the lists."""

    def __init__(
        self,
        db: BriefDb[Tx],
        homes: Homes,
        outbox: Outbox,
        *,
        own_home: Callable[[], OwnHome | None],
        clock: Clock,
        rng: Rng,
        on_contacts: Callable[[], None] = lambda: None,
        on_alive: Callable[[Address], None] = lambda _device: None,
    ) -> None:
        """`on_contacts`: keys, lists, tokens or states changed."""
        self._db, self._own_home = db, own_home
        self._clock, self._rng, self._outbox = clock, rng, outbox
        self._on_contacts, self._on_alive = on_contacts, on_alive
        self._held: dict[AccountId, Held] = {}
        self.lists = DeviceLists(db, homes, clock=clock, rng=rng, on_answer=self._answered)
        outbox.on_token_refused = self.lists.token_refused

    async def receive(self, envelope: SealedEnvelope, arrival: Arrival) -> bool:
        """Returns after the commit: then acknowledge, whatever the bytes were. Whether this copy delivered something.

        Raises `UnlistedDeviceError` (not to be acknowledged: the sender's device list is fetched first; `MAX_HELD` of a
        contact wait for that, more are dropped) or `DiskFullError`.
        """
        received = await self._receive(envelope, arrival)
        if received.fate is Fate.WAITS_FOR_LIST and received.account is not None:
            held = self._held.setdefault(received.account, {})
            if envelope.id in held or len(held) < MAX_HELD:
                held.setdefault(envelope.id, _Waiting(envelope, arrival))
                raise UnlistedDeviceError
            received = await self._receive(envelope, arrival, list_is_fresh=True)
        return received.delivered

    async def run(self) -> None:
        await self.lists.run()

    async def _receive(self, envelope: SealedEnvelope, arrival: Arrival, *, list_is_fresh: bool = False) -> Received:
        received = await self._look(envelope, arrival, list_is_fresh=list_is_fresh)
        asyncio.get_running_loop().call_soon(self._tell, received)  # the acknowledgement goes first: the sender waits
        return received

    async def _look(self, envelope: SealedEnvelope, arrival: Arrival, *, list_is_fresh: bool) -> Received:
        return await self._db.run_brief(
            lambda tx: receive(tx, envelope, arrival, self._clock.now_ms(), self._rng, list_is_fresh=list_is_fresh)
        )

    def _tell(self, received: Received) -> None:
        if received.account is not None:
            if received.fate is Fate.WAITS_FOR_LIST:
                self.lists.unlisted_sender(received.account)
            elif received.list_wanted:
                self.lists.named(received.account)
            self._outbox.wake(received.account)
            if received.contacts_changed:
                self._on_contacts()
        if received.alive is not None:
            self._on_alive(received.alive)
        if received.fate is not Fate.SEEN_BEFORE:
            log.debug("envelope.taken", extra={"fate": received.fate.value})

    async def _answered(self, account: AccountId, *, is_current: bool) -> bool:
        """Their home has shown its list: what that one names is opened. What `ANSWERS_WAITED_FOR` current lists have not
        named is dropped. Acknowledged where it came from a home. Returns whether something still waits."""
        held = self._held.get(account, {})
        for waiting in tuple(held.values()):
            waiting.answers += is_current
            given_up = waiting.answers >= ANSWERS_WAITED_FOR
            received = await self._look(waiting.envelope, waiting.arrival, list_is_fresh=given_up)
            if received.fate is Fate.WAITS_FOR_LIST:
                continue
            self._tell(received)
            del held[waiting.envelope.id]
            home = self._own_home()
            if home is not None:
                try:
                    await home.acknowledge((waiting.envelope.id,))
                except MepassaError:
                    pass  # it comes again at the next log-in, and is known then
        self._outbox.wake(account)
        self._on_contacts()
        return bool(held)
