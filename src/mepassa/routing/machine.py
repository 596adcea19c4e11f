"""Which way an envelope goes to one device (docs/protocol/routing.md). Pure: told the time, handed evidence.

Any event is legal at any time; what no longer matters changes nothing. After each event and each time-out the whole
state is looked at once, in a fixed order (`_advance`): silent paths, the attempt under way, a new attempt, the
envelopes, then what is said about them. So the answer depends on what is known, never on the order it was learnt in.

The state has three owners, each of which knows only those before it: `PathTable` the live paths, `Carrying` the
envelopes, `Meetings` the attempts to get a path. What is known of the other side (`Knowledge`) they share.
"""

from collections.abc import Callable
from typing import assert_never

from mepassa.model.ids import Address
from mepassa.model.route import NatKind, Policy, RouteKind
from mepassa.routing.actions import Action
from mepassa.routing.carrying import Carrying
from mepassa.routing.events import (
    AddressesLearnt,
    AnswerReceived,
    ChatClosed,
    ChatOpened,
    Circumstance,
    DepositAnswered,
    DialFailed,
    EnvelopeDone,
    EnvelopeEvent,
    EnvelopeKind,
    EnvelopeQueued,
    EnvelopeReceived,
    Event,
    HomeReturned,
    IceFailed,
    MeetingEvent,
    NetworkChanged,
    OfferReceived,
    OwnNatLearnt,
    PathClosed,
    PathEvent,
    PathMeasured,
    PathOpened,
    PathsAllowed,
    PolicyChanged,
    PresenceAnswered,
    SendAcknowledged,
    SendByServer,
    SendFailed,
    SignalAnswered,
)
from mepassa.routing.knowledge import Knowledge
from mepassa.routing.meetings import Meetings
from mepassa.routing.outbox import Item, Outbox
from mepassa.routing.paths import NEVER, PathTable


