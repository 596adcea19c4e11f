"""Wires one node together: the only file that knows every name of the client.

`main` imports it last: libp2p and the ratchet take seconds, which nobody should wait for to hear that a passphrase is
wrong.
"""

from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from mepassa.client.api.events import EventFeed
from mepassa.client.api.gate import Gate
from mepassa.client.api.service import LocalApiService
from mepassa.client.changes import Changes
from mepassa.client.config import NodeConfig
from mepassa.client.contact_watch import ContactWatch
from mepassa.client.doctor import Doctor
from mepassa.client.folder import NodeFolder
from mepassa.client.home import HomeService, HomeState, Login
from mepassa.client.inbox import Inbox
from mepassa.client.link_identity import DbLinkIdentity
from mepassa.client.messenger import Messenger
from mepassa.client.network import NetworkWatch, OwnNetwork
from mepassa.client.outbox import Outbox
from mepassa.client.paths.service import PathService
from mepassa.client.paths.signals import SignalBudget, SignalPost
from mepassa.client.presence import PresenceService
from mepassa.client.removal import RemovalWatch
from mepassa.client.run import Run
from mepassa.client.settings import INSECURE_HOME, PRIVATE_HOME
from mepassa.client.transports import Transports
from mepassa.client.upkeep import Upkeep
from mepassa.ports.clock import SystemClock
from mepassa.ports.rng import SystemRng
from mepassa.ports.stores import OwnAccount
from mepassa.protocol.contacts import is_inside
from mepassa.routing import admit_ip
from mepassa.storage import SqlDb
from mepassa.transports.ice import IceTransport, QuicCertificate
from mepassa.transports.libp2p import Libp2pConfig, Libp2pTransport, PresenceClient, TrioGuest
from mepassa.transports.mailbox import MailboxOwnHome, SealedHomes, WebSocketDialer

