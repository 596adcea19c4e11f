"""Each waiting envelope on its way: given to the trusted path, given elsewhere when that is silent, deposited, reported."""

from collections.abc import Callable

from mepassa.model.ids import EnvelopeId
from mepassa.routing.actions import Action, Deposit, Report, Send, Waiting
from mepassa.routing.attempt import Attempt, Purpose
from mepassa.routing.events import DepositResult, EnvelopeKind
from mepassa.routing.knowledge import Knowledge
from mepassa.routing.outbox import Item, Outbox
from mepassa.routing.paths import NEVER, LivePath, PathTable
from mepassa.routing.policy import Store
from mepassa.routing.times import (
    DEPOSIT_WINDOW,
    INSURANCE_S,
    MAILBOX_FULL_S,
    RECHECK_S,
    SEND_WINDOW,
    acknowledge_within_s,
    backoff_s,
)

REFUSALS = {
    DepositResult.HOME_UNREACHABLE: Waiting.HOME_AWAY,
    DepositResult.BUSY: None,
    DepositResult.MAILBOX_FULL: Waiting.MAILBOX_FULL,
    DepositResult.TOKEN_REFUSED: Waiting.REFUSED,
}


class Carrying:
    """`attempt`, where it is asked for, is the one under way: it may yet bring a path."""

    def __init__(
        self,
        know: Knowledge,
        outbox: Outbox,
        paths: PathTable,
        *,
        dice: Callable[[], float],
        act: Callable[[Action], None],
    ) -> None:
        self._know, self._outbox, self._paths = know, outbox, paths
        self._dice, self._act = dice, act

    # --- what becomes of one -----------------------------------------------------------------------------------------

    def forget(self, envelope: EnvelopeId) -> None:
        item = self._outbox.remove(envelope)
        for path in self._paths if item is not None else ():
            path.in_flight.discard(envelope)

    def acknowledged(self, envelope: EnvelopeId, number: int, now: float) -> None:
        if (path := self._paths.get(number)) is not None:
            path.gave_sign_of_life(now)
        self.forget(envelope)

    def send_failed(self, envelope: EnvelopeId, number: int, now: float) -> None:
        if (path := self._paths.get(number)) is not None:
            path.in_flight.discard(envelope)
            path.doubt(now)
        if (item := self._outbox.get(envelope)) is not None and item.in_flight.pop(number, None) is not None:
            self._lapse_on(item, number, now)

    def path_closed(self, number: int) -> None:
        for item in self._outbox:
            item.in_flight.pop(number, None)
            item.lapsed.pop(number, None)

    def send_by_server(self, envelope: EnvelopeId) -> None:
        if (item := self._outbox.get(envelope)) is not None:
            item.by_server, item.deposit_after = True, -NEVER
            self._outbox.put_first(item)

    def deposit_answered(
        self, envelope: EnvelopeId, result: DepositResult, retry_after_s: float | None, now: float
    ) -> None:
        self._know.home_away = result is DepositResult.HOME_UNREACHABLE
        if result in {DepositResult.STORED, DepositResult.DELIVERED}:
            self.forget(envelope)
            return
        item = self._outbox.get(envelope)
        if item is None:
            return
        delay_s = backoff_s(item.deposit_failures, self._dice())
        if retry_after_s is not None:
            delay_s += min(max(retry_after_s, 0.0), RECHECK_S)
        if result is DepositResult.MAILBOX_FULL:
            delay_s += MAILBOX_FULL_S
        item.depositing, item.refusal = False, REFUSALS[result]
        item.deposit_failures += 1
        item.deposit_after = now + delay_s

    def try_again_at_once(self) -> None:
        for item in self._outbox:
            item.deposit_after, item.deposit_failures = -NEVER, 0

    # --- looking at all of them --------------------------------------------------------------------------------------

    def lapse(self, now: float) -> None:
        """Paths that owe an acknowledgement past its time are suspect; their envelopes go another way."""
        for item in self._outbox:
            for number in [number for number, until in item.in_flight.items() if until <= now]:
                del item.in_flight[number]
                self._lapse_on(item, number, now)
                if (path := self._paths.get(number)) is not None:
                    path.in_flight.discard(item.envelope)
                    path.doubt(now)

    def move(self, attempt: Attempt | None, now: float) -> None:
        for item in self._outbox:
            self._send(item, now)
            self._deposit(item, attempt, now)

    def report(self, attempt: Attempt | None, now: float) -> None:
        """Says why an envelope is still here, when that has changed."""
        for item in self._outbox:
            waiting = self._waiting(item, attempt, now)
            if waiting is not None and waiting is not item.reported:
                item.reported = waiting
                self._act(Report(item.envelope, waiting))

    def wants_path(self, now: float) -> bool:
        """Something that a person wrote is here, no path takes it, and the policy does not put the home first."""
        return any(
            item.is_written
            and not item.depositing
            and not self._is_carried(item, now)
            and (self._know.rules.store is not Store.FIRST or item.deposit_failures > 0)
            for item in self._outbox
        )

    def timeouts(self, attempt: Attempt | None, looked_at: float) -> list[float]:
        times = [looked_at + RECHECK_S] if len(self._outbox) else []
        for item in self._outbox:
            times += item.in_flight.values()
            times += [at for at in item.lapsed.values() if at > looked_at]
            due = self._deposit_due(item, attempt, looked_at)
            if due is not None and not item.depositing:
                times.append(max(due, item.deposit_after))
        return times

    # --- one of them -------------------------------------------------------------------------------------------------

    def _carrier(self, item: Item, now: float) -> LivePath | None:
        """The path that this envelope may be given to now."""
        best = self._paths.trusted
        if best is None or item.is_stored_only or item.lapsed.get(best.path, -NEVER) > now:
            return None
        return best

    def _is_carried(self, item: Item, now: float) -> bool:
        """A path has it and still has time to acknowledge it, or one is there to take it."""
        return item.is_awaited(now) or self._carrier(item, now) is not None

    def _send(self, item: Item, now: float) -> None:
        path = self._carrier(item, now)
        if path is None or item.is_awaited(now) or len(path.in_flight) >= SEND_WINDOW:
            return
        item.in_flight[path.path] = now + acknowledge_within_s(path.srtt_s)
        path.in_flight.add(item.envelope)
        path.used = now
        self._act(Send(item.envelope, path.path))

    def _lapse_on(self, item: Item, path: int, now: float) -> None:
        item.lapsed[path] = now + backoff_s(item.lapses, self._dice())
        item.lapses += 1

    def _deposit(self, item: Item, attempt: Attempt | None, now: float) -> None:
        due = self._deposit_due(item, attempt, now)
        if due is None or item.depositing or max(due, item.deposit_after) > now:
            return
        if sum(other.depositing for other in self._outbox) < DEPOSIT_WINDOW:
            item.depositing = True
            self._act(Deposit(item.envelope))

    def _deposit_due(self, item: Item, attempt: Attempt | None, now: float) -> float | None:
        """When this envelope is to go to the recipient's home; None: not as things stand. The table of the document."""
        if item.is_stored_only:
            return item.since
        if self._know.rules.store is Store.ASKED or self._is_carried(item, now):
            return None
        if item.kind is EnvelopeKind.CONTROL or self._know.rules.store is Store.FIRST:
            return item.since
        hopeful = attempt is not None and attempt.purpose is not Purpose.UPGRADE
        if self._know.is_offline(now) or not hopeful or item.deposit_failures:
            return item.since
        return item.since + INSURANCE_S

    def _waiting(self, item: Item, attempt: Attempt | None, now: float) -> Waiting | None:
        if item.depositing or item.kind is EnvelopeKind.CONTROL or self._is_carried(item, now):
            return None
        if item.refusal is not None:
            return item.refusal
        needs_direct = self._know.rules.store is Store.ASKED and not item.is_stored_only
        if needs_direct and (attempt is None or item.reported is Waiting.NEEDS_DIRECT_PATH):
            return Waiting.NEEDS_DIRECT_PATH
        return Waiting.CONNECTING if attempt is not None and item.is_written else None
