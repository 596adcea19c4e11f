"""Meeting the other device: when an attempt begins, what it tries, and how it ends. At most one at a time.

An attempt dials the known addresses, sends a signal through their home and, once theirs is here, runs ICE. Offers of
theirs join the attempt under way. `Upgrade` says when a relayed path is worth another try for a direct one.
"""

from collections.abc import Callable
from typing import assert_never

from mepassa.model.ids import AttemptId
from mepassa.model.route import FoundBy, RouteKind
from mepassa.routing.actions import (
    Action,
    AnswerSignal,
    Cool,
    Dial,
    EndAttempt,
    Gather,
    LookUpPresence,
    SendSignal,
    StartIce,
)
from mepassa.routing.attempt import Attempt, IceState, Purpose, SignalState
from mepassa.routing.carrying import Carrying
from mepassa.routing.events import KnownAddress, PeerSide, SignalResult
from mepassa.routing.knowledge import Knowledge
from mepassa.routing.paths import NEVER, LivePath, PathTable
from mepassa.routing.policy import punching_is_hopeless
from mepassa.routing.times import (
    HOLD_RELAY_S,
    MAX_ADDRESSES,
    PRESENCE_EVERY_S,
    PRESENCE_HOME_AWAY_S,
    SIGNAL_AFTER_S,
    backoff_s,
)
from mepassa.routing.upgrade import Upgrade


