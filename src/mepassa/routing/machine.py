"""Which way an envelope goes to one device (docs/protocol/routing.md). Pure: told the time, handed evidence.

Any event is legal at any time; what no longer matters changes nothing. After each event and each time-out the whole
state is looked at once, in a fixed order (`_advance`): silent paths, the attempt under way, a new attempt, the
envelopes, then what is said about them. So the answer depends on what is known, never on the order it was learnt in.
"""

from collections.abc import Callable
from typing import assert_never

from mepassa.model.ids import Address, EnvelopeId
from mepassa.model.route import FoundBy, NatKind, Policy, RouteKind
from mepassa.routing.actions import (
    Action,
    AnswerSignal,
    ClosePath,
    Cool,
    Deposit,
    Dial,
    EndAttempt,
    Gather,
    LookUpPresence,
    Report,
    Send,
    SendSignal,
    StartIce,
    Waiting,
)
from mepassa.routing.attempt import Attempt, IceState, Purpose, SignalState
from mepassa.routing.events import (
    AddressesLearnt,
    AnswerReceived,
    ChatClosed,
    ChatOpened,
    DepositAnswered,
    DepositResult,
    DialFailed,
    EnvelopeDone,
    EnvelopeKind,
    EnvelopeQueued,
    EnvelopeReceived,
    Event,
    HomeReturned,
    IceFailed,
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
    PresenceAnswered,
    SendAcknowledged,
    SendByServer,
    SendFailed,
    SignalAnswered,
    SignalResult,
)
from mepassa.routing.knowledge import Knowledge
from mepassa.routing.outbox import Item, Outbox
from mepassa.routing.paths import NEVER, LivePath, PathTable
from mepassa.routing.policy import Store, punching_is_hopeless
from mepassa.routing.times import (
    DEPOSIT_WINDOW,
    HOLD_RELAY_S,
    IDLE_S,
    INSURANCE_S,
    LINGER_S,
    MAILBOX_FULL_S,
    MAX_ADDRESSES,
    PRESENCE_EVERY_S,
    PRESENCE_HOME_AWAY_S,
    RECHECK_S,
    SEND_WINDOW,
    SIGNAL_AFTER_S,
    UPGRADE_AFTER_S,
    UPGRADE_CAP_S,
    acknowledge_within_s,
    backoff_s,
)

