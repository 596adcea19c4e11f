"""One attempt's agent and signals: never more than may be shown now, from what was told before too."""

import asyncio
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from mepassa.client.paths.actions import PathActions
from mepassa.client.paths.meeting import Agent, Allowed, Listening, Meeting
from mepassa.client.paths.peer import Peer
from mepassa.model.ids import AccountId, Address, AttemptId, Timestamp
from mepassa.model.route import FoundBy, NatKind, Policy
from mepassa.model.secret import SecretBytes
from mepassa.model.signal import Signal, SignalKind
from mepassa.routing import (
    Dial,
    EndAttempt,
    KnownAddress,
    OfferReceived,
    PeerSide,
    PolicyChanged,
    RoutingMachine,
    SendSignal,
    SignalResult,
)
from mepassa.testing import ManualClock, SeededRng, VirtualLoop

EVERYTHING, RELAY_ALONE = Allowed(direct=True, relay=True), Allowed(direct=False, relay=True, hidden=True)
PEER = Address(AccountId(b"p" * 16), 1)
HOST = "1 1 udp 2130706431 192.168.1.7 4000 typ host"
RELAY = "2 1 udp 16777215 203.0.113.9 5000 typ relay"


@dataclass(frozen=True)
class Side:
    lines: tuple[str, ...]
    ufrag: str = "ufrag"
    password: SecretBytes = field(default_factory=lambda: SecretBytes(b"p" * 24))
    nat_kind: NatKind = NatKind.UNKNOWN


@dataclass
class Gathered:
    local: Side
    closed: bool = False

    async def close(self) -> None:
        self.closed = True


@dataclass
class Gatherer:
    """Takes a moment, as a network does."""

    agents: list[Gathered] = field(default_factory=list)

    async def __call__(self, allowed: Allowed) -> Agent:
        await asyncio.sleep(0.1)
        self.agents.append(Gathered(Side((HOST, RELAY) if allowed.direct else (RELAY,))))
        return self.agents[-1]


def told(meeting: Meeting, agent: Agent, allowed: Allowed) -> tuple[str, ...]:
    return meeting.signal(
        SignalKind.ANSWER, meeting.id, agent, allowed, Listening(), certificate_sha256=bytes(32), now_ms=Timestamp(1)
    ).candidates


def test_what_was_gathered_ahead_is_not_told_once_less_may_be_shown_also_when_ice_waits_for_it() -> None:
    """An answer and the start of ICE come in one turn: ICE is there before the answer has been made."""

    async def scenario() -> None:
        gather, meeting = Gatherer(), Meeting.new(1, SeededRng("meeting"))
        meeting.begin(EVERYTHING, gather)
        await asyncio.sleep(1)
        ice = asyncio.ensure_future(meeting.told_side(gather))
        meeting.ice = asyncio.ensure_future(asyncio.sleep(60))
        agent = await meeting.agent(RELAY_ALONE, gather)
        assert told(meeting, agent, RELAY_ALONE) == (RELAY,)
        assert (await ice)[1] is agent
        assert [gathered.closed for gathered in gather.agents] == [True, False]
        await meeting.end()

    VirtualLoop().run(scenario())


def test_what_was_told_of_more_does_not_count_once_less_may_be_shown() -> None:
    async def scenario() -> None:
        gather, meeting = Gatherer(), Meeting.new(1, SeededRng("meeting"))
        wide = await meeting.agent(EVERYTHING, gather)
        assert told(meeting, wide, EVERYTHING) == (HOST, RELAY)
        assert await meeting.agent(EVERYTHING, gather) is wide
        narrow = await meeting.agent(RELAY_ALONE, gather)
        ice = asyncio.ensure_future(meeting.told_side(gather))
        await asyncio.sleep(1)
        assert not ice.done(), "nothing has been told of this agent"
        assert told(meeting, narrow, RELAY_ALONE) == (RELAY,)
        ours, agent = await ice
        assert (ours.candidates, agent) == ((RELAY,), narrow)
        await meeting.end()
        assert [gathered.closed for gathered in gather.agents] == [True, True]

    VirtualLoop().run(scenario())


@pytest.mark.parametrize("seed", range(8))
def test_who_waits_while_less_is_allowed_gets_the_new_agent_and_tells_no_more_than_it(seed: int) -> None:
    async def scenario() -> None:
        gather, meeting = Gatherer(), Meeting.new(1, SeededRng("meeting"))
        wide = asyncio.ensure_future(meeting.agent(EVERYTHING, gather))
        await asyncio.sleep(0.05)
        narrow = await meeting.agent(RELAY_ALONE, gather)
        assert await wide is narrow
        signal = meeting.signal(
            SignalKind.OFFER, meeting.id, await wide, EVERYTHING, Listening("peer", ("/ip4/192.168.1.7/tcp/1",)),
            certificate_sha256=bytes(32), now_ms=Timestamp(1),
        )  # fmt: skip
        assert (signal.candidates, signal.libp2p_addresses) == ((RELAY,), ())
        assert (signal.direct, signal.relay_only) == (False, True)
        await meeting.end()

    VirtualLoop(seed).run(scenario())


