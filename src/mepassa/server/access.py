"""Who may do what without logging in: by token, or by work (docs/protocol/home.md, "Tokens", "Work")."""

from dataclasses import dataclass

from mepassa.model.ids import AccountId
from mepassa.ports.clock import Clock
from mepassa.server.directory import AccountEntry, DeviceRow, Directory, Grant
from mepassa.server.limits import HomePolicy, RateLimiter
from mepassa.wire.mailbox import Refusal
from mepassa.wire.work import WorkPurpose, verify_work


@dataclass(frozen=True, slots=True)
class Target:
    """An account of this home, the device meant (None: the account as a whole), and the right that was shown."""

    entry: AccountEntry
    device: DeviceRow | None
    grant: Grant


@dataclass(frozen=True, slots=True)
class Denied:
    reason: Refusal
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed proof of work: for this connection, for this purpose and subject."""

    home_nonce: bytes
    purpose: WorkPurpose
    subject: bytes
    solution: int | None


class Access:
    """Refusals are counted by address: past the limit an address is told to wait, whatever it shows."""

    def __init__(self, directory: Directory, policy: HomePolicy, clock: Clock) -> None:
        self._directory, self._policy = directory, policy
        self.refusals = RateLimiter(clock, policy.refusals_per_minute, 60.0)

    async def check(
        self, remote: str, account: AccountId, device: int | None, token: bytes | None, work: Work
    ) -> Target | Denied:
        """`work` is looked at only where there is no token."""
        if wait_s := self.refusals.retry_after_s(remote):
            return Denied(Refusal.BUSY, wait_s)
        if token is None and not self._is_done(work):
            return self.refuse(remote, Refusal.WORK)
        target = await (self._by_work(account, device) if token is None else self._by_token(account, device, token))
        return target or self.refuse(remote, Refusal.TOKEN)

    def refuse(self, remote: str, reason: Refusal) -> Denied:
        """Counts against the address."""
        self.refusals.count(remote)
        return Denied(reason)

    def _is_done(self, work: Work) -> bool:
        bits = self._policy.request_work_bits
        return work.solution is not None and verify_work(
            work.home_nonce, work.purpose, work.subject, bits, work.solution
        )

    async def _by_work(self, account: AccountId, device: int | None) -> Target | None:
        entry = await self._directory.entry(account)
        if entry is None:
            return None
        row = None if device is None else entry.device(device)
        return None if device is not None and row is None else Target(entry, row, Grant.WORK)

    async def _by_token(self, account: AccountId, device: int | None, token: bytes) -> Target | None:
        granted = await self._directory.grant(account, device, token)
        return None if granted is None else Target(*granted)
