"""docs/protocol/routing.md, line by line."""

from itertools import pairwise

import pytest

from mepassa.model.ids import AccountId, Address, AttemptId, EnvelopeId
from mepassa.model.route import NatKind, Policy, RouteKind
from mepassa.routing import (
    AddressesLearnt,
    AnswerReceived,
    AnswerSignal,
    ChatClosed,
    ChatOpened,
    ClosePath,
    Cool,
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
    Gather,
    HomeReturned,
    IceFailed,
    KnownAddress,
    LookUpPresence,
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
    Report,
    RoutingMachine,
    Send,
    SendAcknowledged,
    SendByServer,
    SendFailed,
    SendSignal,
    SignalAnswered,
    SignalResult,
    StartIce,
    Waiting,
)
from mepassa.routing.times import ACK_MIN_S
from tests.routing.router import HOME_ADDRESS, OFFER, SIGNAL_ADDRESS, Router, envelope, only, times_of

STORED, AWAY = DepositResult.STORED, DepositResult.HOME_UNREACHABLE
FORWARDED, NO_DEVICE = SignalResult.FORWARDED, SignalResult.NO_DEVICE


class TestTheTableUnderAuto:
    def test_a_live_path_is_used_at_once_and_alone(self) -> None:
        router = Router()
        router.open_path()
        assert router.write() == [Send(envelope(1), 1)]
        assert router.tell(SendAcknowledged(envelope(1), 1)) == []
        assert router.wait(3600) == []

    def test_without_known_addresses_it_gathers_and_signals_at_once(self) -> None:
        assert Router().write() == [
            Gather(True, True),
            SendSignal(1, True, True, hidden=False),
            Report(envelope(1), Waiting.CONNECTING),
        ]

    def test_known_addresses_are_dialled_at_once_and_the_signal_waits_0_3_s(self) -> None:
        router = Router()
        router.tell(AddressesLearnt((HOME_ADDRESS,)))
        assert only(Dial, router.write()) == [Dial(1, (HOME_ADDRESS,))]
        assert times_of(SendSignal, router.wait(1)) == [0.3]

    def test_when_all_dials_are_refused_the_signal_waits_no_longer(self) -> None:
        router = Router()
        router.tell(AddressesLearnt((HOME_ADDRESS,)))
        router.write()
        assert only(SendSignal, router.tell(DialFailed(1))) != []

    def test_no_device_connected_means_deposit_now(self) -> None:
        router = Router()
        router.write()
        actions = router.tell(SignalAnswered(1, NO_DEVICE))
        assert Deposit(envelope(1)) in actions
        assert router.tell(DepositAnswered(envelope(1), STORED)) == []

    def test_no_device_heard_within_thirty_seconds_means_deposit_at_zero_and_no_signal(self) -> None:
        router = Router()
        router.write(1)
        router.tell(SignalAnswered(1, NO_DEVICE), DepositAnswered(envelope(1), STORED))
        router.wait(29)
        assert router.write(2) == [Deposit(envelope(2))]
        router.tell(DepositAnswered(envelope(2), STORED))
        router.wait(2)
        assert only(SendSignal, router.write(3)) != []

    def test_known_offline_still_dials_what_is_known(self) -> None:
        """The device may have lost its home and still be next door."""
        router = Router()
        router.write(1)
        router.tell(SignalAnswered(1, NO_DEVICE), DepositAnswered(envelope(1), AWAY))
        actions = router.tell(AddressesLearnt((HOME_ADDRESS,)))
        assert only(Dial, actions) == [Dial(2, (HOME_ADDRESS,))]
        assert only(Send, router.open_path()) == [Send(envelope(1), 1)]

    def test_an_answer_starts_ice_and_dials_what_it_names(self) -> None:
        router = Router()
        router.write()
        router.tell(SignalAnswered(1, FORWARDED))
        actions = router.tell(AnswerReceived(1, PeerSide(NatKind.CONE, addresses=(SIGNAL_ADDRESS,))))
        assert actions == [StartIce(1, True, True, 0.7), Dial(1, (SIGNAL_ADDRESS,))]

    @pytest.mark.parametrize("kind", [RouteKind.DIRECT, RouteKind.RELAYED])
    def test_the_first_path_that_works_carries_the_message(self, kind: RouteKind) -> None:
        router = Router()
        router.write()
        router.tell(AnswerReceived(1, PeerSide()))
        actions = router.open_path(7, kind)
        assert only(Send, actions) == [Send(envelope(1), 7)]
        assert only(EndAttempt, actions) == [EndAttempt(1)] or kind is RouteKind.RELAYED
        router.tell(SendAcknowledged(envelope(1), 7))
        assert only(Deposit, router.wait(60)) == []

    def test_four_seconds_without_a_path_deposit_as_insurance_and_ten_end_the_attempt(self) -> None:
        router = Router()
        router.write()
        router.tell(SignalAnswered(1, FORWARDED), AnswerReceived(1, PeerSide()))
        waited = router.wait(3.9)
        assert only(Deposit, waited) == []
        assert times_of(Deposit, router.wait(1)) == [0.1]
        router.tell(DepositAnswered(envelope(1), STORED))
        assert times_of(EndAttempt, router.wait(60)) == [5.1]

    def test_each_message_has_its_own_four_seconds(self) -> None:
        router = Router()
        router.write(1)
        router.tell(SignalAnswered(1, FORWARDED))
        router.wait(3)
        assert only(Gather, router.write(2)) == []
        assert [(at, action) for at, action in router.wait(5) if isinstance(action, Deposit)] == [
            (1.0, Deposit(envelope(1))),
            (4.0, Deposit(envelope(2))),
        ]

    def test_when_every_branch_has_failed_nobody_waits_for_the_clock(self) -> None:
        router = Router()
        router.tell(AddressesLearnt((HOME_ADDRESS,)))
        router.write()
        router.tell(DialFailed(1), AnswerReceived(1, PeerSide()))
        actions = router.tell(IceFailed(1))
        assert actions == [EndAttempt(1), Deposit(envelope(1)), Cool()]

    def test_a_path_that_opens_while_the_deposit_is_under_way_is_used_too(self) -> None:
        router = Router()
        router.write()
        router.tell(AnswerReceived(1, PeerSide()))
        router.wait(4)
        assert only(Send, router.open_path()) == [Send(envelope(1), 1)]
        assert router.tell(SendAcknowledged(envelope(1), 1), DepositAnswered(envelope(1), AWAY)) == []

    def test_many_messages_make_one_attempt(self) -> None:
        router = Router()
        for number in range(200):
            router.write(number)
        assert len(only(Gather, [action for _, action in router.log])) == 1
        sent = only(Send, router.open_path())
        assert [action.envelope for action in sent] == [envelope(number) for number in range(16)]
        delivered: list[int] = []
        while sent:
            delivered += [int.from_bytes(action.envelope.raw) for action in sent]
            sent = only(Send, router.tell(*(SendAcknowledged(action.envelope, 1) for action in sent)))
        assert delivered == list(range(200))

    def test_a_failed_attempt_is_followed_by_deposits_at_once_until_the_back_off_is_over(self) -> None:
        router = Router(dice=0.9)
        router.write(1)
        router.tell(SignalAnswered(1, SignalResult.UNKNOWN), DepositAnswered(envelope(1), STORED))
        assert router.write(2) == [Deposit(envelope(2))]
        router.tell(DepositAnswered(envelope(2), STORED))
        router.wait(2)
        assert only(SendSignal, router.write(3)) != []


