"""The one place that wires a home: folder, database, mailbox and directory, relay, bootstrap node, HTTP."""

import asyncio
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mepassa.identity import HomeKeyPair
from mepassa.model.errors import InvalidInputError
from mepassa.ports.clock import Clock, SystemClock
from mepassa.ports.rng import Rng, SystemRng
from mepassa.server.admin import make_admin_app
from mepassa.server.config import PUBLIC_BOOTSTRAP_PORT, PUBLIC_RELAY_PORTS, PUBLIC_TURN_PORT, ROLES, ServerConfig
from mepassa.server.db import PAGE_BYTES, Database
from mepassa.server.folder import Folder
from mepassa.server.home import Home, sign_well_known
from mepassa.server.http import HttpServer, make_app, url_of
from mepassa.server.roles import ReadyFacts, TurnPorts
from mepassa.wire.wellknown import RegistrationPolicy, WellKnown

if TYPE_CHECKING:
    from mepassa.server.relay import RelayRole

__all__ = ["ROLES", "ReadyFacts", "RegistrationPolicy", "ServerConfig", "run", "serve"]

log = logging.getLogger(__name__)

PROTOCOL_VERSIONS = (1,)
"""Versions of docs/protocol/home.md that this home speaks."""
WELL_KNOWN_LIFE_S = 60.0
"""How long one signed document is served before it is made anew."""


