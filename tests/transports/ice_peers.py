"""Two devices that meet by ICE on this machine's loopback: signals made as a node makes them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

from mepassa.model.addresses import IpAddress
from mepassa.model.ids import AttemptId, Timestamp
from mepassa.model.secret import SecretBytes
from mepassa.model.signal import Signal, SignalKind
from mepassa.ports.mailbox import TurnCredentials
from mepassa.testing import SeededRng
from mepassa.testing.clock import START_MS
from mepassa.transports.ice import IceAttempt, IceConfig, IcePath, QuicCertificate, RemoteSide, ServerRules

LOOPBACK = ip_address("127.0.0.1")
HERE = ServerRules.of("http://127.0.0.1", inside=True)


def loopback_only(address: IpAddress) -> bool:
    return address == LOOPBACK


def config(
    servers: TurnCredentials | None = None,
    *,
    admit: Callable[[IpAddress], bool] = loopback_only,
    direct: bool = True,
    relay: bool = True,
    relay_only: bool = False,
) -> IceConfig:
    return IceConfig(servers, HERE, admit, direct, relay, relay_only, allow_loopback_paths=True)


def credentials(
    turn: tuple[str, ...], stun: tuple[str, ...], user: tuple[str, str] = ("user", "password")
) -> TurnCredentials:
    return TurnCredentials(
        servers=turn,
        stun_servers=stun,
        username=user[0],
        password=SecretBytes(user[1].encode()),
        expires_at_ms=Timestamp(2**50),
    )


def signal_of(attempt: IceAttempt, certificate: QuicCertificate | None = None, *, number: int = 1) -> Signal:
    local = attempt.local
    return Signal(
        kind=SignalKind.OFFER,
        attempt_id=AttemptId(bytes(16)),
        sent_at_ms=START_MS,
        ice_ufrag=local.ufrag,
        ice_password=local.password.expose().decode(),
        candidates=local.lines,
        nat_kind=local.nat_kind,
        quic_certificate_sha256=certificate.sha256 if certificate else bytes(32),
        path_secret=bytes([number]) * 32,
        relay_only=attempt.config.relay_only,
        direct=attempt.config.direct,
        relay=attempt.config.relay,
    )


async def gather_two(one: IceConfig, other: IceConfig, seed: int) -> tuple[IceAttempt, IceAttempt]:
    return await asyncio.gather(
        IceAttempt.gather(one, rng=SeededRng(seed)), IceAttempt.gather(other, rng=SeededRng(seed + 1))
    )


async def connect_two(one: IceAttempt, other: IceAttempt, *, deadline_s: float = 10) -> tuple[IcePath, IcePath]:
    """`one` controls."""
    return await asyncio.gather(
        one.connect(RemoteSide.from_signal(signal_of(other)), controlling=True, deadline_s=deadline_s),
        other.connect(RemoteSide.from_signal(signal_of(one)), controlling=False, deadline_s=deadline_s),
    )


@asynccontextmanager
async def two_paths(seed: int = 1) -> AsyncIterator[tuple[IcePath, IcePath]]:
    one, other = await gather_two(config(), config(), seed)
    try:
        yield await connect_two(one, other)
    finally:
        await one.close()
        await other.close()