class TestSilence:
    @pytest.mark.parametrize("srtt_s, until", [(0.05, 0.5), (0.2, 0.8), (5.0, 3.0), (None, 1.0)])
    def test_a_path_that_does_not_acknowledge_in_time_is_left_with_the_same_envelope(
        self, srtt_s: float | None, until: float
    ) -> None:
        router = Router()
        router.open_path(srtt_s=srtt_s)
        router.write()
        actions = router.wait(until)
        assert times_of(Gather, actions) == [until]
        assert times_of(SendSignal, actions) == [until], "known addresses are those that went silent"
        router.tell(AnswerReceived(1, PeerSide(direct=False)))
        assert only(Send, router.open_path(2, RouteKind.RELAYED)) == [Send(envelope(1), 2)]

    def test_a_late_acknowledgement_is_welcome(self) -> None:
        router = Router()
        router.open_path()
        router.write(1)
        router.wait(1)
        router.tell(SendAcknowledged(envelope(1), 1))
        assert only(Send, router.write(2)) == [Send(envelope(2), 1)], "trusted again"

    def test_a_suspect_path_is_not_used_until_it_gives_a_sign_of_life(self) -> None:
        router = Router()
        router.open_path()
        router.write(1)
        router.wait(1)
        assert only(Send, router.write(2)) == []
        assert Send(envelope(2), 1) in router.tell(PathMeasured(1, 0.05))

    def test_a_path_that_answers_pings_but_acknowledges_nothing_is_not_flooded(self) -> None:
        router = Router(Policy.DIRECT_ONLY, dice=0.5)
        router.open_path()
        router.write()
        for _ in range(600):
            router.wait(0.5)
            router.tell(PathMeasured(1, 0.05))
        assert 5 < len(only(Send, [action for _, action in router.log])) < 60

    def test_what_has_lapsed_no_longer_fills_the_window_of_its_path(self) -> None:
        router = Router()
        router.open_path()
        for number in range(16):
            router.write(number)
        router.wait(1)
        router.tell(*(EnvelopeDone(envelope(number)) for number in range(1, 16)), PathMeasured(1, 0.05))
        assert only(Send, router.write(99)) == [Send(envelope(99), 1)]
        router.tell(SendByServer(envelope(0)))
        assert router.machine._paths.get(1) is not None
        (path,) = router.machine._paths
        assert path.in_flight == {envelope(99)}

    def test_a_path_that_stays_silent_is_closed_after_ten_seconds(self) -> None:
        router = Router()
        router.open_path()
        router.write()
        assert times_of(ClosePath, router.wait(30)) == [10.5]

    def test_a_failed_send_looks_for_another_way_at_once(self) -> None:
        router = Router()
        router.open_path(1)
        router.open_path(2, RouteKind.RELAYED)
        assert only(Send, router.write()) == [Send(envelope(1), 1)]
        assert only(Send, router.tell(SendFailed(envelope(1), 1))) == [Send(envelope(1), 2)]

    def test_a_lost_path_starts_a_new_attempt_with_what_was_under_way(self) -> None:
        router = Router()
        router.open_path()
        router.tell(PathMeasured(1, 0.05))
        router.write()
        assert only(SendSignal, router.tell(PathClosed(1))) != []

    def test_a_path_that_opens_and_falls_at_once_again_and_again_is_met_with_patience(self) -> None:
        router = Router(dice=0.999)
        router.write()
        for path in range(30):
            router.open_path(path)
            router.tell(PathClosed(path), DepositAnswered(envelope(1), AWAY))
            router.wait(1)
        assert len(only(SendSignal, [action for _, action in router.log])) < 12

    def test_next_route_after_silence_comes_within_five_seconds_at_the_slowest_path(self) -> None:
        router = Router()
        router.open_path(srtt_s=10)
        router.write()
        actions = router.wait(5)
        assert times_of(Deposit, actions) == [4.0]