class RoutingMachine:
    """`dice()` gives numbers in [0, 1) for jitter. All times are monotonic seconds, passed in as `now`."""

    def __init__(
        self,
        peer: Address,
        *,
        dice: Callable[[], float],
        policy: Policy = Policy.AUTO,
        own_nat: NatKind = NatKind.UNKNOWN,
        direct_allowed: bool = True,
        relay_allowed: bool = True,
    ) -> None:
        self.peer = peer
        self._actions: list[Action] = []
        act = self._actions.append
        self._know = Knowledge(policy, own_nat, direct_allowed, relay_allowed)
        self._outbox, self._paths = Outbox(), PathTable(self._know, act)
        self._carrying = Carrying(self._know, self._outbox, self._paths, dice=dice, act=act)
        self._meetings = Meetings(self._know, self._paths, self._carrying, dice=dice, act=act)
        self._looked_at = 0.0

    # --- the door ----------------------------------------------------------------------------------------------------

    def receive(self, event: Event, now: float) -> None:
        self._take(event, now)
        self._advance(now)

    def handle_timeout(self, now: float) -> None:
        self._advance(now)

    def actions(self) -> list[Action]:
        """What is to be done since the last call, in order."""
        actions = self._actions.copy()
        self._actions.clear()  # the owners hold on to this list
        return actions

    def accepts(self, kind: RouteKind) -> bool:
        """Whether a path of that kind may be used, opened or accepted now."""
        return self._know.accepts(kind)

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due; None only when nothing waits at all."""
        times = self._carrying.timeouts(self._meetings.attempt, self._looked_at)
        times += self._meetings.timeouts(self._looked_at)
        times += self._paths.timeouts()
        # What was due when we last looked and is still here waits for an event or a window, not for the time.
        ahead = [at for at in times if self._looked_at < at < NEVER]
        return min(ahead, default=None)

    def describe(self) -> dict[str, object]:
        """For `status` and for people who read logs: no envelope ids, no addresses."""
        attempt = self._meetings.attempt
        return {
            "policy": self._know.policy.value,
            "waiting": len(self._outbox),
            "paths": [(path.kind.value, path.srtt_s, path.is_usable) for path in self._paths],
            "attempt": None if attempt is None else (attempt.purpose.value, attempt.signal.value, attempt.ice.value),
            "failures": self._meetings.failures,
            "home_away": self._know.home_away,
        }

    # --- looking at everything ---------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        self._looked_at = now
        self._carrying.lapse(now)
        self._paths.close_due(now)
        self._paths.trust_the_best()
        self._meetings.look_up_presence_if_due(now)
        self._meetings.advance(now)
        self._carrying.move(self._meetings.attempt, now)
        self._meetings.better(now)
        self._carrying.report(self._meetings.attempt, now)
        self._meetings.cool()

    # --- evidence ----------------------------------------------------------------------------------------------------

    def _take(self, event: Event, now: float) -> None:
        if isinstance(event, EnvelopeEvent):
            self._take_of_envelope(event, now)
        elif isinstance(event, PathEvent):
            self._take_of_path(event, now)
        elif isinstance(event, MeetingEvent):
            self._take_of_meeting(event, now)
        else:
            self._take_circumstance(event, now)

    def _take_of_envelope(self, event: EnvelopeEvent, now: float) -> None:
        match event:
            case EnvelopeQueued():
                self._outbox.add(Item(event.envelope, event.kind, now))
                if event.kind is EnvelopeKind.PERSON:
                    self._meetings.chat_is_active(now)
            case EnvelopeDone():
                self._carrying.forget(event.envelope)
            case SendByServer():
                self._carrying.send_by_server(event.envelope)
            case SendAcknowledged():
                self._carrying.acknowledged(event.envelope, event.path, now)
            case SendFailed():
                self._carrying.send_failed(event.envelope, event.path, now)
            case DepositAnswered():
                self._carrying.deposit_answered(event.envelope, event.result, event.retry_after_s, now)
            case EnvelopeReceived():
                self._know.envelope_followed()
                self._know.heard()
                self._meetings.chat_is_active(now)
            case _:
                assert_never(event)

    def _take_of_path(self, event: PathEvent, now: float) -> None:
        match event:
            case PathOpened():
                opened = self._paths.open(event.path, event.kind, event.srtt_s, now)
                if opened is not None:
                    self._meetings.path_opened(opened, now)
            case PathMeasured():
                if (path := self._paths.get(event.path)) is not None:
                    path.measured(event.srtt_s)
            case PathClosed():
                if (closed := self._paths.remove(event.path)) is not None:
                    self._carrying.path_closed(event.path)
                    self._meetings.path_closed(closed, now)
            case _:
                assert_never(event)

    def _take_of_meeting(self, event: MeetingEvent, now: float) -> None:
        match event:
            case SignalAnswered():
                self._meetings.signal_answered(event.attempt, event.result, now)
            case AnswerReceived():
                self._meetings.answer_received(event.attempt, event.peer, now)
            case OfferReceived():
                self._meetings.offer_received(event.offer, event.peer, now)
            case DialFailed():
                self._meetings.dial_failed(event.attempt, now)
            case IceFailed():
                self._meetings.ice_failed(event.attempt)
            case AddressesLearnt():
                self._meetings.learn(event.addresses, now)
            case PresenceAnswered():
                self._meetings.presence_answered(event.addresses, now)
            case _:
                assert_never(event)

    def _take_circumstance(self, event: Circumstance, now: float) -> None:
        match event:
            case ChatOpened():
                self._know.chat_open = True
                self._meetings.chat_opened(now)
            case ChatClosed():
                self._know.chat_open = False
            case PolicyChanged():
                had_direct = self._know.direct
                self._know.policy = event.policy
                self._permissions_changed(had_direct, now, close=True)
            case PathsAllowed():
                had_direct = self._know.direct
                self._know.direct_allowed, self._know.relay_allowed = event.direct, event.relay
                self._permissions_changed(had_direct, now, close=event.close)
            case OwnNatLearnt():
                self._know.own_nat = event.nat_kind
            case NetworkChanged():
                self._know.forget_network()
                self._meetings.network_changed(now)
                self._carrying.try_again_at_once()
            case HomeReturned():
                self._know.home_away = False
                self._meetings.try_again_at_once()
                self._carrying.try_again_at_once()
            case _:
                assert_never(event)

    def _permissions_changed(self, had_direct: bool, now: float, *, close: bool) -> None:
        if close:
            self._paths.close_forbidden()
        self._meetings.permissions_changed(now, direct_is_new=self._know.direct and not had_direct)
