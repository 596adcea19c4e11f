"""aioice's Connection with staged nomination, and with limits on what strangers can make it do.

aioice nominates the first pair that answers, so that a relay sometimes wins where a direct path works. Here

- pairs with a relay end are not checked before `relay_hold_s` has passed (docs/protocol/ice.md, "Staging");
- nomination is regular (RFC 8445 §8.1.1): both sides end on the same pair, and the route record of both is true;
- checks are sent again early, and at once when one comes in for the same pair (RFC 8445 §7.3.1.4): the first one often
  dies at the peer's NAT, which opens a moment later, and waiting for the retransmission costs half a second;
- addresses learnt from checks pass the same admission as signalled ones, and are counted.

It leans on aioice's inner names, so aioice is pinned to one minor version and the NAT lab covers it (decision 0041).
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any, cast

from aioice import stun
from aioice.candidate import Candidate
from aioice.ice import CandidatePair, Connection, StunProtocol

from mepassa.model.addresses import IpAddress, parse_ip
from mepassa.model.errors import MalformedError
from mepassa.transports.ice.turn_client import MALFORMED

MAX_LEARNT = 16
"""Peer-reflexive candidates of one attempt: a peer behind a symmetric NAT shows one new address per socket of ours."""
MAX_EARLY_DATAGRAMS = 64
"""Datagrams kept until somebody reads: the first flight of a QUIC client fits many times."""
CLOSE_WITHIN_S = 2.0
EARLY_REPEATS_S = (0.1, 0.25)
"""Seconds after which an unanswered request is sent again, besides STUN's own 0.5, 1.5, … (RFC 8489 §6.2.1). The two
sides start apart by the time that a signal travels; until the later one has sent, its NAT lets nothing in."""

TransportAddress = tuple[str, int]


class CheckedProtocol(StunProtocol):
    """One socket or allocation. STUN and the rest are told apart by the first byte (RFC 9443 §3); junk is dropped."""

    def __init__(self, owner: "StagedConnection") -> None:
        super().__init__(owner)
        self._owner = owner
        self._unanswered: dict[TransportAddress, stun.Message] = {}

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        raw = cast("bytes", data)
        if self._owner.silenced or not raw:
            return
        if raw[0] > 3:
            self._owner.payload_received(raw, (addr[0], addr[1]))
            return
        with contextlib.suppress(*MALFORMED):
            super().datagram_received(raw, addr)

    def send_stun(self, message: stun.Message, addr: TransportAddress) -> None:
        if not self._owner.silenced:
            super().send_stun(message, addr)

    async def request(
        self,
        request: stun.Message,
        addr: TransportAddress,
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, TransportAddress]:
        loop = asyncio.get_running_loop()
        begun = perf_counter()  # uvloop's own clock counts whole milliseconds
        repeats = [loop.call_later(delay_s, self.send_stun, request, addr) for delay_s in EARLY_REPEATS_S]
        self._unanswered[addr] = request
        try:
            answer = await super().request(request, addr, integrity_key, retransmissions)
        finally:
            self._unanswered.pop(addr, None)
            for repeat in repeats:
                repeat.cancel()
        self._owner.round_trip_measured(addr, perf_counter() - begun)
        return answer

    def repeat(self, addr: TransportAddress) -> None:
        """Send the request that `addr` has not answered yet again: the same transaction, so a late answer counts too."""
        if (request := self._unanswered.get(addr)) is not None:
            self.send_stun(request, addr)


class StagedConnection(Connection):
    """One attempt's sockets, checks and, later, its path. Owned by an `IceAttempt`.

    `lost` is done once nothing will ever pass again: closed by us, consent expired, or the socket of the pair died.
    """

    def __init__(self, *, ufrag: str, password: str, admit: Callable[[IpAddress], bool]) -> None:
        super().__init__(ice_controlling=False, local_username=ufrag, local_password=password)
        self.remote_is_lite = True  # aioice's word for regular nomination by the controlling side
        self.silenced = False
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._admit = admit
        self._role_known = False
        self._relay_open = True
        self._proven: set[TransportAddress] = set()
        self._repeated: set[tuple[int, TransportAddress]] = set()
        self._learnt = 0
        self._round_trips: dict[TransportAddress, float] = {}
        self._releasing: asyncio.Future[list[BaseException | None]] | None = None
        self._sink: Callable[[bytes], None] | None = None
        self._early: deque[bytes] = deque(maxlen=MAX_EARLY_DATAGRAMS)

    # gathering

    def adopt(self, candidates: list[Candidate], protocols: list[StunProtocol]) -> None:
        """Take over what was gathered elsewhere (`gathering.gather`)."""
        self._local_candidates_start = self._local_candidates_end = True
        self._local_candidates += candidates
        self._protocols += protocols

    # connecting

    async def connect_staged(self, *, controlling: bool, hold_s: float) -> CandidatePair:
        """Check, nominate, and return the pair. Never fails by itself once there is a socket: the caller has the
        deadline. Raises `ConnectionError` when closed meanwhile. The remote side must have been set.
        """
        self.ice_controlling, self._role_known = controlling, True
        self._relay_open = hold_s <= 0
        timer = asyncio.get_running_loop().call_later(hold_s, self._open_relay)
        try:
            await super().connect()
        finally:
            timer.cancel()
        pair = self._nominated.get(1)
        if pair is None:
            raise ConnectionError("closed while connecting")
        return pair

    def round_trip_s(self, addr: TransportAddress) -> float | None:
        """The quickest answer to a check from `addr`, in seconds."""
        return self._round_trips.get(addr)

    def round_trip_measured(self, addr: TransportAddress, seconds: float) -> None:
        if addr in self._round_trips or len(self._round_trips) < 4 * MAX_LEARNT:
            self._round_trips[addr] = min(seconds, self._round_trips.get(addr, seconds))

    def check_start_task(self, pair: CandidatePair) -> None:
        if self._relay_open or not has_relay_end(pair):
            super().check_start_task(pair)

    def request_received(self, message: stun.Message, addr: TransportAddress, protocol: StunProtocol) -> None:
        """A check from an address that may not be used is not even answered: a pair that works for one side only would
        be nominated by it.
        """
        if not self._is_known(addr) and not self._may_learn(addr[0]):
            return
        if not self._role_known:
            # Roles follow from the devices' addresses, but a check may come before connect() has been told ours.
            self.ice_controlling = "ICE-CONTROLLED" in message.attributes
        super().request_received(message, addr, protocol)

    def check_incoming(self, message: stun.Message, addr: TransportAddress, protocol: StunProtocol) -> None:
        """`message` is authenticated by our own password, which only the reader of our signal has."""
        self._learnt += not self._is_known(addr)
        self._proven.add(addr)
        super().check_incoming(message, addr, protocol)
        self._repeat_check(addr, protocol)

    def check_complete(self, pair: CandidatePair) -> None:
        if pair.state is CandidatePair.State.SUCCEEDED:
            self._proven.add(pair.remote_addr)
        super().check_complete(pair)

    def _is_known(self, addr: TransportAddress) -> bool:
        return any(pair.remote_addr == addr for pair in self._check_list)

    def _may_learn(self, host: str) -> bool:
        try:
            return self._learnt < MAX_LEARNT and self._admit(parse_ip(host))
        except MalformedError:
            return False

    def _repeat_check(self, addr: TransportAddress, protocol: StunProtocol) -> None:
        """Once a pair: the peer's own repeats must not make us send without end."""
        if isinstance(protocol, CheckedProtocol) and (protocol.id, addr) not in self._repeated:
            self._repeated.add((protocol.id, addr))
            protocol.repeat(addr)

    def _check_periodic(self) -> bool:
        if self._relay_open or self._check_list_done:
            return super()._check_periodic()
        everything = self._check_list
        self._check_list = [pair for pair in everything if not has_relay_end(pair)]
        try:
            super()._check_periodic()
        finally:
            self._check_list = everything
        return not self._check_list_done

    def _open_relay(self) -> None:
        self._relay_open = True

    # the path

    def release_others(self, pair: CandidatePair) -> None:
        """Close the sockets and allocations that the nominated pair does not use; the relay has a quota."""
        unused = [protocol for protocol in self._protocols if protocol is not pair.protocol]
        self._protocols = [pair.protocol]
        self._check_list = [kept for kept in self._check_list if kept.protocol is pair.protocol]
        if unused:
            self._releasing = asyncio.gather(*(protocol.close() for protocol in unused), return_exceptions=True)

    def payload_received(self, data: bytes, addr: TransportAddress) -> None:
        """Bytes that are not STUN count only from an address that has answered or passed a check."""
        if addr not in self._proven:
            return
        if self._sink is None:
            self._early.append(data)
        else:
            self._sink(data)

    def data_received(self, data: bytes, component: int) -> None:
        """aioice hands over what is no STUN message after all: nothing of ours begins with such a byte."""

    def read_into(self, sink: Callable[[bytes], None] | None) -> None:
        """From now on every datagram goes to `sink`, first those that came early; None: keep the last few."""
        self._sink = sink
        while sink is not None and self._early:
            sink(self._early.popleft())

    def send_payload(self, data: bytes) -> None:
        """Best effort, as UDP is; silently nothing once the path is gone."""
        pair = self._nominated.get(1)
        if pair is not None and not self.silenced:
            pair.protocol.transport.sendto(data, pair.remote_addr)

    def protocol_lost(self, protocol: StunProtocol) -> None:
        if any(pair.protocol is protocol for pair in self._nominated.values()):
            self._mark_lost()

    def _mark_lost(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    async def close(self) -> None:
        """Idempotent; at most `CLOSE_WITHIN_S`. Also called by aioice when consent has expired (RFC 7675)."""
        self._sink = None
        self._mark_lost()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await super().close()
                if self._releasing is not None:
                    await asyncio.shield(self._releasing)


def has_relay_end(pair: CandidatePair) -> bool:
    return "relay" in {pair.local_candidate.type, pair.remote_candidate.type}