REFUSALS = {
    DepositResult.HOME_UNREACHABLE: Waiting.HOME_AWAY,
    DepositResult.BUSY: None,
    DepositResult.MAILBOX_FULL: Waiting.MAILBOX_FULL,
    DepositResult.TOKEN_REFUSED: Waiting.REFUSED,
}


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
        self._dice = dice
        self._know = Knowledge(policy, own_nat, direct_allowed, relay_allowed)
        self._actions: list[Action] = []
        self._outbox, self._paths = Outbox(), PathTable()
        self._attempt: Attempt | None = None
        self._attempts_made = 0
        self._failures = 0
        self._next_attempt_at = -NEVER
        self._gathered = False
        self._upgrade_at: float | None = None
        self._upgrade_not_before = -NEVER
        self._upgrade_failures = 0
        self._reconnect = False
        self._looked_at = 0.0
        self._trusted: LivePath | None = None
        """The best path as of the last look: asked for each envelope, so it is found once a pass."""

    # --- the door ----------------------------------------------------------------------------------------------------

    def receive(self, event: Event, now: float) -> None:
        self._take(event, now)
        self._advance(now)

    def handle_timeout(self, now: float) -> None:
        self._advance(now)

    def actions(self) -> list[Action]:
        """What is to be done since the last call, in order."""
        actions, self._actions = self._actions, []
        return actions

    def accepts(self, kind: RouteKind) -> bool:
        """Whether a path of that kind may be used, opened or accepted now."""
        return self._know.accepts(kind)

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due; None only when nothing waits at all."""
        times = [self._looked_at + RECHECK_S] if len(self._outbox) else []
        for item in self._outbox:
            times += item.in_flight.values()
            times += [at for at in item.lapsed.values() if at > self._looked_at]
            due = self._deposit_due(item, self._looked_at)
            if due is not None and not item.depositing:
                times.append(max(due, item.deposit_after))
        if self._attempt is not None:
            times.append(self._attempt.ends_at)
            if self._attempt.signal is SignalState.PLANNED:
                times.append(self._attempt.signal_at)
        elif self._wants_attempt(self._looked_at):
            times.append(self._next_attempt_at)
        if self._upgrade_at is not None:
            times.append(self._upgrade_at)
        if self._know.direct and (asks_at := self._presence_due(self._looked_at)) is not None:
            times.append(asks_at)
        times += [self._close_at(path) for path in self._paths]
        # What was due when we last looked and is still here waits for an event or a window, not for the time.
        ahead = [at for at in times if self._looked_at < at < NEVER]
        return min(ahead, default=None)

    def describe(self) -> dict[str, object]:
        """For `status` and for people who read logs: no envelope ids, no addresses."""
        attempt = self._attempt
        return {
            "policy": self._know.policy.value,
            "waiting": len(self._outbox),
            "paths": [(path.kind.value, path.srtt_s, path.is_usable) for path in self._paths],
            "attempt": None if attempt is None else (attempt.purpose.value, attempt.signal.value, attempt.ice.value),
            "failures": self._failures,
            "home_away": self._know.home_away,
        }

    # --- evidence ----------------------------------------------------------------------------------------------------

    def _take(self, event: Event, now: float) -> None:
        match event:
            case EnvelopeQueued():
                self._outbox.add(Item(event.envelope, event.kind, now))
                if event.kind is EnvelopeKind.PERSON:
                    self._chat_is_active(now)
            case EnvelopeDone():
                self._forget(event.envelope)
            case SendByServer():
                self._send_by_server(event.envelope)
            case SendAcknowledged():
                if (path := self._paths.get(event.path)) is not None:
                    path.gave_sign_of_life(now)
                self._forget(event.envelope)
            case SendFailed():
                self._send_failed(event, now)
            case DepositAnswered():
                self._deposit_answered(event, now)
            case EnvelopeReceived():
                self._know.envelope_followed()
                self._know.heard()
                self._chat_is_active(now)
            case PathOpened():
                self._path_opened(event, now)
            case PathMeasured():
                if (path := self._paths.get(event.path)) is not None:
                    path.srtt_s, used = event.srtt_s, path.used
                    path.gave_sign_of_life(now)
                    path.used = used  # a ping is no use of it
            case PathClosed():
                self._path_closed(event.path, now)
            case SignalAnswered():
                self._signal_answered(event, now)
            case AnswerReceived():
                if (attempt := self._attempt) is not None and attempt.number == event.attempt:
                    self._meet(attempt, event.peer, now)
            case OfferReceived():
                self._offer_received(event, now)
            case DialFailed():
                attempt = self._attempt if self._attempt and self._attempt.number == event.attempt else None
                self._know.dial_failed(frozenset(attempt.dialled if attempt else ()), now)
                if attempt is not None:
                    attempt.dialling = False
                    attempt.signal_at = min(attempt.signal_at, now)
            case IceFailed():
                if (attempt := self._attempt) is not None and attempt.number == event.attempt:
                    attempt.ice = IceState.ENDED
            case AddressesLearnt():
                self._learn(event.addresses, now)
            case PresenceAnswered():
                self._know.presence_pending = False
                self._learn(event.addresses, now)
            case _:
                self._take_circumstance(event, now)

    def _take_circumstance(
        self,
        event: ChatOpened | ChatClosed | PolicyChanged | PathsAllowed | OwnNatLearnt | NetworkChanged | HomeReturned,
        now: float,
    ) -> None:
        """What the person or the network changed."""
        match event:
            case ChatOpened():
                self._know.chat_open = True
                self._chat_is_active(now)
                if self._know.rules.keep_paths and self._some_path_allowed and self._best is None:
                    self._gather()
                    self._look_up_presence(now, PRESENCE_EVERY_S)
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
                self._end_attempt(now, failed=False)  # its sockets stand in the old network
                self._try_again_at_once()
            case HomeReturned():
                self._know.home_away = False
                self._try_again_at_once()
            case _:
                assert_never(event)

    # --- envelopes ---------------------------------------------------------------------------------------------------

    def _forget(self, envelope: EnvelopeId) -> None:
        item = self._outbox.remove(envelope)
        for path in self._paths if item is not None else ():
            path.in_flight.discard(envelope)

    def _send_by_server(self, envelope: EnvelopeId) -> None:
        if (item := self._outbox.get(envelope)) is not None:
            item.by_server, item.deposit_after = True, -NEVER
            self._outbox.put_first(item)

    def _send_failed(self, event: SendFailed, now: float) -> None:
        if (path := self._paths.get(event.path)) is not None:
            path.in_flight.discard(event.envelope)
            path.suspect_since = now if path.suspect_since is None else path.suspect_since
        if (item := self._outbox.get(event.envelope)) is not None and item.in_flight.pop(event.path, None) is not None:
            self._lapse_on(item, event.path, now)

    def _deposit_answered(self, event: DepositAnswered, now: float) -> None:
        self._know.home_away = event.result is DepositResult.HOME_UNREACHABLE
        if event.result in {DepositResult.STORED, DepositResult.DELIVERED}:
            self._forget(event.envelope)
            return
        item = self._outbox.get(event.envelope)
        if item is None:
            return
        delay_s = backoff_s(item.deposit_failures, self._dice())
        if event.retry_after_s is not None:
            delay_s += min(max(event.retry_after_s, 0.0), RECHECK_S)
        if event.result is DepositResult.MAILBOX_FULL:
            delay_s += MAILBOX_FULL_S
        item.depositing, item.refusal = False, REFUSALS[event.result]
        item.deposit_failures += 1
        item.deposit_after = now + delay_s

    def _lapse_on(self, item: Item, path: int, now: float) -> None:
        item.lapsed[path] = now + backoff_s(item.lapses, self._dice())
        item.lapses += 1

    def _carrier(self, item: Item, now: float) -> LivePath | None:
        """The path that this envelope may be given to now."""
        best = self._trusted
        if best is None or item.is_stored_only or item.lapsed.get(best.path, -NEVER) > now:
            return None
        return best

    def _is_carried(self, item: Item, now: float) -> bool:
        """A path has it and still has time to acknowledge it, or one is there to take it."""
        if item.in_flight and any(until > now for until in item.in_flight.values()):
            return True
        return self._carrier(item, now) is not None

    def _deposit_due(self, item: Item, now: float) -> float | None:
        """When this envelope is to go to the recipient's home; None: not as things stand. The table of the document."""
        if item.is_stored_only:
            return item.since
        if self._know.rules.store is Store.ASKED or self._is_carried(item, now):
            return None
        if item.kind is EnvelopeKind.CONTROL or self._know.rules.store is Store.FIRST:
            return item.since
        hopeful = self._attempt is not None and self._attempt.purpose is not Purpose.UPGRADE
        if self._know.is_offline(now) or not hopeful or item.deposit_failures:
            return item.since
        return item.since + INSURANCE_S

    # --- paths -------------------------------------------------------------------------------------------------------

    @property
    def _best(self) -> LivePath | None:
        return self._paths.best(self.accepts)

    @property
    def _some_path_allowed(self) -> bool:
        return self._know.direct or self._know.relay

    def _close_at(self, path: LivePath) -> float:
        best = self._best
        replaced = best is not None and best.kind is RouteKind.DIRECT and path.kind is RouteKind.RELAYED
        doubtful = best is not None and bool(best.in_flight)  # it has yet to show that it carries
        idle_s = NEVER if self._know.rules.keep_paths else IDLE_S
        return path.close_at(idle_s=idle_s, replaced=replaced and not doubtful)

    def _path_opened(self, event: PathOpened, now: float) -> None:
        if event.kind is RouteKind.STORED or self._paths.get(event.path) is not None:
            return
        path = LivePath(event.path, event.kind, event.srtt_s, opened=now, used=now, linger_until=now + LINGER_S)
        self._paths.add(path)
        self._know.heard()
        if not self.accepts(event.kind):
            self._close(path)
            return
        self._failures, self._next_attempt_at = 0, now
        attempt = self._attempt
        if event.kind is RouteKind.DIRECT:
            self._upgrade_at, self._upgrade_failures, self._reconnect = None, 0, False
            for other in self._paths:
                other.linger_until = now + LINGER_S
            if attempt is not None:
                attempt.found = True
                self._end_attempt(now)
            return
        if attempt is not None and attempt.purpose is not Purpose.UPGRADE:
            attempt.found, attempt.ice = True, IceState.ENDED
        if self._upgrade_at is None:
            self._upgrade_at = max(now + UPGRADE_AFTER_S, self._upgrade_not_before)

    def _path_closed(self, number: int, now: float) -> None:
        path = self._paths.remove(number)
        if path is None:
            return
        for item in self._outbox:
            item.in_flight.pop(number, None)
            item.lapsed.pop(number, None)
        if not path.proven and not path.closing and not any(self._paths):
            # It opened and fell without carrying anything: the next attempt waits, or this would go round for ever.
            # Beside another path it was a twin that one side has given up.
            self._failures += 1
            self._next_attempt_at = now + backoff_s(self._failures, self._dice())

    def _close(self, path: LivePath) -> None:
        if not path.closing:
            path.closing = True
            self._actions.append(ClosePath(path.path))

    def _permissions_changed(self, had_direct: bool, now: float, *, close: bool) -> None:
        for path in self._paths:
            if close and not self.accepts(path.kind):
                self._close(path)
        attempt = self._attempt
        if attempt is not None and (attempt.direct, attempt.relay) != self._kinds_for(attempt.purpose):
            self._end_attempt(now, failed=False)
        self._next_attempt_at = now
        if self._know.direct and not had_direct and self._know.is_active(now):
            self._upgrade_at, self._reconnect = now, True

    # --- attempts ----------------------------------------------------------------------------------------------------

    def _chat_is_active(self, now: float) -> None:
        self._know.was_used(now)
        best = self._best
        if best is not None and best.kind is RouteKind.RELAYED and self._upgrade_at is None:
            self._upgrade_at = max(now + UPGRADE_AFTER_S, self._upgrade_not_before)

    def _try_again_at_once(self) -> None:
        self._failures, self._next_attempt_at = 0, -NEVER
        self._know.heard()
        self._upgrade_failures, self._upgrade_not_before = 0, -NEVER
        for item in self._outbox:
            item.deposit_after, item.deposit_failures = -NEVER, 0

    def _gather(self) -> None:
        self._gathered = True
        self._actions.append(Gather(self._know.direct, self._know.relay))

    def _presence_due(self, now: float) -> float | None:
        """When the DHT is asked next, again and again: their home is away, and what somebody wrote has no path."""
        if not self._know.home_away or self._know.presence_pending or not self._wants_attempt(now):
            return None
        return self._know.presence_asked + PRESENCE_HOME_AWAY_S

    def _look_up_presence(self, now: float, every_s: float) -> None:
        if self._know.direct and now - self._know.presence_asked >= every_s:
            self._know.presence_asked, self._know.presence_pending = now, True
            self._actions.append(LookUpPresence())

    def _learn(self, addresses: tuple[KnownAddress, ...], now: float) -> None:
        fresh = self._know.learn(addresses)
        if self._attempt is not None:
            self._dial(self._attempt, now)
        elif fresh:
            self._next_attempt_at = min(self._next_attempt_at, now)

    def _wants_attempt(self, now: float) -> bool:
        """Something that a person wrote is here, no path takes it, and the policy does not put the home first."""
        if not self._some_path_allowed or self._best is not None:
            return False
        return any(
            item.is_written
            and not item.depositing
            and not self._is_carried(item, now)
            and (self._know.rules.store is not Store.FIRST or item.deposit_failures > 0)
            for item in self._outbox
        )

    def _kinds_for(self, purpose: Purpose) -> tuple[bool, bool]:
        """Direct, relayed."""
        relay = self._know.relay and purpose is not Purpose.UPGRADE
        return self._know.direct, relay

    def _start_attempt(self, purpose: Purpose, now: float) -> Attempt:
        self._attempts_made += 1
        direct, relay = self._kinds_for(purpose)
        attempt = self._attempt = Attempt(self._attempts_made, purpose, now, direct, relay)
        self._gather()
        if self._know.is_offline(now):
            attempt.signal = SignalState.DEAD
        self._dial(attempt, now)
        # A path that has just gone silent says that the known addresses are of little use.
        patient = attempt.dialling and not self._paths.any_suspect
        attempt.signal_at = now + SIGNAL_AFTER_S if patient else now
        return attempt

    def _dial(self, attempt: Attempt, now: float) -> None:
        if not attempt.direct or (attempt.found and attempt.purpose is not Purpose.UPGRADE):
            return
        dialable = self._know.may_be_dialled(now)
        fresh = tuple(each for each in dialable if each.multiaddr not in attempt.dialled)
        if fresh and len(attempt.dialled) < 2 * MAX_ADDRESSES:
            attempt.dialled.update(each.multiaddr for each in fresh)
            attempt.dialling = True
            self._actions.append(Dial(attempt.number, fresh))

    def _signal_answered(self, event: SignalAnswered, now: float) -> None:
        match event.result:
            case SignalResult.HOME_UNREACHABLE:
                self._know.home_away = True
            case SignalResult.NO_DEVICE:
                self._know.heard_offline(now)
            case SignalResult.FORWARDED:
                self._know.home_away = False
                self._know.heard()
            case SignalResult.UNKNOWN | SignalResult.BUSY:
                pass
            case _:
                assert_never(event.result)
        attempt = self._attempt
        if attempt is None or attempt.number != event.attempt or attempt.signal is SignalState.MET:
            return
        forwarded = event.result is SignalResult.FORWARDED
        attempt.signal = SignalState.FORWARDED if forwarded else SignalState.DEAD

    def _offer_received(self, event: OfferReceived, now: float) -> None:
        self._know.heard()
        attempt = self._attempt
        if attempt is not None and attempt.ice is not IceState.IDLE and event.peer.ufrag != attempt.ufrag:
            # They have begun anew, with an agent that ours has never met.
            self._end_attempt(now, failed=False)
            attempt = None
        if attempt is None:
            if not self._may_answer(now):
                return
            attempt = self._start_attempt(Purpose.ANSWER, now)
        self._actions.append(
            AnswerSignal(attempt.number, event.offer, attempt.direct, attempt.relay, self._know.is_hidden)
        )
        self._meet(attempt, event.peer, now)

    def _may_answer(self, now: float) -> bool:
        """Two an hour that nothing follows; what we want ourselves is not counted."""
        if not self._some_path_allowed:
            return False
        return self._wants_attempt(now) or self._know.spend_answer(now)

    def _meet(self, attempt: Attempt, peer: PeerSide, now: float) -> None:
        """Their signal is here: ICE, and the addresses in it."""
        self._know.other_side, self._know.home_away = peer, False
        self._know.heard()
        attempt.signal = SignalState.MET
        direct, relay = attempt.direct and peer.direct, attempt.relay and peer.relay
        if attempt.ice is IceState.IDLE:
            attempt.ufrag = peer.ufrag
            attempt.ice = IceState.RUNNING if direct or relay else IceState.ENDED
            if direct or relay:
                pointless = not direct or not relay or punching_is_hopeless(self._know.own_nat, peer.nat_kind)
                hold_s = 0.0 if pointless else HOLD_RELAY_S
                self._actions.append(StartIce(attempt.number, direct, relay, hold_s))
        if direct and peer.addresses:
            self._learn(tuple(KnownAddress(each.multiaddr, FoundBy.SIGNAL) for each in peer.addresses), now)

    def _end_attempt(self, now: float, *, failed: bool | None = None) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return
        self._actions.append(EndAttempt(attempt.number))
        if attempt.found if failed is None else not failed:
            return
        if attempt.purpose is Purpose.UPGRADE:
            delay_s = min(UPGRADE_CAP_S, RECHECK_S / 2 * 2.0 ** min(self._upgrade_failures, 10))
            self._upgrade_failures += 1
            self._upgrade_at = self._upgrade_not_before = now + delay_s
        else:
            self._next_attempt_at = now + backoff_s(self._failures, self._dice())
            self._failures += 1

    # --- looking at everything ---------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        self._looked_at = now
        self._lapse(now)
        self._close_paths(now)
        self._trusted = self._best
        if self._presence_due(now) is not None:
            self._look_up_presence(now, PRESENCE_HOME_AWAY_S)
        self._advance_attempt(now)
        self._begin_attempt(now)
        for item in self._outbox:
            self._move(item, now)
        self._better(now)
        for item in self._outbox:
            self._report(item, now)
        if self._gathered and self._attempt is None and not self._know.chat_open:
            self._gathered = False
            self._actions.append(Cool())

    def _lapse(self, now: float) -> None:
        """Paths that owe an acknowledgement past its time are suspect; their envelopes go another way."""
        for item in self._outbox:
            for number in [number for number, until in item.in_flight.items() if until <= now]:
                del item.in_flight[number]
                self._lapse_on(item, number, now)
                if (path := self._paths.get(number)) is not None:
                    path.in_flight.discard(item.envelope)
                    path.suspect_since = now if path.suspect_since is None else path.suspect_since

    def _close_paths(self, now: float) -> None:
        for path in self._paths:
            if self._close_at(path) <= now:
                self._close(path)

    def _advance_attempt(self, now: float) -> None:
        attempt = self._attempt
        if attempt is None:
            return
        if attempt.signal is SignalState.PLANNED and attempt.signal_at <= now:
            attempt.signal = SignalState.ASKED
            hidden = self._know.is_hidden
            self._actions.append(SendSignal(attempt.number, attempt.direct, attempt.relay, hidden))
        waiting_for_dht = self._know.presence_pending and attempt.direct and not attempt.found
        stranded = attempt.purpose is Purpose.UPGRADE and self._wants_attempt(now)
        if attempt.ends_at <= now or (attempt.has_nothing_left and not waiting_for_dht):
            self._end_attempt(now)
        elif stranded:  # the relayed path that it was to better is gone
            self._end_attempt(now, failed=False)

    def _begin_attempt(self, now: float) -> None:
        if self._attempt is not None or self._next_attempt_at > now or not self._wants_attempt(now):
            return
        if self._know.is_offline(now) and not (self._know.direct and self._know.addresses):
            self._next_attempt_at = self._know.offline_until
            return
        self._start_attempt(Purpose.MESSAGE, now)
        self._advance_attempt(now)

    def _move(self, item: Item, now: float) -> None:
        awaited = any(until > now for until in item.in_flight.values())
        path = self._carrier(item, now)
        if path is not None and not awaited and len(path.in_flight) < SEND_WINDOW:
            item.in_flight[path.path] = now + acknowledge_within_s(path.srtt_s)
            path.in_flight.add(item.envelope)
            path.used = now
            self._actions.append(Send(item.envelope, path.path))
        due = self._deposit_due(item, now)
        if due is None or item.depositing or max(due, item.deposit_after) > now:
            return
        if sum(other.depositing for other in self._outbox) < DEPOSIT_WINDOW:
            item.depositing = True
            self._actions.append(Deposit(item.envelope))

    def _better(self, now: float) -> None:
        """Relayed -> direct in the background, for the next message."""
        if self._upgrade_at is None or self._upgrade_at > now:
            return
        if self._attempt is not None:
            self._upgrade_at = self._attempt.ends_at
            return
        asked, self._upgrade_at, self._reconnect = self._reconnect, None, False
        best = self._best
        if not self._know.direct or (best is not None and best.kind is RouteKind.DIRECT):
            return
        hopeless = punching_is_hopeless(self._know.own_nat, self._know.other_side.nat_kind)
        worth_it = (
            best is not None
            and self._know.other_side.direct
            and self._know.rules.keep_paths
            and self._know.is_active(now)
        )
        if self._know.is_offline(now) or not (asked or (worth_it and not hopeless)):
            return
        self._start_attempt(Purpose.UPGRADE, now)
        self._advance_attempt(now)

    def _report(self, item: Item, now: float) -> None:
        waiting = self._waiting(item, now)
        if waiting is not None and waiting is not item.reported:
            item.reported = waiting
            self._actions.append(Report(item.envelope, waiting))

    def _waiting(self, item: Item, now: float) -> Waiting | None:
        if item.depositing or item.kind is EnvelopeKind.CONTROL or self._is_carried(item, now):
            return None
        if item.refusal is not None:
            return item.refusal
        needs_direct = self._know.rules.store is Store.ASKED and not item.is_stored_only
        if needs_direct and (self._attempt is None or item.reported is Waiting.NEEDS_DIRECT_PATH):
            return Waiting.NEEDS_DIRECT_PATH
        return Waiting.CONNECTING if self._attempt is not None and item.is_written else None