class TestKindsOfEnvelopes:
    def test_receipts_take_a_live_path(self) -> None:
        router = Router()
        router.open_path()
        assert router.write(1, EnvelopeKind.CONTROL) == [Send(envelope(1), 1)]

    def test_receipts_without_a_path_are_deposited_and_start_nothing(self) -> None:
        router = Router()
        router.tell(AddressesLearnt((HOME_ADDRESS,)))
        assert router.write(1, EnvelopeKind.CONTROL) == [Deposit(envelope(1))]

    def test_receipts_on_a_silent_path_are_deposited(self) -> None:
        router = Router()
        router.open_path()
        router.write(1, EnvelopeKind.CONTROL)
        actions = router.wait(2)
        assert times_of(Deposit, actions) == [0.5]
        assert only(SendSignal, actions) == []

    @pytest.mark.parametrize("policy", list(Policy))
    def test_first_requests_are_stored_even_where_a_path_is_live(self, policy: Policy) -> None:
        router = Router(policy)
        router.open_path()
        assert router.write(1, EnvelopeKind.REQUEST)[-1] == Deposit(envelope(1))
        assert only(Send, [action for _, action in router.log]) == []

    def test_what_is_done_is_forgotten(self) -> None:
        router = Router()
        router.write()
        router.tell(EnvelopeDone(envelope(1)))
        assert only(Deposit, router.wait(60)) == []
        assert router.machine.next_timeout() is None