Service = Callable[[], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Node:
    """All services of one node, made but not started."""

    account_id: str
    api: LocalApiService
    events: EventFeed
    gate: Gate
    services: tuple[Service, ...]


async def build(config: NodeConfig, folder: NodeFolder, db: SqlDb, cleanup: AsyncExitStack) -> Node:
    """From the ground up. `cleanup` undoes in reverse what was opened on the way."""
    ground = await lay_ground(config, db)
    sockets, homes = await open_homes(ground, cleanup)
    rooms = furnish(ground, homes)
    connection = connect_own_home(ground, sockets, rooms)
    transports, presence = await open_routes(ground, rooms, cleanup)
    follow_network = tie(ground, rooms, connection, transports, presence)
    gate = Gate(folder.api_token(ground.rng), ground.clock, ground.rng, config.frame_ancestor)
    doctor = Doctor(folder.root, rooms.home, transports, rooms.home_service.look_at_home)
    return Node(
        account_id=ground.own.address.account.hex(),
        api=LocalApiService(rooms.messenger, rooms.paths, rooms.home, db, gate=gate, doctor=doctor),
        events=EventFeed(db, ground.changes, rooms.home, rooms.paths.live),
        gate=gate,
        services=(
            rooms.paths.run,
            rooms.outbox.run,
            rooms.upkeep.run,
            rooms.inbox.run,
            rooms.contacts.run,
            connection.run,
            rooms.home_service.run,
            rooms.removal.run,
            presence.run,
            follow_network,
        ),
    )


# --- the ground --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ground:
    """What all services stand on."""

    config: NodeConfig
    db: SqlDb
    own: OwnAccount
    insecure_home: bool
    private_homes: bool
    identity: DbLinkIdentity
    network: NetworkWatch
    changes: Changes
    clock: SystemClock = field(default_factory=SystemClock)
    rng: SystemRng = field(default_factory=SystemRng)


async def lay_ground(config: NodeConfig, db: SqlDb) -> Ground:
    own = await db.run(lambda tx: tx.own())
    identity = DbLinkIdentity(db, own)
    await identity.refresh()
    changes = Changes()
    db.on_events = changes.add
    return Ground(
        config=config,
        db=db,
        own=own,
        insecure_home=await db.run(lambda tx: tx.setting(INSECURE_HOME)) is not None,
        private_homes=is_inside(own.home) or await db.run(lambda tx: tx.setting(PRIVATE_HOME)) is not None,
        identity=identity,
        network=NetworkWatch(allow_loopback=config.allow_loopback_paths),
        changes=changes,
    )


async def open_homes(ground: Ground, cleanup: AsyncExitStack) -> tuple[WebSocketDialer, SealedHomes]:
    """The way to the own home, and the one to everybody's, where nobody is told who asks."""
    insecure, clock, rng = ground.insecure_home, ground.clock, ground.rng
    own_sockets = WebSocketDialer(insecure_home=insecure, private_homes=True)
    sealed_sockets = WebSocketDialer(insecure_home=insecure, private_homes=ground.private_homes)
    homes = SealedHomes(sealed_sockets, clock=clock, rng=rng)
    for closing in (sealed_sockets.close, own_sockets.close, homes.close):
        cleanup.push_async_callback(closing)
    return own_sockets, homes


# --- the rooms ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rooms:
    """The services between the database and the network, made but not tied to it."""

    home: HomeState
    paths: PathService
    outbox: Outbox
    upkeep: Upkeep
    contacts: ContactWatch
    home_service: HomeService
    inbox: Inbox
    messenger: Messenger
    removal: RemovalWatch


def furnish(ground: Ground, homes: SealedHomes) -> Rooms:
    db, clock, rng = ground.db, ground.clock, ground.rng
    home = HomeState(ground.own.home)
    post = SignalPost(db, homes, clock, rng, SignalBudget(clock))
    paths = PathService(db, homes, post, lambda: ground.network.rules, clock=clock, rng=rng)
    outbox = Outbox(db, homes, paths, clock=clock, rng=rng)
    upkeep = Upkeep(db, outbox, clock=clock, rng=rng)
    contacts = ContactWatch(ground.identity, upkeep)
    outbox.on_contacts = contacts.changed
    home_service = HomeService(
        home, db, outbox, paths, upkeep, insecure_home=ground.insecure_home
    )  # fmt: skip
    inbox = Inbox(
        db, homes, outbox, own_home=home_service.own_home, clock=clock, rng=rng,
        on_contacts=contacts.changed, on_alive=paths.heard,
    )  # fmt: skip
    post.on_unlisted = inbox.lists.unlisted_sender
    messenger = Messenger(
        db, homes, outbox, upkeep, clock=clock, rng=rng, on_contacts=contacts.changed,
        check_clock=home_service.check_clock,
    )  # fmt: skip

    def fall_silent() -> None:
        paths.set_paths(direct=False, relay=False, how="close")
        contacts.changed()

    removal = RemovalWatch(db, homes, home, ground.own.address.account, on_removed=fall_silent)
    return Rooms(home, paths, outbox, upkeep, contacts, home_service, inbox, messenger, removal)


# --- the network -------------------------------------------------------------------------------------------------------


def connect_own_home(ground: Ground, sockets: WebSocketDialer, rooms: Rooms) -> MailboxOwnHome:
    own, clock, rng = ground.own, ground.clock, ground.rng
    login = Login(own.address, Run(ground.db, clock=clock, rng=rng), ground.identity.sign)
    connection = MailboxOwnHome(sockets, own.home, login, rooms.home_service, clock=clock, rng=rng)
    rooms.home_service.attach(connection, rooms.inbox)
    return connection


async def open_routes(ground: Ground, rooms: Rooms, cleanup: AsyncExitStack) -> tuple[Transports, PresenceService]:
    """libp2p and ICE for direct and relayed paths, and the DHT that says where to dial."""
    loopback, identity, paths, network = (
        ground.config.allow_loopback_paths,
        ground.identity,
        rooms.paths,
        ground.network,
    )
    guest = TrioGuest()
    await guest.start()
    cleanup.push_async_callback(guest.stop)

    def make_libp2p(own_network: OwnNetwork) -> Libp2pTransport:
        listen = Libp2pConfig(listen=own_network.listen, allow_loopback=loopback)
        return Libp2pTransport(
            listen, identity.for_direct_links(), paths, guest=guest, may_dial=lambda ip: admit_ip(ip, network.rules)
        )

    ice = IceTransport(identity=identity, handler=paths, certificate=QuicCertificate.make(ground.clock.now_ms()))
    transports = Transports(
        ice, rooms.home, network, make_libp2p,
        rng=ground.rng, allow_loopback_paths=loopback, private_home=ground.private_homes,
    )  # fmt: skip
    await transports.start()
    cleanup.push_async_callback(transports.stop)
    presence = PresenceService(
        ground.db, PresenceClient(guest=guest, clock=ground.clock, allow_loopback=loopback),
        listening=lambda: transports.facts, sign=identity.sign, direct=lambda: paths.direct,
        clock=ground.clock, extra_bootstrap=ground.config.bootstrap,
    )  # fmt: skip
    return transports, presence


def tie(
    ground: Ground, rooms: Rooms, connection: MailboxOwnHome, transports: Transports, presence: PresenceService
) -> Service:
    """The knots that could not be tied when the services were made; returns the service that follows the network."""
    rooms.paths.attach(transports, rooms.inbox)
    transports.presence = presence
    rooms.home_service.on_document = presence.learn_bootstrap
    ground.identity.on_unlisted = rooms.inbox.lists.unlisted_hello
    rooms.contacts.also(presence.wake)
    rooms.contacts.also(lambda: rooms.paths.forget_devices(ground.identity.ended))
    rooms.contacts.also(
        lambda: rooms.paths.close_strangers(lambda device: ground.identity.peer_key(device) is not None)
    )

    async def network_changed(own_network: OwnNetwork) -> bool:
        listening = await transports.listen_anew(own_network)
        rooms.paths.network_changed()
        connection.wake()
        presence.wake()
        return listening

    return lambda: ground.network.run(network_changed)