class Meetings:
    def __init__(
        self,
        know: Knowledge,
        paths: PathTable,
        carrying: Carrying,
        *,
        dice: Callable[[], float],
        act: Callable[[Action], None],
    ) -> None:
        self._know, self._paths, self._carrying = know, paths, carrying
        self._dice, self._act = dice, act
        self.attempt: Attempt | None = None
        self.made = 0
        """Attempts so far: the number of the newest."""
        self.failures = 0
        """In a row."""
        self._next_attempt_at = -NEVER
        self._upgrade = Upgrade()
        self._gathered = False

    # --- what the person, the network and the paths bring ------------------------------------------------------------

    def chat_opened(self, now: float) -> None:
        self.chat_is_active(now)
        if self._know.rules.keep_paths and self._know.some_path and self._paths.best is None:
            self._gather()
            self._look_up_presence(now, PRESENCE_EVERY_S)

    def chat_is_active(self, now: float) -> None:
        self._know.was_used(now)
        best = self._paths.best
        if best is not None and best.kind is RouteKind.RELAYED:
            self._upgrade.plan(now)

    def try_again_at_once(self) -> None:
        self.failures, self._next_attempt_at = 0, -NEVER
        self._know.heard()
        self._upgrade.forget_failures()

    def network_changed(self, now: float) -> None:
        self._end_attempt(now, failed=False)  # its sockets stand in the old network
        self.try_again_at_once()

    def permissions_changed(self, now: float, *, direct_is_new: bool) -> None:
        attempt = self.attempt
        if attempt is not None and (attempt.direct, attempt.relay) != self._kinds_for(attempt.purpose):
            self._end_attempt(now, failed=False)
        self._next_attempt_at = now
        if direct_is_new and self._know.is_active(now):
            self._upgrade.ask(now)

    def path_opened(self, path: LivePath, now: float) -> None:
        self.failures, self._next_attempt_at = 0, now
        attempt = self.attempt
        if path.kind is RouteKind.DIRECT:
            self._upgrade.succeeded()
            self._paths.linger(now)
            if attempt is not None:
                attempt.found = True
                self._end_attempt(now)
            return
        if attempt is not None and attempt.purpose is not Purpose.UPGRADE:
            attempt.found, attempt.ice = True, IceState.ENDED
        self._upgrade.plan(now)

    def path_closed(self, path: LivePath, now: float) -> None:
        if not path.proven and not path.closing and not any(self._paths):
            # It opened and fell without carrying anything: the next attempt waits, or this would go round for ever.
            # Beside another path it was a twin that one side has given up.
            self.failures += 1
            self._next_attempt_at = now + backoff_s(self.failures, self._dice())

    # --- addresses ---------------------------------------------------------------------------------------------------

    def learn(self, addresses: tuple[KnownAddress, ...], now: float) -> None:
        fresh = self._know.learn(addresses)
        if self.attempt is not None:
            self._dial(self.attempt, now)
        elif fresh:
            self._next_attempt_at = min(self._next_attempt_at, now)

    def presence_answered(self, addresses: tuple[KnownAddress, ...], now: float) -> None:
        self._know.presence_pending = False
        self.learn(addresses, now)

    def look_up_presence_if_due(self, now: float) -> None:
        if self._presence_due(now) is not None:
            self._look_up_presence(now, PRESENCE_HOME_AWAY_S)

    def _presence_due(self, now: float) -> float | None:
        """When the DHT is asked next, again and again: their home is away, and what somebody wrote has no path."""
        if not self._know.home_away or self._know.presence_pending or not self.wants_attempt(now):
            return None
        return self._know.presence_asked + PRESENCE_HOME_AWAY_S

    def _look_up_presence(self, now: float, every_s: float) -> None:
        if self._know.direct and now - self._know.presence_asked >= every_s:
            self._know.presence_asked, self._know.presence_pending = now, True
            self._act(LookUpPresence())

    # --- how an attempt goes -----------------------------------------------------------------------------------------

    def signal_answered(self, number: int, result: SignalResult, now: float) -> None:
        match result:
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
                assert_never(result)
        attempt = self._under_way(number)
        if attempt is not None and attempt.signal is not SignalState.MET:
            forwarded = result is SignalResult.FORWARDED
            attempt.signal = SignalState.FORWARDED if forwarded else SignalState.DEAD

    def answer_received(self, number: int, peer: PeerSide, now: float) -> None:
        if (attempt := self._under_way(number)) is not None:
            self._meet(attempt, peer, now)

    def offer_received(self, offer: AttemptId, peer: PeerSide, now: float) -> None:
        self._know.heard()
        attempt = self.attempt
        if attempt is not None and attempt.ice is not IceState.IDLE and peer.ufrag != attempt.ufrag:
            # They have begun anew, with an agent that ours has never met.
            self._end_attempt(now, failed=False)
            attempt = None
        if attempt is None:
            if not self._may_answer(now):
                return
            attempt = self._start_attempt(Purpose.ANSWER, now)
        self._act(AnswerSignal(attempt.number, offer, attempt.direct, attempt.relay, self._know.is_hidden))
        self._meet(attempt, peer, now)

    def dial_failed(self, number: int, now: float) -> None:
        attempt = self._under_way(number)
        self._know.dial_failed(frozenset(attempt.dialled if attempt else ()), now)
        if attempt is not None:
            attempt.dialling = False
            attempt.signal_at = min(attempt.signal_at, now)

    def ice_failed(self, number: int) -> None:
        if (attempt := self._under_way(number)) is not None:
            attempt.ice = IceState.ENDED

    def _under_way(self, number: int) -> Attempt | None:
        """What belongs to an older attempt changes nothing of this one."""
        return self.attempt if self.attempt is not None and self.attempt.number == number else None

    def _may_answer(self, now: float) -> bool:
        """Two an hour that nothing follows; what we want ourselves is not counted."""
        if not self._know.some_path:
            return False
        return self.wants_attempt(now) or self._know.spend_answer(now)

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
                self._act(StartIce(attempt.number, direct, relay, hold_s))
        if direct and peer.addresses:
            self.learn(tuple(KnownAddress(each.multiaddr, FoundBy.SIGNAL) for each in peer.addresses), now)

    # --- beginning and ending ----------------------------------------------------------------------------------------

    def wants_attempt(self, now: float) -> bool:
        return self._know.some_path and self._paths.best is None and self._carrying.wants_path(now)

    def advance(self, now: float) -> None:
        """Takes the attempt under way a step further, or ends it; begins one where one is wanted."""
        self._advance_attempt(now)
        if self.attempt is not None or self._next_attempt_at > now or not self.wants_attempt(now):
            return
        if self._know.is_offline(now) and not (self._know.direct and self._know.addresses):
            self._next_attempt_at = self._know.offline_until
            return
        self._start_attempt(Purpose.MESSAGE, now)
        self._advance_attempt(now)

    def better(self, now: float) -> None:
        """Relayed -> direct in the background, for the next message."""
        if not self._upgrade.is_due(now):
            return
        if self.attempt is not None:
            self._upgrade.at = self.attempt.ends_at
            return
        asked = self._upgrade.begin()
        best = self._paths.best
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

    def cool(self) -> None:
        """Lets the warm allocation go when neither an attempt nor an open chat needs it."""
        if self._gathered and self.attempt is None and not self._know.chat_open:
            self._gathered = False
            self._act(Cool())

    def timeouts(self, looked_at: float) -> list[float]:
        times = []
        if self.attempt is not None:
            times.append(self.attempt.ends_at)
            if self.attempt.signal is SignalState.PLANNED:
                times.append(self.attempt.signal_at)
        elif self.wants_attempt(looked_at):
            times.append(self._next_attempt_at)
        if self._upgrade.at is not None:
            times.append(self._upgrade.at)
        if self._know.direct and (asks_at := self._presence_due(looked_at)) is not None:
            times.append(asks_at)
        return times

    def _gather(self) -> None:
        self._gathered = True
        self._act(Gather(self._know.direct, self._know.relay))

    def _kinds_for(self, purpose: Purpose) -> tuple[bool, bool]:
        """Direct, relayed."""
        relay = self._know.relay and purpose is not Purpose.UPGRADE
        return self._know.direct, relay

    def _start_attempt(self, purpose: Purpose, now: float) -> Attempt:
        self.made += 1
        direct, relay = self._kinds_for(purpose)
        attempt = self.attempt = Attempt(self.made, purpose, now, direct, relay)
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
            self._act(Dial(attempt.number, fresh))

    def _advance_attempt(self, now: float) -> None:
        attempt = self.attempt
        if attempt is None:
            return
        if attempt.signal is SignalState.PLANNED and attempt.signal_at <= now:
            attempt.signal = SignalState.ASKED
            self._act(SendSignal(attempt.number, attempt.direct, attempt.relay, self._know.is_hidden))
        waiting_for_dht = self._know.presence_pending and attempt.direct and not attempt.found
        stranded = attempt.purpose is Purpose.UPGRADE and self.wants_attempt(now)
        if attempt.ends_at <= now or (attempt.has_nothing_left and not waiting_for_dht):
            self._end_attempt(now)
        elif stranded:  # the relayed path that it was to better is gone
            self._end_attempt(now, failed=False)

    def _end_attempt(self, now: float, *, failed: bool | None = None) -> None:
        """`failed` None: unless it has found a path."""
        attempt, self.attempt = self.attempt, None
        if attempt is None:
            return
        self._act(EndAttempt(attempt.number))
        if attempt.found if failed is None else not failed:
            return
        if attempt.purpose is Purpose.UPGRADE:
            self._upgrade.failed(now)
        else:
            self._next_attempt_at = now + backoff_s(self.failures, self._dice())
            self.failures += 1
