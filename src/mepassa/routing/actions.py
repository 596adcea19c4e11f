"""What a `RoutingMachine` asks its driver to do. Each may be carried out as a task; how it ended comes back as an event."""

from dataclasses import dataclass
from enum import StrEnum

from mepassa.model.ids import AttemptId, EnvelopeId
from mepassa.routing.events import KnownAddress


class Waiting(StrEnum):
    """Why a message is still here, for the page."""

    CONNECTING = "connecting"
    NEEDS_DIRECT_PATH = "needs_direct_path"
    """`direct_only` and no path: "send by server" is offered."""
    HOME_AWAY = "home_away"
    MAILBOX_FULL = "mailbox_full"
    REFUSED = "refused"
    """The token was not accepted: the account's device list is to be fetched again."""


@dataclass(frozen=True, slots=True)
class Send:
    envelope: EnvelopeId
    path: int


@dataclass(frozen=True, slots=True)
class Deposit:
    """At the recipient's home."""

    envelope: EnvelopeId


@dataclass(frozen=True, slots=True)
class Gather:
    """Have candidates ready: at most one warm allocation. Asked for again it changes nothing."""

    direct: bool
    relay: bool


@dataclass(frozen=True, slots=True)
class Cool:
    """Nothing needs the warm allocation any more."""


@dataclass(frozen=True, slots=True)
class Dial:
    """All at once. A second one of the same attempt adds addresses."""

    attempt: int
    addresses: tuple[KnownAddress, ...]


@dataclass(frozen=True, slots=True)
class SendSignal:
    """An offer. `hidden`: relay candidates only, nothing that tells our address."""

    attempt: int
    direct: bool
    relay: bool
    hidden: bool


@dataclass(frozen=True, slots=True)
class AnswerSignal:
    attempt: int
    offer: AttemptId
    direct: bool
    relay: bool
    hidden: bool


@dataclass(frozen=True, slots=True)
class StartIce:
    """With the newest signal of theirs for that attempt."""

    attempt: int
    direct: bool
    relay: bool
    hold_relay_s: float


@dataclass(frozen=True, slots=True)
class EndAttempt:
    """Stop what of it is still under way. Paths that it opened stay."""

    attempt: int


@dataclass(frozen=True, slots=True)
class LookUpPresence:
    pass


@dataclass(frozen=True, slots=True)
class ClosePath:
    path: int


@dataclass(frozen=True, slots=True)
class Report:
    envelope: EnvelopeId
    waiting: Waiting


Action = (
    Send
    | Deposit
    | Gather
    | Cool
    | Dial
    | SendSignal
    | AnswerSignal
    | StartIce
    | EndAttempt
    | LookUpPresence
    | ClosePath
    | Report
)
