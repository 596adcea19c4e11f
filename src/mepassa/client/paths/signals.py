"""Signals in and out: sealed in one transaction, counted, and never taken twice (docs/protocol/signal.md)."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from mepassa.client.courier import Homes
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import BusyError, HomeUnreachableError, MepassaError
from mepassa.model.ids import AccountId, Address, EnvelopeId
from mepassa.model.signal import Signal
from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.ports.mailbox import HomeAddress, SignalOutcome
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Tx
from mepassa.protocol import signalling
from mepassa.protocol.devices import counterpart
from mepassa.routing import SignalResult

SIGNALS_A_MINUTE = 12
"""What one contact may make us look at (PROTOCOL budgets); more is dropped unopened to the contact's loss."""
REMEMBERED_S = 600.0
"""A sealed signal is refused by its own clock after ten minutes; until then its id is remembered."""
MAX_REMEMBERED = 4096
"""Ids kept at most: far above the home's own limit of twelve a minute and contact."""

OUTCOMES = {
    SignalOutcome.FORWARDED: SignalResult.FORWARDED,
    SignalOutcome.NO_DEVICE: SignalResult.NO_DEVICE,
    SignalOutcome.UNKNOWN: SignalResult.UNKNOWN,
}


@dataclass
class SignalBudget:
    """How many signals of one contact were looked at in the last minute."""

    clock: Clock
    _times: dict[AccountId, deque[float]] = field(default_factory=dict)

    def spend(self, account: AccountId) -> bool:
        now = self.clock.monotonic()
        times = self._times.setdefault(account, deque())
        while times and now - times[0] > 60:
            times.popleft()
        if len(times) >= SIGNALS_A_MINUTE:
            return False
        times.append(now)
        return True


@dataclass
class SignalPost:
    """Seals and deposits our signals; opens theirs. Holds no state of a path."""

    db: Db[Tx]
    homes: Homes
    clock: Clock
    rng: Rng
    budget: SignalBudget
    _seen: dict[EnvelopeId, float] = field(default_factory=dict)
    on_unlisted: Callable[[AccountId], None] = lambda _account: None
    """Hears of signals from a contact's device that the contact's list does not name."""

    async def send(self, to: Address, signal: Signal) -> SignalResult:
        """Through the recipient's home. Failure is an answer like any other: routing decides what comes next."""

        def seal(tx: Tx) -> tuple[SealedEnvelope, bytes, HomeAddress]:
            sealed, token = signalling.seal_signal(tx, to, signal, self.clock.now_ms(), self.rng)
            contact = counterpart(tx, to.account)
            if contact is None:
                raise HomeUnreachableError
            return sealed, token, contact.home

        try:
            sealed, token, home = await self.db.run(seal)
            return OUTCOMES[await self.homes.recipient(home).signal(to, sealed, token)]
        except BusyError:
            return SignalResult.BUSY
        except MepassaError:
            return SignalResult.HOME_UNREACHABLE

    async def open(self, sealed: SealedEnvelope) -> tuple[Address, Signal] | None:
        """The sender's proven address and the signal, or None for one that is stale, foreign, repeated or too many."""
        if not self._first_time(sealed.id):
            return None
        try:
            sender, signal = await self.db.run(lambda tx: signalling.open_signal(tx, sealed, self.clock.now_ms()))
        except signalling.UnlistedSignallerError as error:
            self.on_unlisted(error.account)
            return None
        except MepassaError:
            return None
        return (sender, signal) if self.budget.spend(sender.account) else None

    def _first_time(self, sealed: EnvelopeId) -> bool:
        now = self.clock.monotonic()
        while self._seen and (
            len(self._seen) >= MAX_REMEMBERED or now - next(iter(self._seen.values())) > REMEMBERED_S
        ):
            del self._seen[next(iter(self._seen))]
        if sealed in self._seen:
            return False
        self._seen[sealed] = now
        return True
