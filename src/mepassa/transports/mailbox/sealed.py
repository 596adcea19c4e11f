"""Depositing at any home: the sealed side, `ports.mailbox.RecipientHome` (docs/protocol/home.md, "Deposit")."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import HomeUnreachableError, MalformedError, RemoteError, TokenRefusedError
from mepassa.model.ids import AccountId, Address
from mepassa.ports.clock import Clock
from mepassa.ports.mailbox import DepositOutcome, FetchedAccount, HomeAddress, RecipientHome, SignalOutcome
from mepassa.ports.rng import Rng
from mepassa.transports.mailbox.channel import CONNECT_DEADLINE_S, Channel, Greeting, greet
from mepassa.transports.mailbox.errors import error_of
from mepassa.transports.mailbox.sockets import DialHome
from mepassa.transports.mailbox.work import solve
from mepassa.wire.mailbox import (
    Account,
    Deposit,
    Deposited,
    DepositToClient,
    DepositToHome,
    FetchAccount,
    Refused,
    SendSignal,
    Signalled,
    decode_deposit_to_client,
    encode_deposit_to_home,
)
from mepassa.wire.wellknown import DEPOSIT_PATH
from mepassa.wire.work import WorkPurpose, work_subject

IDLE_S = 60.0
"""A sealed connection that nobody has used for so long is closed: an open one says that we are here."""

_Channel = Channel[DepositToHome, DepositToClient]


@dataclass(slots=True)
class _Open:
    channel: _Channel
    greeting: Greeting
    reader: "asyncio.Task[None]"
    used_at: float


class SealedHomes:
    """One sealed connection to each home in use, opened when needed. Shares nothing with the logged-in one."""

    def __init__(self, dial: DialHome, *, clock: Clock, rng: Rng) -> None:
        self._dial, self._clock, self._rng = dial, clock, rng
        self._homes: dict[HomeAddress, SealedHome] = {}

    def recipient(self, home: HomeAddress) -> RecipientHome:
        if home not in self._homes:
            self._homes[home] = SealedHome(self._dial, home, clock=self._clock, rng=self._rng)
        return self._homes[home]

    async def close(self) -> None:
        for home in self._homes.values():
            await home.close()


class SealedHome:
    """`ports.mailbox.RecipientHome` for one home."""

    def __init__(self, dial: DialHome, home: HomeAddress, *, clock: Clock, rng: Rng) -> None:
        self._dial, self._home, self._clock, self._rng = dial, home, clock, rng
        self._lock = asyncio.Lock()
        self._open: _Open | None = None

    # --- the port -------------------------------------------------------------------------------------------------

    async def deposit(self, to: Address, envelope: SealedEnvelope, token: bytes | None) -> DepositOutcome:
        connection = await self._connected()
        solution = None
        if token is None:
            subject = work_subject(to.account.raw, bytes([to.device]), envelope.id.raw)
            solution = await self._work(connection, WorkPurpose.DEPOSIT, subject)
        answer = await self._ask(connection, lambda number: Deposit(number, to, envelope.raw, token, solution))
        match answer:
            case Deposited():
                return DepositOutcome(answer.outcome.value)
            case Refused():
                raise error_of(answer, len(envelope.raw))
            case _:
                raise MalformedError("The server answered something else.")

    async def signal(self, to: Address, sealed: SealedEnvelope, token: bytes) -> SignalOutcome:
        connection = await self._connected()
        answer = await self._ask(connection, lambda number: SendSignal(number, to, sealed.raw, token))
        match answer:
            case Signalled():
                return SignalOutcome(answer.fate.value)
            case Refused():
                raise error_of(answer, len(sealed.raw))
            case _:
                raise MalformedError("The server answered something else.")

    async def fetch_account(
        self, account: AccountId, token: bytes | None, *, prekeys: bool = True, devices: tuple[int, ...] = ()
    ) -> FetchedAccount:
        connection = await self._connected()
        solution = None
        if token is None:
            solution = await self._work(connection, WorkPurpose.FETCH, work_subject(account.raw))
        answer = await self._ask(
            connection, lambda number: FetchAccount(number, account, token, prekeys, solution, devices)
        )
        match answer:
            case Account():
                return FetchedAccount(answer.device_list, answer.bundles)
            case Refused():
                raise error_of(answer)
            case _:
                raise MalformedError("The server answered something else.")

    # --- the connection -------------------------------------------------------------------------------------------

    async def _ask(self, connection: _Open, make: Callable[[int], DepositToHome]) -> DepositToClient:
        connection.used_at = self._clock.monotonic()
        return await connection.channel.ask(make)

    async def _work(self, connection: _Open, purpose: WorkPurpose, subject: bytes) -> int:
        home = connection.greeting.home
        return await solve(home.nonce, purpose, subject, home.request_work_bits)

    async def _connected(self) -> _Open:
        async with self._lock:
            if self._open is None or self._open.channel.closed:
                self._open = await self._connect()
            self._open.used_at = self._clock.monotonic()
            return self._open

    async def _connect(self) -> _Open:
        stream = await self._dial(self._home.url, DEPOSIT_PATH)
        channel: _Channel = Channel(stream, encode_deposit_to_home, decode_deposit_to_client)
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                greeting = await greet(channel, self._home, self._clock, self._rng, lambda hello: hello)
        except TimeoutError:
            await channel.close()
            raise HomeUnreachableError from None
        except BaseException:
            await channel.close()
            raise
        loop = asyncio.get_running_loop()
        reader = loop.create_task(_read(channel), name="sealed home")
        opened = _Open(channel, greeting, reader, self._clock.monotonic())
        loop.call_later(IDLE_S, self._close_if_idle, opened)
        return opened

    def _close_if_idle(self, opened: _Open) -> None:
        if opened.channel.closed:
            return
        idle_s = self._clock.monotonic() - opened.used_at
        if idle_s >= IDLE_S and not opened.channel.waiting:
            opened.reader.cancel()
        else:
            asyncio.get_running_loop().call_later(max(1.0, IDLE_S - idle_s), self._close_if_idle, opened)

    async def close(self) -> None:
        """Requests under way raise `HomeUnreachableError`. Idempotent."""
        if self._open is not None:
            self._open.reader.cancel()
            await asyncio.wait([self._open.reader])
            self._open = None


async def _read(channel: _Channel) -> None:
    try:
        await channel.read(_ignore)
    except RemoteError:
        pass  # it broke the rules: the connection is closed, and who waits was told that the home is away


def _ignore(record: DepositToClient) -> None:
    """Nothing comes unasked but a goodbye, and an answer that came too late."""


__all__ = ["IDLE_S", "SealedHome", "SealedHomes", "TokenRefusedError"]
