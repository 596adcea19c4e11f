"""Carries out the actions of the routing machines. Every action is a task whose end is an event, failure included."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mepassa.client.courier import Homes, Refused, Sent, Stored, deposit_one
from mepassa.client.paths.live import LivePath, LivePaths
from mepassa.client.paths.meeting import Agent, Allowed, Meeting
from mepassa.client.paths.peer import Peer, Pending
from mepassa.client.paths.reach import Reach
from mepassa.client.paths.signals import SignalPost
from mepassa.model.errors import (
    BusyError,
    DiskFullError,
    HomeUnreachableError,
    LinkLostError,
    MailboxFullError,
    MepassaError,
    TokenRefusedError,
    TransientError,
)
from mepassa.model.ids import AttemptId
from mepassa.model.route import FoundBy, NatKind
from mepassa.model.signal import Signal, SignalKind
from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Tx
from mepassa.routing import (
    Action,
    AddressRules,
    AnswerSignal,
    ClosePath,
    Cool,
    Deposit,
    DepositAnswered,
    DepositResult,
    Dial,
    DialFailed,
    EndAttempt,
    Gather,
    IceFailed,
    KnownAddress,
    LookUpPresence,
    PresenceAnswered,
    Report,
    Send,
    SendAcknowledged,
    SendFailed,
    SendSignal,
    SignalAnswered,
    StartIce,
    Waiting,
    admit_multiaddrs,
)


class NoDirectPathError(TransientError):
    sentence = "There is no direct path now; the message waits for one, or can be sent by the server."


WAITING_ERRORS: dict[Waiting, type[MepassaError]] = {
    Waiting.NEEDS_DIRECT_PATH: NoDirectPathError,
    Waiting.HOME_AWAY: HomeUnreachableError,
    Waiting.MAILBOX_FULL: MailboxFullError,
    Waiting.REFUSED: TokenRefusedError,
}
"""What the outbox is told of an envelope that waits; `CONNECTING` is no news."""


@dataclass
class PathActions:
    """`spawn` starts a task that the path service owns; `on_nat` hears what gathering learnt of our own NAT."""

    db: Db[Tx]
    clock: Clock
    rng: Rng
    homes: Homes
    signals: SignalPost
    reach: Reach
    rules: Callable[[], AddressRules]
    live: LivePaths
    spawn: Callable[[Awaitable[None]], asyncio.Task[None]]
    on_nat: Callable[[NatKind], None]

    def carry_out(self, peer: Peer, action: Action) -> None:
        match action:
            case Send():
                self._send(peer, action)
            case Deposit():
                self._deposit(peer, action)
            case Dial():
                self._dial(peer, action)
            case Gather():
                self._warm(peer, Allowed(action.direct, action.relay))
            case Cool():
                if (warm := peer.take_warm()) is not None:
                    self.spawn(warm.end())
            case SendSignal():
                meeting = peer.meeting(action.attempt, self.rng)
                peer.tells(meeting, self.spawn(self._offer(peer, meeting, action)), _allowed(action))
            case AnswerSignal():
                meeting = peer.meeting(action.attempt, self.rng)
                meeting.theirs = peer.offers.pop(action.offer, meeting.theirs)
                peer.tells(meeting, self.spawn(self._answer(peer, meeting, action)), _allowed(action))
            case StartIce():
                meeting = peer.meeting(action.attempt, self.rng)
                meeting.ice = self.spawn(self._ice(peer, meeting))
            case EndAttempt():
                if (ended := peer.meetings.pop(action.attempt, None)) is not None:
                    self.spawn(ended.end())
            case LookUpPresence():
                self.spawn(self._look_up(peer))
            case ClosePath():
                if (path := self.live.get(action.path)) is not None:
                    self.spawn(path.link.close())
            case Report():
                self._tell_waiting(peer, action)

    # --- envelopes ---------------------------------------------------------------------------------------------------

    def _send(self, peer: Peer, action: Send) -> None:
        """The envelope leaves now, where its link has room; its acknowledgement is a task's."""
        path, pending = self.live.get(action.path), peer.pending.get(action.envelope)
        if path is None or pending is None:
            self.spawn(self._not_sent(peer, action))
            return
        sending = asyncio.ensure_future(path.link.send(pending.item.envelope))
        self._bring(pending, sending, self._sent(peer, action, path, pending, sending))

    async def _not_sent(self, peer: Peer, action: Send) -> None:
        peer.feed(SendFailed(action.envelope, action.path))

    async def _sent(
        self, peer: Peer, action: Send, path: LivePath, pending: Pending, sending: "asyncio.Future[bool]"
    ) -> None:
        try:
            opened = await sending
        except LinkLostError:
            await self._not_sent(peer, action)
            return
        await pending.tell(Sent(path.route, opened))
        await asyncio.sleep(0)  # whoever watches the log hears of it first: a person waits for the ticks
        pending.call_back()  # an insurance deposit, or a copy on a path that was silent
        peer.brought(action.envelope)
        peer.feed(SendAcknowledged(action.envelope, action.path))

    def _deposit(self, peer: Peer, action: Deposit) -> None:
        pending = peer.pending.get(action.envelope)
        if pending is None:
            return
        depositing = asyncio.ensure_future(deposit_one(self.homes, pending.item))
        self._bring(pending, depositing, self._deposited(peer, action, pending, depositing))

    async def _deposited(
        self, peer: Peer, action: Deposit, pending: Pending, depositing: "asyncio.Future[Stored | Refused]"
    ) -> None:
        outcome = await depositing
        match outcome:
            case Stored():
                # A copy may still be on its way by a path; the receipt names the one that came first.
                await pending.tell(outcome)
                peer.brought(action.envelope)
                peer.feed(DepositAnswered(action.envelope, DepositResult.STORED))
            case Refused(error=error, retry_after_s=retry_after_s):
                peer.feed(DepositAnswered(action.envelope, deposit_result(error), retry_after_s))

    def _bring(self, pending: Pending, bringing: "asyncio.Future[Any]", answered: Awaitable[None]) -> None:
        """`answered` waits for it and tells what came of it."""
        task = self.spawn(answered)
        task.add_done_callback(lambda _: bringing.cancel())  # also when that was called back before it began
        pending.bring(bringing)

    def _tell_waiting(self, peer: Peer, action: Report) -> None:
        pending, error = peer.pending.get(action.envelope), WAITING_ERRORS.get(action.waiting)
        if pending is not None and error is not None:
            self.spawn(pending.tell(Refused(error())))

    # --- dials -------------------------------------------------------------------------------------------------------

    def _dial(self, peer: Peer, action: Dial) -> None:
        """One dial for each (peer id, source), all at once."""
        meeting = peer.meeting(action.attempt, self.rng)
        groups: dict[tuple[str, FoundBy], list[str]] = {}
        for known in action.addresses:
            address, _, peer_id = known.multiaddr.rpartition("/p2p/")
            groups.setdefault((peer_id, known.found_by), []).append(address)
        for (peer_id, found_by), addresses in groups.items():
            meeting.dials.add(self.spawn(self._dial_one(peer, meeting, peer_id, tuple(addresses), found_by)))

    async def _dial_one(
        self, peer: Peer, meeting: Meeting, peer_id: str, addresses: tuple[str, ...], found_by: FoundBy
    ) -> None:
        failed = False
        try:
            await self.reach.dial(peer.address, peer_id, addresses, found_by)
        except MepassaError:
            failed = True
        finally:
            meeting.dials = {task for task in meeting.dials if task is not asyncio.current_task()}
        if not failed:
            reached = tuple(f"{address}/p2p/{peer_id}" for address in addresses)
            with contextlib.suppress(DiskFullError):  # worth knowing next time, not worth more
                await self.db.run(lambda tx: tx.put_known_addresses(peer.address, reached, self.clock.now_ms()))
        elif not meeting.dials and peer.meetings.get(meeting.number) is meeting:
            peer.feed(DialFailed(meeting.number))

    async def _look_up(self, peer: Peer) -> None:
        try:
            found = await self.reach.look_up(peer.address)
        except MepassaError:
            found = ()
        admitted = admit_multiaddrs(found, self.rules())
        peer.feed(PresenceAnswered(tuple(KnownAddress(line, FoundBy.DHT) for line in admitted)))

    # --- meetings ----------------------------------------------------------------------------------------------------

    def _warm(self, peer: Peer, allowed: Allowed) -> None:
        if peer.warm is None:
            peer.warm = Meeting.new(0, self.rng)
            peer.warm.begin(allowed, self.reach.gather)

    async def _offer(self, peer: Peer, meeting: Meeting, action: SendSignal) -> None:
        allowed = _allowed(action)
        agent = await self._agent(meeting, allowed)
        signal = self._our_signal(SignalKind.OFFER, meeting, meeting.id, agent, allowed)
        peer.feed(SignalAnswered(meeting.number, await self.signals.send(peer.address, signal)))

    async def _answer(self, peer: Peer, meeting: Meeting, action: AnswerSignal) -> None:
        allowed = _allowed(action)
        agent = await self._agent(meeting, allowed)
        signal = self._our_signal(SignalKind.ANSWER, meeting, action.offer, agent, allowed)
        peer.feed(SignalAnswered(meeting.number, await self.signals.send(peer.address, signal)))

    async def _agent(self, meeting: Meeting, allowed: Allowed) -> Agent:
        agent = await meeting.agent(allowed, self.reach.gather)
        if agent.local.nat_kind is not NatKind.UNKNOWN:
            self.on_nat(agent.local.nat_kind)
        return agent

    def _our_signal(
        self, kind: SignalKind, meeting: Meeting, attempt: AttemptId, agent: Agent, allowed: Allowed
    ) -> Signal:
        return meeting.signal(
            kind, attempt, agent, allowed, self.reach.listening,
            certificate_sha256=self.reach.certificate_sha256, now_ms=self.clock.now_ms(),
        )  # fmt: skip

    async def _ice(self, peer: Peer, meeting: Meeting) -> None:
        try:
            await self._connect(peer, meeting)
        except MepassaError:
            peer.feed(IceFailed(meeting.number))

    async def _connect(self, peer: Peer, meeting: Meeting) -> None:
        ours, agent = await meeting.told_side(self.reach.gather)
        theirs = meeting.theirs
        if theirs is None:
            raise LinkLostError
        meeting.hand_over()
        await self.reach.connect(agent, ours=ours, theirs=theirs, peer=peer.address)


def _allowed(action: SendSignal | AnswerSignal) -> Allowed:
    return Allowed(action.direct, action.relay, action.hidden)


def deposit_result(error: MepassaError) -> DepositResult:
    match error:
        case MailboxFullError():
            return DepositResult.MAILBOX_FULL
        case TokenRefusedError():
            return DepositResult.TOKEN_REFUSED
        case BusyError():
            return DepositResult.BUSY
        case _:
            return DepositResult.HOME_UNREACHABLE