class TestDeposits:
    def test_an_absent_home_is_asked_again_with_full_jitter_and_the_dht_is_asked_for_addresses(self) -> None:
        router = Router(dice=0.5)
        router.write()
        actions = router.tell(SignalAnswered(1, SignalResult.HOME_UNREACHABLE))
        assert only(LookUpPresence, actions) == [LookUpPresence()]
        actions = router.tell(PresenceAnswered(()))
        assert only(Deposit, actions) == [Deposit(envelope(1))], "no branch is left"
        actions = router.tell(DepositAnswered(envelope(1), AWAY))
        assert Report(envelope(1), Waiting.HOME_AWAY) in actions
        assert times_of(Deposit, router.wait(1.5)) == [1.0]

    def test_addresses_from_the_dht_are_dialled_while_the_home_is_away(self) -> None:
        router = Router()
        router.write()
        router.tell(SignalAnswered(1, SignalResult.HOME_UNREACHABLE))
        assert only(Dial, router.tell(PresenceAnswered((HOME_ADDRESS,)))) == [Dial(1, (HOME_ADDRESS,))]

    def test_the_dht_is_asked_every_twenty_seconds_at_most_while_the_home_is_away(self) -> None:
        router = Router(dice=0.0)
        router.write()
        for _ in range(100):
            number = router.machine._meetings.made
            router.tell(
                SignalAnswered(number, SignalResult.HOME_UNREACHABLE),
                PresenceAnswered(()),
                DepositAnswered(envelope(1), AWAY),
            )
            router.wait(1)
        assert len(only(LookUpPresence, [action for _, action in router.log])) == 5

    def test_the_dht_is_asked_again_though_deposits_are_tried_ever_more_rarely(self) -> None:
        """Who comes back later than we is found by the next look-up, not by the next try at the home."""
        router = Router(dice=0.99)
        router.write()
        for _ in range(8):
            router.tell(DepositAnswered(envelope(1), AWAY))
        router.tell(PresenceAnswered(()))
        before = len(router.log)
        for _ in range(6):
            router.wait(10)
            router.tell(PresenceAnswered(()))
        asked = only(LookUpPresence, [action for _, action in router.log[before:]])
        assert len(asked) == 3

    def test_stale_addresses_leave_a_try_of_the_minute_for_fresh_ones(self) -> None:
        router = Router(dice=0.0)
        router.tell(AddressesLearnt((SIGNAL_ADDRESS,)))
        router.write()
        failed = 0
        for _ in range(20):
            if len(only(Dial, router.log)) > failed:
                failed += 1
                router.tell(DialFailed(router.machine._meetings.made))
            router.tell(SignalAnswered(router.machine._meetings.made, SignalResult.HOME_UNREACHABLE))
            router.tell(PresenceAnswered((SIGNAL_ADDRESS,)), DepositAnswered(envelope(1), AWAY))
            router.wait(1)
        assert failed == 2
        dials = only(Dial, router.tell(PresenceAnswered((HOME_ADDRESS,))) + [a for _, a in router.wait(1)])
        assert [each.addresses for each in dials] == [(HOME_ADDRESS,)]

    def test_a_home_that_returns_is_used_at_once(self) -> None:
        router = Router(dice=0.9)
        router.write(1, EnvelopeKind.CONTROL)
        for _ in range(6):
            router.tell(DepositAnswered(envelope(1), AWAY))
            router.wait(200)
        router.tell(DepositAnswered(envelope(1), AWAY))
        assert router.tell(HomeReturned()) == [Deposit(envelope(1))]

    def test_a_busy_home_is_left_alone_for_as_long_as_it_says(self) -> None:
        router = Router()
        router.write(1, EnvelopeKind.CONTROL)
        router.tell(DepositAnswered(envelope(1), DepositResult.BUSY, retry_after_s=7.0))
        assert times_of(Deposit, router.wait(20)) == [8.0]

    @pytest.mark.parametrize(
        "result, waiting",
        [(DepositResult.MAILBOX_FULL, Waiting.MAILBOX_FULL), (DepositResult.TOKEN_REFUSED, Waiting.REFUSED)],
    )
    def test_refused_deposits_are_said_and_tried_again(self, result: DepositResult, waiting: Waiting) -> None:
        router = Router(Policy.DATA_SAVER)
        router.write()
        assert Report(envelope(1), waiting) in router.tell(DepositAnswered(envelope(1), result))
        assert only(Deposit, router.wait(400)) != []

    def test_at_most_thirty_two_deposits_are_under_way(self) -> None:
        router = Router(Policy.DATA_SAVER)
        asked = [action for number in range(100) for action in only(Deposit, router.write(number))]
        assert len(asked) == 32
        more = only(Deposit, router.tell(DepositAnswered(envelope(0), STORED)))
        assert more == [Deposit(envelope(32))]


