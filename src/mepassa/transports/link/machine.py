"""One side of a link, without IO: bytes in, events and bytes out, timers by the caller (docs/protocol/link.md).

    AWAITING_HELLO --hello verified--> OPEN --bye, error, silence, end of stream--> CLOSED
          `--anything else, or 5 s--> CLOSED without a byte

The dialling side speaks first. The answering side writes nothing before the other's hello has verified.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import Enum

from mepassa.identity import LinkRole
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import LinkLostError, RemoteError
from mepassa.model.ids import Address, EnvelopeId
from mepassa.ports.transport import LinkIdentity
from mepassa.transports.link.hello import hello_verifies, make_hello, other_role
from mepassa.wire.link import (
    Ack,
    Bye,
    ByeReason,
    EnvelopeRecord,
    ErrorCode,
    ErrorRecord,
    Hello,
    LinkRecord,
    Ping,
    Pong,
    RecordDecoder,
    encode_record,
)

MAX_PINGS_OUT = 8
"""Pings remembered while their pongs are awaited; older ones measure nothing any more."""


MAX_PONGS_UNSENT = 64
"""Answers to pings that wait to be written; a peer that pings and does not read gets no more of them."""
MAX_UNSENT_BYTES = 4 * 2**20
"""What may wait to be written at all. Our own 32 envelopes are 1.2 MB; more means that the peer does not read."""


@dataclass(frozen=True, slots=True)
class LinkTiming:
    """All in seconds. A frozen peer is noticed after at most `ping_interval_s + pong_deadline_s`."""

    hello_deadline_s: float = 5.0
    """From the first byte possible to the verified hello of the other side."""
    ping_interval_s: float = 2.0
    pong_deadline_s: float = 2.5
    """From a ping to any byte at all. Longer than a hiccup of a radio, short enough to find another route in 5 s."""
    ping_beside_envelope_s: float = 0.5
    """An envelope takes a ping along unless one was sent this recently, so that a dead path shows at once."""
    late_timer_s: float = 1.0
    """A timer that fires this late means that *we* slept: the peer is asked once more before it is given up."""
    drain_s: float = 5.0
    """How long a replaced link may finish what is in flight."""
    silence_s: float = 10.0
    """How long `silence` swallows bytes before it closes."""


class LinkState(Enum):
    AWAITING_HELLO = "awaiting_hello"
    OPEN = "open"
    CLOSED = "closed"


TAKES: dict[LinkState, tuple[type[LinkRecord], ...]] = {
    LinkState.AWAITING_HELLO: (Hello,),
    LinkState.OPEN: (EnvelopeRecord, Ack, Ping, Pong, Bye, ErrorRecord),
    LinkState.CLOSED: (),
}
"""Which records each state takes; any other one breaks the rules."""


class CloseCause(Enum):
    CLOSED_HERE = "closed_here"
    BYE = "bye"
    REPLACED = "replaced"
    ERROR_THERE = "error_there"
    BROKE_RULES = "broke_rules"
    SILENT = "silent"
    STREAM_ENDED = "stream_ended"
    HELLO_REFUSED = "hello_refused"
    """Their hello did not verify, or named a device that may not talk to us."""
    HELLO_LATE = "hello_late"


@dataclass(frozen=True, slots=True)
class LinkOpened:
    peer: Address


@dataclass(frozen=True, slots=True)
class EnvelopeReceived:
    """Answer with `acknowledge(envelope.id)` after the commit, or never."""

    envelope: SealedEnvelope


@dataclass(frozen=True, slots=True)
class EnvelopeAcknowledged:
    """`opened`: the peer has opened this copy, and it was the first."""

    envelope_id: EnvelopeId
    opened: bool


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """The last event. What is in flight is lost; `data_to_send` may still hold a last word."""

    cause: CloseCause


LinkEvent = LinkOpened | EnvelopeReceived | EnvelopeAcknowledged | LinkClosed


class LinkMachine:
    """`peer` is whom we mean to talk to: required when dialling; None when answering takes any device that
    `identity.peer_key` knows. `binding` names the secure channel below (docs/protocol/link.md, "Binding").

    `now` is monotonic seconds everywhere. No method raises but `send_envelope`.
    """

    def __init__(
        self,
        *,
        role: LinkRole,
        identity: LinkIdentity,
        binding: bytes,
        peer: Address | None,
        timing: LinkTiming,
        now: float,
    ) -> None:
        if role is LinkRole.DIALLER and peer is None:
            raise ValueError("the dialling side knows whom it dials")
        self._role, self._identity, self._binding, self._timing = role, identity, binding, timing
        self._peer = peer
        self._state = LinkState.AWAITING_HELLO
        self._decoder = RecordDecoder()
        self._events: deque[LinkEvent] = deque()
        self._outbox = bytearray()
        self._in_flight: set[EnvelopeId] = set()
        self._srtt_s: float | None = None
        self._pings: OrderedDict[int, float] = OrderedDict()
        self._next_nonce = 0
        self._pongs_unsent = 0
        self._hello_due = now + timing.hello_deadline_s
        self._ping_due = now
        self._pinged_at = now
        self._asked_at: float | None = None
        if role is LinkRole.DIALLER and peer is not None:
            self._put(make_hello(identity, role, peer, binding))

    @property
    def state(self) -> LinkState:
        return self._state

    @property
    def peer(self) -> Address | None:
        """Proven once the state is OPEN."""
        return self._peer

    @property
    def srtt_s(self) -> float | None:
        return self._srtt_s

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    # --- what the caller hands in -------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> None:
        if self._state is LinkState.CLOSED:
            return
        self._asked_at = None
        self._decoder.receive(data)
        try:
            while self.state is not LinkState.CLOSED and (record := self._decoder.next_record()) is not None:
                self._receive_record(record, now)
        except RemoteError:
            self._break(ErrorCode.MALFORMED)

    def receive_eof(self) -> None:
        self._close(CloseCause.STREAM_ENDED)

    def send_envelope(self, envelope: SealedEnvelope, now: float) -> None:
        """Put it on the wire; `EnvelopeAcknowledged` or `LinkClosed` follows. Raises `LinkLostError` unless open."""
        if self._state is not LinkState.OPEN:
            raise LinkLostError
        if envelope.id in self._in_flight:
            return
        self._in_flight.add(envelope.id)
        self._put(EnvelopeRecord(envelope.raw))
        if now - self._pinged_at >= self._timing.ping_beside_envelope_s:
            self._ping(now)

    def forget(self, envelope_id: EnvelopeId) -> None:
        """Nobody waits for this acknowledgement any more; it may still come and says nothing then."""
        self._in_flight.discard(envelope_id)

    def acknowledge(self, envelope_id: EnvelopeId, *, opened: bool) -> None:
        if self._state is LinkState.OPEN:
            self._put(Ack(envelope_id, opened))

    def close(self, reason: ByeReason = ByeReason.CLOSED) -> None:
        """Say bye (only where both hellos have been said) and end."""
        if self._state is LinkState.OPEN:
            self._put(Bye(reason))
        self._close(CloseCause.REPLACED if reason is ByeReason.REPLACED else CloseCause.CLOSED_HERE)

    # --- what the caller fetches --------------------------------------------------------------------------------------

    def data_to_send(self) -> bytes:
        data = bytes(self._outbox)
        self._outbox.clear()
        self._pongs_unsent = 0
        return data

    def next_event(self) -> LinkEvent | None:
        return self._events.popleft() if self._events else None

    # --- time ---------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """When `handle_timeout` wants to be called; None: never again."""
        match self._state:
            case LinkState.AWAITING_HELLO:
                return self._hello_due
            case LinkState.OPEN:
                return self._ping_due if self._asked_at is None else min(self._ping_due, self._pong_due(self._asked_at))
            case LinkState.CLOSED:
                return None

    def handle_timeout(self, now: float) -> None:
        if self._state is LinkState.AWAITING_HELLO and now >= self._hello_due:
            self._close(CloseCause.HELLO_LATE)
        if self._state is not LinkState.OPEN:
            return
        if self._asked_at is not None and now >= (due := self._pong_due(self._asked_at)):
            if now - due < self._timing.late_timer_s:
                self._close(CloseCause.SILENT)
                return
            self._asked_at = None
            self._ping_due = now
        if now >= self._ping_due:
            self._ping(now)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _receive_record(self, record: LinkRecord, now: float) -> None:
        if not isinstance(record, TAKES[self._state]):
            self._break(ErrorCode.OUT_OF_PLACE)
            return
        match record:
            case Hello():
                self._receive_hello(record, now)
            case EnvelopeRecord(sealed):
                self._events.append(EnvelopeReceived(SealedEnvelope(sealed)))
            case Ack(envelope_id, opened):
                if envelope_id in self._in_flight:
                    self._in_flight.discard(envelope_id)
                    self._events.append(EnvelopeAcknowledged(envelope_id, opened))
            case Ping(nonce):
                if self._pongs_unsent < MAX_PONGS_UNSENT:
                    self._pongs_unsent += 1
                    self._put(Pong(nonce))
            case Pong(nonce):
                self._measure(nonce, now)
            case Bye(reason):
                self._close(CloseCause.REPLACED if reason == ByeReason.REPLACED else CloseCause.BYE)
            case ErrorRecord():
                self._close(CloseCause.ERROR_THERE)

    def _receive_hello(self, hello: Hello, now: float) -> None:
        peer = Address(hello.account, hello.device)
        if not hello_verifies(self._identity, hello, other_role(self._role), self._peer, self._binding):
            self._close(CloseCause.HELLO_REFUSED)
            return
        self._peer = peer
        self._state = LinkState.OPEN
        if self._role is LinkRole.LISTENER:
            self._put(make_hello(self._identity, self._role, peer, self._binding))
        self._events.append(LinkOpened(peer))
        self._ping(now)

    def _ping(self, now: float) -> None:
        self._pings[self._next_nonce] = now
        while len(self._pings) > MAX_PINGS_OUT:
            self._pings.popitem(last=False)
        self._put(Ping(self._next_nonce))
        self._next_nonce += 1
        self._pinged_at = now
        self._ping_due = now + self._timing.ping_interval_s
        if self._asked_at is None:
            self._asked_at = now

    def _pong_due(self, asked_at: float) -> float:
        return asked_at + self._timing.pong_deadline_s

    def _measure(self, nonce: int, now: float) -> None:
        """Smoothed as in RFC 6298 §2: an eighth of the newest sample."""
        sent_at = self._pings.pop(nonce, None)
        if sent_at is None:
            return
        sample = now - sent_at
        self._srtt_s = sample if self._srtt_s is None else 0.875 * self._srtt_s + 0.125 * sample

    def _put(self, record: LinkRecord) -> None:
        self._outbox += encode_record(record)
        if len(self._outbox) > MAX_UNSENT_BYTES:
            self._outbox.clear()
            self._close(CloseCause.SILENT)

    def _break(self, code: ErrorCode) -> None:
        if self._state is LinkState.OPEN:  # a stranger before its hello is told nothing
            self._put(ErrorRecord(code))
            self._close(CloseCause.BROKE_RULES)
        else:
            self._close(CloseCause.HELLO_REFUSED)

    def _close(self, cause: CloseCause) -> None:
        if self._state is LinkState.CLOSED:
            return
        if self._state is LinkState.AWAITING_HELLO:
            self._outbox.clear()
        self._state = LinkState.CLOSED
        self._in_flight.clear()
        self._events.append(LinkClosed(cause))
