"""Laws that hold whatever happens in whatever order."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mepassa.model.ids import AttemptId, EnvelopeId
from mepassa.model.route import FoundBy, NatKind, Policy, RouteKind
from mepassa.routing import (
    Action,
    AddressesLearnt,
    AnswerReceived,
    AnswerSignal,
    ChatClosed,
    ChatOpened,
    Deposit,
    DepositAnswered,
    DepositResult,
    Dial,
    DialFailed,
    EndAttempt,
    EnvelopeDone,
    EnvelopeKind,
    EnvelopeQueued,
    EnvelopeReceived,
    Event,
    HomeReturned,
    IceFailed,
    KnownAddress,
    NetworkChanged,
    OfferReceived,
    OwnNatLearnt,
    PathClosed,
    PathMeasured,
    PathOpened,
    PathsAllowed,
    PeerSide,
    PolicyChanged,
    PresenceAnswered,
    Send,
    SendAcknowledged,
    SendByServer,
    SendFailed,
    SendSignal,
    SignalAnswered,
    SignalResult,
    StartIce,
)
from tests.routing.router import Router

ENVELOPES = st.integers(0, 20).map(lambda number: EnvelopeId(number.to_bytes(16)))
NUMBERS = st.integers(0, 6)
SECONDS = st.floats(0, 20, allow_nan=False)
ADDRESSES = st.lists(
    st.builds(
        KnownAddress,
        st.integers(0, 30).map(lambda n: f"/ip4/198.51.100.{n}/tcp/4001/p2p/A"),
        st.sampled_from(FoundBy),
    ),
    max_size=20,
).map(tuple)
SIDES = st.builds(
    PeerSide, st.sampled_from(NatKind), st.booleans(), st.booleans(), ADDRESSES, st.sampled_from(["", "a", "b"])
)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(EnvelopeQueued, ENVELOPES, st.sampled_from(EnvelopeKind)),
    st.builds(EnvelopeDone, ENVELOPES),
    st.builds(SendByServer, ENVELOPES),
    st.builds(SendAcknowledged, ENVELOPES, NUMBERS),
    st.builds(SendFailed, ENVELOPES, NUMBERS),
    st.builds(DepositAnswered, ENVELOPES, st.sampled_from(DepositResult), st.none() | SECONDS),
    st.just(EnvelopeReceived()),
    st.builds(PathOpened, NUMBERS, st.sampled_from(RouteKind), st.none() | SECONDS),
    st.builds(PathMeasured, NUMBERS, SECONDS),
    st.builds(PathClosed, NUMBERS),
    st.builds(SignalAnswered, NUMBERS, st.sampled_from(SignalResult)),
    st.builds(AnswerReceived, NUMBERS, SIDES),
    st.builds(OfferReceived, st.binary(min_size=16, max_size=16).map(AttemptId), SIDES),
    st.builds(DialFailed, NUMBERS),
    st.builds(IceFailed, NUMBERS),
    st.builds(AddressesLearnt, ADDRESSES),
    st.builds(PresenceAnswered, ADDRESSES),
    st.just(ChatOpened()),
    st.just(ChatClosed()),
    st.builds(PolicyChanged, st.sampled_from(Policy)),
    st.builds(PathsAllowed, st.booleans(), st.booleans(), st.booleans()),
    st.builds(OwnNatLearnt, st.sampled_from(NatKind)),
    st.just(NetworkChanged()),
    st.just(HomeReturned()),
)
STEPS = st.lists(EVENTS | SECONDS, max_size=60)


def play(router: Router, steps: Sequence[Event | float]) -> list[tuple[Event | None, Action]]:
    """Every step, with what was asked for; waits let the time-outs run."""
    said: list[tuple[Event | None, Action]] = []
    for step in steps:
        if isinstance(step, float):
            said += [(None, action) for _at, action in router.wait(step)]
        else:
            said += [(step, action) for action in router.tell(step)]
    return said


@given(st.sampled_from(Policy), STEPS, st.floats(0, 1, exclude_max=True))
def test_any_event_is_legal_in_any_state_and_time_never_stands_still(
    policy: Policy, steps: list[Event | float], dice: float
) -> None:
    """`Router.wait` fails on a time-out that is not ahead, and on ten thousand of them."""
    router = Router(policy, dice=dice)
    play(router, steps)
    router.wait(3600)


@given(STEPS)
def test_what_waits_always_has_a_next_time_out(steps: list[Event | float]) -> None:
    router = Router()
    for step in steps:
        play(router, [step])
        if router.machine.describe()["waiting"]:
            due = router.machine.next_timeout()
            assert due is not None
            assert due - router.now <= 60.001  # a rounding, not a minute more


@given(STEPS)
def test_direct_only_never_deposits_unless_asked(steps: list[Event | float]) -> None:
    router = Router(Policy.DIRECT_ONLY)
    steps = [step for step in steps if not isinstance(step, PolicyChanged)]
    asked: set[EnvelopeId] = set()
    for step in steps:
        if isinstance(step, SendByServer):
            asked.add(step.envelope)
        if isinstance(step, EnvelopeQueued) and step.kind is EnvelopeKind.REQUEST:
            asked.add(step.envelope)  # the stored route is the only one that it has
        for _, action in play(router, [step]):
            assert not isinstance(action, Deposit) or action.envelope in asked


@given(STEPS)
def test_hide_my_ip_never_dials_and_never_shows_or_uses_a_direct_path(steps: list[Event | float]) -> None:
    router = Router(Policy.HIDE_MY_IP)
    direct: set[int] = set()
    known: set[int] = set()
    for step in steps:
        if isinstance(step, PolicyChanged):
            continue
        if isinstance(step, PathOpened) and step.path not in known:
            known.add(step.path)
            (direct.add if step.kind is RouteKind.DIRECT else direct.discard)(step.path)
        if isinstance(step, PathClosed):
            known.discard(step.path)
        for _, action in play(router, [step]):
            assert not isinstance(action, Dial)
            assert not (isinstance(action, StartIce) and action.direct)
            assert not (isinstance(action, SendSignal | AnswerSignal) and (action.direct or not action.hidden))
            assert not (isinstance(action, Send) and action.path in direct)


@given(st.sampled_from(Policy), STEPS)
def test_first_requests_travel_by_the_stored_route_alone(policy: Policy, steps: list[Event | float]) -> None:
    router = Router(policy)
    requests = [
        EnvelopeQueued(step.envelope, EnvelopeKind.REQUEST) if isinstance(step, EnvelopeQueued) else step
        for step in steps
    ]
    for _, action in play(router, requests):
        assert not isinstance(action, Send)


@given(st.sampled_from(Policy), STEPS)
def test_receipts_alone_never_start_an_attempt(policy: Policy, steps: list[Event | float]) -> None:
    router = Router(policy)
    receipts = [
        EnvelopeQueued(step.envelope, EnvelopeKind.CONTROL) if isinstance(step, EnvelopeQueued) else step
        for step in steps
        # A person's switch, and a path to better, may start one; that is not what is asked here.
        if not isinstance(step, PathsAllowed | PolicyChanged | PathOpened | ChatOpened)
    ]
    for _, action in play(router, receipts):
        assert not isinstance(action, SendSignal)


@given(STEPS)
def test_dials_stay_within_three_failures_a_minute(steps: list[Event | float]) -> None:
    router = Router()
    failures: list[float] = []
    for step in steps:
        if isinstance(step, NetworkChanged):
            continue
        if isinstance(step, DialFailed):
            failures.append(router.now)
        recent = [at for at in failures if router.now - at < 60]
        if not isinstance(step, float):
            dialled = any(isinstance(action, Dial) for _, action in play(router, [step]))
            assert not dialled or len(recent) < 3
        else:
            router.wait(step)


class World(RuleBasedStateMachine):
    """A network that answers as it likes: every message must end as sent or stored once anything at all works."""

    def __init__(self) -> None:
        super().__init__()
        self.router = Router()
        self.open: dict[int, RouteKind] = {}
        self.paths = self.count = 0
        self.waiting: set[EnvelopeId] = set()
        self.pending: list[Action] = []

    def take(self, actions: list[Action]) -> None:
        self.pending += [action for action in actions if isinstance(action, Send | Deposit | SendSignal | Dial)]

    @rule()
    def write(self) -> None:
        self.count += 1
        envelope = EnvelopeId(self.count.to_bytes(16))
        self.waiting.add(envelope)
        self.take(self.router.tell(EnvelopeQueued(envelope, EnvelopeKind.PERSON)))

    @rule(seconds=st.floats(0.01, 15))
    def wait(self, seconds: float) -> None:
        self.take([action for _, action in self.router.wait(seconds)])

    @rule(kind=st.sampled_from([RouteKind.DIRECT, RouteKind.RELAYED]))
    def open_path(self, kind: RouteKind) -> None:
        self.paths += 1
        self.open[self.paths] = kind
        self.take(self.router.tell(PathOpened(self.paths, kind, 0.05)))

    @rule(data=st.data())
    def close_path(self, data: st.DataObject) -> None:
        if self.open:
            path = data.draw(st.sampled_from(sorted(self.open)))
            del self.open[path]
            self.take(self.router.tell(PathClosed(path)))

    @rule(data=st.data(), works=st.booleans())
    def answer_something(self, data: st.DataObject, works: bool) -> None:
        if self.pending:
            index = data.draw(st.integers(0, len(self.pending) - 1))
            self.take(self.router.tell(self.outcome(self.pending.pop(index), works)))

    def outcome(self, action: Action, works: bool) -> Event:
        match action:
            case Send():
                if works and action.path in self.open:
                    self.waiting.discard(action.envelope)
                    return SendAcknowledged(action.envelope, action.path)
                return SendFailed(action.envelope, action.path)
            case Deposit():
                if works:
                    self.waiting.discard(action.envelope)
                return DepositAnswered(
                    action.envelope, DepositResult.STORED if works else DepositResult.HOME_UNREACHABLE
                )
            case SendSignal():
                return SignalAnswered(action.attempt, SignalResult.FORWARDED if works else SignalResult.NO_DEVICE)
            case _:
                assert isinstance(action, Dial)
                return DialFailed(action.attempt)

    @invariant()
    def what_waits_is_what_the_machine_still_holds(self) -> None:
        assert self.router.machine.describe()["waiting"] == len(self.waiting)

    def teardown(self) -> None:
        """From here on the home works: everything is stored within ten minutes."""
        for _ in range(200):
            while self.pending:
                self.take(self.router.tell(self.outcome(self.pending.pop(), works=True)))
            if not self.waiting:
                return
            self.take([action for _, action in self.router.wait(10)])
        raise AssertionError("messages were left behind")


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_attempts_that_begin_also_end() -> None:
    router = Router(dice=0.3)
    router.tell(PolicyChanged(Policy.DIRECT_ONLY))
    router.write()
    router.wait(7200)
    actions: list[Any] = [action for _, action in router.log]
    begun = [action.attempt for action in actions if isinstance(action, SendSignal)]
    ended = [action.attempt for action in actions if isinstance(action, EndAttempt)]
    assert begun[: len(ended)] == ended
    assert 24 <= len(begun) <= 120, "a back-off that grows to five minutes, and does not stop"


@pytest.mark.parametrize("count", [1_000])
def test_a_long_outbox_costs_no_more_per_message_than_a_short_one(count: int) -> None:
    """Not timed: the work of one event is bounded by the active window."""
    router = Router(Policy.DIRECT_ONLY)
    for number in range(count):
        router.write(number)
    assert len(list(router.machine._outbox)) == 64
    assert len([action for _, action in router.log if isinstance(action, SendSignal)]) == 1
