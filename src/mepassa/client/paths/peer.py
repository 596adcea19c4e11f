"""One device of a contact: its routing machine, what is on its way to it, and the meetings with it."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mepassa.client.courier import OutboxItem, Outcome, Report
from mepassa.client.paths.meeting import Allowed, Meeting
from mepassa.model.ids import Address, AttemptId, EnvelopeId
from mepassa.model.route import RouteKind
from mepassa.model.signal import Signal
from mepassa.ports.clock import Clock
from mepassa.ports.rng import Rng
from mepassa.routing import (
    Action,
    ChatClosed,
    ChatOpened,
    EnvelopeDone,
    Event,
    PathsAllowed,
    PolicyChanged,
    RoutingMachine,
)

SHOWN_S = 120.0
"""A chat counts as open this long after a face last read it: no call says that a page was closed."""

log = logging.getLogger("mepassa.paths")


@dataclass(slots=True)
class Pending:
    """One envelope that the machine has been told of. `told` ends the wait of whoever handed it in, of all of them where it
    was handed in again ("send by server" does that)."""

    item: OutboxItem
    report: Report
    told: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: set[asyncio.Future[Any]] = field(default_factory=set)
    """What is bringing it now, by a path or to the home. Once there is an answer it is no longer in here: that is recorded."""

    def bring(self, bringing: asyncio.Future[Any]) -> None:
        self.under_way.add(bringing)
        bringing.add_done_callback(self.under_way.discard)

    def call_back(self) -> None:
        """What has not been answered is not waited for, and if it has not left, it stays."""
        for bringing in tuple(self.under_way):
            bringing.cancel()

    async def tell(self, outcome: Outcome) -> None:
        await self.report(self.item, outcome)
        self.told.set()

    def again(self, item: OutboxItem, report: Report) -> "Pending":
        """The same envelope, handed in once more."""
        told = asyncio.Event() if self.told.is_set() else self.told
        return Pending(item, report, told, self.under_way)


@dataclass
class Peer:
    """`carry_out` is given every action of the machine, in order; it must not block."""

    address: Address
    machine: RoutingMachine
    clock: Clock
    carry_out: Callable[["Peer", Action], None]
    pending: dict[EnvelopeId, Pending] = field(default_factory=dict)
    meetings: dict[int, Meeting] = field(default_factory=dict)
    offers: dict[AttemptId, Signal] = field(default_factory=dict)
    """Their offers that the machine has not decided on yet."""
    warm: Meeting | None = None
    """Gathered ahead, for the next attempt."""
    _telling: dict[asyncio.Task[None], Allowed] = field(default_factory=dict)
    """Signals of ours that may not have left yet, and what they show."""
    _timer: asyncio.TimerHandle | None = None
    _forgotten: bool = False
    _closing: asyncio.TimerHandle | None = None

    def feed(self, event: Event) -> None:
        """One event in, its actions out, the timer set anew. Nothing once this peer has been forgotten."""
        if self._forgotten:
            return
        log.debug("routing.event", extra={"peer": self.address.short(), "what": type(event).__name__})
        self.machine.receive(event, self.clock.monotonic())
        if isinstance(event, PolicyChanged | PathsAllowed):
            self._call_back_signals(self._allowed())
        self._turn()

    def tells(self, meeting: Meeting, telling: asyncio.Task[None], shown: Allowed) -> None:
        """That task sends a signal of that meeting which shows so much."""
        meeting.telling.add(telling)
        self._telling[telling] = shown
        telling.add_done_callback(lambda _: self._telling.pop(telling, None))

    def _allowed(self) -> Allowed:
        return Allowed(self.machine.accepts(RouteKind.DIRECT), self.machine.accepts(RouteKind.RELAYED))

    def _call_back_signals(self, allowed: Allowed) -> None:
        """What shows more than is allowed now does not leave any more, whatever it is waiting for."""
        for telling, shown in tuple(self._telling.items()):
            if shown.shows_more_than(allowed):
                telling.cancel()

    def brought(self, envelope: EnvelopeId) -> None:
        """Whoever has handed it in again while it was on its way waits no longer either."""
        if (pending := self.pending.pop(envelope, None)) is not None:
            pending.told.set()

    def call_back(self, pending: Pending) -> None:
        """Nobody waits for this envelope's fate any more: if it has not left, it stays."""
        pending.call_back()
        envelope = pending.item.envelope.id
        if self.pending.get(envelope) is pending:
            del self.pending[envelope]
            self.feed(EnvelopeDone(envelope))

    def show(self) -> None:
        """A face shows this chat: until nobody has looked for a while, a path may be prepared."""
        if self._closing is None:
            self.feed(ChatOpened())
        else:
            self._closing.cancel()
        self._closing = asyncio.get_running_loop().call_later(SHOWN_S, self._hide)

    def _hide(self) -> None:
        self._closing = None
        self.feed(ChatClosed())

    def meeting(self, number: int, rng: Rng) -> Meeting:
        """The attempt of that number; a new one takes over what was gathered ahead."""
        if number not in self.meetings:
            meeting = self.take_warm() or Meeting.new(number, rng)
            meeting.number = number
            self.meetings[number] = meeting
        return self.meetings[number]

    def take_warm(self) -> Meeting | None:
        warm, self.warm = self.warm, None
        return warm

    def all_meetings(self) -> tuple[Meeting, ...]:
        return (*self.meetings.values(), *(() if self.warm is None else (self.warm,)))

    def meeting_of(self, offered: AttemptId) -> Meeting | None:
        """The attempt in which we offered this id ourselves."""
        return next((meeting for meeting in self.meetings.values() if meeting.id == offered), None)

    def forget(self) -> None:
        """For good: no event does anything any more, what has not left stays, and whoever waits for an envelope's fate waits
        no longer."""
        self._forgotten = True
        self._call_back_signals(Allowed(direct=False, relay=False))
        self.stop()
        for pending in tuple(self.pending.values()):
            pending.told.set()
            self.call_back(pending)

    def stop(self) -> None:
        for timer in (self._timer, self._closing):
            if timer is not None:
                timer.cancel()
        self._timer = self._closing = None

    def _turn(self) -> None:
        for action in self.machine.actions():
            log.debug("routing.action", extra={"peer": self.address.short(), "what": type(action).__name__})
            self.carry_out(self, action)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.machine.next_timeout()
        if due is not None:
            delay_s = max(0.0, due - self.clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timeout)

    def _on_timeout(self) -> None:
        self._timer = None
        self.machine.handle_timeout(self.clock.monotonic())
        self._turn()
