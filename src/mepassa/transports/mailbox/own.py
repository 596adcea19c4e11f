"""The connection to our own home: logged in, delivering, `ports.mailbox.OwnHome` (docs/protocol/home.md, "Log-in")."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Protocol

from mepassa.identity import auth_message
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import HomeUnreachableError, MalformedError, MepassaError
from mepassa.model.ids import Address, EnvelopeId
from mepassa.model.prekeys import PrekeyUpload
from mepassa.model.secret import SecretBytes
from mepassa.ports.clock import Clock
from mepassa.ports.mailbox import HomeAddress, OwnHomeHandler, RunCounter, TokenRecord, TurnCredentials
from mepassa.ports.rng import Rng
from mepassa.transports.mailbox.channel import CONNECT_DEADLINE_S, Channel, Greeting, greet
from mepassa.transports.mailbox.errors import LoginRefusedError, error_of, expect
from mepassa.transports.mailbox.sockets import DialHome
from mepassa.wire.mailbox import (
    DELIVERY_WINDOW_BYTES,
    MAX_ACKNOWLEDGED,
    RECORD_OVERHEAD_BYTES,
    Acknowledge,
    AskTurn,
    Auth,
    Bye,
    Credit,
    Deliver,
    DeliverSignal,
    Done,
    LoggedIn,
    MailboxToDevice,
    MailboxToHome,
    PrekeysLow,
    PutDeviceList,
    PutPrekeys,
    PutTokens,
    Refused,
    RolledBack,
    RunRisen,
    TokenEntry,
    TokenRight,
    Turn,
    TurnGiven,
    decode_mailbox_to_device,
    encode_mailbox_to_home,
)
from mepassa.wire.wellknown import MAILBOX_PATH

log = logging.getLogger(__name__)

BACKOFF_S = (1.0, 15.0)
"""Full-jitter wait before dialling again: from the first failure to the longest."""
RUN_INTERVAL_S = 600.0
"""How often the run counter rises while logged in."""
ROLLED_BACK_DEADLINE_S = 25.0
"""How long the log-in may wait for a roll-back to be dealt with; the home waits a little longer."""
SIGNALS_WAITING = 64
"""Signals kept for a handler that is busy; past that they are dropped, as a signal may be."""
MAX_UNTAKEN_BYTES = 2 * DELIVERY_WINDOW_BYTES
"""What may wait for our handler: the window that the home was given, one envelope over it, and room to spare."""
MAX_UNTAKEN = 32_768
"""The same in records: the window full of the smallest envelopes twice over."""
PREKEYS_LOW = 25
"""Below this many one-time prekeys of a kind the device makes more."""

_Channel = Channel[MailboxToHome, MailboxToDevice]


class HomeLogin(Protocol):
    """What a log-in needs of the account."""

    @property
    def own(self) -> Address: ...

    @property
    def runs(self) -> RunCounter: ...

    def sign(self, message: bytes) -> bytes:
        """XEdDSA by the device key over `message`, which begins with its context string. 64 bytes."""
        ...


class MailboxOwnHome:
    """`run` keeps one logged-in connection for as long as it runs; the other calls use it while it stands."""

    def __init__(
        self, dial: DialHome, home: HomeAddress, login: HomeLogin, handler: OwnHomeHandler, *, clock: Clock, rng: Rng
    ) -> None:
        self._dial, self._home, self._login, self._handler = dial, home, login, handler
        self._clock, self._rng = clock, rng
        self._channel: _Channel | None = None
        self._counter: int | None = None
        self._again = asyncio.Event()
        self._acknowledged: list[EnvelopeId] = []
        self._credit_bytes = self._untaken_bytes = 0
        self.turn: TurnCredentials | None = None
        """Fresh while logged in; the last ones after."""
        self.clock_offset_s: float | None = None
        """Own wall clock minus the home's, as its last signed hello said."""
        self.trouble: MepassaError | None = None
        """Why there is no log-in now; None while there is one, and before the first try."""

    @property
    def logged_in(self) -> bool:
        return self._channel is not None and not self._channel.closed

    def wake(self) -> None:
        """Try now: the network came back, or somebody asks."""
        self._again.set()

    # --- the port -------------------------------------------------------------------------------------------------

    async def acknowledge(self, ids: tuple[EnvelopeId, ...]) -> None:
        channel = self._live()
        for start in range(0, len(ids), MAX_ACKNOWLEDGED):
            channel.send(Acknowledge(ids[start : start + MAX_ACKNOWLEDGED]))

    async def put_tokens(self, add: tuple[TokenRecord, ...], remove: tuple[bytes, ...] = ()) -> None:
        entries = tuple(TokenEntry(record.sha256, TokenRight(record.rights), record.expires_at_ms) for record in add)
        await self._request(lambda number: PutTokens(number, entries, remove))

    async def put_device_list(self, signed: SignedDeviceList) -> None:
        """Also raises `DeviceListStaleError`, `DeviceListForkError` and `SignatureError`."""
        await self._request(lambda number: PutDeviceList(number, signed))

    async def put_prekeys(self, upload: PrekeyUpload) -> None:
        await self._request(lambda number: PutPrekeys(number, upload))

    def _live(self) -> _Channel:
        if self._channel is None or self._channel.closed:
            raise HomeUnreachableError
        return self._channel

    async def _request(self, make: Callable[[int], MailboxToHome]) -> None:
        expect(await self._live().ask(make), Done)

    # --- the connection -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: connect, log in, deliver, and again after a wait."""
        failures = 0
        while True:
            was_in, reason = await self._once()
            failures = 0 if was_in else failures + 1
            if was_in:
                await self._handler.logged_out(reason)
            low, high = BACKOFF_S
            wait_s = self._rng.uniform(0.0, min(high, low * 2 ** min(failures, 10)))
            self._again.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._again.wait()
            except TimeoutError:
                pass

    async def _once(self) -> tuple[bool, str]:
        """One connection from dialling to its end: whether it was logged in, and the sentence why it ended."""
        channel: _Channel | None = None
        try:
            stream = await self._dial(self._home.url, MAILBOX_PATH)
            channel = Channel(stream, encode_mailbox_to_home, decode_mailbox_to_device)
            entered = await self._enter(channel)
            await self._stay(channel, entered)
        except MepassaError as error:
            self.trouble = error
            if not isinstance(error, HomeUnreachableError):
                log.warning("home.connection_failed", extra={"error": error.code})
            return self._left(channel), error.message
        finally:
            if channel is not None:
                await channel.close()
        self.trouble = HomeUnreachableError()
        return self._left(channel), self.trouble.message

    def _left(self, channel: _Channel | None) -> bool:
        was_in = self._channel is not None and self._channel is channel
        self._channel = None
        return was_in

    async def _enter(self, channel: _Channel) -> LoggedIn:
        """Hello and log-in. Raises what `greet` raises, and `LoginRefusedError`."""
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                greeting = await greet(channel, self._home, self._clock, self._rng, lambda hello: hello)
                self.clock_offset_s = greeting.clock_offset_s
                if self._counter is None:
                    self._counter = await self._login.runs.rise()
                answer = await self._authenticate(channel, greeting, self._counter)
            if isinstance(answer, RolledBack):
                async with asyncio.timeout(ROLLED_BACK_DEADLINE_S):
                    self._counter = await self._login.runs.rolled_back(answer.counter)
                    answer = await self._authenticate(channel, greeting, self._counter)
        except TimeoutError:
            raise HomeUnreachableError from None
        match answer:
            case LoggedIn():
                return answer
            case Refused():
                raise error_of(answer)
            case Bye():
                raise HomeUnreachableError
            case _:
                raise LoginRefusedError

    async def _authenticate(self, channel: _Channel, greeting: Greeting, counter: int) -> MailboxToDevice:
        own, run_id = self._login.own, self._login.runs.run_id
        message = auth_message(
            home_key=self._home.key,
            client_nonce=greeting.client_nonce,
            home_nonce=greeting.home.nonce,
            device=own,
            run_counter=counter,
            run_id=run_id,
        )
        channel.send(Auth(own, counter, run_id, self._login.sign(message)))
        return await channel.receive_one()

    async def _stay(self, channel: _Channel, entered: LoggedIn) -> None:
        """Logged in: tell the handler, deliver in order, until the connection ends."""
        self._acknowledged.clear()
        self._credit_bytes = self._untaken_bytes = 0
        inbox: asyncio.Queue[MailboxToDevice] = asyncio.Queue()
        self.turn = _credentials(entered.turn)
        self._channel, self.trouble = channel, None
        tasks = [
            asyncio.create_task(self._deliver(channel, entered, inbox), name="home deliveries"),
            asyncio.create_task(self._raise_run(channel), name="home run counter"),
            asyncio.create_task(self._renew_turn(channel), name="home relay credentials"),
        ]
        try:
            await channel.read(lambda record: self._queue(inbox, record))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled() and (error := task.exception()) is not None:
                    log.error("home.handler_failed", exc_info=error)

    async def _deliver(self, channel: _Channel, entered: LoggedIn, inbox: "asyncio.Queue[MailboxToDevice]") -> None:
        await self._tell(self._handler.logged_in(self.turn))
        if min(entered.one_time_left, entered.kyber_left) < PREKEYS_LOW:
            await self._tell(self._handler.prekeys_low(entered.one_time_left, entered.kyber_left))
        while True:
            match record := await inbox.get():
                case Deliver():
                    await self._deliver_one(channel, record)
                case DeliverSignal():
                    await self._tell(self._handler.signal_received(SealedEnvelope(record.sealed)))
                case PrekeysLow():
                    await self._tell(self._handler.prekeys_low(record.one_time_left, record.kyber_left))
                case _:
                    pass

    def _queue(self, inbox: "asyncio.Queue[MailboxToDevice]", record: MailboxToDevice) -> None:
        """Raises `MalformedError` for a home that sends past its credit: what waits here stays bounded."""
        if isinstance(record, DeliverSignal) and inbox.qsize() >= SIGNALS_WAITING:
            return
        if isinstance(record, Deliver):
            self._untaken_bytes += len(record.sealed) + RECORD_OVERHEAD_BYTES
        if self._untaken_bytes > MAX_UNTAKEN_BYTES or inbox.qsize() >= MAX_UNTAKEN:
            raise MalformedError("The server delivers more than this device takes.")
        inbox.put_nowait(record)

    async def _deliver_one(self, channel: _Channel, record: Deliver) -> None:
        envelope = SealedEnvelope(record.sealed)
        if await self._tell(self._handler.envelope_delivered(envelope)):
            self._acknowledged.append(envelope.id)
        if not self._credit_bytes:
            asyncio.get_running_loop().call_soon(self._settle, channel)
        self._credit_bytes += len(record.sealed) + RECORD_OVERHEAD_BYTES
        self._untaken_bytes -= len(record.sealed) + RECORD_OVERHEAD_BYTES

    def _settle(self, channel: _Channel) -> None:
        """Acknowledgements and credit of this loop turn, in one frame."""
        if self._acknowledged:
            channel.send(Acknowledge(tuple(self._acknowledged)))
            self._acknowledged.clear()
        if self._credit_bytes:
            channel.send(Credit(self._credit_bytes))
            self._credit_bytes = 0

    async def _tell(self, telling: Coroutine[object, object, None]) -> bool:
        """Whether the handler took it. What it raises is its business; the connection goes on."""
        try:
            await telling
        except MepassaError as error:
            log.info("home.not_taken", extra={"error": error.code})
            return False
        except Exception:
            log.exception("home.handler_failed")
            return False
        return True

    async def _raise_run(self, channel: _Channel) -> None:
        while True:
            await asyncio.sleep(RUN_INTERVAL_S)
            self._counter = await self._login.runs.rise()
            channel.send(RunRisen(self._counter))

    async def _renew_turn(self, channel: _Channel) -> None:
        """New credentials when half of their life is over."""
        while self.turn is not None:
            left_s = (self.turn.expires_at_ms - self._clock.now_ms()) / 1000
            await asyncio.sleep(max(60.0, left_s / 2))
            try:
                answer = await channel.ask(AskTurn)
            except HomeUnreachableError:
                return
            if isinstance(answer, TurnGiven) and answer.turn is not None:
                self.turn = _credentials(answer.turn)


def _credentials(turn: Turn | None) -> TurnCredentials | None:
    if turn is None:
        return None
    return TurnCredentials(
        turn.servers, turn.stun_servers, turn.username, SecretBytes(turn.password), turn.expires_at_ms
    )