class TestPolicies:
    def test_direct_only_waits_says_so_and_never_deposits(self) -> None:
        router = Router(Policy.DIRECT_ONLY)
        assert only(SendSignal, router.write()) == [SendSignal(1, True, False, hidden=False)]
        router.tell(SignalAnswered(1, NO_DEVICE))
        router.wait(3600)
        log = [action for _, action in router.log]
        assert only(Deposit, log) == []
        assert only(Report, log)[-1] == Report(envelope(1), Waiting.NEEDS_DIRECT_PATH)
        assert router.tell(SendByServer(envelope(1))) == [Deposit(envelope(1))]

    def test_direct_only_takes_no_relayed_path(self) -> None:
        router = Router(Policy.DIRECT_ONLY)
        router.write()
        actions = router.open_path(1, RouteKind.RELAYED)
        assert ClosePath(1) in actions
        assert only(Send, actions) == []
        assert not router.machine.accepts(RouteKind.RELAYED)

    def test_hide_my_ip_signals_hidden_takes_relay_only_and_never_dials(self) -> None:
        router = Router(Policy.HIDE_MY_IP)
        router.tell(AddressesLearnt((HOME_ADDRESS,)))
        assert router.write()[:2] == [Gather(False, True), SendSignal(1, False, True, hidden=True)]
        actions = router.tell(AnswerReceived(1, PeerSide(NatKind.CONE, addresses=(SIGNAL_ADDRESS,))))
        assert actions == [StartIce(1, False, True, 0.0)]
        assert only(ClosePath, router.open_path(1, RouteKind.DIRECT)) == [ClosePath(1)]
        assert only(Send, router.open_path(2, RouteKind.RELAYED)) == [Send(envelope(1), 2)]

    def test_changing_to_hide_my_ip_closes_direct_paths_at_once(self) -> None:
        router = Router()
        router.open_path(1, RouteKind.DIRECT)
        router.open_path(2, RouteKind.RELAYED)
        assert only(ClosePath, router.tell(PolicyChanged(Policy.HIDE_MY_IP))) == [ClosePath(1)]
        assert only(Send, router.write()) == [Send(envelope(1), 2)]

    def test_data_saver_stores_first_and_meets_only_if_that_fails(self) -> None:
        router = Router(Policy.DATA_SAVER)
        assert router.tell(ChatOpened()) == []
        assert router.write() == [Deposit(envelope(1))]
        assert only(SendSignal, router.tell(DepositAnswered(envelope(1), AWAY))) != []

    def test_data_saver_keeps_no_idle_path(self) -> None:
        router = Router(Policy.DATA_SAVER)
        router.open_path()
        assert times_of(ClosePath, router.wait(60)) == [30.0]

    def test_forbidden_by_the_switches_both_kinds_means_the_stored_route_at_once(self) -> None:
        router = Router()
        router.tell(PathsAllowed(direct=False, relay=False))
        assert router.write() == [Deposit(envelope(1))]

    def test_a_switch_closes_live_paths_or_leaves_them_to_die(self) -> None:
        for close, expected in ((True, [ClosePath(1)]), (False, [])):
            router = Router()
            router.open_path()
            assert only(ClosePath, router.tell(PathsAllowed(direct=False, relay=True, close=close))) == expected
            assert only(Send, router.write()) == [], "not used either way"

    def test_a_policy_that_changes_in_the_middle_ends_the_attempt_and_begins_one_that_fits(self) -> None:
        router = Router()
        router.write()
        router.tell(SignalAnswered(1, FORWARDED))
        actions = router.tell(PolicyChanged(Policy.HIDE_MY_IP))
        assert only(EndAttempt, actions) == [EndAttempt(1)]
        assert only(SendSignal, actions) == [SendSignal(2, False, True, hidden=True)]


