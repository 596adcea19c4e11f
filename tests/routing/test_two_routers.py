"""Two machines, a network between them that is only numbers: does what each decides alone add up to a conversation?"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import pytest

from mepassa.model.ids import AttemptId, EnvelopeId
from mepassa.model.route import FoundBy, NatKind, Policy, RouteKind
from mepassa.routing import (
    Action,
    AddressesLearnt,
    AnswerReceived,
    AnswerSignal,
    ClosePath,
    Deposit,
    DepositAnswered,
    DepositResult,
    Dial,
    DialFailed,
    EndAttempt,
    EnvelopeKind,
    EnvelopeQueued,
    EnvelopeReceived,
    Event,
    IceFailed,
    KnownAddress,
    LookUpPresence,
    OfferReceived,
    PathClosed,
    PathOpened,
    PathsAllowed,
    PeerSide,
    PolicyChanged,
    PresenceAnswered,
    RoutingMachine,
    Send,
    SendAcknowledged,
    SendSignal,
    SignalAnswered,
    SignalResult,
    StartIce,
)
from tests.routing.router import PEER

HALF_S = 0.04
GATHER_S = 0.1
CONNECT_S = 0.25 + 0.24
ADDRESS = KnownAddress("/ip4/198.51.100.7/tcp/4001/p2p/A", FoundBy.LAST_KNOWN)


@dataclass
class Net:
    """What works. Every number of seconds is virtual."""

    punching: bool = True
    relay: bool = True
    homes: bool = True
    dials: bool = False
    now: float = 0.0
    log: list[tuple[float, str, str, int]] = field(default_factory=list)
    """(when, who received, by which route, number): first copies only."""
    _queue: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        self.ana, self.bruno = Node(self, "ana"), Node(self, "bruno")
        self.ana.other, self.bruno.other = self.bruno, self.ana
        self.paths: dict[int, RouteKind] = {}
        self.silent: set[int] = set()

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + seconds, next(self._order), do))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        for _ in range(100_000):
            ends = [due for node in (self.ana, self.bruno) if (due := node.machine.next_timeout()) is not None]
            due = min([*ends, *([self._queue[0][0]] if self._queue else [])], default=float("inf"))
            if due > end:
                self.now = end
                return
            self.now = max(self.now, due)
            if self._queue and self._queue[0][0] <= self.now:
                heapq.heappop(self._queue)[2]()
            for node in (self.ana, self.bruno):
                node.tick()
        raise AssertionError("the two never come to rest")

    def open(self, kind: RouteKind) -> int:
        path = len(self.paths) + 1
        self.paths[path] = kind
        for node in (self.ana, self.bruno):
            node.feed(PathOpened(path, kind, 2 * HALF_S))
        return path

    def meet(self) -> None:
        """Both run ICE: direct if both want it and it works, else relayed once the longer hold is over."""
        ana, bruno = self.ana.ice, self.bruno.ice
        if ana is None or bruno is None:
            return
        self.ana.ice = self.bruno.ice = None
        if ana.direct and bruno.direct and self.punching:
            self.after(CONNECT_S, lambda: self.opened(ana, bruno, RouteKind.DIRECT))
        elif ana.relay and bruno.relay and self.relay:
            hold_s = max(ana.hold_relay_s, bruno.hold_relay_s)
            self.after(hold_s + CONNECT_S, lambda: self.opened(ana, bruno, RouteKind.RELAYED))
        else:
            self.after(5, lambda: self.ana.feed(IceFailed(ana.attempt)))
            self.after(5, lambda: self.bruno.feed(IceFailed(bruno.attempt)))

    def opened(self, ana: StartIce, bruno: StartIce, kind: RouteKind) -> None:
        if ana.attempt in self.ana.ended and bruno.attempt in self.bruno.ended:
            return
        self.open(kind)

    def signals(self) -> int:
        return self.ana.signals + self.bruno.signals


class Node:
    other: "Node"

    def __init__(self, net: Net, name: str) -> None:
        self.net, self.name = net, name
        self.machine = RoutingMachine(PEER, dice=lambda: 0.5)
        self.online = True
        self.ice: StartIce | None = None
        self.ended: set[int] = set()
        self.offers: dict[AttemptId, int] = {}
        self.seen: set[EnvelopeId] = set()
        self.nat = NatKind.CONE
        self.direct = self.relay = True
        self.signals = self.written = 0
        self.receipts = True

    def write(self, number: int) -> None:
        self.feed(EnvelopeQueued(EnvelopeId(f"{self.name}{number}".encode().ljust(16)), EnvelopeKind.PERSON))

    def feed(self, event: Event) -> None:
        if self.online:
            self.machine.receive(event, self.net.now)
            self.carry_out(self.machine.actions())

    def tick(self) -> None:
        due = self.machine.next_timeout()
        if due is not None and due <= self.net.now:
            self.machine.handle_timeout(self.net.now)
            self.carry_out(self.machine.actions())

    def switch(self, *, direct: bool, relay: bool = True, close: bool = True) -> None:
        self.direct, self.relay = direct, relay
        self.feed(PathsAllowed(direct, relay, close))

    def receive(self, envelope: EnvelopeId, route: str) -> None:
        if envelope in self.seen or not self.online:
            return
        self.seen.add(envelope)
        number = envelope.raw.rstrip(b"\0 ")
        if not number.startswith(b"r"):
            self.net.log.append((round(self.net.now, 3), self.name, route, int(number.lstrip(b"anbruo"))))
            if self.receipts:
                self.feed(EnvelopeQueued(EnvelopeId(b"r" + envelope.raw[:15]), EnvelopeKind.CONTROL))
        self.feed(EnvelopeReceived())

    def side(self, flags: SendSignal | AnswerSignal) -> PeerSide:
        return PeerSide(self.nat, flags.direct, flags.relay, ufrag=self.name)

    def carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send():
                    self.send(action)
                case Deposit():
                    self.net.after(2 * HALF_S, partial(self.deposit, action))
                case SendSignal():
                    self.signals += 1
                    self.net.after(GATHER_S + HALF_S, partial(self.signal, action))
                case AnswerSignal():
                    theirs = self.other.offers[action.offer]
                    answer = AnswerReceived(theirs, self.side(action))
                    if self.net.homes:
                        self.net.after(GATHER_S + 2 * HALF_S, partial(self.other.feed, answer))
                case StartIce():
                    self.ice = action
                    self.net.meet()
                case EndAttempt():
                    self.ended.add(action.attempt)
                    if self.ice is not None and self.ice.attempt == action.attempt:
                        self.ice = None
                case Dial():
                    self.net.after(0.25, partial(self.dial, action))
                case ClosePath():
                    for node in (self, self.other):
                        self.net.after(0, partial(node.feed, PathClosed(action.path)))
                case LookUpPresence():
                    self.net.after(0.3, lambda: self.feed(PresenceAnswered(())))
                case _:
                    pass

    def send(self, action: Send) -> None:
        if action.path in self.net.silent or not self.other.online:
            return
        kind = self.net.paths[action.path].value
        self.net.after(HALF_S, lambda: self.other.receive(action.envelope, kind))
        self.net.after(2 * HALF_S, lambda: self.feed(SendAcknowledged(action.envelope, action.path)))

    def deposit(self, action: Deposit) -> None:
        if not self.net.homes:
            self.feed(DepositAnswered(action.envelope, DepositResult.HOME_UNREACHABLE))
            return
        self.net.after(HALF_S, lambda: self.other.receive(action.envelope, "stored"))
        self.feed(DepositAnswered(action.envelope, DepositResult.STORED))

    def signal(self, action: SendSignal) -> None:
        if not self.net.homes:
            self.feed(SignalAnswered(action.attempt, SignalResult.HOME_UNREACHABLE))
        elif not self.other.online:
            self.feed(SignalAnswered(action.attempt, SignalResult.NO_DEVICE))
        else:
            offer = AttemptId(f"{self.name}{action.attempt}".encode().ljust(16))
            self.offers[offer] = action.attempt
            self.net.after(HALF_S, lambda: self.other.feed(OfferReceived(offer, self.side(action))))
            self.feed(SignalAnswered(action.attempt, SignalResult.FORWARDED))

    def dial(self, action: Dial) -> None:
        if self.net.dials and self.other.online and self.other.direct:
            self.net.open(RouteKind.DIRECT)
        else:
            self.feed(DialFailed(action.attempt))


def arrivals(net: Net, who: str) -> list[tuple[int, str]]:
    return [(number, route) for _at, name, route, number in net.log if name == who]


def test_a_first_message_goes_direct_in_about_a_second() -> None:
    net = Net()
    net.ana.write(1)
    net.run(5)
    ((at, who, route, number),) = net.log
    assert (who, route, number) == ("bruno", "direct", 1)
    assert at < 1.1
    assert net.signals() == 1, "the receipt takes the same path and starts nothing"


def test_both_writing_at_once_meet_once() -> None:
    net = Net()
    net.ana.write(1)
    net.bruno.write(2)
    net.run(5)
    assert {(who, route) for _at, who, route, _n in net.log} == {("ana", "direct"), ("bruno", "direct")}
    assert max(at for at, *_ in net.log) < 1.2
    assert len(net.paths) == 1


@pytest.mark.parametrize("nat", [NatKind.SYMMETRIC, NatKind.CONE])
def test_where_no_hole_can_be_punched_it_goes_relayed_in_two_and_a_half_seconds(nat: NatKind) -> None:
    net = Net(punching=False)
    net.ana.nat = net.bruno.nat = nat
    net.ana.feed(AddressesLearnt((ADDRESS,)))
    net.ana.write(1)
    net.run(10)
    ((at, _who, route, _number),) = net.log
    assert route == "relayed"
    assert at < 2.5


def test_a_known_address_needs_no_home() -> None:
    net = Net(homes=False, dials=True)
    net.ana.feed(AddressesLearnt((ADDRESS,)))
    net.ana.write(1)
    net.run(5)
    assert arrivals(net, "bruno") == [(1, "direct")]
    assert net.log[0][0] < 1.0
    assert net.signals() == 0


def test_a_device_that_is_off_is_known_within_the_time_of_a_signal() -> None:
    net = Net()
    net.bruno.online = False
    net.ana.write(1)
    net.run(1)
    assert net.ana.machine.describe()["waiting"] == 0
    net.ana.write(2)
    net.run(0.081)
    assert net.ana.machine.describe()["waiting"] == 0, "known offline: one round trip, no signal"


def test_nothing_works_then_the_home_does() -> None:
    net = Net(punching=False, relay=False, homes=False)
    net.ana.write(1)
    net.run(60)
    assert net.log == []
    net.homes = True
    net.run(310)
    assert arrivals(net, "bruno") == [(1, "stored")]


def test_a_path_cut_in_silence_is_replaced_by_the_relay_within_five_seconds_and_direct_returns() -> None:
    """The demo's `cut`: Bruno's switch swallows everything on the direct path; nobody is told."""
    net = Net()
    net.ana.write(1)
    net.run(60)
    net.silent.update(net.paths)
    net.bruno.switch(direct=False, close=False)
    start = net.now
    net.ana.write(2)
    net.run(5)
    at, _who, route, _number = net.log[-1]
    assert route == "relayed"
    assert at - start < 5.0
    net.bruno.write(3)
    net.run(1)
    assert arrivals(net, "ana") == [(3, "relayed")]
    net.run(60)
    assert set(net.paths.values()) == {RouteKind.DIRECT, RouteKind.RELAYED}
    net.bruno.switch(direct=True)
    net.run(2)
    net.ana.write(4)
    net.run(1)
    assert arrivals(net, "bruno")[-1] == (4, "direct"), "allowed again: they meet without being asked"


def test_a_relayed_path_becomes_direct_behind_the_conversation() -> None:
    net = Net(punching=False)
    net.ana.write(1)
    net.run(3)
    net.punching = True
    net.run(60)
    net.ana.write(2)
    net.run(1)
    assert arrivals(net, "bruno") == [(1, "relayed"), (2, "direct")]


def test_hidden_on_one_side_is_relayed_for_both() -> None:
    net = Net()
    net.bruno.feed(PolicyChanged(Policy.HIDE_MY_IP))
    net.ana.write(1)
    net.run(30)
    assert arrivals(net, "bruno") == [(1, "relayed")]
    assert RouteKind.DIRECT not in net.paths.values()


def test_a_long_conversation_is_quiet_on_the_signalling_path() -> None:
    net = Net(punching=False)
    for number in range(200):
        (net.ana if number % 2 else net.bruno).write(number)
        net.run(7)
    assert len(net.log) == 200
    assert {route for _at, _who, route, _n in net.log} == {"relayed"}
    assert net.signals() < 20


def test_messages_written_while_paths_come_and_go_all_arrive() -> None:
    net = Net()
    for number in range(60):
        net.punching, net.relay, net.homes = number % 3 != 0, number % 4 != 0, number % 5 != 0
        if number % 7 == 0:
            net.silent.update(net.paths)
        net.ana.write(number)
        net.run(4)
    net.punching = net.relay = net.homes = True
    net.run(400)
    assert sorted(number for number, _route in arrivals(net, "bruno")) == list(range(60))
