"""The inbox fetches the list that an unlisted device makes necessary, and holds its envelopes until then."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mepassa.client.courier import DepositCourier
from mepassa.client.inbox import FETCH_EVERY_S, MAX_HELD, Arrival, Inbox
from mepassa.client.outbox import Outbox
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import HomeUnreachableError, UnlistedDeviceError
from mepassa.model.ids import AccountId, Address, EnvelopeId
from mepassa.model.prekeys import PrekeyUpload
from mepassa.ports.mailbox import DepositOutcome, FetchedAccount, HomeAddress, RecipientHome, SignalOutcome, TokenRecord
from mepassa.testing import LoopClock, ManualClock, SeededRng, World
from tests.protocol.device_lists import alarms, become_second_device
from tests.protocol.phones import STORED, Phone, befriend


class Directory:
    """A home that hands out a list, and our own home that takes acknowledgements: answers, and nothing behind them."""

    def __init__(self) -> None:
        self.lists: dict[AccountId, SignedDeviceList] = {}
        self.fetches = 0
        self.acknowledged: list[EnvelopeId] = []

    def recipient(self, home: HomeAddress) -> RecipientHome:
        return self

    async def fetch_account(self, account: AccountId, token: bytes | None, *, prekeys: bool = True) -> FetchedAccount:
        self.fetches += 1
        if account not in self.lists:
            raise HomeUnreachableError
        return FetchedAccount(self.lists[account], ())

    async def deposit(self, to: Address, envelope: SealedEnvelope, token: bytes | None) -> DepositOutcome:
        return DepositOutcome.STORED

    async def signal(self, to: Address, sealed: SealedEnvelope, token: bytes) -> SignalOutcome:
        return SignalOutcome.NO_DEVICE

    async def acknowledge(self, ids: tuple[EnvelopeId, ...]) -> None:
        self.acknowledged += ids

    async def put_tokens(self, add: tuple[TokenRecord, ...], remove: tuple[bytes, ...] = ()) -> None: ...

    async def put_device_list(self, signed: SignedDeviceList) -> None: ...

    async def put_prekeys(self, upload: PrekeyUpload) -> None: ...


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Phone, Phone]]:
    clock = ManualClock()
    ana, beto = (Phone(name, tmp_path / f"{name}.db", clock) for name in ("ana", "beto"))
    befriend(ana, beto)
    yield ana, beto
    for phone in (ana, beto):
        phone.db.close()


def play(reader: Phone, directory: Directory, story: Callable[[Inbox], "asyncio.Future[None] | object"]) -> None:
    """Run a story against a running inbox, in virtual time."""
    world = World(seed=1)

    async def main() -> None:
        clock, rng = LoopClock(world.time), SeededRng(1)
        outbox = Outbox(reader.db, directory, DepositCourier(directory), clock=clock, rng=rng)
        inbox = Inbox(reader.db, directory, outbox, own_home=lambda: directory, clock=clock, rng=rng)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(inbox.run())
            await story(inbox)  # type: ignore[misc]
            running.cancel()

    world.run(main())


def test_an_unlisted_device_is_opened_once_its_list_has_come(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    directory = Directory()
    signed = become_second_device(beto)
    beto.write(ana, "do aparelho novo")
    (envelope,) = beto.post(ana)

    async def story(inbox: Inbox) -> None:
        with pytest.raises(UnlistedDeviceError):
            await inbox.receive(envelope, Arrival(STORED))
        await asyncio.sleep(10)
        assert (directory.fetches, directory.acknowledged) == (1, []), "its home is away: not opened, not acknowledged"
        directory.lists[beto.account] = signed
        await asyncio.sleep(FETCH_EVERY_S)
        assert directory.acknowledged == [envelope.id]
        await inbox.receive(envelope, Arrival(STORED))  # from the next log-in: known, and acknowledged like any other

    play(ana, directory, story)
    assert alarms(ana) == ["new_device"]


def test_a_device_that_nobody_lists_is_dropped_and_its_home_asked_once_a_minute(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    directory = Directory()
    listed = ana.contact(beto).device_list
    assert listed is not None
    directory.lists[beto.account] = listed
    become_second_device(beto)
    for number in range(MAX_HELD + 20):
        beto.write(ana, f"{number}")
    envelopes = beto.post(ana)

    async def story(inbox: Inbox) -> None:
        for envelope in envelopes:
            with pytest.raises(UnlistedDeviceError):
                await inbox.receive(envelope, Arrival(STORED))
        await asyncio.sleep(FETCH_EVERY_S * 3)
        assert directory.fetches <= 4
        assert MAX_HELD <= len(directory.acknowledged) <= len(envelopes)

    play(ana, directory, story)
    assert ana.texts(beto) == []
    assert set(alarms(ana)) == {"unlisted_device"}
