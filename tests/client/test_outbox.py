"""The outbox offers each due row to the courier, keeps what was not brought, and waits behind nobody."""

import asyncio
from collections.abc import Awaitable, Callable, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from mepassa.client.courier import Courier, DepositCourier, OutboxItem, Outcome, Report, Sent, Stored, stored_route
from mepassa.client.inbox import Inbox
from mepassa.client.link_identity import DbLinkIdentity
from mepassa.client.messenger import Messenger
from mepassa.client.outbox import FULL_DISK_PAUSE_S, TOO_LARGE_PAUSE_S, Outbox
from mepassa.client.paths.service import PathService
from mepassa.client.paths.signals import SignalBudget, SignalPost
from mepassa.client.upkeep import Upkeep
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import BusyError, DiskFullError, HomeUnreachableError, TooLargeError
from mepassa.model.ids import AccountId, Address, Timestamp
from mepassa.model.route import AddressClass, FoundBy, RouteKind, RouteTransport
from mepassa.model.status import MessageStatus
from mepassa.ports.db import BriefDb
from mepassa.ports.mailbox import DepositOutcome, FetchedAccount, HomeAddress, RecipientHome, SignalOutcome
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Tx
from mepassa.ports.transport import LinkFacts
from mepassa.protocol import delivery
from mepassa.routing import AddressRules
from mepassa.storage import InlineDb
from mepassa.testing import LoopClock, SeededRng, World
from tests.protocol.phones import Phone
from tests.scenarios.internet import Internet, VirtualReach

T = TypeVar("T")


@dataclass
class Patient:
    """A courier that waits for a path for ever, unless the home alone is asked for."""

    calls: list[tuple[OutboxItem, ...]] = field(default_factory=list)
    forgets: bool = False

    async def deliver(self, to: Address, items: tuple[OutboxItem, ...], report: Report) -> None:
        self.calls.append(items)
        for item in items:
            if item.stored_only:
                await report(item, Stored(stored_route(item.home)))
            elif not self.forgets:
                await asyncio.Event().wait()


@dataclass
class MoodyHome:
    """A recipient's home that answers as it is told, one answer after the other; then it takes everything."""

    answers: list[Exception] = field(default_factory=list)
    deposits: list[SealedEnvelope] = field(default_factory=list)

    def recipient(self, home: HomeAddress) -> RecipientHome:
        return self

    async def deposit(self, to: Address, envelope: SealedEnvelope, token: bytes | None) -> DepositOutcome:
        if self.answers:
            raise self.answers.pop(0)
        self.deposits.append(envelope)
        return DepositOutcome.STORED

    async def signal(self, to: Address, sealed: SealedEnvelope, token: bytes) -> SignalOutcome:
        return SignalOutcome.NO_DEVICE

    async def fetch_account(
        self, account: AccountId, token: bytes | None, *, prekeys: bool = True, devices: tuple[int, ...] = ()
    ) -> FetchedAccount:
        raise HomeUnreachableError


def play(
    writer: Phone,
    home: MoodyHome,
    courier: Courier | None,
    story: Callable[[Outbox], Awaitable[None]],
    *,
    db: BriefDb[Tx] | None = None,
) -> None:
    world = World(seed=1)

    async def main() -> None:
        clock = LoopClock(world.time, start_ms=writer.now)
        outbox = Outbox(db or writer.db, home, courier or DepositCourier(home), clock=clock, rng=SeededRng(1))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(outbox.run())
            await asyncio.sleep(1)
            await story(outbox)
            running.cancel()

    world.run(main())


