"""The node's courier: tells the routing machines what happens, and what became of each envelope to the outbox.

Nothing here chooses a route; `actions` does what the machines say.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence

from mepassa.client.courier import Homes, OutboxItem
from mepassa.client.courier import Report as OutcomeReport
from mepassa.client.inbox import Arrival, Inbox
from mepassa.client.paths.actions import PathActions
from mepassa.client.paths.live import LivePath, LivePaths
from mepassa.client.paths.peer import Peer, Pending
from mepassa.client.paths.reach import How, Reach
from mepassa.client.paths.signals import SignalPost
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import DiskFullError, PathRefusedError
from mepassa.model.ids import AccountId, Address
from mepassa.model.route import FoundBy, NatKind, Policy, RouteKind
from mepassa.model.signal import Signal, SignalKind
from mepassa.model.status import ChatState
from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.ports.rng import Rng
from mepassa.ports.stores import EventKind, OutboxKind, Tx
from mepassa.ports.transport import Link
from mepassa.protocol.devices import counterpart, reachable_devices
from mepassa.routing import (
    Action,
    AddressesLearnt,
    AddressRules,
    AnswerReceived,
    EnvelopeKind,
    EnvelopeQueued,
    EnvelopeReceived,
    HomeReturned,
    KnownAddress,
    NetworkChanged,
    OfferReceived,
    OwnNatLearnt,
    PathClosed,
    PathMeasured,
    PathOpened,
    PathsAllowed,
    PeerSide,
    PolicyChanged,
    RoutingMachine,
    SendByServer,
    admit_multiaddrs,
)

log = logging.getLogger("mepassa.paths")

MEASURE_EVERY_S = 1.0
"""How often the round trips of live links are looked at; pings themselves are the link's own affair."""
MAX_OFFERS = 16
"""Offers of one device that wait for the machine's decision: more than a minute's budget of signals."""

KINDS = {
    OutboxKind.TEXT: EnvelopeKind.PERSON,
    OutboxKind.CONTROL: EnvelopeKind.CONTROL,
    OutboxKind.REQUEST: EnvelopeKind.REQUEST,
}