async def run(config: ServerConfig, ready: Callable[[ReadyFacts], None]) -> None:
    """Run a home until SIGTERM or SIGINT; `ready` is called once, when everything listens.

    Raises `FolderInUseError`, `PortTakenError`, `InvalidInputError` or `DiskFullError` when it cannot start.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    # On Windows loops take no signals: Ctrl-C cancels us instead.
    signals = () if sys.platform == "win32" else (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stopping.set)
    try:
        async with AsyncExitStack() as stack:
            facts = await _start(config, stack)
            ready(facts)
            await stopping.wait()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def serve(config: ServerConfig, ready: Callable[[ReadyFacts], None]) -> None:
    """`run` on a loop of its own, uvloop where there is one."""
    # The relay reads its sockets itself, which Windows' usual loop does not offer.
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.SelectorEventLoop
    if find_spec("uvloop") is not None:
        new_loop = import_module("uvloop").new_event_loop
    _allow_many_sockets()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run(config, ready))


def _allow_many_sockets() -> None:
    """As many open files as the system lets this process have: the soft limit is often 1 024."""
    if sys.platform != "win32":  # where there is no such limit
        import resource  # noqa: PLC0415 - not on Windows

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        except (OSError, ValueError):
            log.warning("home.few_sockets")


async def _start(config: ServerConfig, stack: AsyncExitStack) -> ReadyFacts:
    """Everything in order; what has been started is stopped in reverse, whatever fails."""
    tls = _tls(config)
    parts = _Parts(config, stack, stack.enter_context(Folder(config.data)), SystemClock(), SystemRng())
    await parts.start_relay()
    await parts.start_bootstrap()
    parts.make_home()
    server = HttpServer(make_app(parts.home, parts.document), config.bind_host, config.listen_port, tls)
    port = await server.start()
    stack.push_async_callback(server.stop)
    if parts.home is not None:
        await parts.home.start()
        stack.push_async_callback(parts.home.stop)  # before the server, whose sockets end by themselves then
    return ReadyFacts(
        url=url_of("http" if tls is None else "https", config.public_address or config.listen_host, port),
        home_key=parts.key.public.hex(),
        invite=await parts.first_invite(),
        turn=None if parts.relay is None else TurnPorts(parts.relay.facts.udp, parts.relay.facts.tcp),
        bootstrap=parts.bootstrap[0] if parts.bootstrap else None,
        admin=await parts.start_admin(),
    )


def _tls(config: ServerConfig) -> ssl.SSLContext | None:
    if config.cert is None or config.key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.cert, config.key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInputError("The certificate and its key cannot be used.", field="cert") from error
    return context


async def _literal(address: str | None) -> str | None:
    """A relayed address is told as numbers: a name is looked up once, at the start."""
    if address is None:
        return None
    try:
        found = await asyncio.get_running_loop().getaddrinfo(address, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InvalidInputError("The public address cannot be found.", field="public_address") from error
    return str(found[0][4][0])


class _Parts:
    """What one process is made of, by role; the well-known document tells it."""

    def __init__(self, config: ServerConfig, stack: AsyncExitStack, folder: Folder, clock: Clock, rng: Rng) -> None:
        self._config, self._stack, self._folder, self._clock, self._rng = config, stack, folder, clock, rng
        self.key: HomeKeyPair = folder.home_key(rng)
        self.home: Home | None = None
        self.relay: RelayRole | None = None
        self.bootstrap: tuple[str, ...] = ()
        self._document = b""
        self._document_made_at = 0.0

    async def start_relay(self) -> None:
        config = self._config
        if "relay" not in config.roles:
            return
        from mepassa.server.relay import RelayConfig, RelayRole  # noqa: PLC0415  # only where it relays

        relay_config = RelayConfig(
            listen_host=config.bind_host,
            turn_port=config.port_or(config.turn_port, PUBLIC_TURN_PORT),
            relay_ports=config.relay_ports or (None if config.on_loopback else PUBLIC_RELAY_PORTS),
            public_address=await _literal(config.public_address),
            allow_private_peers=config.allow_private_peers,
        )
        self.relay = RelayRole(relay_config, self._folder.relay_secret(self._rng), self._clock, self._rng)
        await self.relay.start()
        self._stack.push_async_callback(self.relay.stop)

    async def start_bootstrap(self) -> None:
        config = self._config
        if "bootstrap" not in config.roles:
            return
        from mepassa.server.bootstrap import BootstrapConfig, BootstrapRole  # noqa: PLC0415  # loads libp2p: 90 MB

        bootstrap_config = BootstrapConfig(
            listen_host=config.bind_host,
            port=config.port_or(config.bootstrap_port, PUBLIC_BOOTSTRAP_PORT),
            data=config.data,
            public_address=await _literal(config.public_address),
            peers=config.bootstrap_peers,
        )
        role = BootstrapRole(bootstrap_config, clock=self._clock, rng=self._rng)
        facts = await role.start()
        self._stack.push_async_callback(role.stop)
        self.bootstrap = facts.multiaddrs

    def make_home(self) -> None:
        config = self._config
        if "mailbox" not in config.roles:
            return
        limit = config.database_limit_bytes
        db = Database(self._folder.database, max_pages=None if limit is None else limit // PAGE_BYTES)
        self._stack.push_async_callback(db.close)
        self.home = Home(
            db=db,
            clock=self._clock,
            rng=self._rng,
            key=self.key,
            registration=config.registration,
            policy=config.policy,
            relay=self.relay,
            public_host=config.public_address,
        )

    async def first_invite(self) -> str | None:
        if self.home is None or self._config.registration is not RegistrationPolicy.INVITE:
            return None
        return await self.home.invites.make_first(self._config.policy.first_invite_uses)

    async def start_admin(self) -> str | None:
        config, relay = self._config, self.relay
        if config.admin_host is None:
            return None
        app = make_admin_app(self.home, lambda: None if relay is None else relay.counters.snapshot())
        server = HttpServer(app, config.admin_host, config.admin_port)
        port = await server.start()
        self._stack.push_async_callback(server.stop)
        return url_of("http", config.admin_host, port)

    def document(self) -> bytes:
        """The signed well-known document, made anew every minute."""
        now = self._clock.monotonic()
        if not self._document or now - self._document_made_at > WELL_KNOWN_LIFE_S:
            self._document_made_at, self._document = now, sign_well_known(self.key, self._describe())
        return self._document

    def _describe(self) -> WellKnown:
        policy, relay, home = self._config.policy, self.relay, self.home
        return WellKnown(
            home_key=self.key.public,
            issued_at_ms=self._clock.now_ms(),
            versions=PROTOCOL_VERSIONS,
            mailbox=home is not None,
            registration=self._config.registration,
            register_work_bits=0 if home is None else home.register_work_bits,
            request_work_bits=policy.request_work_bits,
            turn_udp=() if relay is None else relay.facts.udp,
            turn_tcp=None if relay is None else relay.facts.tcp,
            turn_host=self._config.public_address,
            bootstrap=(*self.bootstrap, *self._config.bootstrap_peers),
            mailbox_envelopes=policy.mailbox_envelopes,
            mailbox_bytes=policy.mailbox_bytes,
            ttl_s=policy.ttl_ms // 1000,
        )
