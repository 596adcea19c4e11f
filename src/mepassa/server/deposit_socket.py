"""`/v1/deposit`: the sealed side. Nobody logs in here; a token, or work, says what may be done (docs/protocol/home.md)."""

import asyncio
from dataclasses import dataclass

from mepassa.model.errors import MalformedError
from mepassa.model.ids import EnvelopeId
from mepassa.ports.frames import FrameStream
from mepassa.server.access import Access, Denied, Target, Work
from mepassa.server.counters import Counters
from mepassa.server.directory import Grant, Prekeys
from mepassa.server.hello import Greeted
from mepassa.server.limits import HomePolicy, RateLimiter
from mepassa.server.mailbox import Fate, Lane, Mailboxes, Outbox
from mepassa.wire.mailbox import (
    Account,
    Bye,
    Deposit,
    Deposited,
    DepositToClient,
    DepositToHome,
    FetchAccount,
    Hello,
    Outcome,
    Refusal,
    Refused,
    SendSignal,
    SignalFate,
    Signalled,
    decode_deposit_to_home,
)
from mepassa.wire.work import WorkPurpose, work_subject

PENDING_BYTES = 2 * 1024 * 1024
"""Deposits of one connection that may wait for their sync; past that nothing more is read from it."""
FULL_RETRY_S = 300.0
"""What a sender is told to wait for a full mailbox or a full disk: somebody has to come and empty it."""

_LANES = {Grant.CONTACT: Lane.CONTACT, Grant.PREVIOUS: Lane.PREVIOUS, Grant.INVITE: Lane.INVITE, Grant.WORK: Lane.WORK}
_REFUSALS = {Fate.FULL: Refusal.MAILBOX_FULL, Fate.DISK_FULL: Refusal.DISK_FULL}
_OUTCOMES = {Fate.STORED: Outcome.STORED, Fate.DELIVERED: Outcome.DELIVERED}


@dataclass(frozen=True, slots=True)
class SealedServices:
    """What every sealed connection of one home shares."""

    access: Access
    prekeys: Prekeys
    mailboxes: Mailboxes
    policy: HomePolicy
    counters: Counters
    signals: RateLimiter
    """By signal token and address."""
    fetches: RateLimiter
    """By account and address."""
    requests: RateLimiter
    """By account and address."""