class TestHoldingRelayPairsBack:
    @pytest.mark.parametrize(
        "own, peer, hold_s",
        [
            (NatKind.CONE, NatKind.CONE, 0.7),
            (NatKind.UNKNOWN, NatKind.UNKNOWN, 0.7),
            (NatKind.SYMMETRIC, NatKind.OPEN, 0.7),
            (NatKind.SYMMETRIC, NatKind.CONE, 0.7),
            (NatKind.SYMMETRIC, NatKind.SYMMETRIC, 0.0),
            (NatKind.UDP_BLOCKED, NatKind.OPEN, 0.0),
            (NatKind.CONE, NatKind.UDP_BLOCKED, 0.0),
        ],
    )
    def test_relay_pairs_wait_only_where_a_direct_one_may_come(
        self, own: NatKind, peer: NatKind, hold_s: float
    ) -> None:
        router = Router()
        router.tell(OwnNatLearnt(own))
        router.write()
        (start,) = only(StartIce, router.tell(AnswerReceived(1, PeerSide(peer))))
        assert (start.direct, start.relay, start.hold_relay_s) == (True, True, hold_s)

    def test_relay_pairs_do_not_wait_when_the_other_side_takes_no_direct_path(self) -> None:
        router = Router()
        router.write()
        actions = router.tell(AnswerReceived(1, PeerSide(NatKind.OPEN, direct=False, addresses=(SIGNAL_ADDRESS,))))
        assert actions == [StartIce(1, False, True, 0.0)]

    def test_no_kind_in_common_ends_the_attempt_and_deposits(self) -> None:
        router = Router()
        router.write()
        actions = router.tell(AnswerReceived(1, PeerSide(direct=False, relay=False)))
        assert only(StartIce, actions) == []
        assert only(Deposit, actions) == [Deposit(envelope(1))]


class TestOffers:
    def test_an_offer_is_answered_and_met(self) -> None:
        router = Router()
        actions = router.tell(OfferReceived(OFFER, PeerSide(NatKind.CONE, addresses=(SIGNAL_ADDRESS,))))
        assert actions == [
            Gather(True, True),
            AnswerSignal(1, OFFER, True, True, hidden=False),
            StartIce(1, True, True, 0.7),
            Dial(1, (SIGNAL_ADDRESS,)),
        ]

    def test_crossing_offers_join_one_attempt_and_ice_starts_once(self) -> None:
        router = Router()
        router.write()
        router.tell(SignalAnswered(1, FORWARDED))
        actions = router.tell(OfferReceived(OFFER, PeerSide(ufrag="abcd")))
        assert actions == [AnswerSignal(1, OFFER, True, True, hidden=False), StartIce(1, True, True, 0.7)]
        assert router.tell(AnswerReceived(1, PeerSide(ufrag="abcd"))) == []
        assert router.tell(OfferReceived(OFFER, PeerSide(ufrag="abcd"))) == [
            AnswerSignal(1, OFFER, True, True, hidden=False)
        ]

    def test_an_offer_of_a_new_agent_begins_anew(self) -> None:
        router = Router()
        router.write()
        router.tell(AnswerReceived(1, PeerSide(ufrag="old!")))
        actions = router.tell(OfferReceived(OFFER, PeerSide(ufrag="new!")))
        assert only(EndAttempt, actions) == [EndAttempt(1)]
        assert only(StartIce, actions) == [StartIce(2, True, True, 0.7)]

    def test_two_offers_an_hour_are_answered_that_no_envelope_follows(self) -> None:
        router = Router()
        for minute in range(5):
            actions = router.tell(OfferReceived(AttemptId(bytes([minute] * 16)), PeerSide()))
            assert bool(only(AnswerSignal, actions)) == (minute < 2)
            router.wait(60)
        router.wait(3600)
        assert only(AnswerSignal, router.tell(OfferReceived(OFFER, PeerSide()))) != []

    def test_offers_that_envelopes_follow_are_not_counted(self) -> None:
        router = Router()
        for minute in range(5):
            actions = router.tell(OfferReceived(AttemptId(bytes([minute] * 16)), PeerSide()), EnvelopeReceived())
            assert only(AnswerSignal, actions) != []
            router.wait(60)

    def test_an_offer_is_answered_when_we_want_a_path_ourselves(self) -> None:
        router = Router(Policy.DIRECT_ONLY, dice=0.99)
        router.write()
        for number in range(4):
            router.tell(SignalAnswered(router.machine._meetings.made, SignalResult.UNKNOWN))
            assert only(AnswerSignal, router.tell(OfferReceived(AttemptId(bytes([number] * 16)), PeerSide()))) != []
            router.tell(IceFailed(router.machine._meetings.made))

    def test_no_offer_is_answered_where_no_path_is_allowed(self) -> None:
        router = Router()
        router.tell(PathsAllowed(direct=False, relay=False))
        assert router.tell(OfferReceived(OFFER, PeerSide())) == []


