"""`/v1/mailbox`: one device of an account of this home, registered and logged in (docs/protocol/home.md, "Log-in")."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from mepassa.identity import HomeKeyPair, account_id, auth_message, verify_recovery, verify_xeddsa
from mepassa.model.errors import MalformedError, SignatureError
from mepassa.model.ids import AccountId, RunId, Timestamp
from mepassa.model.keys import IdentityKey
from mepassa.model.secret import SecretBytes
from mepassa.ports.frames import FrameStream
from mepassa.server.counters import Counters
from mepassa.server.directory import Directory, LoginState, Prekeys
from mepassa.server.hello import Greeted
from mepassa.server.limits import HomePolicy, RateLimiter
from mepassa.server.mailbox import Mailboxes, Outbox, Session
from mepassa.wire.mailbox import (
    Acknowledge,
    AskTurn,
    Auth,
    Bye,
    Credit,
    Done,
    Hello,
    LoggedIn,
    MailboxToDevice,
    MailboxToHome,
    PutDeviceList,
    PutPrekeys,
    PutTokens,
    Recover,
    Recoverable,
    Refusal,
    Refused,
    Register,
    RolledBack,
    RunRisen,
    Turn,
    TurnGiven,
    decode_mailbox_to_home,
)
from mepassa.wire.wellknown import RegistrationPolicy
from mepassa.wire.work import WorkPurpose, verify_work, work_subject

log = logging.getLogger(__name__)

LOGIN_DEADLINE_S = 30.0
"""From the hello to the log-in. A registration with work or a roll-back that re-keys hundreds of chats fits."""
TRIES = 4
"""Registrations and log-ins that one connection may try."""
_NOBODY = IdentityKey(b"\x05" + b"\x09" + bytes(31))
"""Verified against where there is no such device, so that it takes as long as a wrong signature (X25519's base point)."""


class Credentials(Protocol):
    @property
    def username(self) -> str: ...
    @property
    def password(self) -> SecretBytes: ...
    @property
    def expires_at_ms(self) -> Timestamp: ...


class RelayIssuer(Protocol):
    """What a log-in needs of the relay (`server.relay.RelayRole`, or a stand-in where coturn relays)."""

    def credentials(self, holder: bytes | None = None) -> Credentials: ...
    def turn_urls(self, host: str) -> tuple[str, ...]: ...
    def stun_urls(self, host: str) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class DeviceServices:
    """What every logged-in connection of one home shares."""

    key: HomeKeyPair
    directory: Directory
    prekeys: Prekeys
    mailboxes: Mailboxes
    policy: HomePolicy
    registration: RegistrationPolicy
    counters: Counters
    logins: RateLimiter
    """Refused log-ins and registrations, by address."""
    registrations: RateLimiter
    """New accounts, by address."""
    turn_sets: RateLimiter
    """Relay credentials, by account."""
    relay: RelayIssuer | None
    public_host: str | None
    """Where devices reach the relay; None: at the host by which they reached us."""


@dataclass(frozen=True, slots=True)
class _Device:
    """Who has logged in on this connection."""

    account: AccountId
    mailbox: int
    run_id: RunId
    session: Session


class MailboxSocket:
    """One connection after its hello: register or not, log in, then serve until it ends."""

    def __init__(
        self,
        services: DeviceServices,
        stream: FrameStream,
        outbox: Outbox[MailboxToDevice],
        greeted: Greeted,
        *,
        remote: str,
        host: str,
    ) -> None:
        self._services, self._stream, self._outbox, self._greeted = services, stream, outbox, greeted
        self._remote, self._host = remote, host
        self._session: Session | None = None
        self._recovering: AccountId | None = None
        """Whose root key this connection has proven to hold."""

    async def run(self) -> None:
        """Until the device leaves. Raises `MalformedError` when it breaks the rules."""
        try:
            async with asyncio.timeout(LOGIN_DEADLINE_S):
                device = await self._until_logged_in()
            if device is not None:
                await self._serve(device)
        except TimeoutError:
            raise MalformedError("No log-in came.") from None
        finally:
            if self._session is not None:
                self._services.mailboxes.disconnect(self._session)

    # --- before the log-in ----------------------------------------------------------------------------------------

    async def _until_logged_in(self) -> "_Device | None":
        for _ in range(TRIES):
            if (frame := await self._stream.receive()) is None:
                return None
            records = decode_mailbox_to_home(frame)
            if len(records) != 1:
                raise MalformedError("One record at a time before the log-in.")
            match records[0]:
                case Register() as record:
                    await self._register(record)
                case Recover() as record:
                    await self._recover(record)
                case Auth() as record:
                    if (found := await self._log_in(record)) is not None:
                        return found
                case Bye():
                    return None
                case _:
                    raise MalformedError("Nothing but a registration or a log-in comes first.")
        return None

    async def _register(self, record: Register) -> None:
        services = self._services
        wait_s = services.logins.retry_after_s(self._remote) or services.registrations.retry_after_s(self._remote)
        if wait_s:
            self._outbox.put(Refused(record.request, Refusal.BUSY, wait_s))
            return
        if self._recovering is not None and account_id(record.root_key) == self._recovering:
            refusal, removed = await services.directory.recover(self._recovering, record.device_list)
            self._reply(record.request, refusal)
            await asyncio.gather(*map(services.mailboxes.erased, removed))
            return
        refusal = None
        if services.registration is RegistrationPolicy.WORK and not self._work_done(record):
            refusal = Refusal.WORK
        else:
            refusal = await services.directory.register(
                record.root_key,
                record.device_list,
                invite=record.invite,
                needs_invite=services.registration is RegistrationPolicy.INVITE,
            )
        if refusal is None:
            services.registrations.count(self._remote)
            services.counters.registrations += 1
            self._outbox.put(Done(record.request))
        else:
            services.logins.count(self._remote)
            self._outbox.put(Refused(record.request, refusal))

    async def _recover(self, record: Recover) -> None:
        """An unknown account and a wrong signature are one refusal."""
        services, greeted = self._services, self._greeted
        if wait_s := services.logins.retry_after_s(self._remote):
            self._outbox.put(Refused(record.request, Refusal.BUSY, wait_s))
            return
        entry = await services.directory.entry(account_id(record.root_key))
        try:
            verify_recovery(
                record.root_key, record.signature, services.key.public, greeted.client_nonce, greeted.home_nonce
            )
        except SignatureError:
            entry = None
        if entry is None or entry.root_key != record.root_key:
            services.logins.count(self._remote)
            self._outbox.put(Refused(record.request, Refusal.LOGIN))
            return
        self._recovering = entry.account
        self._outbox.put(Recoverable(record.request, entry.device_list))

    def _work_done(self, record: Register) -> bool:
        return record.work is not None and verify_work(
            self._greeted.home_nonce,
            WorkPurpose.REGISTER,
            work_subject(record.root_key.raw),
            self._services.policy.register_work_bits,
            record.work,
        )

    async def _log_in(self, record: Auth) -> "_Device | None":
        services = self._services
        if wait_s := services.logins.retry_after_s(self._remote):
            self._outbox.put(Refused(0, Refusal.BUSY, wait_s))
            return None
        entry = await services.directory.entry(record.address.account)
        device = None if entry is None else entry.device(record.address.device)
        if not self._signed_by(record, _NOBODY if device is None else device.identity_key) or device is None:
            services.logins.count(self._remote)
            services.counters.log_ins_refused += 1
            self._outbox.put(Refused(0, Refusal.LOGIN))
            return None
        assert entry is not None
        state, counter = await services.directory.log_in(device.mailbox, record.run_counter, record.run_id)
        if state is LoginState.ROLLED_BACK:
            services.counters.rolled_back += 1
            self._outbox.put(RolledBack(counter))
            return None
        self._session = session = await services.mailboxes.connect(device.mailbox, self._outbox)
        listed = await services.directory.entry(record.address.account)
        if listed is None or listed.device(record.address.device) != device:  # a new list came between
            services.mailboxes.disconnect(session)
            self._outbox.put(Refused(0, Refusal.LOGIN))
            return None
        counts = await services.prekeys.count(device.mailbox)
        services.counters.log_ins += 1
        self._outbox.put(LoggedIn(counts.one_time, counts.kyber, self._turn(entry.account)))
        session.wake()
        return _Device(entry.account, device.mailbox, record.run_id, session)

    def _signed_by(self, record: Auth, key: IdentityKey) -> bool:
        message = auth_message(
            home_key=self._services.key.public,
            client_nonce=self._greeted.client_nonce,
            home_nonce=self._greeted.home_nonce,
            device=record.address,
            run_counter=record.run_counter,
            run_id=record.run_id,
        )
        try:
            verify_xeddsa(key, message, record.signature)
        except SignatureError:
            return False
        return True

    def _turn(self, account: AccountId) -> Turn | None:
        relay = self._services.relay
        if relay is None or self._services.turn_sets.count(account):
            return None
        made = relay.credentials(account.raw)
        host = self._services.public_host or host_of(self._host)
        return Turn(
            relay.turn_urls(host), relay.stun_urls(host), made.username, made.password.expose(), made.expires_at_ms
        )

    # --- logged in ------------------------------------------------------------------------------------------------

    async def _serve(self, device: "_Device") -> None:
        while (frame := await self._stream.receive()) is not None:
            for record in decode_mailbox_to_home(frame):
                if device.session.closed:
                    return  # removed or replaced meanwhile: nothing that it says counts any more
                await self._take(record, device)
            await self._outbox.room()

    async def _take(self, record: MailboxToHome, device: "_Device") -> None:
        services = self._services
        match record:
            case Acknowledge():
                services.mailboxes.acknowledge(device.session, [id_.raw for id_ in record.ids])
            case Credit():
                device.session.add_credit(record.size_bytes)
            case PutTokens():
                refusal = await services.directory.put_tokens(device.account, device.mailbox, record.add, record.remove)
                self._reply(record.request, refusal)
            case PutDeviceList():
                refusal, removed = await services.directory.put_device_list(device.account, record.device_list)
                self._reply(record.request, refusal)
                await asyncio.gather(*map(services.mailboxes.erased, removed))
            case PutPrekeys():
                self._reply(record.request, await services.prekeys.put(device.mailbox, record.upload))
            case RunRisen():
                await self._run_risen(record, device)
            case AskTurn():
                self._outbox.put(TurnGiven(record.request, self._turn(device.account)))
            case Bye():
                await self._stream.close()
            case Hello() | Register() | Recover() | Auth():
                raise MalformedError("That was said before.")

    def _reply(self, request: int, refusal: Refusal | None) -> None:
        self._outbox.put(Done(request) if refusal is None else Refused(request, refusal))

    async def _run_risen(self, record: RunRisen, device: "_Device") -> None:
        state, counter = await self._services.directory.log_in(device.mailbox, record.run_counter, device.run_id)
        if state is LoginState.ROLLED_BACK:
            self._services.counters.rolled_back += 1
            self._outbox.put(RolledBack(counter))
            await self._outbox.flush()
            await self._stream.close()


def host_of(authority: str) -> str:
    """The host of `host[:port]`, an IPv6 literal without its brackets."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]