def test_a_row_that_waits_for_a_path_holds_back_no_other_row(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    courier = Patient()

    async def story(outbox: Outbox) -> None:
        for text in ("um", "dois"):
            ana.write(beto, text)
            outbox.wake(beto.account)
            await asyncio.sleep(1)
        outbox.wake(beto.account)
        await asyncio.sleep(1)
        assert [len(items) for items in courier.calls] == [1, 1], "each row in one call, and the second did not wait"

    play(ana, MoodyHome(), courier, story)


def test_what_is_woken_while_the_outbox_ends_does_not_hold_up_the_end(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    world = World(seed=1)

    async def main() -> None:
        clock = LoopClock(world.time, start_ms=ana.now)
        outbox = Outbox(ana.db, MoodyHome(), Patient(), clock=clock, rng=SeededRng(1))
        running = asyncio.ensure_future(outbox.run())
        await asyncio.sleep(1)
        ana.write(beto, "fica")
        outbox.wake(beto.account)
        await asyncio.sleep(1)
        running.cancel()
        for number in range(6):
            outbox.wake(beto.account, AccountId(bytes([number]) * 16))
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(60):
                await running

    world.run(main())


def test_send_by_server_offers_a_waiting_row_again(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    courier = Patient()

    async def story(outbox: Outbox) -> None:
        sent = ana.write(beto, "não espero mais")
        outbox.wake(beto.account)
        await asyncio.sleep(1)
        ana.db.run_now(lambda tx: delivery.send_by_server(tx, sent.id, ana.now, ana.rng))
        outbox.send_by_server(beto.account, tuple(row.id for row in ana.outbox()))
        await asyncio.sleep(1)
        assert [item.stored_only for items in courier.calls for item in items] == [False, True]
        assert ana.message(sent.id).status is MessageStatus.STORED
        assert ana.waiting() == 0

    play(ana, MoodyHome(), courier, story)


def test_what_does_not_fit_holds_up_its_own_account_alone(
    pair: tuple[Phone, Phone], monkeypatch: pytest.MonkeyPatch
) -> None:
    ana, beto = pair
    courier, prepare, fails = Patient(), delivery.prepare, [True]

    def fails_at_first(tx: Tx, account: AccountId, now_ms: Timestamp, rng: Rng) -> delivery.Ready | None:
        if fails and account == beto.account:
            raise TooLargeError(9000, 8192)
        return prepare(tx, account, now_ms, rng)

    monkeypatch.setattr(delivery, "prepare", fails_at_first)

    async def story(outbox: Outbox) -> None:
        ana.write(beto, "apesar de tudo")
        outbox.wake(beto.account)
        await asyncio.sleep(TOO_LARGE_PAUSE_S * 1.5)
        assert courier.calls == []
        fails.clear()
        await asyncio.sleep(TOO_LARGE_PAUSE_S)
        assert len(courier.calls) == 1

    play(ana, MoodyHome(), courier, story)


def test_what_a_courier_forgets_is_put_off_and_offered_again(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    courier = Patient(forgets=True)

    async def story(outbox: Outbox) -> None:
        ana.write(beto, "esquecida")
        outbox.wake(beto.account)
        await asyncio.sleep(600)
        assert 2 <= len(courier.calls) <= 40, "backed off, not hammered"
        assert len(ana.outbox()) == 1

    play(ana, MoodyHome(), courier, story)


def test_a_busy_home_is_left_alone_for_as_long_as_it_asks(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    home = MoodyHome(answers=[BusyError(120.0), HomeUnreachableError()])

    async def story(outbox: Outbox) -> None:
        sent = ana.write(beto, "com calma")
        outbox.wake(beto.account)
        await asyncio.sleep(119)
        assert len(home.answers) == 1
        await asyncio.sleep(10)
        assert ana.message(sent.id).status is MessageStatus.STORED
        assert len(home.deposits) == 1

    play(ana, home, None, story)


def test_retry_now_does_not_wait_for_the_next_try(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    home = MoodyHome(answers=[BusyError(3000.0)])

    async def story(outbox: Outbox) -> None:
        ana.write(beto, "voltou a rede")
        outbox.wake(beto.account)
        await asyncio.sleep(5)
        assert home.deposits == []
        outbox.retry_now()
        await asyncio.sleep(1)
        assert len(home.deposits) == 1

    play(ana, home, None, story)


class SlowHome(MoodyHome):
    """Takes ten seconds until it has an envelope."""

    begun = 0

    async def deposit(self, to: Address, envelope: SealedEnvelope, token: bytes | None) -> DepositOutcome:
        self.begun += 1
        await asyncio.sleep(10)
        return await super().deposit(to, envelope, token)


def test_what_was_made_ready_before_a_block_does_not_leave_after_it(pair: tuple[Phone, Phone]) -> None:
    """The commit of the message and that of the block may be told to their callers in either order."""
    ana, beto = pair
    home = MoodyHome()

    async def story(outbox: Outbox) -> None:
        sent = ana.write(beto, "não devia ter escrito")
        look = ana.db.run_now(lambda tx: outbox.look(tx, beto.account))
        assert look.ready is not None
        await messenger_of(ana, home, outbox).block(beto.account)
        outbox.send(look)
        await asyncio.sleep(600)
        assert home.deposits == []
        assert ana.message(sent.id).status is MessageStatus.QUEUED
        ana.add(beto.invite(), beto)
        ana.write(beto, "voltei atrás")
        outbox.wake(beto.account)
        await asyncio.sleep(1)
        assert len(home.deposits) == 1, "a later decision lets it go"

    play(ana, home, None, story)


def test_nothing_is_kept_of_those_who_were_blocked(pair: tuple[Phone, Phone], tmp_path: Path) -> None:
    ana, _ = pair
    others = [Phone(name, tmp_path / f"{name}.db", ana.clock) for name in ("caio", "dora", "elis")]
    for other in others:
        ana.add(other.invite(), other)

    async def story(outbox: Outbox) -> None:
        def kept() -> int:
            return sum(len(held) for held in vars(outbox).values() if isinstance(held, Sized))

        await asyncio.sleep(3600)
        before = kept()
        for other in others:
            await messenger_of(ana, MoodyHome(), outbox).block(other.account)
        await asyncio.sleep(3600)
        assert kept() <= before

    play(ana, MoodyHome(), None, story)
    for other in others:
        other.db.close()


def test_a_deposit_that_is_under_way_is_called_back_by_a_block(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    home = SlowHome()

    async def story(outbox: Outbox) -> None:
        ana.write(beto, "não devia ter escrito")
        outbox.wake(beto.account)
        await asyncio.sleep(5)
        await messenger_of(ana, home, outbox).block(beto.account)
        await asyncio.sleep(600)
        assert home.deposits == []

    play(ana, home, None, story)


def test_so_is_one_that_the_path_service_has_begun(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    home, rng = SlowHome(), SeededRng(3)
    post = SignalPost(ana.db, home, ana.clock, rng, SignalBudget(ana.clock))
    paths = PathService(ana.db, home, post, AddressRules, clock=ana.clock, rng=rng)

    async def story(outbox: Outbox) -> None:
        reach = VirtualReach(Internet(), DbLinkIdentity(ana.db, ana.own), paths, 1)
        inbox = Inbox(ana.db, home, outbox, own_home=lambda: None, clock=ana.clock, rng=rng)
        paths.attach(reach, inbox)
        running = asyncio.create_task(paths.run())
        sent = ana.write(beto, "não devia ter escrito")
        ana.db.run_now(lambda tx: delivery.send_by_server(tx, sent.id, ana.now, ana.rng))
        outbox.wake(beto.account)
        await asyncio.sleep(5)
        assert home.begun == 1
        await messenger_of(ana, home, outbox).block(beto.account)
        await asyncio.sleep(600)
        assert home.deposits == []
        running.cancel()

    play(ana, home, paths, story)


@dataclass
class Watched:
    """A courier whose calls are looked at; recording that something was stored may take a while."""

    courier: Courier
    stored_takes_s: float = 0
    calls: list["asyncio.Future[None]"] = field(default_factory=list)
    recorded: list[Outcome] = field(default_factory=list)

    def deliver(self, to: Address, items: tuple[OutboxItem, ...], report: Report) -> "asyncio.Future[None]":
        async def record(item: OutboxItem, outcome: Outcome) -> None:
            if isinstance(outcome, Stored):
                await asyncio.sleep(self.stored_takes_s)
            await report(item, outcome)
            self.recorded.append(outcome)

        self.calls.append(asyncio.ensure_future(self.courier.deliver(to, items, record)))
        return self.calls[-1]


@pytest.mark.parametrize("ends", ["the home takes it", "the device is gone"])
def test_an_envelope_that_is_handed_in_again_ends_the_wait_of_everybody_who_handed_it_in(
    pair: tuple[Phone, Phone], ends: str
) -> None:
    """ "Send by server" may be pressed more than once while the home is slow."""
    ana, beto = pair
    home, rng = SlowHome(), SeededRng(3)
    post = SignalPost(ana.db, home, ana.clock, rng, SignalBudget(ana.clock))
    paths = PathService(ana.db, home, post, AddressRules, clock=ana.clock, rng=rng)
    watched = Watched(paths)

    async def story(outbox: Outbox) -> None:
        reach = VirtualReach(Internet(), DbLinkIdentity(ana.db, ana.own), paths, 1)
        paths.attach(reach, Inbox(ana.db, home, outbox, own_home=lambda: None, clock=ana.clock, rng=rng))
        running = asyncio.create_task(paths.run())
        sent = ana.write(beto, "não espero mais")
        outbox.wake(beto.account)
        for _ in range(3):
            await asyncio.sleep(1)
            ana.db.run_now(lambda tx: delivery.send_by_server(tx, sent.id, ana.now, ana.rng))
            outbox.send_by_server(beto.account, tuple(row.id for row in ana.outbox()))
        await asyncio.sleep(1)
        assert [call.done() for call in watched.calls] == [False] * 4
        if ends == "the device is gone":
            paths.forget_devices({beto.address})
        await asyncio.sleep(30)
        assert all(call.done() for call in watched.calls)
        running.cancel()

    play(ana, home, watched, story)


@dataclass
class LateLink:
    """A direct path on which everything is acknowledged after a while."""

    peer: Address
    own: Address
    after_s: float
    srtt_s: float | None = 0.01

    @property
    def facts(self) -> LinkFacts:
        return LinkFacts(RouteKind.DIRECT, RouteTransport.LIBP2P, AddressClass.LAN, FoundBy.SIGNAL)

    async def send(self, _envelope: SealedEnvelope) -> bool:
        await asyncio.sleep(self.after_s)
        return True

    async def wait_closed(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


Story = Callable[[PathService, Outbox, Watched], Awaitable[None]]


def play_paths(writer: Phone, home: MoodyHome, story: Story) -> None:
    """With the node's own courier, on the loop's clock."""
    rng, world = SeededRng(3), World(seed=1)

    async def main() -> None:
        clock = LoopClock(world.time, start_ms=writer.now)
        post = SignalPost(writer.db, home, clock, rng, SignalBudget(clock))
        paths = PathService(writer.db, home, post, AddressRules, clock=clock, rng=rng)
        watched = Watched(paths)
        outbox = Outbox(writer.db, home, watched, clock=clock, rng=rng)
        reach = VirtualReach(Internet(), DbLinkIdentity(writer.db, writer.own), paths, 1)
        paths.attach(reach, Inbox(writer.db, home, outbox, own_home=lambda: None, clock=clock, rng=rng))
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(service.run()) for service in (paths, outbox)]
            await asyncio.sleep(0)
            await story(paths, outbox, watched)
            for service in running:
                service.cancel()

    world.run(main())


def test_an_acknowledgement_that_comes_late_ends_the_wait_of_a_later_call(pair: tuple[Phone, Phone]) -> None:
    """Between the two the row was put off, and offered again."""
    ana, beto = pair

    async def story(paths: PathService, outbox: Outbox, watched: Watched) -> None:
        await paths.link_opened(LateLink(beto.address, ana.address, after_s=60))
        sent = ana.write(beto, "chega tarde")
        outbox.wake(beto.account)
        await asyncio.sleep(59)
        assert len(watched.calls) > 1
        await asyncio.sleep(3)
        assert ana.message(sent.id).status is MessageStatus.DELIVERED
        assert all(call.done() for call in watched.calls)

    play_paths(ana, MoodyHome(answers=[HomeUnreachableError()] * 100), story)


def test_an_insurance_deposit_is_called_back_when_the_path_has_acknowledged(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    home = SlowHome()

    async def story(paths: PathService, outbox: Outbox, watched: Watched) -> None:
        await paths.link_opened(LateLink(beto.address, ana.address, after_s=5))
        sent = ana.write(beto, "chegou primeiro pelo caminho")
        outbox.wake(beto.account)
        await asyncio.sleep(4.9)
        assert home.begun == 1, "the path was silent for too long"
        await asyncio.sleep(60)
        assert home.deposits == []
        assert home.begun == 1
        assert ana.message(sent.id).status is MessageStatus.DELIVERED
        assert ana.waiting() == 0
        assert all(call.done() for call in watched.calls)

    play_paths(ana, home, story)


def test_a_deposit_that_the_home_has_answered_is_recorded_although_the_path_acknowledges_meanwhile(
    pair: tuple[Phone, Phone],
) -> None:
    ana, beto = pair
    home = SlowHome()

    async def story(paths: PathService, outbox: Outbox, watched: Watched) -> None:
        watched.stored_takes_s = 10
        await paths.link_opened(LateLink(beto.address, ana.address, after_s=17))
        sent = ana.write(beto, "pelos dois")
        outbox.wake(beto.account)
        await asyncio.sleep(16.9)
        assert (len(home.deposits), watched.recorded) == (1, []), "answered, not yet recorded"
        await asyncio.sleep(1)
        assert [type(outcome) for outcome in watched.recorded] == [Sent]
        await asyncio.sleep(60)
        assert [type(outcome) for outcome in watched.recorded] == [Sent, Stored]
        assert ana.message(sent.id).status is MessageStatus.DELIVERED
        assert ana.waiting() == 0

    play_paths(ana, home, story)


def test_a_block_that_fails_holds_nothing_back(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    home, disk = SlowHome(), FullDisk(ana.db)

    async def story(outbox: Outbox) -> None:
        sent = ana.write(beto, "escrito está")
        outbox.wake(beto.account)
        await asyncio.sleep(5)
        messenger = messenger_of(ana, home, outbox, disk)
        disk.full_for = 1
        with pytest.raises(DiskFullError):
            await messenger.block(beto.account)
        await asyncio.sleep(600)
        assert ana.message(sent.id).status is MessageStatus.STORED

    play(ana, home, None, story, db=disk)


def messenger_of(writer: Phone, home: MoodyHome, outbox: Outbox, db: BriefDb[Tx] | None = None) -> Messenger:
    clock, rng = writer.clock, SeededRng(2)
    upkeep = Upkeep(writer.db, outbox, clock=clock, rng=rng)
    return Messenger(db or writer.db, home, outbox, upkeep, clock=clock, rng=rng)


@dataclass
class FullDisk:
    """The device's database on a disk that is full for the next few transactions."""

    db: InlineDb
    full_for: int = 0

    async def run(self, work: Callable[[Tx], T]) -> T:
        if self.full_for:
            self.full_for -= 1
            raise DiskFullError
        return await self.db.run(work)

    async def run_brief(self, work: Callable[[Tx], T]) -> T:
        return await self.run(work)


@pytest.mark.parametrize("full_for", [1, 2, 3, 6])
def test_on_a_full_disk_nothing_is_lost_and_all_goes_on_when_there_is_room(
    pair: tuple[Phone, Phone], full_for: int
) -> None:
    ana, beto = pair
    home, disk = MoodyHome(), FullDisk(ana.db)

    async def story(outbox: Outbox) -> None:
        sent = [ana.write(beto, f"{number}") for number in range(3)]
        disk.full_for = full_for
        outbox.wake(beto.account)
        await asyncio.sleep(FULL_DISK_PAUSE_S * (full_for + 3))
        assert disk.full_for == 0
        assert [ana.message(row.id).status for row in sent] == [MessageStatus.STORED] * 3
        assert ana.waiting() == 0

    play(ana, home, None, story, db=disk)


def test_without_prekeys_a_first_message_waits_and_says_why(pair: tuple[Phone, Phone], tmp_path: Path) -> None:
    ana, _ = pair
    caio = Phone("caio", tmp_path / "caio.db", ana.clock)
    ana.add(caio.invite(), caio)

    async def story(outbox: Outbox) -> None:
        ana.write(caio, "oi")
        outbox.wake(caio.account)
        await asyncio.sleep(30)
        (row,) = ana.outbox()
        assert (row.envelope, row.last_error) == (None, "HomeUnreachableError")
        assert row.attempts >= 2

    play(ana, MoodyHome(), None, story)
    caio.db.close()