class Reached:
    """A `Reach` that gathers, and dials without an end."""

    listening = Listening("peer", ("/ip4/192.168.1.7/tcp/1",))
    certificate_sha256 = bytes(32)

    def __init__(self) -> None:
        self.gather = Gatherer()

    async def dial(self, peer: Address, peer_id: str, addresses: tuple[str, ...], found_by: FoundBy) -> None:
        await asyncio.sleep(60)


class Post:
    """Takes a while, as a home that has to be reached first."""

    def __init__(self) -> None:
        self.left: list[Signal] = []

    async def send(self, to: Address, signal: Signal) -> SignalResult:
        await asyncio.sleep(0.3)
        self.left.append(signal)
        return SignalResult.FORWARDED


class Stage:
    """A peer and its actions over that reach and that post."""

    def __init__(self, *, direct_allowed: bool = True) -> None:
        self.post, self.reach, self.tasks = Post(), Reached(), set[asyncio.Task[None]]()
        self.actions = PathActions(
            db=cast("Any", None), clock=ManualClock(), rng=SeededRng("actions"), homes=cast("Any", None),
            signals=cast("Any", self.post), reach=cast("Any", self.reach), rules=cast("Any", None),
            live=cast("Any", None), spawn=self.spawn, on_nat=lambda _kind: None,
        )  # fmt: skip
        machine = RoutingMachine(PEER, dice=lambda: 0.5, direct_allowed=direct_allowed)
        self.peer = Peer(PEER, machine, ManualClock(), self.actions.carry_out)

    def spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(awaited(work))
        self.tasks.add(task)
        if isinstance(work, Coroutine):
            task.add_done_callback(lambda _: work.close())  # as the path service does
        return task

    def end(self) -> None:
        self.peer.stop()
        for task in self.tasks:
            task.cancel()


MOMENTS = pytest.mark.parametrize("after_s", [0.0, 0.05, 0.2], ids=["at once", "while gathering", "on its way out"])


@MOMENTS
@pytest.mark.parametrize("dials", [True, False])
def test_what_shows_more_than_is_allowed_now_does_not_leave_any_more(after_s: float, *, dials: bool) -> None:
    """Also where the attempt has ended meanwhile: a running dial has a moment of grace, its signal has none."""

    async def scenario() -> None:
        stage = Stage()
        if dials:
            known = KnownAddress("/ip4/192.0.2.9/tcp/1/p2p/x", FoundBy.LAST_KNOWN)
            stage.actions.carry_out(stage.peer, Dial(1, (known,)))
        stage.actions.carry_out(stage.peer, SendSignal(1, direct=True, relay=True, hidden=False))
        if after_s:
            await asyncio.sleep(after_s)
        stage.actions.carry_out(stage.peer, EndAttempt(1))
        stage.peer.feed(PolicyChanged(Policy.HIDE_MY_IP))
        await asyncio.sleep(5)
        assert stage.post.left == []
        assert all(gathered.closed for gathered in stage.reach.gather.agents)
        stage.end()

    VirtualLoop().run(scenario())


@MOMENTS
def test_to_whoever_was_blocked_no_signal_leaves(after_s: float) -> None:
    async def scenario() -> None:
        stage = Stage()
        stage.actions.carry_out(stage.peer, SendSignal(1, direct=False, relay=True, hidden=True))
        if after_s:
            await asyncio.sleep(after_s)
        stage.peer.forget()
        await asyncio.sleep(5)
        assert stage.post.left == []
        stage.end()

    VirtualLoop().run(scenario())


def test_a_no_is_said_though_its_attempt_ends_at_once() -> None:
    """Without a kind of path in common there is nothing to do but to say so, which spares the other side ten seconds."""

    async def scenario() -> None:
        stage, offer = Stage(direct_allowed=False), AttemptId(b"o" * 16)
        stage.peer.feed(OfferReceived(offer, PeerSide(NatKind.UNKNOWN, direct=True, relay=False)))
        assert stage.peer.meetings == {}
        await asyncio.sleep(5)
        (answer,) = stage.post.left
        assert (answer.kind, answer.attempt_id, answer.direct, answer.relay) == (SignalKind.ANSWER, offer, False, True)
        assert (answer.candidates, answer.libp2p_addresses) == ((RELAY,), ())
        stage.end()

    VirtualLoop().run(scenario())


async def awaited(work: Awaitable[None]) -> None:
    await work
