"""One attempt of two devices to meet: our candidates, our signal, theirs, and the dials under way."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from mepassa.model.errors import LinkLostError
from mepassa.model.ids import AttemptId, Timestamp
from mepassa.model.route import NatKind
from mepassa.model.secret import SecretBytes
from mepassa.model.signal import Signal, SignalKind
from mepassa.ports.rng import Rng

ATTEMPT_ID_BYTES = 16
PATH_SECRET_BYTES = 32
GRACE_S = 0.5
"""An attempt ends when its first path opens, a moment before the call that opened it returns: to cancel that call at
once would close the path again."""
TOLD_WITHIN_S = 2.0
"""As long as gathering may take."""


class LocalSide(Protocol):
    """What gathering found (`transports.ice.LocalCandidates`)."""

    @property
    def ufrag(self) -> str: ...
    @property
    def password(self) -> SecretBytes: ...
    @property
    def lines(self) -> tuple[str, ...]: ...
    @property
    def nat_kind(self) -> NatKind: ...


class Agent(Protocol):
    """One ICE agent (`transports.ice.IceAttempt`): gathered once, connected at most once, closed always."""

    @property
    def local(self) -> LocalSide: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Allowed:
    """Which kinds of path an attempt may make. `hidden`: our signals name no address of ours."""

    direct: bool
    relay: bool
    hidden: bool = False

    def shows_more_than(self, other: "Allowed") -> bool:
        return (self.direct and not other.direct) or (self.relay and not other.relay)

    def within(self, other: "Allowed") -> "Allowed":
        """What both allow."""
        return Allowed(self.direct and other.direct, self.relay and other.relay, self.hidden or other.hidden)


@dataclass(frozen=True, slots=True)
class Listening:
    """Our libp2p side of a signal; empty where we hide or do not listen."""

    peer_id: str | None = None
    addresses: tuple[str, ...] = ()


@dataclass
class Meeting:
    """`number` is the routing machine's, `id` what travels in our offers. `theirs` is the newest signal of the peer."""

    number: int
    id: AttemptId
    path_secret: bytes = field(repr=False)
    theirs: Signal | None = None
    ours: Signal | None = None
    telling: set[asyncio.Task[None]] = field(default_factory=set)
    """Signals of ours, on their way or gone."""
    dials: set[asyncio.Task[None]] = field(default_factory=set)
    ice: asyncio.Task[None] | None = None
    _gathering: asyncio.Task[Agent] | None = None
    _closing: set[asyncio.Task[None]] = field(default_factory=set)
    """Of agents that show too much by now."""
    _allowed: Allowed | None = None
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def new(cls, number: int, rng: Rng) -> "Meeting":
        return cls(number, AttemptId(rng.token(ATTEMPT_ID_BYTES)), rng.token(PATH_SECRET_BYTES))

    def begin(self, allowed: Allowed, gather: Callable[[Allowed], Awaitable[Agent]]) -> None:
        """Start gathering, unless it has begun."""
        if self._gathering is None:
            self._allowed = allowed
            self._gathering = asyncio.ensure_future(_gathered(gather, allowed))

    async def agent(self, allowed: Allowed, gather: Callable[[Allowed], Awaitable[Agent]]) -> Agent:
        """Our agent, gathered on first use; several callers share one gathering.

        Gathered anew when it shows more than may be shown now: whoever waits for the old one gets the new one, and what was
        told of the old one does not count.
        """
        stale, known = self._gathering, self._allowed
        if stale is not None and known is not None and known.shows_more_than(allowed):
            self._gathering = None
            self._told.clear()
            self._closing.add(asyncio.ensure_future(_closed(stale)))
        self.begin(allowed, gather)
        while (gathering := self._gathering) is not None:
            await asyncio.wait({gathering})
            if gathering.cancelled() and self._gathering is gathering:
                break
            if self._gathering in {gathering, None} and not gathering.cancelled():
                return gathering.result()
        raise LinkLostError  # the meeting has ended

    async def told_side(self, gather: Callable[[Allowed], Awaitable[Agent]]) -> tuple[Signal, Agent]:
        """Our newest signal and the agent behind it; waits for the first one, which may be on its way out."""
        while True:
            await self._told.wait()
            assert self._allowed is not None
            agent = await self.agent(self._allowed, gather)
            if self._told.is_set():
                assert self.ours is not None
                return self.ours, agent

    def signal(
        self, kind: SignalKind, attempt: AttemptId, agent: Agent, allowed: Allowed, listening: Listening, *,
        certificate_sha256: bytes, now_ms: Timestamp,
    ) -> Signal:  # fmt: skip
        """What we tell the peer now; remembered, since both ends bind their QUIC hello to what was told."""
        local = agent.local
        if self._allowed is not None:  # whoever waited for a wider agent may have been given this one
            allowed = allowed.within(self._allowed)
        shows_libp2p = allowed.direct and not allowed.hidden
        self.ours = Signal(
            kind=kind,
            attempt_id=attempt,
            sent_at_ms=now_ms,
            ice_ufrag=local.ufrag,
            ice_password=local.password.expose().decode(),
            candidates=local.lines,
            nat_kind=local.nat_kind,
            quic_certificate_sha256=certificate_sha256,
            path_secret=self.path_secret,
            libp2p_peer_id=listening.peer_id if shows_libp2p else None,
            libp2p_addresses=listening.addresses if shows_libp2p else (),
            relay_only=allowed.hidden,
            direct=allowed.direct,
            relay=allowed.relay,
        )
        self._told.set()
        return self.ours

    def hand_over(self) -> None:
        """The agent belongs to the link that it made: do not close it with the attempt."""
        self._gathering = None

    async def end(self) -> None:
        """Stop what has not made a path. Paths that were made live on, also one that opens at this very moment. A signal may
        still leave: without it the other side would wait for ten seconds."""
        if self.telling:
            await asyncio.wait(self.telling, timeout=TOLD_WITHIN_S)
        running = {task for task in (*self.dials, self.ice) if task is not None and task is not asyncio.current_task()}
        if running:
            _, late = await asyncio.wait(running, timeout=GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._drop_agent()
        await asyncio.gather(*self._closing)

    async def _drop_agent(self) -> None:
        gathering, self._gathering = self._gathering, None
        if gathering is not None:
            await _closed(gathering)


async def _closed(gathering: "asyncio.Task[Agent]") -> None:
    """Stopped, or what it has found closed."""
    if not gathering.done():
        gathering.cancel()
    found = (await asyncio.gather(gathering, return_exceptions=True))[0]
    if not isinstance(found, BaseException):
        await found.close()


async def _gathered(gather: Callable[[Allowed], Awaitable[Agent]], allowed: Allowed) -> Agent:
    return await gather(allowed)
