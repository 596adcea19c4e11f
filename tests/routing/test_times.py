"""The times of `routing.times` against the goals: direct < 1 s, relayed < 2.5 s, known offline < 400 ms, next route < 5 s."""

from pathlib import Path

import pytest

from mepassa.model.route import NatKind, Policy, RouteKind
from mepassa.routing import (
    AddressesLearnt,
    AnswerReceived,
    Deposit,
    Dial,
    DialFailed,
    PeerSide,
    SendSignal,
    SignalAnswered,
    SignalResult,
    StartIce,
    times,
)
from mepassa.routing.policy import RULES, format_rules
from mepassa.transports.ice.gathering import GATHER_CAP_S, RESOLVE_CAP_S, STRAGGLERS_S, TCP_CAP_S, TURN_TCP_AFTER_S
from tests.routing.router import HOME_ADDRESS, Router, envelope, only, times_of

RTT_S = 0.08
"""Two mobile users and their home, as the NAT lab delays them."""
CONNECT_S = 0.25
"""Handshake of a dial, or hole punching, at that round trip (docs/protocol/routing.md)."""
QUIC_S = 0.24
DEPOSIT_S = 0.1
"""A round trip, a commit to disk."""


def signalling_s() -> float:
    """From `SendSignal` to the answer: gather, up, down, gather, up, down."""
    return 2 * times.GATHER_BUDGET_S + 2 * RTT_S


class TestGoals:
    def test_a_first_message_by_a_known_address_takes_less_than_a_second(self) -> None:
        router = Router()
        router.tell(AddressesLearnt((HOME_ADDRESS,)))
        assert only(Dial, router.write()) != []
        assert CONNECT_S + RTT_S < 1.0

    def test_a_first_direct_message_by_signal_alone_takes_little_more(self) -> None:
        router = Router()
        assert only(SendSignal, router.write()) != []
        assert signalling_s() + CONNECT_S + QUIC_S <= 1.1

    @pytest.mark.parametrize("own", [NatKind.SYMMETRIC, NatKind.CONE])
    def test_a_first_relayed_message_takes_less_than_two_and_a_half_seconds(self, own: NatKind) -> None:
        router = Router(own_nat=own)
        router.tell(AddressesLearnt((HOME_ADDRESS,)))
        router.write()
        (asked,) = times_of(SendSignal, router.wait(1))
        (ice,) = only(StartIce, router.tell(AnswerReceived(1, PeerSide(NatKind.SYMMETRIC))))
        assert asked + signalling_s() + ice.hold_relay_s + CONNECT_S + QUIC_S + RTT_S < 2.5

    def test_where_udp_is_blocked_at_both_a_first_relayed_message_takes_no_longer(self) -> None:
        """The offer leaves after the gathering: TURN over TCP, three round trips once UDP has had its chance."""
        gather_s = TURN_TCP_AFTER_S + 3 * RTT_S + STRAGGLERS_S
        router = Router(own_nat=NatKind.UDP_BLOCKED)
        router.write()
        (ice,) = only(StartIce, router.tell(AnswerReceived(1, PeerSide(NatKind.UDP_BLOCKED))))
        assert 2 * gather_s + 2 * RTT_S + ice.hold_relay_s + CONNECT_S + QUIC_S + RTT_S < 2.5

    def test_a_gathering_that_brings_nothing_ends_before_the_message_is_stored_anyway(self) -> None:
        assert RESOLVE_CAP_S + max(GATHER_CAP_S, TCP_CAP_S) < times.INSURANCE_S

    def test_known_offline_is_stored_within_400_ms(self) -> None:
        for addresses, refused in (((), False), ((HOME_ADDRESS,), False), ((HOME_ADDRESS,), True)):
            router = Router()
            router.tell(AddressesLearnt(addresses))
            start = router.now
            actions = router.write()
            if refused:
                actions += router.tell(DialFailed(1))
            asked = 0.0 if only(SendSignal, actions) else times_of(SendSignal, router.wait(0.31))[0]
            assert Deposit(envelope(1)) in router.tell(SignalAnswered(1, SignalResult.NO_DEVICE))
            home_near_s = 0.02
            assert asked + home_near_s + home_near_s < 0.4
            assert router.now - start < 0.4

    @pytest.mark.parametrize("srtt_s", [None, 0.001, 0.08, 0.3, 1.0, 30.0])
    def test_after_silence_the_next_route_comes_in_less_than_five_seconds(self, srtt_s: float | None) -> None:
        router = Router()
        router.open_path(srtt_s=srtt_s)
        router.write()
        (stored,) = times_of(Deposit, router.wait(10))
        assert stored + DEPOSIT_S < 5.0
        lapse = times.acknowledge_within_s(srtt_s)
        if lapse <= 1.0:
            assert lapse + signalling_s() + times.HOLD_RELAY_S + CONNECT_S + QUIC_S < 5.0


def test_the_order_of_the_times_is_what_the_table_needs() -> None:
    assert times.SIGNAL_AFTER_S < times.HOLD_RELAY_S < times.ACK_MAX_S < times.INSURANCE_S < times.ATTEMPT_S
    assert times.ACK_MIN_S <= times.acknowledge_within_s(None) <= times.ACK_MAX_S
    assert times.INSURANCE_S + DEPOSIT_S < 5.0


@pytest.mark.parametrize("srtt_s, expected", [(0.0, 0.5), (0.125, 0.5), (0.2, 0.8), (0.75, 3.0), (9.0, 3.0)])
def test_acknowledgements_are_awaited_for_four_round_trips_within_bounds(srtt_s: float, expected: float) -> None:
    assert times.acknowledge_within_s(srtt_s) == pytest.approx(expected)


def test_back_off_is_full_jitter_that_grows_to_a_cap() -> None:
    assert [times.backoff_s(n, 0.5) for n in (0, 1, 2, 7, 8, 1000)] == [1.0, 2.0, 4.0, 128.0, 150.0, 150.0]
    assert times.backoff_s(5, 0.0) == times.BACKOFF_MIN_S


def test_every_policy_has_its_row_and_every_row_can_be_printed() -> None:
    assert set(RULES) == set(Policy)
    printed = format_rules()
    assert all(f"`{policy.value}`" in printed for policy in Policy)
    for policy in Policy:
        machine = Router(policy).machine
        assert machine.accepts(RouteKind.DIRECT) == RULES[policy].direct
        assert machine.accepts(RouteKind.RELAYED) == RULES[policy].relay


def test_the_document_shows_the_table_that_is_used() -> None:
    document = Path(__file__).parents[2] / "docs/protocol/routing.md"
    assert format_rules() in document.read_text()
