"""The evidence: what the driver tells a `RoutingMachine`. Facts only; nothing here asks for anything."""

from dataclasses import dataclass
from enum import StrEnum

from mepassa.model.ids import AttemptId, EnvelopeId
from mepassa.model.route import FoundBy, NatKind, Policy, RouteKind


class EnvelopeKind(StrEnum):
    PERSON = "person"
    """Somebody wrote it: it may start an attempt."""
    CONTROL = "control"
    """Receipts and the like: a live path or the recipient's home, never an attempt."""
    REQUEST = "request"
    """A first message to a stranger: stored route only."""


class DepositResult(StrEnum):
    STORED = "stored"
    DELIVERED = "delivered"
    HOME_UNREACHABLE = "home_unreachable"
    BUSY = "busy"
    MAILBOX_FULL = "mailbox_full"
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - an outcome, not a secret


class SignalResult(StrEnum):
    FORWARDED = "forwarded"
    NO_DEVICE = "no_device"
    UNKNOWN = "unknown"
    HOME_UNREACHABLE = "home_unreachable"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class KnownAddress:
    """A libp2p multiaddr that ends in /p2p/PEERID and has passed `addresses.admit_multiaddrs`."""

    multiaddr: str
    found_by: FoundBy


@dataclass(frozen=True, slots=True)
class PeerSide:
    """What the other side's signal says of it. `direct` is False too when it sent relay candidates only.

    `ufrag` tells its ICE agents apart: an offer with another one than before is a new try of theirs.
    """

    nat_kind: NatKind = NatKind.UNKNOWN
    direct: bool = True
    relay: bool = True
    addresses: tuple[KnownAddress, ...] = ()
    ufrag: str = ""


# --- envelopes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnvelopeQueued:
    """Committed in the outbox."""

    envelope: EnvelopeId
    kind: EnvelopeKind


@dataclass(frozen=True, slots=True)
class EnvelopeDone:
    """Its receipt came, it expired or was deleted."""

    envelope: EnvelopeId


@dataclass(frozen=True, slots=True)
class SendByServer:
    """The person asked for the stored route."""

    envelope: EnvelopeId


@dataclass(frozen=True, slots=True)
class SendAcknowledged:
    envelope: EnvelopeId
    path: int


@dataclass(frozen=True, slots=True)
class SendFailed:
    envelope: EnvelopeId
    path: int


@dataclass(frozen=True, slots=True)
class DepositAnswered:
    envelope: EnvelopeId
    result: DepositResult
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class EnvelopeReceived:
    """One of theirs was committed, by whatever route: they are alive."""


# --- paths -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PathOpened:
    path: int
    kind: RouteKind
    srtt_s: float | None = None


@dataclass(frozen=True, slots=True)
class PathMeasured:
    """A ping came back."""

    path: int
    srtt_s: float


@dataclass(frozen=True, slots=True)
class PathClosed:
    path: int


# --- attempts ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignalAnswered:
    attempt: int
    result: SignalResult


@dataclass(frozen=True, slots=True)
class AnswerReceived:
    attempt: int
    peer: PeerSide


@dataclass(frozen=True, slots=True)
class OfferReceived:
    offer: AttemptId
    peer: PeerSide


@dataclass(frozen=True, slots=True)
class DialFailed:
    """Every address that was dialled for that attempt has failed."""

    attempt: int


@dataclass(frozen=True, slots=True)
class IceFailed:
    attempt: int


@dataclass(frozen=True, slots=True)
class AddressesLearnt:
    addresses: tuple[KnownAddress, ...]


@dataclass(frozen=True, slots=True)
class PresenceAnswered:
    addresses: tuple[KnownAddress, ...]


# --- the person and the network ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChatOpened:
    pass


@dataclass(frozen=True, slots=True)
class ChatClosed:
    pass


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    policy: Policy


@dataclass(frozen=True, slots=True)
class PathsAllowed:
    """The switches of this device. `close`: live paths of a forbidden kind are closed; else they are left to die."""

    direct: bool
    relay: bool
    close: bool = True


@dataclass(frozen=True, slots=True)
class OwnNatLearnt:
    nat_kind: NatKind


@dataclass(frozen=True, slots=True)
class NetworkChanged:
    pass


@dataclass(frozen=True, slots=True)
class HomeReturned:
    """The recipient's home can be reached again, as far as is known."""


EnvelopeEvent = (
    EnvelopeQueued | EnvelopeDone | SendByServer | SendAcknowledged | SendFailed | DepositAnswered | EnvelopeReceived
)
PathEvent = PathOpened | PathMeasured | PathClosed
MeetingEvent = (
    SignalAnswered | AnswerReceived | OfferReceived | DialFailed | IceFailed | AddressesLearnt | PresenceAnswered
)
Circumstance = ChatOpened | ChatClosed | PolicyChanged | PathsAllowed | OwnNatLearnt | NetworkChanged | HomeReturned
"""What the person or the network changed."""

Event = EnvelopeEvent | PathEvent | MeetingEvent | Circumstance
