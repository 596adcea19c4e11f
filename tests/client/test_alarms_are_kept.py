"""A command that fails because somebody cheats leaves its alarm behind, and takes a verification back."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from mepassa.client.courier import DepositCourier
from mepassa.client.messenger import Messenger
from mepassa.client.outbox import Outbox
from mepassa.client.upkeep import Upkeep
from mepassa.identity import RootKey
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import DeviceListForkError, HomeUnreachableError, SignatureError
from mepassa.model.ids import AccountId, Address
from mepassa.model.secret import SecretBytes
from mepassa.model.status import Verification
from mepassa.ports.mailbox import DepositOutcome, FetchedAccount, HomeAddress, RecipientHome, SignalOutcome
from mepassa.protocol import contacts, verification
from mepassa.protocol.alarms import Alarm
from mepassa.protocol.session import SessionRecord
from mepassa.testing import LoopClock, SeededRng, World
from mepassa.wire.card import card_to_link
from tests.protocol.device_lists import alarms, next_list
from tests.protocol.phones import Phone


@dataclass
class LyingHome:
    """Hands out what it was told to, and takes nothing."""

    fetched: list[FetchedAccount] = field(default_factory=list)

    def recipient(self, home: HomeAddress) -> RecipientHome:
        return self

    async def fetch_account(
        self, account: AccountId, token: bytes | None, *, prekeys: bool = True, devices: tuple[int, ...] = ()
    ) -> FetchedAccount:
        if not self.fetched:
            raise HomeUnreachableError
        return self.fetched[-1]

    async def deposit(self, to: Address, envelope: SealedEnvelope, token: bytes | None) -> DepositOutcome:
        raise HomeUnreachableError

    async def signal(self, to: Address, sealed: SealedEnvelope, token: bytes) -> SignalOutcome:
        return SignalOutcome.NO_DEVICE


@pytest.fixture
def pair(pair: tuple[Phone, Phone]) -> tuple[Phone, Phone]:
    """Ana has verified Beto."""
    ana, beto = pair
    number = verification.number_of(ana.own, ana.contact(beto))
    ana.db.run_now(
        lambda tx: verification.verify(tx, contacts.require(tx, beto.account), number.digits, ana.now),
    )
    return pair


Story = Callable[[Messenger, Outbox], Awaitable[None]]


def play(reader: Phone, home: LyingHome, story: Story) -> list[str]:
    """The story's end, and how often a commit told the page something."""
    world, rung = World(seed=1), list[str]()

    async def main() -> None:
        clock, rng = LoopClock(world.time, start_ms=reader.now), SeededRng(1)

        reader.db.on_events = lambda _logged: rung.append("change")
        outbox = Outbox(reader.db, home, DepositCourier(home), clock=clock, rng=rng)
        upkeep = Upkeep(reader.db, outbox, clock=clock, rng=rng)
        await story(Messenger(reader.db, home, outbox, upkeep, clock=clock, rng=rng), outbox)

    world.run(main())
    return rung


def test_a_link_with_another_key_for_somebody_known(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    link = card_to_link(beto.invite())
    other = RootKey(SecretBytes(b"o" * 32)).public
    ana.db.run_now(lambda tx: tx.put_contact(replace(contacts.require(tx, beto.account), root_key=other)))

    async def story(messenger: Messenger, _outbox: Outbox) -> None:
        with pytest.raises(SignatureError, match="another key"):
            await messenger.add_contact(link)

    assert play(ana, LyingHome(), story) == ["change"]
    assert alarms(ana) == [Alarm.ROOT_CHANGED]
    assert ana.contact(beto).verification is Verification.WITHDRAWN


def test_a_home_that_shows_a_second_list_of_one_version_when_somebody_is_added_again(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    link = card_to_link(beto.invite())
    ana.db.run_now(lambda tx: contacts.block(tx, beto.account, ana.now, ana.rng))
    ana.add(beto.invite(), beto)
    forked = next_list(beto, version=ana.contact(beto).list_version, home_url="https://fork.test")

    async def story(messenger: Messenger, _outbox: Outbox) -> None:
        with pytest.raises(DeviceListForkError):
            await messenger.add_contact(link)

    play(ana, LyingHome([FetchedAccount(forked, ())]), story)
    assert alarms(ana) == [Alarm.LIST_FORKED]
    assert ana.contact(beto).verification is Verification.WITHDRAWN


def test_a_home_that_shows_a_second_list_of_one_version_with_its_prekeys(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    forked = next_list(beto, version=ana.contact(beto).list_version, home_url="https://fork.test")
    ana.write(beto, "espera uma sessão")
    (row,) = ana.outbox()
    ana.db.run_now(lambda tx: tx.update_outbox(replace(row, envelope=None)))
    ana.db.run_now(lambda tx: tx.put_session(beto.address, SessionRecord.EMPTY.to_bytes()))

    async def story(_messenger: Messenger, outbox: Outbox) -> None:
        running = asyncio.create_task(outbox.run())
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert "change" in play(ana, LyingHome([FetchedAccount(forked, ())]), story)
    assert alarms(ana) == [Alarm.LIST_FORKED]
    assert ana.contact(beto).verification is Verification.WITHDRAWN
