"""A home that hands out lists, our own home that takes acknowledgements, and an inbox in virtual time between them."""

import asyncio
import math
from collections.abc import Awaitable, Callable

from mepassa.client.courier import DepositCourier
from mepassa.client.inbox import Inbox
from mepassa.client.outbox import Outbox
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import HomeUnreachableError, MepassaError
from mepassa.model.ids import AccountId, Address, EnvelopeId
from mepassa.model.prekeys import PrekeyUpload
from mepassa.ports.mailbox import DepositOutcome, FetchedAccount, HomeAddress, RecipientHome, SignalOutcome, TokenRecord
from mepassa.testing import LoopClock, SeededRng, World
from tests.protocol.phones import Phone


class Directory:
    """Answers, and nothing behind them. An account without a list, or with an error, is answered with an error.

    `fetches`: who was asked for, and when. `slow_s`: how long each answer takes; `most_at_once`: the most under way.
    """

    def __init__(self) -> None:
        self.lists: dict[AccountId, SignedDeviceList | MepassaError] = {}
        self.fetches: list[tuple[AccountId, float]] = []
        self.acknowledged: list[EnvelopeId] = []
        self.came_at = math.inf
        """When a list was first handed out."""
        self.slow_s = 0.0
        self.under_way = self.most_at_once = 0

    def recipient(self, home: HomeAddress) -> RecipientHome:
        return self

    async def fetch_account(
        self, account: AccountId, token: bytes | None, *, prekeys: bool = True, devices: tuple[int, ...] = ()
    ) -> FetchedAccount:
        self.fetches.append((account, asyncio.get_running_loop().time()))
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        await asyncio.sleep(self.slow_s)
        self.under_way -= 1
        answer = self.lists.get(account, HomeUnreachableError())
        if isinstance(answer, MepassaError):
            raise answer
        self.came_at = min(self.came_at, asyncio.get_running_loop().time())
        return FetchedAccount(answer, ())

    async def deposit(self, to: Address, envelope: SealedEnvelope, token: bytes | None) -> DepositOutcome:
        return DepositOutcome.STORED

    async def signal(self, to: Address, sealed: SealedEnvelope, token: bytes) -> SignalOutcome:
        return SignalOutcome.NO_DEVICE

    async def acknowledge(self, ids: tuple[EnvelopeId, ...]) -> None:
        self.acknowledged += ids

    async def put_tokens(self, add: tuple[TokenRecord, ...], remove: tuple[bytes, ...] = ()) -> None: ...

    async def put_device_list(self, signed: SignedDeviceList) -> None: ...

    async def put_prekeys(self, upload: PrekeyUpload) -> None: ...


class Woken(Outbox):
    """The real one, which also says whenever it is told to look at an account."""

    on_wake: Callable[[AccountId], None]

    def wake(self, *accounts: AccountId) -> None:
        for account in accounts:
            self.on_wake(account)
        super().wake(*accounts)


def play(
    reader: Phone,
    directory: Directory,
    story: Callable[[Inbox], Awaitable[None]],
    *,
    on_contacts: Callable[[], None] = lambda: None,
    on_alive: Callable[[Address], None] = lambda _device: None,
    on_wake: Callable[[AccountId], None] = lambda _account: None,
) -> None:
    """Run a story against a running inbox, in virtual time."""
    world = World(seed=1)

    async def main() -> None:
        clock, rng = LoopClock(world.time), SeededRng(1)
        outbox = Woken(reader.db, directory, DepositCourier(directory), clock=clock, rng=rng)
        outbox.on_wake = on_wake
        inbox = Inbox(
            reader.db,
            directory,
            outbox,
            own_home=lambda: directory,
            clock=clock,
            rng=rng,
            on_contacts=on_contacts,
            on_alive=on_alive,
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(inbox.run())
            await story(inbox)
            running.cancel()

    world.run(main())
