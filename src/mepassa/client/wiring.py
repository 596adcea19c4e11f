"""Wires one node together: the only file that knows every name of the client.

`main` imports it last: libp2p and the ratchet take seconds, which nobody should wait for to hear that a passphrase is
wrong.
"""

import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

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
from mepassa.client.run import Run
from mepassa.client.settings import INSECURE_HOME, PRIVATE_HOME
from mepassa.client.transports import Transports
from mepassa.client.upkeep import Upkeep
from mepassa.ports.clock import SystemClock
from mepassa.ports.rng import SystemRng
from mepassa.protocol.contacts import is_inside
from mepassa.routing import admit_ip
from mepassa.storage import SqlDb
from mepassa.transports.ice import IceTransport, QuicCertificate
from mepassa.transports.libp2p import Libp2pConfig, Libp2pTransport, PresenceClient, TrioGuest
from mepassa.transports.mailbox import MailboxOwnHome, SealedHomes, WebSocketDialer


@dataclass(frozen=True, slots=True)
class Node:
    """All services of one node, made but not started."""

    account_id: str
    api: LocalApiService
    events: EventFeed
    gate: Gate
    services: tuple[Callable[[], Coroutine[None, None, None]], ...]


async def build(config: NodeConfig, folder: NodeFolder, db: SqlDb, cleanup: contextlib.AsyncExitStack) -> Node:
    clock, rng, changes = SystemClock(), SystemRng(), Changes()
    own = await db.run(lambda tx: tx.own())
    insecure_home = await db.run(lambda tx: tx.setting(INSECURE_HOME)) is not None
    private_homes = is_inside(own.home) or await db.run(lambda tx: tx.setting(PRIVATE_HOME)) is not None
    sealed_sockets = WebSocketDialer(insecure_home=insecure_home, private_homes=private_homes)
    own_sockets = WebSocketDialer(insecure_home=insecure_home, private_homes=True)
    homes = SealedHomes(sealed_sockets, clock=clock, rng=rng)
    for closing in (sealed_sockets.close, own_sockets.close, homes.close):
        cleanup.push_async_callback(closing)
    identity = DbLinkIdentity(db, own)
    await identity.refresh()
    home = HomeState(own.home)
    network = NetworkWatch(allow_loopback=config.allow_loopback_paths)

    post = SignalPost(db, homes, clock, rng, SignalBudget(clock))
    paths = PathService(db, homes, post, lambda: network.rules, clock=clock, rng=rng, on_change=changes.ring)
    outbox = Outbox(db, homes, paths, clock=clock, rng=rng, on_change=changes.ring)
    upkeep = Upkeep(db, outbox, clock=clock, rng=rng, on_change=changes.ring)
    contacts = ContactWatch(identity, upkeep)
    home_service = HomeService(home, db, outbox, paths, upkeep, on_change=changes.ring, insecure_home=insecure_home)
    inbox = Inbox(
        db, homes, outbox, own_home=home_service.own_home, clock=clock, rng=rng,
        on_change=changes.ring, on_contacts=contacts.changed, on_alive=paths.heard,
    )  # fmt: skip
    messenger = Messenger(
        db, homes, outbox, upkeep, clock=clock, rng=rng, on_change=changes.ring, on_contacts=contacts.changed,
        check_clock=home_service.check_clock,
    )  # fmt: skip
    login = Login(own.address, Run(db, clock=clock, rng=rng), identity.sign)
    connection = MailboxOwnHome(own_sockets, own.home, login, home_service, clock=clock, rng=rng)
    home_service.attach(connection, inbox)

    guest = TrioGuest()
    await guest.start()
    cleanup.push_async_callback(guest.stop)

    def make_libp2p(own_network: OwnNetwork) -> Libp2pTransport:
        listen = Libp2pConfig(listen=own_network.listen, allow_loopback=config.allow_loopback_paths)
        return Libp2pTransport(
            listen, identity.for_direct_links(), paths, guest=guest, may_dial=lambda ip: admit_ip(ip, network.rules)
        )

    ice = IceTransport(identity=identity, handler=paths, certificate=QuicCertificate.make(clock.now_ms()))
    transports = Transports(ice, home, network, make_libp2p, rng=rng, allow_loopback_paths=config.allow_loopback_paths)
    await transports.start()
    cleanup.push_async_callback(transports.stop)
    presence = PresenceService(
        db, PresenceClient(guest=guest, clock=clock, allow_loopback=config.allow_loopback_paths),
        listening=lambda: transports.facts, sign=identity.sign, direct=lambda: paths.direct,
        clock=clock, extra_bootstrap=config.bootstrap,
    )  # fmt: skip
    transports.presence = presence
    home_service.on_document = presence.learn_bootstrap
    contacts.also(presence.wake)
    contacts.also(lambda: paths.close_strangers(lambda device: identity.peer_key(device) is not None))

    async def network_changed(own_network: OwnNetwork) -> bool:
        listening = await transports.listen_anew(own_network)
        paths.network_changed()
        connection.wake()
        presence.wake()
        return listening

    paths.attach(transports, inbox)

    gate = Gate(folder.api_token(rng), clock, rng, config.frame_ancestor)
    doctor = Doctor(folder.root, home, transports, home_service.look_at_home)
    return Node(
        account_id=own.address.account.hex(),
        api=LocalApiService(messenger, paths, home, db, gate=gate, doctor=doctor),
        events=EventFeed(db, changes, home, paths.live),
        gate=gate,
        services=(
            paths.run,
            outbox.run,
            upkeep.run,
            inbox.run,
            contacts.run,
            connection.run,
            home_service.run,
            presence.run,
            lambda: network.run(network_changed),
        ),
    )