class TestDialLimits:
    def test_three_failed_dials_a_minute_and_no_more(self) -> None:
        """The third only where there is something to dial that has not failed yet."""
        router = Router(dice=0.0)
        router.tell(AddressesLearnt((HOME_ADDRESS,)))
        failed = 0
        for number in range(20):
            if number == 10:
                assert failed == 2
                router.tell(AddressesLearnt((SIGNAL_ADDRESS,)))
            router.write(number)
            if len(only(Dial, router.log)) > failed:
                failed += 1
                router.tell(DialFailed(router.machine._meetings.made))
            router.tell(SignalAnswered(router.machine._meetings.made, SignalResult.UNKNOWN))
            router.wait(2)
        dials = [at for at, action in router.log if isinstance(action, Dial)]
        assert len(dials) == 3
        router.wait(60)
        router.tell(*(EnvelopeDone(envelope(number)) for number in range(20)))
        router.wait(60)
        assert only(Dial, router.write(99)) != []

    def test_sixteen_addresses_are_remembered_the_newest_first(self) -> None:
        router = Router()
        for number in range(40):
            router.tell(AddressesLearnt((KnownAddress(f"/ip4/198.51.100.{number}/tcp/1", HOME_ADDRESS.found_by),)))
        (dial,) = only(Dial, router.write())
        assert [each.multiaddr.split("/")[2] for each in dial.addresses] == [
            f"198.51.100.{number}" for number in range(39, 23, -1)
        ]


