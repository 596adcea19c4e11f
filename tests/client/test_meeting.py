"""One attempt's agent: what it may show is decided anew until something has been told of it."""

import asyncio
from dataclasses import dataclass, field

from mepassa.client.paths.meeting import Agent, Allowed, Listening, Meeting
from mepassa.model.ids import Timestamp
from mepassa.model.route import NatKind
from mepassa.model.secret import SecretBytes
from mepassa.model.signal import SignalKind
from mepassa.testing import SeededRng, VirtualLoop

EVERYTHING, RELAY_ALONE = Allowed(direct=True, relay=True), Allowed(direct=False, relay=True, hidden=True)
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


def test_what_has_been_told_is_kept() -> None:
    async def scenario() -> None:
        gather, meeting = Gatherer(), Meeting.new(1, SeededRng("meeting"))
        agent = await meeting.agent(EVERYTHING, gather)
        assert told(meeting, agent, EVERYTHING) == (HOST, RELAY)
        assert await meeting.agent(RELAY_ALONE, gather) is agent
        await meeting.end()
        assert [gathered.closed for gathered in gather.agents] == [True]

    VirtualLoop().run(scenario())
