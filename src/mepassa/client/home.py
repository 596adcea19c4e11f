"""The connection to our own home: what comes through it, and what the rest of the node is told of it."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mepassa.client.courier import stored_route
from mepassa.client.inbox import Arrival, Inbox
from mepassa.client.outbox import Outbox
from mepassa.client.paths.service import PathService
from mepassa.client.upkeep import Upkeep
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import ClockWrongError, DeviceRemovedError, DiskFullError, MepassaError
from mepassa.model.ids import Address
from mepassa.ports.clock import SystemClock
from mepassa.ports.db import Db
from mepassa.ports.mailbox import HomeAddress, OwnHome, RunCounter, TurnCredentials
from mepassa.ports.stores import EventKind, Tx
from mepassa.transports.mailbox import MailboxOwnHome, fetch_well_known

log = logging.getLogger("mepassa.home")

CLOCK_TOLERANCE_S = 60.0
"""Beyond this the person is told: signals are refused at ten minutes, certificates and receipts carry the time."""
CLOCK_LOOK_EVERY_S = 60.0
"""How often a clock that is wrong is looked at again."""
FULL_DISK_PAUSE_S = 5.0
"""Between two tries to keep what the home delivers."""


@dataclass
class HomeState:
    """What `/me`, `/health` and the page say of the home."""

    address: HomeAddress
    connected: bool = False
    clock_offset_s: float = 0.0
    turn: TurnCredentials | None = None
    is_removed: bool = False
    """This device is not one of its account's any more."""
    trouble: Callable[[], MepassaError | None] = lambda: None
    """Why there is no log-in now, as the connection knows it."""

    @property
    def error(self) -> MepassaError | None:
        """None while connected, and before the first try has ended."""
        if self.is_removed:
            return DeviceRemovedError()
        return None if self.connected else self.trouble()

    @property
    def clock_error(self) -> ClockWrongError | None:
        """The clock's fault, when the home's date was last seen too far from ours."""
        wrong = abs(self.clock_offset_s) > CLOCK_TOLERANCE_S
        return ClockWrongError(self.clock_offset_s) if wrong else None


@dataclass(frozen=True, slots=True)
class Login:
    """What a log-in needs of the account (`transports.mailbox.HomeLogin`)."""

    own: Address
    runs: RunCounter
    sign: Callable[[bytes], bytes]


class HomeService:
    """The `OwnHomeHandler`: passes envelopes and signals on, and wakes whoever waited for the home."""

    def __init__(
        self,
        state: HomeState,
        db: Db[Tx],
        outbox: Outbox,
        paths: PathService,
        upkeep: Upkeep,
        *,
        insecure_home: bool,
    ) -> None:
        self.state, self._db, self._outbox, self._paths, self._upkeep = state, db, outbox, paths, upkeep
        self._insecure_home = insecure_home
        self._connection: MailboxOwnHome | None = None
        self._inbox: Inbox | None = None
        self.on_document: Callable[[tuple[str, ...]], Awaitable[None]] | None = None
        """Hears which DHT nodes the home lists, whenever its document was read."""
        self._asked = asyncio.Event()

    def attach(self, connection: MailboxOwnHome, inbox: Inbox) -> None:
        """The two that need us to be made first."""
        self._connection, self._inbox = connection, inbox
        self.state.trouble = lambda: connection.trouble

    def own_home(self) -> OwnHome | None:
        """The logged-in connection, or None while the home is away."""
        return self._connection if self.state.connected else None

    async def envelope_delivered(self, envelope: SealedEnvelope) -> None:
        if self._inbox is None:
            raise RuntimeError("attach() comes first")
        arrival = Arrival(stored_route(self.state.address))
        while True:
            try:
                await self._inbox.receive(envelope, arrival)
            except DiskFullError:
                # What is not acknowledged comes again only at the next log-in, so this one is held until there is room;
                # the rest waits behind it at the home, which gets no credit meanwhile.
                log.warning("home.disk_full")
                await asyncio.sleep(FULL_DISK_PAUSE_S)
            else:
                return

    async def signal_received(self, sealed: SealedEnvelope) -> None:
        await self._paths.signal_received(sealed)

    async def prekeys_low(self, one_time_left: int, kyber_left: int) -> None:
        log.info("home.prekeys_low", extra={"one_time_left": one_time_left, "kyber_left": kyber_left})
        self._upkeep.prekeys_low(one_time_left, kyber_left)

    async def logged_in(self, turn: TurnCredentials | None) -> None:
        self.state.connected, self.state.turn = True, turn
        log.info("home.logged_in")
        if self._connection is not None:
            self.state.clock_offset_s = self._connection.clock_offset_s or 0.0
            self._upkeep.home_ready(self._connection)
        self._asked.set()
        self._outbox.retry_now()
        self._paths.home_returned()
        await self._tell()

    async def logged_out(self, reason: str) -> None:
        was_connected, self.state.connected = self.state.connected, False
        log.info("home.logged_out", extra={"reason": reason})
        if was_connected:
            await self._tell()

    async def _tell(self) -> None:
        with contextlib.suppress(DiskFullError):  # the state is told all the same, to whoever asks
            await self._db.run(lambda tx: tx.append_event(EventKind.HOME))

    async def run(self) -> None:
        """Until cancelled: after each log-in the home's signed document is read, and again while the clock is wrong."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOCK_LOOK_EVERY_S if self.state.clock_error else None):
                    await self._asked.wait()
            self._asked.clear()
            with contextlib.suppress(MepassaError):
                await self.look_at_home()

    async def check_clock(self) -> None:
        """Raises `ClockWrongError`, after a fresh look: the person may have set it right meanwhile."""
        if self.state.clock_error is not None:
            with contextlib.suppress(MepassaError):
                await self.look_at_home()
        if (error := self.state.clock_error) is not None:
            raise error

    async def look_at_home(self) -> float:
        """Ask the home for its document now; gives our clock's offset in seconds. Raises what asking raises."""
        found = await fetch_well_known(
            self.state.address.url,
            expected_key=self.state.address.key,
            clock=SystemClock(),
            insecure_home=self._insecure_home,
        )
        self.state.clock_offset_s = found.clock_offset_s or 0.0
        if self.on_document is not None:
            await self.on_document(found.document.bootstrap)
        return self.state.clock_offset_s
