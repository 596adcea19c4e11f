"""One attempt to meet: dials, a signal, ICE. Ten seconds at most; at most one a peer device at a time."""

from dataclasses import dataclass, field
from enum import StrEnum

from mepassa.routing.times import ATTEMPT_S


class Purpose(StrEnum):
    MESSAGE = "message"
    """Something that a person wrote has no path."""
    ANSWER = "answer"
    """The other side offered."""
    UPGRADE = "upgrade"
    """A direct path in the background, while messages go by relay."""


class SignalState(StrEnum):
    PLANNED = "planned"
    ASKED = "asked"
    FORWARDED = "forwarded"
    """The recipient's home has handed it on: an answer may come until the attempt ends."""
    MET = "met"
    """Their signal is here."""
    DEAD = "dead"
    """No signal of ours will be answered."""


class IceState(StrEnum):
    IDLE = "idle"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(slots=True)
class Attempt:
    number: int
    purpose: Purpose
    started: float
    direct: bool
    relay: bool
    signal: SignalState = SignalState.PLANNED
    signal_at: float = 0.0
    """When a planned signal leaves."""
    ice: IceState = IceState.IDLE
    ufrag: str = ""
    """Of the side that ICE runs with."""
    dialling: bool = False
    dialled: set[str] = field(default_factory=set)
    found: bool = False
    """It has opened a path; what still runs may open a better one."""

    @property
    def ends_at(self) -> float:
        return self.started + ATTEMPT_S

    @property
    def has_nothing_left(self) -> bool:
        """Every branch has come to its end, whatever that was."""
        if self.dialling or self.ice is IceState.RUNNING:
            return False
        return self.ice is IceState.ENDED or self.signal is SignalState.DEAD
