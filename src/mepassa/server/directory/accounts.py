"""Accounts, their signed device lists and their run counters (docs/protocol/home.md, "Directory")."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from mepassa.identity import account_id, supersedes, verify_device_list
from mepassa.model.device_list import DeviceList, SignedDeviceList
from mepassa.model.errors import (
    DeviceListForkError,
    DeviceListStaleError,
    MalformedError,
    SignatureError,
)
from mepassa.model.ids import AccountId, RunId, Timestamp
from mepassa.model.keys import HomeKey, IdentityKey, RootPublicKey
from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.server.db import Tx
from mepassa.server.directory.invites import take_invite
from mepassa.server.directory.tokens import Grant, TokenRow, find_grant
from mepassa.server.limits import HomePolicy
from mepassa.wire.mailbox import Refusal, TokenEntry, TokenRight

CACHED_ACCOUNTS = 20_000
"""Accounts kept in memory, about 2 KiB each: those that were deposited to last."""


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """`mailbox` is this server's own number for one device's mailbox."""

    mailbox: int
    device: int
    identity_key: IdentityKey
    registration_id: int


@dataclass(frozen=True, slots=True)
class AccountEntry:
    account: AccountId
    root_key: RootPublicKey
    device_list: SignedDeviceList
    devices: tuple[DeviceRow, ...]
    tokens: tuple[TokenRow, ...]

    def device(self, number: int) -> DeviceRow | None:
        return next((row for row in self.devices if row.device == number), None)


class LoginState(Enum):
    ACCEPTED = 1
    ROLLED_BACK = 2


class Directory:
    """Every change is one transaction; what it read before is forgotten right after, so a revoked token is dead at once."""

    def __init__(self, db: Db[Tx], clock: Clock, policy: HomePolicy, home_key: HomeKey) -> None:
        self._db, self._clock, self._policy, self._home_key = db, clock, policy, home_key
        self._cache: OrderedDict[AccountId, AccountEntry] = OrderedDict()

    def cached(self, account: AccountId) -> AccountEntry | None:
        """Without a hop to the database; None says nothing about whether it exists."""
        return self._cache.get(account)

    async def entry(self, account: AccountId) -> AccountEntry | None:
        """As the database has it now; remembered when it exists."""
        entry = await self._db.run(lambda tx: load_account(tx, account))
        if entry is not None:
            self._cache[account] = entry
            self._cache.move_to_end(account)
            if len(self._cache) > CACHED_ACCOUNTS:
                self._cache.popitem(last=False)
        return entry

    async def grant(
        self, account: AccountId, device: int | None, token: bytes
    ) -> tuple[AccountEntry, DeviceRow | None, Grant] | None:
        """Who is meant and what `token` allows; None for a wrong token, an unknown account or an unknown device.

        A refusal costs one look into the database whichever of them it was.
        """
        now_ms = self._clock.now_ms()
        cached = self._cache.get(account)
        if cached is not None and (granted := _granted(cached, device, token, now_ms)) is not None:
            return granted
        return _granted(await self.entry(account), device, token, now_ms)

    # --- accounts and lists ---------------------------------------------------------------------------------------

    async def register(
        self, root_key: RootPublicKey, signed: SignedDeviceList, *, invite: str | None, needs_invite: bool
    ) -> Refusal | None:
        """A new account with its first device list; None: done. The same list again is done too, and spends nothing."""
        try:
            devices = verify_device_list(root_key, signed)
        except (SignatureError, MalformedError):
            return Refusal.SIGNATURE
        if devices.home_key != self._home_key:
            return Refusal.REGISTRATION
        account, now_ms = account_id(root_key), self._clock.now_ms()

        def work(tx: Tx) -> Refusal | None:
            known = load_account(tx, account)
            if known is not None:
                return None if known.device_list == signed else Refusal.REGISTRATION
            if needs_invite and not take_invite(tx, invite):
                return Refusal.REGISTRATION
            tx.execute(
                "INSERT INTO account (account, root_key, list_version, list_body, list_signature, registered_at_ms)"
                " VALUES ($1, $2, $3, $4, $5, $6)",
                account.raw,
                root_key.raw,
                devices.version,
                signed.body,
                signed.signature,
                now_ms,
            )
            _add_devices(tx, account, devices, known=())
            return None

        return await self._db.run(work)

    async def put_device_list(
        self, account: AccountId, signed: SignedDeviceList
    ) -> tuple[Refusal | None, tuple[int, ...]]:
        """A newer list; the mailboxes of devices that it no longer names are erased and returned."""

        return await self._replace_list(account, lambda tx: _replace_list(tx, account, signed))

    async def recover(self, account: AccountId, signed: SignedDeviceList) -> tuple[Refusal | None, tuple[int, ...]]:
        """A newer list from whoever has proven to hold the root key, where nobody else of the account may be left.

        What the lost devices had let others do ends with them: every token goes, and the new device brings its own.
        """

        def work(tx: Tx) -> tuple[Refusal | None, tuple[int, ...]]:
            known = load_account(tx, account)
            if known is None or verify_device_list(known.root_key, signed).home_key != self._home_key:
                return Refusal.REGISTRATION, ()
            if known.device_list == signed:  # said twice: the answer was lost
                return None, ()
            refusal, removed = _replace_list(tx, account, signed)
            if refusal is None:
                tx.execute("DELETE FROM token WHERE account = $1", account.raw)
            return refusal, removed

        return await self._replace_list(account, work)

    async def _replace_list(
        self, account: AccountId, work: Callable[[Tx], tuple[Refusal | None, tuple[int, ...]]]
    ) -> tuple[Refusal | None, tuple[int, ...]]:
        try:
            return await self._db.run(work)
        except DeviceListStaleError:
            return Refusal.LIST_STALE, ()
        except DeviceListForkError:
            return Refusal.LIST_FORK, ()
        except (SignatureError, MalformedError):
            return Refusal.SIGNATURE, ()
        finally:
            self._cache.pop(account, None)

    # --- log-in ---------------------------------------------------------------------------------------------------

    async def log_in(self, mailbox: int, counter: int, run_id: RunId) -> tuple[LoginState, int]:
        """The run counter's rule, in one transaction: higher, or the same in the same run. Also gives the counter kept.

        A device that was told "rolled back" and comes above the counter has its prekeys dropped in that step: their
        private halves may be in the copy that was lost.
        """

        def work(tx: Tx) -> tuple[LoginState, int]:
            row = tx.row("SELECT run_counter, run_id, rolled_back FROM device WHERE mailbox = $1", mailbox)
            if row is None:
                return LoginState.ROLLED_BACK, counter
            known, known_run, rolled_back = int(row[0]), bytes(row[1]), bool(row[2])
            if counter < known or (counter == known and run_id.raw != known_run):
                tx.execute("UPDATE device SET rolled_back = 1 WHERE mailbox = $1", mailbox)
                return LoginState.ROLLED_BACK, known
            if rolled_back:
                drop_prekeys(tx, mailbox)
            tx.execute(
                "UPDATE device SET run_counter = $2, run_id = $3, rolled_back = 0 WHERE mailbox = $1",
                mailbox,
                counter,
                run_id.raw,
            )
            return LoginState.ACCEPTED, counter

        return await self._db.run(work)

    # --- tokens ---------------------------------------------------------------------------------------------------

    async def put_tokens(
        self, account: AccountId, mailbox: int, add: tuple[TokenEntry, ...], remove: tuple[bytes, ...]
    ) -> Refusal | None:
        """By the device of that mailbox, while it is one of the account's."""
        now_ms = self._clock.now_ms()

        def work(tx: Tx) -> Refusal | None:
            if tx.row("SELECT 1 FROM device WHERE mailbox = $1", mailbox) is None:
                return Refusal.LOGIN
            tx.execute("DELETE FROM token WHERE account = $1 AND expires_at_ms <= $2", account.raw, now_ms)
            tx.execute_many(
                "DELETE FROM token WHERE account = $1 AND sha256 = $2", [(account.raw, sha256) for sha256 in remove]
            )
            tx.execute_many(
                "INSERT INTO token (account, sha256, token_right, expires_at_ms) VALUES ($1, $2, $3, $4)"
                " ON CONFLICT (account, sha256) DO UPDATE"
                " SET token_right = excluded.token_right, expires_at_ms = excluded.expires_at_ms",
                [(account.raw, entry.sha256, entry.right.value, entry.expires_at_ms) for entry in add],
            )
            counted = tx.row("SELECT count(*) FROM token WHERE account = $1", account.raw)
            if counted is not None and counted[0] > self._policy.tokens_kept:
                raise _TooManyTokensError
            return None

        try:
            return await self._db.run(work)
        except _TooManyTokensError:
            return Refusal.LIMIT
        finally:
            self._cache.pop(account, None)

    async def expire(self) -> int:
        """Tokens that ran out are deleted. How many."""
        now_ms = self._clock.now_ms()
        return await self._db.run(lambda tx: tx.execute("DELETE FROM token WHERE expires_at_ms <= $1", now_ms))

    async def count(self) -> int:
        row = await self._db.run(lambda tx: tx.row("SELECT count(*) FROM account"))
        return int(row[0]) if row else 0


