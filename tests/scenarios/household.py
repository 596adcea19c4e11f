"""Whole peers around a real home in virtual time: the services that a node runs, on files that outlive their crashes."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mepassa.client.account import create_account
from mepassa.client.courier import Courier, DepositCourier, Homes
from mepassa.client.inbox import Arrival, Inbox
from mepassa.client.messenger import Messenger
from mepassa.client.outbox import Outbox
from mepassa.client.run import Run
from mepassa.client.upkeep import Upkeep
from mepassa.identity import HomeKeyPair, IdentityKeyPair, RootKey
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import HomeUnreachableError
from mepassa.model.ids import AccountId, Address, Timestamp
from mepassa.model.route import AddressClass, Route, RouteKind, RouteTransport
from mepassa.model.secret import SecretBytes
from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.frames import FrameStream
from mepassa.ports.mailbox import HomeAddress, OwnHome, RunCounter, TurnCredentials
from mepassa.ports.stores import (
    Contact,
    EventKind,
    InviteKind,
    MessageKind,
    MessageRow,
    OutboxRow,
    OwnAccount,
    PrekeyKind,
    Tx,
)
from mepassa.protocol import own_devices
from mepassa.protocol.tokens import token_changes
from mepassa.server.db import Database
from mepassa.server.home import Home
from mepassa.server.limits import HomePolicy
from mepassa.storage import InlineDb
from mepassa.testing import START_MS, Life, LoopClock, SeededRng, World
from mepassa.testing.network import CLEAR, VirtualNetwork, Weather
from mepassa.transports.mailbox import MailboxOwnHome, Registration, SealedHomes, register
from mepassa.wire.wellknown import MAILBOX_PATH, RegistrationPolicy

T = TypeVar("T")

HOST = "home.test"
URL = f"https://{HOST}"
HOME_KEY = HomeKeyPair(SecretBytes(b"h" * 32))
HOME = HomeAddress(URL, HOME_KEY.public)
DATABASE_KEY = SecretBytes(b"\x33" * 32)
STORED = Route(RouteKind.STORED, RouteTransport.MAILBOX, HOST, AddressClass.HOME)
REBOOT_AFTER_S = 1.0


def root_of(name: str) -> RootKey:
    """On paper: no database holds it."""
    return RootKey(SecretBytes(SeededRng(f"root of {name}").token(32)))


MakeCourier = Callable[["Peer", Homes], Courier]
MakeInbox = Callable[..., Inbox]


@dataclass
class Login:
    """What a log-in needs of the account."""

    account: OwnAccount
    runs: RunCounter

    @property
    def own(self) -> Address:
        return self.account.address

    def sign(self, message: bytes) -> bytes:
        return IdentityKeyPair(self.account.device_seed).sign(message)


@dataclass
class Node:
    """One life of a peer: its services, as `client.main` wires them, without links."""

    db: InlineDb
    messenger: Messenger
    outbox: Outbox
    inbox: Inbox
    upkeep: Upkeep
    own_home: MailboxOwnHome | None = None

    @property
    def is_logged_in(self) -> bool:
        return self.own_home is not None and self.own_home.logged_in

    # The handler of the connection to its own home:

    async def envelope_delivered(self, envelope: SealedEnvelope) -> None:
        await self.inbox.receive(envelope, Arrival(STORED))

    async def signal_received(self, sealed: SealedEnvelope) -> None: ...

    async def prekeys_low(self, one_time_left: int, kyber_left: int) -> None:
        self.upkeep.prekeys_low(one_time_left, kyber_left)

    async def logged_in(self, turn: TurnCredentials | None) -> None:
        assert self.own_home is not None
        self.upkeep.home_ready(self.own_home)
        self.outbox.retry_now()

    async def logged_out(self, reason: str) -> None: ...


@dataclass
class Peer:
    """A device with a file, switched on and off, and looked at from outside."""

    name: str
    house: "House"
    path: Path
    life: Life | None = None
    node: Node | None = None
    boots: int = 0

    # --- power -------------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        self.boots += 1
        house = self.house
        rng = house.rng.fork(f"{self.name}/{self.boots}")
        db = InlineDb(self.path, DATABASE_KEY, synchronous="OFF")
        own = db.run_now(lambda tx: tx.own())
        dial = house.network.dialer(self.name)
        homes = SealedHomes(dial, clock=house.clock, rng=rng)
        courier = self.make_courier(db, homes)
        outbox = Outbox(db, homes, courier, clock=house.clock, rng=rng)
        upkeep = Upkeep(db, outbox, clock=house.clock, rng=rng)
        inbox = house.make_inbox(
            db, homes, outbox, own_home=self._own_home, clock=house.clock, rng=rng, on_contacts=upkeep.wake
        )
        messenger = Messenger(db, homes, outbox, upkeep, clock=house.clock, rng=rng, on_contacts=upkeep.wake)
        node = self.node = Node(db, messenger, outbox, inbox, upkeep)
        login = Login(own, Run(db, clock=house.clock, rng=rng))
        node.own_home = MailboxOwnHome(dial, HOME, login, node, clock=house.clock, rng=rng)
        self.life = house.world.boot(self.name)
        for service in (outbox.run(), inbox.run(), upkeep.run(), node.own_home.run()):
            self.life.run(service)

    def make_courier(self, _db: InlineDb, homes: Homes) -> Courier:
        return self.house.make_courier(self, homes)

    def _own_home(self) -> OwnHome | None:
        return self.node.own_home if self.node is not None else None

    def crash(self) -> None:
        """Power off, now; what was not committed is gone."""
        assert self.life is not None
        self.life.crash()
        self.after_crash()

    def after_crash(self) -> None:
        """What a kernel does for a process that is no more."""
        assert self.node is not None
        self.node.db.close()
        self.life = self.node = None
        self.house.network.hang_up(self.name)

    def crash_at_step(self, step: int) -> None:
        """At that step from now on; switched on again a second later."""

        def on_crash() -> None:
            self.after_crash()
            self.house.crashes += 1
            self.house.world.call_later(REBOOT_AFTER_S, self.boot)

        self.house.world.crash_at(self.name, self.house.world.steps[self.name] + step, on_crash)

    # --- commands ----------------------------------------------------------------------------------------------------

    async def ask(self, command: Callable[[Messenger], Awaitable[T]]) -> T:
        """Ask as a person does: when the node dies over it, once more after it is back."""
        while True:
            await self.house.until(lambda: self.node is not None, every_s=0.5)
            life, node = self.life, self.node
            assert life is not None
            assert node is not None
            task = life.run(_await(command(node.messenger)))
            while life.alive and not task.done():
                await asyncio.wait([task], timeout=0.5)
            if task.done():
                return task.result()

    async def send(self, other: "Peer", text: str) -> MessageRow:
        client_id = self.house.rng.token(16)  # drawn once: asking again means the same message
        return await self.ask(lambda messenger: messenger.send_text(other.account, client_id, text))

    async def receive(self, envelope: SealedEnvelope, arrival: Arrival) -> bool:
        """A live link hands over an envelope; False when this peer died before it acknowledged."""
        life, node = self.life, self.node
        if life is None or node is None:
            return False
        task = life.run(_await(node.inbox.receive(envelope, arrival)))
        while life.alive and not task.done():
            await asyncio.wait([task], timeout=0.2)
        return task.done() and task.exception() is None

    # --- looking -----------------------------------------------------------------------------------------------------

    def look(self, work: Callable[[Tx], T]) -> T:
        """Read the file, whether or not the peer is on."""
        if self.node is not None:
            return self.node.db.run_now(work)
        db = InlineDb(self.path, DATABASE_KEY, synchronous="OFF")
        try:
            return db.run_now(work)
        finally:
            db.close()

    def is_known(self) -> bool:
        """Its home has all that it should: tokens and prekeys."""

        def work(tx: Tx) -> bool:
            kept = [row for kind in PrekeyKind for row in tx.prekeys(kind)]
            told = bool(kept) and all(row.uploaded for row in kept)
            return told and not token_changes(tx, self.house.clock.now_ms())

        return self.look(work)

    @property
    def account(self) -> AccountId:
        return self.look(lambda tx: tx.own()).address.account

    def contact(self, other: "Peer") -> Contact:
        contact = self.look(lambda tx: tx.contact(other.account))
        assert contact is not None
        return contact

    def screen(self, other: "Peer") -> list[MessageRow]:
        account = other.account
        return list(self.look(lambda tx: tx.messages(account, None, 1000)))

    def inbox(self, other: "Peer") -> list[str]:
        account = other.account
        return [row.text for row in self.screen(other) if row.sender == account and row.kind is MessageKind.TEXT]

    def shown(self, other: "Peer") -> list[MessageKind]:
        account = other.account
        return [row.kind for row in self.screen(other) if row.sender == account]

    def statuses(self, other: "Peer") -> list[MessageStatus]:
        account = self.account
        return [row.status for row in self.screen(other) if row.sender == account]

    def outbox(self) -> tuple[OutboxRow, ...]:
        return self.look(lambda tx: tx.outbox())

    def waiting(self) -> int:
        """Envelopes, and accounts that are owed receipts."""
        return self.look(lambda tx: tx.waiting())

    def alarms(self) -> list[str | None]:
        events = self.look(lambda tx: tx.events_after(0))
        return [event.note for event in events if event.kind is EventKind.ALARM]

    # --- backups -----------------------------------------------------------------------------------------------------

    def back_up(self, folder: Path) -> None:
        """Copy the file of a peer that is off."""
        assert self.node is None
        folder.mkdir(parents=True, exist_ok=True)
        for path in self.path.parent.glob(self.path.name + "*"):
            shutil.copy(path, folder)

    def restore(self, folder: Path) -> None:
        assert self.node is None
        for path in self.path.parent.glob(self.path.name + "*"):
            path.unlink()
        for path in folder.glob(self.path.name + "*"):
            shutil.copy(path, self.path.parent)


@dataclass
class House:
    """One home and its peers, on one virtual loop, in one folder."""

    folder: Path
    seed: int
    weather: Weather = CLEAR
    make_courier: MakeCourier = lambda _peer, homes: DepositCourier(homes)
    make_inbox: MakeInbox = Inbox
    peers: dict[str, Peer] = field(default_factory=dict)
    start_ms: Timestamp = START_MS
    crashes: int = 0

    def __post_init__(self) -> None:
        self.world = World(seed=self.seed)
        self.clock = LoopClock(self.world.time, start_ms=self.start_ms)
        self.rng = SeededRng(self.seed)
        self.network = VirtualNetwork(self.rng.fork("network"), self.weather)
        self.home_db: Database | None = None
        self.home: Home | None = None

    def run(self, scenario: Callable[[], Awaitable[T]]) -> T:
        """Run a scenario to its end; what was left open is closed."""

        async def main() -> T:
            try:
                return await scenario()
            finally:
                for peer in self.peers.values():
                    if peer.node is not None:
                        peer.crash()
                if self.home is not None:
                    self.stop_home()

        return self.world.run(main())

    # --- the home ----------------------------------------------------------------------------------------------------

    async def start_home(self) -> None:
        self.home_db = Database(self.folder / "home.db", inline=True)
        # The process never dies here, so nothing need reach the disk: a commit is what survives a crash of a life.
        self.home_db._connection.execute("PRAGMA synchronous = OFF")
        home = self.home = Home(
            db=self.home_db,
            clock=self.clock,
            rng=self.rng.fork("home"),
            key=HOME_KEY,
            registration=RegistrationPolicy.OPEN,
            policy=HomePolicy(request_work_bits=4),  # work takes real time, which a virtual loop has not
        )
        await home.start()
        life = self.home_life = self.world.boot("home")

        def serve(path: str, stream: FrameStream, who: str) -> None:
            handler = home.serve_mailbox if path == MAILBOX_PATH else home.serve_deposit
            life.run(handler(stream, remote=self.network.address_of(who), host=HOST))

        self.network.listen(URL, serve)

    def stop_home(self) -> None:
        """The home loses its power; what it has answered for is on its disk."""
        assert self.home_db is not None
        self.network.stop_listening(URL)
        self.home_life.crash()
        self.home_db._connection.close()
        self.home = self.home_db = None

    # --- peers -------------------------------------------------------------------------------------------------------

    async def move_in(self, name: str) -> Peer:
        """A new account, registered, switched on."""
        path = self.folder / f"{name}.db"
        rng = self.rng.fork(f"{name}/init")
        db = InlineDb(path, DATABASE_KEY, create=True, synchronous="OFF")
        own = await create_account(db, root=root_of(name), home=HOME, name=name, clock=self.clock, rng=rng)
        db.close()
        registration = Registration(own.root_key, own.device_list)
        dial = self.network.dialer(name)
        while True:
            try:
                await register(dial, HOME, registration, clock=self.clock, rng=rng)
                break
            except HomeUnreachableError:
                await asyncio.sleep(1)
        peer = self.peers[name] = Peer(name, self, path)
        peer.boot()
        await self.until(peer.is_known)
        return peer

    async def link(self, primary: Peer, name: str) -> Peer:
        """A second device of that account: listed by the primary, its home told, switched on."""
        device = own_devices.new_device(self.rng.fork(f"{name}/init"))
        root, now_ms = root_of(primary.name), self.clock.now_ms()
        assert primary.node is not None
        linked = await primary.node.db.run(
            lambda tx: own_devices.add_device(
                tx, root, device.key.public, device.registration_id, now_ms, self.rng.fork(name)
            )
        )
        primary.node.upkeep.wake()
        path = self.folder / f"{name}.db"
        db = InlineDb(path, DATABASE_KEY, create=True, synchronous="OFF")
        db.run_now(lambda tx: own_devices.become_linked(tx, device, linked))
        db.close()
        peer = self.peers[name] = Peer(name, self, path)
        peer.boot()
        await self.until(peer.is_known)
        return peer

    def returning(self, name: str) -> Peer:
        """A peer whose file is in the folder already."""
        peer = self.peers[name] = Peer(name, self, self.folder / f"{name}.db")
        peer.boot()
        return peer

    async def until(self, true: Callable[[], bool], *, within_s: float = 3600.0, every_s: float = 1.0) -> None:
        """Let time pass until something holds. Raises `TimeoutError` with the seed."""
        end = self.world.time() + within_s
        while not true():
            if self.world.time() > end:
                raise TimeoutError(f"not within {within_s:g} virtual seconds (seed {self.seed})")
            await asyncio.sleep(every_s)

    async def at_rest(self, *, within_s: float = 7200.0) -> None:
        """Until every peer is on and nobody has anything to send."""
        await self.until(
            lambda: all(peer.node is not None and not peer.waiting() for peer in self.peers.values()), within_s=within_s
        )


async def link_of(peer: Peer, kind: InviteKind = InviteKind.LINK) -> str:
    return (await peer.ask(lambda messenger: messenger.create_invite(kind))).link


async def befriend(one: Peer, two: Peer) -> None:
    """By a QR code, which accepts at once."""
    link = await link_of(two, InviteKind.QR)
    await one.ask(lambda messenger: messenger.add_contact(link))
    await one.house.until(lambda: one.contact(two).state is ChatState.ACCEPTED)
    await one.house.at_rest()


def furnish(folder: Path, names: tuple[str, ...] = ("ana", "beto"), *, friends: bool = True) -> None:
    """A folder with a home and friends, everyone with everyone, all switched off: copied, it begins many stories."""
    house = House(folder, seed=0)

    async def scenario() -> None:
        await house.start_home()
        peers = [await house.move_in(name) for name in names]
        for place, one in enumerate(peers):
            for two in peers[:place] if friends else ():
                await befriend(one, two)

    house.run(scenario)


def copied(template: Path, folder: Path, seed: int, **options: Any) -> House:
    """A house of one's own that goes on an hour after the template."""
    shutil.copytree(template, folder)
    return House(folder, seed, start_ms=Timestamp(START_MS + 3_600_000), **options)


async def everyone_home(house: House, *names: str) -> list[Peer]:
    """Home and peers on, logged in, with nothing to do."""
    await house.start_home()
    peers = [house.returning(name) for name in names]
    await house.until(lambda: all(peer.node is not None and peer.node.is_logged_in for peer in peers), every_s=0.1)
    await asyncio.sleep(2)
    return peers


async def _await(awaitable: Awaitable[T]) -> T:
    return await awaitable