class PathService:
    """A `Courier` for the outbox and a `LinkHandler` for the transports. `run` owns every task."""

    def __init__(
        self,
        db: Db[Tx],
        homes: Homes,
        signals: SignalPost,
        rules: Callable[[], AddressRules],
        *,
        clock: Clock,
        rng: Rng,
    ) -> None:
        self._db, self._homes, self._signals, self._rules = db, homes, signals, rules
        self._clock, self._rng = clock, rng
        self.live = LivePaths()
        self.direct = self.relay = True
        self._nat_kind = NatKind.UNKNOWN
        self._peers: dict[Address, Peer] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._actions: PathActions | None = None
        self._inbox: Inbox | None = None

    def attach(self, reach: Reach, inbox: Inbox) -> None:
        """The two that need us to be made first. Called once, before `run`."""
        self._inbox = inbox
        self._actions = PathActions(
            self._db, self._clock, self._rng, self._homes, self._signals, reach, self._rules, self.live,
            self._spawn, self._learn_nat,
        )  # fmt: skip

    async def run(self) -> None:
        """Until cancelled; on the way out every timer and meeting is closed. The transports close their own links."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                while True:
                    await asyncio.sleep(MEASURE_EVERY_S)
                    await self._measure()
        finally:
            self._tasks = None
            for peer in self._peers.values():
                peer.stop()
            meetings = [meeting for peer in self._peers.values() for meeting in peer.all_meetings()]
            await asyncio.gather(*(meeting.end() for meeting in meetings), return_exceptions=True)

    # --- ports: the outbox's courier ---------------------------------------------------------------------------------

    def deliver(self, to: Address, items: tuple[OutboxItem, ...], report: OutcomeReport) -> Awaitable[None]:
        """Hand the items to the device's machine, at once where there is one; awaited until each was reported once."""
        peer = self._peers.get(to)
        if peer is None or self._tasks is None:
            return self._deliver_first(to, items, report)
        return self._hand_in(peer, items, report)

    async def _deliver_first(self, to: Address, items: tuple[OutboxItem, ...], report: OutcomeReport) -> None:
        await self._hand_in(await self._peer(to), items, report)

    def _hand_in(self, peer: Peer, items: tuple[OutboxItem, ...], report: OutcomeReport) -> "asyncio.Future[None]":
        """Whoever cancels it calls back what has not left, even before anybody waited."""
        waiting = [self._queue(peer, item, report) for item in items]
        told = asyncio.ensure_future(_all_told(waiting))

        def ended(_: "asyncio.Future[None]") -> None:
            if told.cancelled():
                for pending in waiting:
                    peer.call_back(pending)

        told.add_done_callback(ended)
        return told

    def _queue(self, peer: Peer, item: OutboxItem, report: OutcomeReport) -> Pending:
        known = peer.pending.get(item.envelope.id)
        pending = Pending(item, report) if known is None else known.again(item, report)
        peer.pending[item.envelope.id] = pending
        if known is not None and item.stored_only:
            peer.feed(SendByServer(item.envelope.id))
        else:
            kind = EnvelopeKind.REQUEST if item.stored_only else KINDS[item.kind]
            peer.feed(EnvelopeQueued(item.envelope.id, kind))
        return pending

    async def _peer(self, address: Address) -> Peer:
        """The machine of one device, made on first use with what the database knows."""
        if address in self._peers:
            return self._peers[address]

        def read(tx: Tx) -> tuple[Policy, tuple[str, ...]]:
            contact = counterpart(tx, address.account)
            return (contact.policy if contact else Policy.AUTO), tx.known_addresses(address)

        policy, known = await self._db.run(read)
        if address in self._peers:  # somebody else made it while we read
            return self._peers[address]
        machine = RoutingMachine(
            address, dice=lambda: self._rng.uniform(0, 1), policy=policy, own_nat=self._nat_kind,
            direct_allowed=self.direct, relay_allowed=self.relay,
        )  # fmt: skip
        peer = self._peers[address] = Peer(address, machine, self._clock, self._carry_out)
        if admitted := admit_multiaddrs(known, self._rules()):
            peer.feed(AddressesLearnt(tuple(KnownAddress(line, FoundBy.LAST_KNOWN) for line in admitted)))
        return peer

    # --- what the rest of the node tells -----------------------------------------------------------------------------

    def policy_changed(self, account: AccountId, policy: Policy) -> None:
        for address, peer in self._peers.items():
            if address.account == account:
                peer.feed(PolicyChanged(policy))

    def forget(self, account: AccountId) -> None:
        """Blocked: nothing of ours goes there any more, neither envelopes nor attempts to meet, and no link stays open
        by which they would see that we are here, and where."""
        self.forget_devices({address for address in self._peers if address.account == account})
        for path in self.live.all():
            if path.link.peer.account == account:
                self._spawn(path.link.close())

    def forget_devices(self, devices: Collection[Address]) -> None:
        """Nothing goes to these any more, and what is open with them is closed."""
        for address in devices:
            peer = self._peers.pop(address, None)
            if peer is not None:
                peer.forget()
                for meeting in peer.all_meetings():
                    self._spawn(meeting.end())
        for path in self.live.all():
            if path.link.peer in devices:
                self._spawn(path.link.close())

    def close_strangers(self, is_known: Callable[[Address], bool]) -> None:
        """After contacts or their device lists have changed: links of devices that are no contact's end."""
        for path in self.live.all():
            if not is_known(path.link.peer):
                self._spawn(path.link.close())

    def home_returned(self) -> None:
        for peer in self._peers.values():
            peer.feed(HomeReturned())

    def network_changed(self) -> None:
        """Other addresses are ours now: what was gathered ahead is stale, and back-offs say nothing any more."""
        for peer in self._peers.values():
            if (warm := peer.take_warm()) is not None:
                self._spawn(warm.end())
            peer.feed(NetworkChanged())

    def set_paths(self, *, direct: bool, relay: bool, how: How) -> None:
        """PUT /paths: which kinds this node takes from now on, and how live ones of a forbidden kind end."""
        self.direct, self.relay = direct, relay
        reach = self._ready().reach
        reach.set_direct(direct, how)
        for kind, allowed in ((RouteKind.DIRECT, direct), (RouteKind.RELAYED, relay)):
            if not allowed:
                self._spawn(reach.end_paths(kind, how))
        for peer in self._peers.values():
            peer.feed(PathsAllowed(direct, relay, how == "close"))

    async def chat_shown(self, account: AccountId) -> None:
        """A face reads this chat: whoever opens a chat is about to write."""

        for device in await self._db.run(lambda tx: reachable_devices(tx, tx.contact(account))):
            (await self._peer(device.address)).show()

    def heard(self, device: Address) -> None:
        """An envelope that this device wrote a moment ago was committed: it is online."""
        if (peer := self._peers.get(device)) is not None:
            peer.feed(EnvelopeReceived())

    async def signal_received(self, sealed: SealedEnvelope) -> None:
        """A signal came through our home; whatever is wrong with it, nothing happens."""
        opened = await self._signals.open(sealed)
        if opened is None:
            return
        sender, signal = opened
        peer, side = await self._peer(sender), self._side(signal)
        if signal.kind is SignalKind.ANSWER:
            if (meeting := peer.meeting_of(signal.attempt_id)) is not None:
                meeting.theirs = signal
                peer.feed(AnswerReceived(meeting.number, side))
            return
        while len(peer.offers) >= MAX_OFFERS:
            del peer.offers[next(iter(peer.offers))]
        peer.offers[signal.attempt_id] = signal
        peer.feed(OfferReceived(signal.attempt_id, side))

    def _side(self, signal: Signal) -> PeerSide:
        lines = tuple(f"{line}/p2p/{signal.libp2p_peer_id}" for line in signal.libp2p_addresses)
        admitted = admit_multiaddrs(lines, self._rules()) if signal.libp2p_peer_id else ()
        addresses = tuple(KnownAddress(line, FoundBy.SIGNAL) for line in admitted)
        direct = signal.direct and not signal.relay_only
        return PeerSide(signal.nat_kind, direct, signal.relay, addresses, signal.ice_ufrag)

    # --- ports: links (LinkHandler) ----------------------------------------------------------------------------------

    async def link_opened(self, link: Link) -> None:
        """Raises `PathRefusedError` for a kind that the chat or this node does not take now, and for whoever was blocked
        while the hellos were said."""
        contact = await self._db.run(lambda tx: counterpart(tx, link.peer.account))
        peer = await self._peer(link.peer)
        if contact is None or contact.state is not ChatState.ACCEPTED or not peer.machine.accepts(link.facts.kind):
            raise PathRefusedError
        path = self.live.add(link)
        log.info("path.opened", extra={"peer": link.peer.short(), "kind": link.facts.kind, "by": link.facts.transport})
        peer.feed(PathOpened(path.number, link.facts.kind, link.srtt_s))
        await self._tell_path(link.peer.account)

    async def link_closed(self, link: Link) -> None:
        path = self.live.remove(link)
        if path is None:
            return
        log.info("path.closed", extra={"peer": link.peer.short(), "kind": link.facts.kind})
        (await self._peer(link.peer)).feed(PathClosed(path.number))
        await self._tell_path(link.peer.account)

    async def envelope_received(self, link: Link, envelope: SealedEnvelope) -> bool:
        if self._inbox is None:
            raise RuntimeError("attach() comes first")
        path = self.live.find(link) or LivePath(0, link)
        return await self._inbox.receive(envelope, Arrival(path.route, link.peer))

    async def _measure(self) -> None:
        for path in self.live.all():
            if path.pong_came() and path.seen_rtt_s is not None:
                (await self._peer(path.link.peer)).feed(PathMeasured(path.number, path.seen_rtt_s))
            if path.rtt_moved():
                await self._tell_path(path.link.peer.account)

    async def _tell_path(self, account: AccountId) -> None:
        def work(tx: Tx) -> None:
            if account != tx.own().address.account:  # no chat is with ourselves
                tx.append_event(EventKind.PATH, chat=account)

        with contextlib.suppress(DiskFullError):  # a full disk must not cost a path
            await self._db.run(work)

    # --- what actions need -------------------------------------------------------------------------------------------

    def _ready(self) -> PathActions:
        if self._actions is None:
            raise RuntimeError("attach() comes first")
        return self._actions

    def _carry_out(self, peer: Peer, action: Action) -> None:
        self._ready().carry_out(peer, action)

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        if self._tasks is None:
            raise RuntimeError("the path service is not running")
        task = self._tasks.create_task(_awaited(work))
        if isinstance(work, Coroutine):
            task.add_done_callback(lambda _: work.close())  # where it was called back before it began
        return task

    def _learn_nat(self, kind: NatKind) -> None:
        if kind is not self._nat_kind:
            self._nat_kind = kind
            for peer in self._peers.values():
                peer.feed(OwnNatLearnt(kind))


async def _all_told(waiting: Sequence[Pending]) -> None:
    for pending in waiting:
        await pending.told.wait()


async def _awaited(work: Awaitable[None]) -> None:
    """One action: if it fails in a way that nobody foresaw, it alone ends, and the node goes on."""
    try:
        await work
    except Exception:
        log.exception("paths.action_failed")