class _TooManyTokensError(Exception):
    """Rolls the transaction back."""


def _granted(
    entry: AccountEntry | None, device: int | None, token: bytes, now_ms: Timestamp
) -> tuple[AccountEntry, DeviceRow | None, Grant] | None:
    grant = find_grant(() if entry is None else entry.tokens, token, now_ms)
    if entry is None or grant is None:
        return None
    row = None if device is None else entry.device(device)
    if device is not None and row is None:
        return None
    return entry, row, grant


def load_account(tx: Tx, account: AccountId) -> AccountEntry | None:
    """The same three questions whether it exists or not."""
    row = tx.row("SELECT root_key, list_body, list_signature FROM account WHERE account = $1", account.raw)
    devices = tx.rows(
        "SELECT mailbox, device, identity_key, registration_id FROM device WHERE account = $1 ORDER BY device",
        account.raw,
    )
    tokens = tx.rows("SELECT sha256, token_right, expires_at_ms FROM token WHERE account = $1", account.raw)
    if row is None:
        return None
    return AccountEntry(
        account,
        RootPublicKey(row[0]),
        SignedDeviceList(row[1], row[2]),
        tuple(
            DeviceRow(mailbox, number, IdentityKey(key), registration) for mailbox, number, key, registration in devices
        ),
        tuple(TokenRow(sha256, TokenRight(right), expires) for sha256, right, expires in tokens),
    )


