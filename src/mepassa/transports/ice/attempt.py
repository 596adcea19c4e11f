"""One attempt of two devices to meet: gather, tell the other side, connect (docs/protocol/ice.md)."""

import asyncio
import base64
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from aioice.candidate import Candidate
from aioice.ice import CandidatePair

from mepassa.model.addresses import IpAddress, parse_ip
from mepassa.model.errors import ConflictError
from mepassa.model.route import NatKind
from mepassa.model.secret import SecretBytes
from mepassa.model.signal import MAX_ADDRESSES
from mepassa.ports.mailbox import TurnCredentials
from mepassa.ports.rng import Rng
from mepassa.transports.ice.candidates import CandidateKind, IceCandidate, RemoteSide, encode_candidate
from mepassa.transports.ice.connection import StagedConnection
from mepassa.transports.ice.errors import IceFailedError
from mepassa.transports.ice.gathering import Gathered, gather
from mepassa.transports.ice.nat import relay_hold_s
from mepassa.transports.ice.path import IcePath, describe_pair
from mepassa.transports.ice.servers import ServerRules
from mepassa.transports.ice.turn_client import KEEP_MAPPING_S, binding_indication

CONNECT_DEADLINE_S = 10.0
"""ICE itself never gives up on silence; after this the message has long been deposited (ARCHITECTURE.md, routing)."""

AdmitAddress = Callable[[IpAddress], bool]
"""Whether this device may send to an address that a contact named. Routing owns the rule."""


@dataclass(frozen=True, slots=True)
class IceConfig:
    """`servers`: STUN and TURN of our own home, None while there is none. `direct`, `relay`: whether this side takes
    paths of that kind at all now. `relay_only` (hide_my_ip): no host or srflx candidate is gathered or offered.
    `allow_loopback_paths`: offer 127.0.0.1 too (demo and tests). `server_rules`: which of the servers may be asked.
    """

    servers: TurnCredentials | None
    server_rules: ServerRules
    admit: AdmitAddress
    direct: bool = True
    relay: bool = True
    relay_only: bool = False
    allow_loopback_paths: bool = False


@dataclass(frozen=True, slots=True)
class LocalCandidates:
    """What goes into our signal: `lines` are RFC 8839 candidate lines without "candidate:", at most 16."""

    ufrag: str
    password: SecretBytes
    lines: tuple[str, ...]
    nat_kind: NatKind