class TestUpgrades:
    def relayed(self) -> Router:
        router = Router()
        router.write()
        router.tell(AnswerReceived(1, PeerSide(NatKind.CONE)))
        router.open_path(1, RouteKind.RELAYED)
        router.tell(SendAcknowledged(envelope(1), 1))
        return router

    def test_a_relayed_path_is_bettered_in_the_background(self) -> None:
        router = self.relayed()
        actions = router.wait(4)
        assert [(at, action) for at, action in actions if isinstance(action, SendSignal)] == [
            (3.0, SendSignal(2, True, False, hidden=False))
        ]
        assert router.tell(AnswerReceived(2, PeerSide(NatKind.CONE))) == [StartIce(2, True, False, 0.0)]
        router.open_path(2, RouteKind.DIRECT)
        assert only(Send, router.write(2)) == [Send(envelope(2), 2)]
        router.tell(SendAcknowledged(envelope(2), 2))
        assert only(ClosePath, router.wait(11)) == [ClosePath(1)]

    def test_failed_upgrades_become_rarer_and_stop_when_the_chat_is_quiet(self) -> None:
        router = self.relayed()
        for _ in range(3600):
            router.tell(SignalAnswered(router.machine._meetings.made, SignalResult.UNKNOWN))
            router.wait(1)
        signals = [at for at, action in router.log if isinstance(action, SendSignal)]
        gaps = [later - earlier for earlier, later in pairwise(signals[1:])]
        assert gaps == sorted(gaps)
        assert len(signals) < 8
        assert signals[-1] - signals[0] < 660

    def test_no_upgrade_where_the_other_side_or_the_nats_rule_it_out(self) -> None:
        for own, peer in (
            (NatKind.SYMMETRIC, PeerSide(NatKind.SYMMETRIC)),
            (NatKind.CONE, PeerSide(NatKind.CONE, direct=False)),
        ):
            router = Router(own_nat=own)
            router.write()
            router.tell(AnswerReceived(1, peer))
            router.open_path(1, RouteKind.RELAYED)
            router.tell(SendAcknowledged(envelope(1), 1))
            assert only(SendSignal, router.wait(600)) == []

    def test_a_switch_that_allows_direct_again_makes_a_used_chat_meet_at_once(self) -> None:
        router = Router()
        router.tell(PathsAllowed(direct=False, relay=False))
        router.tell(EnvelopeReceived())
        actions = router.tell(PathsAllowed(direct=True, relay=True))
        assert only(SendSignal, actions) == [SendSignal(1, True, False, hidden=False)]

    def test_a_message_that_loses_its_relay_does_not_wait_for_the_upgrade(self) -> None:
        router = self.relayed()
        router.wait(4)
        router.tell(PathMeasured(1, 0.1), PathClosed(1))
        actions = router.write(2)
        assert only(EndAttempt, actions) == [EndAttempt(2)]
        assert only(SendSignal, actions) == [SendSignal(3, True, True, hidden=False)]

    def test_the_relay_stays_while_the_direct_path_is_doubtful(self) -> None:
        router = self.relayed()
        router.open_path(2, RouteKind.DIRECT)
        router.wait(9.8)
        router.write(2)
        waited = router.wait(1)
        assert only(ClosePath, waited) == []
        assert only(Send, waited) == [Send(envelope(2), 1)]


class TestWarmth:
    def test_an_open_chat_gathers_and_looks_up_presence_at_most_every_ten_minutes(self) -> None:
        router = Router()
        assert router.tell(ChatOpened()) == [Gather(True, True), LookUpPresence()]
        assert router.tell(ChatClosed()) == [Cool()]
        router.wait(500)
        assert router.tell(ChatOpened()) == [Gather(True, True)]
        router.tell(ChatClosed())
        router.wait(100)
        assert LookUpPresence() in router.tell(ChatOpened())

    def test_a_message_alone_never_looks_up_presence(self) -> None:
        router = Router()
        router.write()
        router.tell(SignalAnswered(1, FORWARDED))
        router.wait(60)
        assert only(LookUpPresence, [action for _, action in router.log]) == []

    def test_hidden_chats_look_up_nothing(self) -> None:
        assert Router(Policy.HIDE_MY_IP).tell(ChatOpened()) == [Gather(False, True)]

    def test_a_new_network_ends_what_stood_in_the_old_one_and_begins_at_once(self) -> None:
        router = Router(dice=0.99)
        router.write()
        router.tell(SignalAnswered(1, FORWARDED))
        actions = router.tell(NetworkChanged())
        assert actions[:3] == [EndAttempt(1), Gather(True, True), SendSignal(2, True, True, hidden=False)]


def test_describe_says_how_things_stand_without_names() -> None:
    router = Router()
    router.open_path(1, RouteKind.RELAYED)
    router.write()
    said = router.machine.describe()
    assert said["waiting"] == 1
    assert said["paths"] == [("relayed", 0.05, True)]
    assert envelope(1).hex() not in repr(said)


def test_a_twin_that_falls_unused_beside_a_live_path_puts_no_attempt_off() -> None:
    """docs/protocol/routing.md: libp2p and ICE may both win; the end of one of them says nothing about the network."""
    machine = RoutingMachine(Address(AccountId(bytes(16)), 1), dice=lambda: 0.99)
    machine.receive(PathOpened(1, RouteKind.DIRECT, 0.01), 0.0)
    machine.receive(PathOpened(2, RouteKind.DIRECT, 0.01), 0.1)
    machine.receive(PathClosed(2), 0.2)
    machine.receive(EnvelopeQueued(EnvelopeId(bytes(16)), EnvelopeKind.PERSON), 0.3)
    machine.actions()
    machine.handle_timeout(0.3 + ACK_MIN_S + 0.01)  # no acknowledgement: the path is silent
    assert any(isinstance(action, SendSignal) for action in machine.actions())