def _replace_list(tx: Tx, account: AccountId, signed: SignedDeviceList) -> tuple[Refusal | None, tuple[int, ...]]:
    """Raises what is wrong with the list. Returns the mailboxes that were erased."""
    known = load_account(tx, account)
    if known is None:
        return Refusal.LOGIN, ()
    devices = verify_device_list(known.root_key, signed)
    if not supersedes(known.device_list, signed):
        return None, ()
    if _changes_a_key(known, devices):
        return Refusal.SIGNATURE, ()
    tx.execute(
        "UPDATE account SET list_version = $2, list_body = $3, list_signature = $4 WHERE account = $1",
        account.raw,
        devices.version,
        signed.body,
        signed.signature,
    )
    removed = tuple(row.mailbox for row in known.devices if devices.entry(row.device) is None)
    for mailbox in removed:
        erase_mailbox(tx, mailbox)
    _add_devices(tx, account, devices, known=known.devices)
    return None, removed


def _changes_a_key(known: AccountEntry, devices: DeviceList) -> bool:
    """A number that is listed keeps its key."""
    return any(
        (row := known.device(entry.device)) is not None and row.identity_key != entry.identity_key
        for entry in devices.devices
    )


def _add_devices(tx: Tx, account: AccountId, devices: DeviceList, *, known: tuple[DeviceRow, ...]) -> None:
    numbers = {row.device for row in known}
    tx.execute_many(
        "INSERT INTO device (account, device, identity_key, registration_id) VALUES ($1, $2, $3, $4)",
        [
            (account.raw, entry.device, entry.identity_key.raw, entry.registration_id)
            for entry in devices.devices
            if entry.device not in numbers
        ],
    )


def drop_prekeys(tx: Tx, mailbox: int) -> None:
    """Every prekey of the device: none of them is handed out again."""
    tx.execute("DELETE FROM one_time_prekey WHERE mailbox = $1", mailbox)
    tx.execute(
        "UPDATE device SET signed_prekey = NULL, last_resort_prekey = NULL, one_time_high = 0, kyber_high = 0"
        " WHERE mailbox = $1",
        mailbox,
    )


def erase_mailbox(tx: Tx, mailbox: int) -> None:
    tx.execute("DELETE FROM envelope WHERE mailbox = $1", mailbox)
    tx.execute("DELETE FROM one_time_prekey WHERE mailbox = $1", mailbox)
    tx.execute("DELETE FROM device WHERE mailbox = $1", mailbox)