class IceAttempt:
    """Sockets, allocation and checks of one attempt, all closed by `close()` (also by a failed `connect()`)."""

    def __init__(self, config: IceConfig, connection: StagedConnection, gathered: Gathered) -> None:
        self.config = config
        self._connection = connection
        self._nat_kind = gathered.nat_kind
        self._relay_names = {address: server.name for address, server in gathered.relays.items()}
        self._mapped_bases = {c.related_address for c in gathered.candidates if c.type == "srflx"}
        self._path: IcePath | None = None
        self._used = False
        self._mapped = gathered.mapped
        self._warmth = asyncio.get_running_loop().call_later(KEEP_MAPPING_S, self._keep_warm)
        self.local = LocalCandidates(
            ufrag=connection.local_username,
            password=SecretBytes(connection.local_password.encode()),
            lines=_offer(gathered.candidates),
            nat_kind=gathered.nat_kind,
        )

    @classmethod
    async def gather(cls, config: IceConfig, *, rng: Rng) -> Self:
        """Normally as long as one round trip to the home's relay; at most 1.5 s, 2 s where only TCP gets through.

        Never raises for what the network does: without any candidate `local.lines` is empty.
        """
        connection = StagedConnection(
            ufrag=base64.b64encode(rng.token(6)).decode(),
            password=base64.b64encode(rng.token(24)).decode(),
            admit=config.admit,
        )
        hosts = config.direct and not config.relay_only
        gathered = await gather(
            connection,
            config.servers,
            config.server_rules,
            hosts=hosts,
            relay=config.relay,
            allow_loopback=config.allow_loopback_paths,
        )
        connection.adopt(gathered.candidates, gathered.protocols)
        return cls(config, connection, gathered)

    async def connect(
        self,
        remote: RemoteSide,
        *,
        controlling: bool,
        deadline_s: float = CONNECT_DEADLINE_S,
        hold_relay_s: float | None = None,
    ) -> IcePath:
        """Find a path. Raises `IceFailedError` (then everything is closed), `ConflictError` on a second call.

        Both sides must call it, with opposite `controlling` (`is_controlling`), within the deadline of each other.
        `hold_relay_s`: how long pairs with a relay end wait; None: as `nat.relay_hold_s` says. Never longer than that:
        who asks may not know yet what both NAT kinds rule out.
        """
        if self._used:
            raise ConflictError("An ICE attempt connects once.")
        self._used = True
        self._warmth.cancel()
        connection = self._connection
        try:
            async with asyncio.timeout(deadline_s):
                pair = await self._checks(remote, controlling=controlling, hold_relay_s=hold_relay_s)
        except (TimeoutError, ConnectionError) as error:
            await self.close()
            raise IceFailedError from error
        except BaseException:
            await self.close()
            raise
        self._path = IcePath(
            connection,
            describe_pair(
                pair,
                relay_names=self._relay_names,
                behind_nat=pair.local_candidate.host in self._mapped_bases,
                rtt_s=connection.round_trip_s(pair.remote_addr),
            ),
        )
        return self._path

    async def _checks(self, remote: RemoteSide, *, controlling: bool, hold_relay_s: float | None) -> CandidatePair:
        connection, direct = self._connection, self.config.direct and not self.config.relay_only and remote.direct
        if not self.local.lines:
            raise ConnectionError("nothing to connect from")
        connection.remote_username = remote.ufrag
        connection.remote_password = remote.password.expose().decode()
        for candidate in remote.candidates:
            relayed = candidate.kind is CandidateKind.RELAY
            if (relayed and not self.config.relay) or not self.config.admit(candidate.address):
                continue
            await connection.add_remote_candidate(_to_aioice(candidate))
        hold_s = relay_hold_s(self._nat_kind, remote.nat_kind, direct=direct)
        if hold_relay_s is not None:
            hold_s = min(hold_s, hold_relay_s)
        pair = await connection.connect_staged(controlling=controlling, hold_s=hold_s)
        connection.release_others(pair)
        return pair

    def _keep_warm(self) -> None:
        """An attempt may wait for its peer for minutes (an open chat); its NAT must not forget the mapping."""
        for protocol, server in self._mapped:
            protocol.send_stun(binding_indication(), server)
        self._warmth = asyncio.get_running_loop().call_later(KEEP_MAPPING_S, self._keep_warm)

    async def close(self) -> None:
        """Idempotent; closes the path too."""
        self._warmth.cancel()
        if self._path is not None:
            await self._path.close()
        with contextlib.suppress(ConnectionError):
            await self._connection.close()


def _offer(candidates: list[Candidate]) -> tuple[str, ...]:
    """At most 16 lines, best first, but never without the relay: it is what works when nothing else does."""
    best = sorted(candidates, key=lambda c: (c.type == "relay", c.priority), reverse=True)[:MAX_ADDRESSES]
    best.sort(key=lambda c: c.priority, reverse=True)
    return tuple(encode_candidate(_from_aioice(candidate)) for candidate in best)


def _from_aioice(candidate: Candidate) -> IceCandidate:
    return IceCandidate(
        foundation=candidate.foundation,
        priority=candidate.priority,
        address=parse_ip(candidate.host),
        port=candidate.port,
        kind=CandidateKind(candidate.type),
    )


def _to_aioice(candidate: IceCandidate) -> Candidate:
    return Candidate(
        foundation=candidate.foundation,
        component=1,
        transport="udp",
        priority=candidate.priority,
        host=str(candidate.address),
        port=candidate.port,
        type=candidate.kind.value,
    )
