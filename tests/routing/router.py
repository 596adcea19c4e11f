"""One `RoutingMachine` under a hand-turned clock; what it asks for is kept with its time."""

from dataclasses import dataclass, field
from typing import TypeVar

from mepassa.model.ids import AccountId, Address, AttemptId, EnvelopeId
from mepassa.model.route import FoundBy, NatKind, Policy, RouteKind
from mepassa.routing import (
    Action,
    EnvelopeKind,
    EnvelopeQueued,
    Event,
    KnownAddress,
    PathOpened,
    RoutingMachine,
)

PEER = Address(AccountId(bytes(16)), 1)
HOME_ADDRESS = KnownAddress("/ip4/198.51.100.7/tcp/4001/p2p/12D3KooWA", FoundBy.LAST_KNOWN)
SIGNAL_ADDRESS = KnownAddress("/ip4/198.51.100.8/tcp/4001/p2p/12D3KooWB", FoundBy.SIGNAL)
OFFER = AttemptId(b"offer".ljust(16))

A = TypeVar("A")


def envelope(number: int) -> EnvelopeId:
    return EnvelopeId(number.to_bytes(16))


@dataclass
class Router:
    policy: Policy = Policy.AUTO
    own_nat: NatKind = NatKind.UNKNOWN
    dice: float = 0.5
    now: float = 100.0
    log: list[tuple[float, Action]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine = RoutingMachine(PEER, dice=lambda: self.dice, policy=self.policy, own_nat=self.own_nat)

    def tell(self, *events: Event) -> list[Action]:
        """What it asks for at once."""
        new: list[Action] = []
        for event in events:
            self.machine.receive(event, self.now)
            new += self.machine.actions()
        self.log += [(self.now, action) for action in new]
        return new

    def write(self, number: int = 1, kind: EnvelopeKind = EnvelopeKind.PERSON) -> list[Action]:
        return self.tell(EnvelopeQueued(envelope(number), kind))

    def open_path(self, path: int = 1, kind: RouteKind = RouteKind.DIRECT, srtt_s: float | None = 0.05) -> list[Action]:
        return self.tell(PathOpened(path, kind, srtt_s))

    def wait(self, seconds: float) -> list[tuple[float, Action]]:
        """Lets time pass; returns (seconds from the start of the wait, action)."""
        start, end, new = self.now, self.now + seconds, list[tuple[float, Action]]()
        for _ in range(10_000):
            due = self.machine.next_timeout()
            if due is None or due > end:
                break
            assert due > self.now, "a time-out that is not ahead would spin"
            self.now = due
            self.machine.handle_timeout(self.now)
            new += [(round(self.now - start, 6), action) for action in self.machine.actions()]
        else:
            raise AssertionError("ten thousand time-outs in one wait")
        self.now = end
        self.log += [(start + after, action) for after, action in new]
        return new


def only(kind: type[A], actions: list[Action] | list[tuple[float, Action]]) -> list[A]:
    """The actions of one class, without their times."""
    plain = [each[1] if isinstance(each, tuple) else each for each in actions]
    return [action for action in plain if isinstance(action, kind)]


def times_of(kind: type[A], actions: list[tuple[float, Action]]) -> list[float]:
    return [at for at, action in actions if isinstance(action, kind)]
