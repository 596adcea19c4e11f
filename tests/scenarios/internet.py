"""A virtual internet for whole peers: what lets them meet, and the node's own path service on top of it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from mepassa.client.courier import Homes
from mepassa.client.link_identity import DbLinkIdentity
from mepassa.client.paths.meeting import Agent, Allowed, Listening
from mepassa.client.paths.reach import How
from mepassa.client.paths.service import PathService
from mepassa.client.paths.signals import SignalBudget, SignalPost
from mepassa.model.errors import LinkLostError
from mepassa.model.ids import Address
from mepassa.model.route import FoundBy, NatKind, RouteKind
from mepassa.model.secret import SecretBytes
from mepassa.model.signal import Signal
from mepassa.ports.transport import Link, LinkIdentity
from mepassa.routing import AddressRules
from mepassa.storage import InlineDb
from mepassa.transports.loopback import LoopbackNetwork
from tests.scenarios.household import House, Peer

RELAY = "relay.test:3478"
CONNECT_S = 0.2
"""From both signals to a path."""
GIVE_UP_S = 10.0
PEER_ID = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"


@dataclass(frozen=True)
class VirtualSide:
    ufrag: str = "ufrag"
    password: SecretBytes = field(default_factory=lambda: SecretBytes(b"p" * 22))
    lines: tuple[str, ...] = ()
    nat_kind: NatKind = NatKind.CONE


@dataclass
class VirtualAgent:
    local: VirtualSide
    closed: bool = False

    async def close(self) -> None:
        self.closed = True


class Internet:
    """`direct` and `relay`: whether two devices can meet that way at all now. Signals seen by anyone are kept."""

    def __init__(self) -> None:
        self.direct = self.relay = True
        self.direct_links = LoopbackNetwork(latency_s=0.02)
        self.relayed_links = LoopbackNetwork(latency_s=0.05, relay=RELAY)
        self.presence: dict[Address, tuple[str, ...]] = {}
        self.agents: list[VirtualAgent] = []
        self.told: list[Signal] = []


class VirtualReach:
    """A `Reach` whose dials and meetings are loopback links, as the internet allows them."""

    def __init__(self, internet: Internet, identity: LinkIdentity, paths: PathService, number: int) -> None:
        self._internet, self._own = internet, identity.own
        self._direct = internet.direct_links.register(identity, paths)
        self._relayed = internet.relayed_links.register(identity, paths)
        self.listening = Listening(PEER_ID, (f"/ip4/198.51.100.{number}/tcp/4001",))
        self.certificate_sha256 = bytes(32)

    async def dial(self, peer: Address, _peer_id: str, _addresses: tuple[str, ...], found_by: FoundBy) -> Link:
        await asyncio.sleep(0.05)
        if not self._internet.direct:
            await asyncio.sleep(5)
            raise LinkLostError
        return await self._direct.dial(peer, found_by=found_by)

    async def gather(self, _allowed: Allowed) -> Agent:
        await asyncio.sleep(0.05)
        agent = VirtualAgent(VirtualSide())
        self._internet.agents.append(agent)
        return agent

    async def connect(self, agent: Agent, *, ours: Signal, theirs: Signal, peer: Address) -> Link:
        self._internet.told += [ours, theirs]
        try:
            async with asyncio.timeout(GIVE_UP_S):
                await asyncio.sleep(CONNECT_S)
                if ours.direct and theirs.direct and self._internet.direct:
                    return await self._meet(self._direct, peer)
                if ours.relay and theirs.relay and self._internet.relay:
                    return await self._meet(self._relayed, peer)
                await asyncio.Event().wait()
        except TimeoutError as error:
            raise LinkLostError from error
        finally:
            await agent.close()
        raise AssertionError

    async def _meet(self, transport: Any, peer: Address) -> Link:
        """The smaller address is QUIC's client; the other waits for it."""
        if self._own < peer:
            return await transport.dial(peer, found_by=FoundBy.SIGNAL)  # type: ignore[no-any-return]  # either of two transports
        while not (live := transport.links.live(peer)):
            await asyncio.sleep(0.05)
        return live[-1]  # type: ignore[no-any-return]  # as above

    def set_direct(self, on: bool, how: How) -> None:
        self._direct.direct = on
        if not on:
            task = asyncio.get_running_loop().create_task(self._direct.links.end_all(how))
            task.add_done_callback(lambda _: None)

    async def end_paths(self, kind: RouteKind, how: How) -> None:
        if kind is RouteKind.RELAYED:
            await self._relayed.links.end_all(how)

    async def look_up(self, peer: Address) -> tuple[str, ...]:
        return self._internet.presence.get(peer, ())


@dataclass
class RoutedPeer(Peer):
    """A peer that takes all three routes, wired as `client.main` does it."""

    internet: Internet = field(default_factory=Internet)
    paths: PathService | None = None

    def make_courier(self, db: InlineDb, homes: Homes) -> PathService:
        clock, rng = self.house.clock, self.house.rng.fork(f"{self.name}/{self.boots}/paths")
        post = SignalPost(db, homes, clock, rng, SignalBudget(clock))
        self.paths = PathService(db, homes, post, AddressRules, clock=clock, rng=rng)
        return self.paths

    def boot(self) -> None:
        super().boot()
        node, paths, life = self.node, self.paths, self.life
        assert node is not None
        assert paths is not None
        assert life is not None
        identity = DbLinkIdentity(node.db, node.db.run_now(lambda tx: tx.own()))

        async def live() -> None:
            await identity.refresh()
            paths.attach(VirtualReach(self.internet, identity, paths, ord(self.name[0])), node.inbox)
            await paths.run()

        node.signal_received = paths.signal_received  # type: ignore[method-assign]  # as `HomeService` does
        life.run(live())

    def after_crash(self) -> None:
        super().after_crash()
        self.paths = None

    async def open_path(self, other: Peer) -> None:
        """Until a link to the other is live."""
        await self.house.until(lambda: self.path_to(other) is not None, within_s=60, every_s=0.05)

    def path_to(self, other: Peer) -> RouteKind | None:
        best = None if self.paths is None else self.paths.live.best(other.account)
        return None if best is None else best.kind


async def connected(house: House, internet: Internet, *names: str) -> list[RoutedPeer]:
    """Home and routed peers on, logged in, with nothing to do."""
    await house.start_home()
    peers = [RoutedPeer(name, house, house.folder / f"{name}.db", internet=internet) for name in names]
    for peer in peers:
        house.peers[peer.name] = peer
        peer.boot()
    await house.until(lambda: all(peer.node is not None and peer.node.is_logged_in for peer in peers), every_s=0.1)
    await asyncio.sleep(2)
    return peers