class DepositSocket:
    """One connection after its hello. Requests are looked at in their order; answers come as each is settled."""

    def __init__(
        self,
        services: SealedServices,
        stream: FrameStream,
        outbox: Outbox[DepositToClient],
        greeted: Greeted,
        remote: str,
    ) -> None:
        self._services, self._stream, self._outbox = services, stream, outbox
        self._greeted, self._remote = greeted, remote
        self._pending_bytes = 0
        self._relieved = asyncio.Event()

    async def run(self) -> None:
        """Until the client leaves. Raises `MalformedError` when it breaks the rules."""
        while (frame := await self._stream.receive()) is not None:
            for record in decode_deposit_to_home(frame):
                await self._take(record)
            await self._outbox.room()
            while self._pending_bytes > PENDING_BYTES and not self._outbox.closed:
                self._relieved.clear()
                await self._relieved.wait()

    async def _take(self, record: DepositToHome) -> None:
        match record:
            case Deposit():
                await self._deposit(record)
            case SendSignal():
                await self._signal(record)
            case FetchAccount():
                await self._fetch(record)
            case Bye():
                await self._stream.close()
            case Hello():
                raise MalformedError("A second hello.")

    def _work(self, purpose: WorkPurpose, subject: bytes, solution: int | None) -> Work:
        return Work(self._greeted.home_nonce, purpose, subject, solution)

    # --- deposit --------------------------------------------------------------------------------------------------

    async def _deposit(self, record: Deposit) -> None:
        services, size_bytes = self._services, len(record.sealed)
        subject = b"" if record.work is None else deposit_subject(record)
        work = self._work(WorkPurpose.DEPOSIT, subject, record.work)
        target = await services.access.check(self._remote, record.to.account, record.to.device, record.token, work)
        refused = self._why_not(target, size_bytes)
        if refused is None and isinstance(target, Target) and _LANES[target.grant].is_request:
            wait_s = services.requests.count((record.to.account, self._remote))
            refused = (Refusal.BUSY, wait_s) if wait_s else None
        if refused is not None or not isinstance(target, Target) or target.device is None:
            services.counters.deposits_refused += 1
            self._outbox.put(Refused(record.request, *(refused or (Refusal.TOKEN, 0.0))))
            return
        self._pending_bytes += size_bytes
        services.mailboxes.deposit(
            target.device.mailbox,
            _LANES[target.grant],
            record.sealed,
            lambda fate: self._settled(record.request, size_bytes, fate),
        )

    def _why_not(self, target: Target | Denied, size_bytes: int) -> tuple[Refusal, float] | None:
        if isinstance(target, Denied):
            return target.reason, target.retry_after_s
        if target.grant not in _LANES:
            return Refusal.TOKEN, 0.0
        if _LANES[target.grant].is_request and size_bytes > self._services.policy.request_envelope_bytes:
            return Refusal.TOO_LARGE, 0.0
        return None

    def _settled(self, request: int, size_bytes: int, fate: Fate) -> None:
        self._pending_bytes -= size_bytes
        self._relieved.set()
        if (outcome := _OUTCOMES.get(fate)) is not None:
            self._outbox.put(Deposited(request, outcome))
        else:
            self._outbox.put(Refused(request, _REFUSALS[fate], FULL_RETRY_S))

    # --- signal ---------------------------------------------------------------------------------------------------

    async def _signal(self, record: SendSignal) -> None:
        services = self._services
        no_work = self._work(WorkPurpose.DEPOSIT, b"", None)
        target = await services.access.check(self._remote, record.to.account, record.to.device, record.token, no_work)
        if isinstance(target, Denied) and target.reason is Refusal.BUSY:
            self._outbox.put(Refused(record.request, target.reason, target.retry_after_s))
        elif isinstance(target, Denied) or target.grant is not Grant.SIGNAL or target.device is None:
            services.counters.signals_unknown += 1
            self._outbox.put(Signalled(record.request, SignalFate.UNKNOWN))
        elif wait_s := services.signals.count((record.token, self._remote)):
            self._outbox.put(Refused(record.request, Refusal.BUSY, wait_s))
        else:
            fate = services.mailboxes.signal(target.device.mailbox, record.sealed)
            self._outbox.put(Signalled(record.request, fate))

    # --- fetch ----------------------------------------------------------------------------------------------------

    async def _fetch(self, record: FetchAccount) -> None:
        services = self._services
        if wait_s := services.fetches.count((record.account, self._remote)):
            self._outbox.put(Refused(record.request, Refusal.BUSY, wait_s))
            return
        work = self._work(WorkPurpose.FETCH, fetch_subject(record), record.work)
        target = await services.access.check(self._remote, record.account, None, record.token, work)
        if isinstance(target, Denied):
            self._outbox.put(Refused(record.request, target.reason, target.retry_after_s))
        elif not target.grant.may_fetch:
            self._outbox.put(Refused(record.request, Refusal.TOKEN))
        elif not record.prekeys:
            self._outbox.put(Account(record.request, target.entry.device_list))
        else:
            handed = await services.prekeys.hand_out(
                target.entry, record.devices, one_time=target.grant is not Grant.WORK
            )
            services.counters.prekeys_fetched += len(handed.bundles)
            self._outbox.put(Account(record.request, target.entry.device_list, handed.bundles))
            for mailbox, left in handed.left:
                session = services.mailboxes.session(mailbox)
                if session is not None and min(left.one_time, left.kyber) < services.policy.prekeys_low:
                    session.tell_prekeys_low(left.one_time, left.kyber)


def deposit_subject(record: Deposit) -> bytes:
    """What the work of a deposit without a token is for: this envelope, for this device."""
    return work_subject(record.to.account.raw, bytes([record.to.device]), EnvelopeId.of(record.sealed).raw)


def fetch_subject(record: FetchAccount) -> bytes:
    return work_subject(record.account.raw)
