"""A home without a socket: all of its rules behind two calls that serve one connection each.

HTTP and WebSockets (`server.http`) are a thin shell around this, and so is the simulator, which hands in a virtual
clock, seeded chance, a database that runs inline and pairs of streams in memory.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mepassa.identity import HomeKeyPair, home_document_message
from mepassa.model.errors import LinkLostError, RemoteError
from mepassa.model.keys import HomeKey
from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.ports.frames import FrameStream
from mepassa.ports.rng import Rng
from mepassa.server.access import Access
from mepassa.server.counters import Counters
from mepassa.server.db import Tx
from mepassa.server.deposit_socket import DepositSocket, SealedServices
from mepassa.server.directory import Directory, Prekeys, RegistrationInvites
from mepassa.server.hello import Greeter
from mepassa.server.limits import HomePolicy, RateLimiter, address_group
from mepassa.server.mailbox import Mailboxes, Outbox
from mepassa.server.mailbox_socket import DeviceServices, MailboxSocket, RelayIssuer
from mepassa.wire.mailbox import (
    Bye,
    ByeReason,
    DepositToClient,
    MailboxToDevice,
    decode_deposit_to_home,
    decode_mailbox_to_home,
    encode_deposit_to_client,
    encode_mailbox_to_device,
)
from mepassa.wire.wellknown import (
    RegistrationPolicy,
    SignedWellKnown,
    WellKnown,
    encode_signed_well_known,
    encode_well_known,
)

log = logging.getLogger(__name__)

EXPIRY_INTERVAL_S = 3600.0
"""How often what has waited 14 days is looked for."""
FORGET_INTERVAL_S = 60.0
"""How often internet addresses that no rate needs any more are forgotten."""
STOP_DEADLINE_S = 5.0
"""How long connections may take to end when the home stops."""


class Home:
    """Serves any number of connections; `start` begins its upkeep, `stop` ends all of it. Owns its tasks, not the database."""

    def __init__(
        self,
        *,
        db: Db[Tx],
        clock: Clock,
        rng: Rng,
        key: HomeKeyPair,
        registration: RegistrationPolicy = RegistrationPolicy.INVITE,
        policy: HomePolicy | None = None,
        relay: RelayIssuer | None = None,
        public_host: str | None = None,
    ) -> None:
        """`public_host`: where devices reach the relay; None: at the host by which they reached us."""
        self.policy = policy or HomePolicy()
        self.registration = registration
        self.counters = Counters()
        self.directory = Directory(db, clock, self.policy, key.public)
        self.invites = RegistrationInvites(db, clock, rng)
        self.mailboxes = Mailboxes(db, clock, self.policy, self.counters)
        self._key = key
        self._greeter = Greeter(key, clock, rng, self.policy, self.register_work_bits)
        self._sealed, self._devices = self._services(db, clock, relay, public_host)
        self._sockets: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._upkeep: list[asyncio.Task[None]] = []
        self._stopping = False

    def _services(
        self, db: Db[Tx], clock: Clock, relay: RelayIssuer | None, public_host: str | None
    ) -> tuple[SealedServices, DeviceServices]:
        policy, prekeys = self.policy, Prekeys(db, self.policy)
        sealed = SealedServices(
            access=Access(self.directory, policy, clock),
            prekeys=prekeys,
            mailboxes=self.mailboxes,
            policy=policy,
            counters=self.counters,
            signals=RateLimiter(clock, policy.signals_per_minute, 60.0),
            fetches=RateLimiter(clock, policy.fetches_per_minute, 60.0),
            requests=RateLimiter(clock, policy.requests_per_minute, 60.0),
        )
        devices = DeviceServices(
            key=self._key,
            directory=self.directory,
            prekeys=prekeys,
            mailboxes=self.mailboxes,
            policy=policy,
            registration=self.registration,
            counters=self.counters,
            logins=RateLimiter(clock, policy.refusals_per_minute, 60.0),
            registrations=RateLimiter(clock, policy.registrations_per_hour, 3600.0),
            turn_sets=RateLimiter(clock, policy.turn_credentials_per_hour, 3600.0),
            relay=relay,
            public_host=public_host,
        )
        return sealed, devices

    @property
    def key(self) -> HomeKey:
        return self._key.public

    @property
    def register_work_bits(self) -> int:
        return self.policy.register_work_bits if self.registration is RegistrationPolicy.WORK else 0

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._upkeep = [
            loop.create_task(self._keep_up(), name="home upkeep"),
            loop.create_task(self._forget_addresses(), name="home forgets"),
        ]

    async def stop(self) -> None:
        """Every connection is told and ends, the last batch is synced; from then on nothing asks the database. Idempotent."""
        self._stopping = True
        for task in self._upkeep:
            task.cancel()
        await asyncio.gather(*self._upkeep, return_exceptions=True)
        await self.mailboxes.end_sessions()
        await self.mailboxes.flush()
        await asyncio.sleep(0)  # the last answers are on their way
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_DEADLINE_S)
        await self.mailboxes.flush()

    async def _keep_up(self) -> None:
        """One round that fails (a full disk) does not end the promise that what is old is deleted."""
        while True:
            try:
                await self.mailboxes.expire()
                await self.directory.expire()
            except Exception:
                log.exception("home.upkeep_failed")
            await asyncio.sleep(EXPIRY_INTERVAL_S)

    async def _forget_addresses(self) -> None:
        sealed, devices = self._sealed, self._devices
        limiters = (
            sealed.access.refusals, sealed.signals, sealed.fetches, sealed.requests,
            devices.logins, devices.registrations, devices.turn_sets,
        )  # fmt: skip
        while True:
            await asyncio.sleep(FORGET_INTERVAL_S)
            for limiter in limiters:
                limiter.forget_past()

    # --- connections ----------------------------------------------------------------------------------------------

    async def serve_deposit(self, stream: FrameStream, *, remote: str, host: str) -> None:
        """One `/v1/deposit`, until it ends; never raises for what the other side does.

        `remote`: the address it comes from, for rates only; `host`: the authority that the client asked for.
        """

        outbox = Outbox(stream, encode_deposit_to_client)

        async def serve(group: str) -> None:
            greeted = await self._greeter.greet(stream, host, decode_deposit_to_home, outbox.put)
            if greeted is not None:
                await DepositSocket(self._sealed, stream, outbox, greeted, group).run()

        await self._guard(stream, outbox, address_group(remote), serve)

    async def serve_mailbox(self, stream: FrameStream, *, remote: str, host: str) -> None:
        """One `/v1/mailbox`, likewise."""
        outbox = Outbox(stream, encode_mailbox_to_device)

        async def serve(group: str) -> None:
            greeted = await self._greeter.greet(stream, host, decode_mailbox_to_home, outbox.put)
            if greeted is not None:
                await MailboxSocket(self._devices, stream, outbox, greeted, remote=group, host=host).run()

        await self._guard(stream, outbox, address_group(remote), serve)

    async def _guard(
        self,
        stream: FrameStream,
        outbox: Outbox[DepositToClient] | Outbox[MailboxToDevice],
        group: str,
        serve: Callable[[str], Awaitable[None]],
    ) -> None:
        """Count the socket, serve it, say why when it broke the rules, close it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._sockets[group] = self._sockets.get(group, 0) + 1
        try:
            if self._stopping:
                await outbox.end(Bye(ByeReason.STOPPING))
            elif self._sockets[group] > self.policy.sockets_per_address:
                self.counters.sockets_refused += 1
                await outbox.end(Bye(ByeReason.BUSY))
            else:
                await serve(group)
        except RemoteError:
            log.info("socket.rules_broken")
            await outbox.end(Bye(ByeReason.PROTOCOL))
        except LinkLostError:
            pass
        except Exception:  # our bug ends this connection and no other
            log.exception("socket.failed")
        finally:
            self._tasks.discard(task)
            self._sockets[group] -= 1
            if not self._sockets[group]:
                del self._sockets[group]
            await outbox.close()
            await stream.close()


def sign_well_known(key: HomeKeyPair, document: WellKnown) -> bytes:
    """The bytes that `GET /.well-known/mepassa` answers with."""
    body = encode_well_known(document)
    return encode_signed_well_known(SignedWellKnown(body, key.sign(home_document_message(body))))
