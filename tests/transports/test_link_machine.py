"""docs/protocol/link.md: hello, acknowledgements, pings, ends. No IO, no real time."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.identity import LinkRole
from mepassa.model.errors import LinkLostError
from mepassa.model.ids import Address
from mepassa.transports.link import (
    CloseCause,
    EnvelopeAcknowledged,
    EnvelopeReceived,
    LinkClosed,
    LinkEvent,
    LinkMachine,
    LinkOpened,
    LinkState,
    LinkTiming,
)
from mepassa.transports.link import machine as machine_module
from mepassa.transports.link.machine import MAX_PONGS_UNSENT, TAKES
from mepassa.wire.link import (
    Ack,
    Bye,
    EnvelopeRecord,
    ErrorRecord,
    Hello,
    LinkRecord,
    Ping,
    Pong,
    RecordDecoder,
    encode_record,
)
from tests.transports.link_peers import Person, envelope, two_friends

TIMING = LinkTiming()


def dialler(me: Person, peer: Address, *, binding: bytes = b"channel", now: float = 0.0) -> LinkMachine:
    return LinkMachine(role=LinkRole.DIALLER, identity=me, binding=binding, peer=peer, timing=TIMING, now=now)


def listener(me: Person, *, binding: bytes = b"channel", peer: Address | None = None, now: float = 0.0) -> LinkMachine:
    return LinkMachine(role=LinkRole.LISTENER, identity=me, binding=binding, peer=peer, timing=TIMING, now=now)


def events(machine: LinkMachine) -> list[LinkEvent]:
    found = []
    while (event := machine.next_event()) is not None:
        found.append(event)
    return found


@dataclass
class LinkPair:
    """Two machines and the bytes between them."""

    ana: LinkMachine
    bruno: LinkMachine
    now: float = 0.0
    seen: dict[str, list[LinkEvent]] = field(default_factory=lambda: {"ana": [], "bruno": []})

    def settle(self, *, latency_s: float = 0.0) -> None:
        """Carry bytes until nobody has any more to say."""
        while True:
            from_ana, from_bruno = self.ana.data_to_send(), self.bruno.data_to_send()
            if not from_ana and not from_bruno:
                break
            self.now += latency_s
            self.bruno.receive_data(from_ana, self.now)
            self.ana.receive_data(from_bruno, self.now)
        self.seen["ana"] += events(self.ana)
        self.seen["bruno"] += events(self.bruno)


def open_pair(*, latency_s: float = 0.0) -> LinkPair:
    ana, bruno = two_friends()
    pair = LinkPair(dialler(ana, bruno.own), listener(bruno))
    pair.settle(latency_s=latency_s)
    assert pair.ana.state is pair.bruno.state is LinkState.OPEN
    return pair


def test_both_sides_know_each_other_once_both_hellos_have_been_said() -> None:
    pair = open_pair()
    assert pair.seen["ana"] == [LinkOpened(Person(2).own)]
    assert pair.seen["bruno"] == [LinkOpened(Person(1).own)]


def test_the_answering_side_writes_nothing_before_a_hello_has_verified() -> None:
    _, bruno = two_friends()
    machine = listener(bruno)
    assert machine.data_to_send() == b""
    machine.handle_timeout(TIMING.hello_deadline_s)
    assert machine.data_to_send() == b""
    assert events(machine) == [LinkClosed(CloseCause.HELLO_LATE)]


def refuses_without_a_byte(machine: LinkMachine, data: bytes) -> bool:
    machine.receive_data(data, 0.1)
    return (
        machine.state is LinkState.CLOSED
        and machine.data_to_send() == b""
        and events(machine) == [LinkClosed(CloseCause.HELLO_REFUSED)]
    )


def test_a_stranger_and_an_unlisted_device_are_refused_without_a_byte() -> None:
    ana, bruno = two_friends()
    stranger, tablet = Person(3), Person(1, device=2)
    for speaker in (stranger, tablet):
        assert refuses_without_a_byte(listener(bruno), dialler(speaker, bruno.own).data_to_send())
    assert bruno.unlisted == [stranger.own, tablet.own], "the owner hears of it, and knows whose list may be old"
    assert not refuses_without_a_byte(listener(bruno), dialler(ana, bruno.own).data_to_send())


def test_a_hello_replayed_on_another_channel_is_refused_without_a_byte() -> None:
    ana, bruno = two_friends()
    hello = dialler(ana, bruno.own, binding=b"first channel").data_to_send()
    assert refuses_without_a_byte(listener(bruno, binding=b"second channel"), hello)


def test_a_hello_meant_for_another_account_or_device_is_refused_without_a_byte() -> None:
    ana, bruno = two_friends()
    for other in (Person(3).own, Address(bruno.own.account, 2)):
        assert refuses_without_a_byte(listener(bruno), dialler(ana, other).data_to_send())


def test_a_hello_from_another_friend_than_expected_is_refused_on_both_sides() -> None:
    ana, bruno = two_friends()
    carla = Person(3)
    carla.befriend(ana, bruno)
    assert refuses_without_a_byte(listener(bruno, peer=ana.own), dialler(carla, bruno.own).data_to_send())
    answering = listener(bruno)
    answering.receive_data(dialler(carla, bruno.own).data_to_send(), 0.0)
    waiting = dialler(carla, ana.own)
    waiting.data_to_send()
    assert refuses_without_a_byte(waiting, answering.data_to_send())


def test_ones_own_hello_sent_back_is_no_answer() -> None:
    ana, bruno = two_friends()
    machine = dialler(ana, bruno.own)
    assert refuses_without_a_byte(machine, machine.data_to_send())


def test_a_hello_with_another_key_or_one_bit_changed_is_refused_without_a_byte() -> None:
    ana, bruno = two_friends()
    hello = dialler(ana, bruno.own).data_to_send()
    assert refuses_without_a_byte(listener(bruno), hello[:-1] + bytes([hello[-1] ^ 1]))
    bruno.listed[ana.own] = Person(9).key.public
    assert refuses_without_a_byte(listener(bruno), hello)


@pytest.mark.parametrize("first", [Ping(0), EnvelopeRecord(b"x"), Bye(), ErrorRecord()])
def test_nothing_is_read_before_the_hello(first: Ping | EnvelopeRecord | Bye | ErrorRecord) -> None:
    _, bruno = two_friends()
    assert refuses_without_a_byte(listener(bruno), encode_record(first))


def test_every_state_says_which_records_it_takes() -> None:
    assert set(TAKES) == set(LinkState)
    assert Hello not in TAKES[LinkState.OPEN]


def test_a_second_hello_breaks_the_rules_and_is_told_so() -> None:
    pair = open_pair()
    pair.bruno.receive_data(dialler(Person(1), Person(2).own).data_to_send(), 1.0)
    pair.settle()
    assert pair.seen["bruno"][-1] == LinkClosed(CloseCause.BROKE_RULES)
    assert pair.seen["ana"][-1] == LinkClosed(CloseCause.ERROR_THERE)


@given(st.binary(min_size=4, max_size=200))
def test_garbage_on_an_open_link_ends_it_with_an_error_or_waits_for_more(garbage: bytes) -> None:
    pair = open_pair()
    pair.bruno.receive_data(garbage, 1.0)
    if pair.bruno.state is LinkState.CLOSED:
        decoder = RecordDecoder()
        decoder.receive(pair.bruno.data_to_send())
        assert isinstance(decoder.next_record(), ErrorRecord)
        assert events(pair.bruno)[-1] == LinkClosed(CloseCause.BROKE_RULES)


def test_an_envelope_is_acknowledged_only_when_the_receiver_says_so() -> None:
    pair = open_pair()
    sent = envelope(1)
    pair.ana.send_envelope(sent, 1.0)
    pair.settle()
    assert pair.seen["bruno"][-1] == EnvelopeReceived(sent)
    assert EnvelopeAcknowledged(sent.id, opened=True) not in pair.seen["ana"]
    pair.bruno.acknowledge(sent.id, opened=True)
    pair.settle()
    assert pair.seen["ana"][-1] == EnvelopeAcknowledged(sent.id, opened=True)
    assert pair.ana.in_flight == 0


def test_acknowledgements_come_in_any_order_and_unknown_ones_say_nothing() -> None:
    pair = open_pair()
    first, second = envelope(1), envelope(2)
    pair.ana.send_envelope(first, 1.0)
    pair.ana.send_envelope(second, 1.0)
    pair.settle()
    for known in (second, envelope(3), first, first):
        pair.bruno.acknowledge(known.id, opened=False)
    pair.settle()
    assert pair.seen["ana"][-2:] == [
        EnvelopeAcknowledged(second.id, opened=False),
        EnvelopeAcknowledged(first.id, opened=False),
    ]


def test_an_envelope_in_flight_is_not_sent_twice() -> None:
    pair = open_pair()
    pair.ana.send_envelope(envelope(1), 1.0)
    pair.ana.send_envelope(envelope(1), 1.0)
    pair.settle()
    assert pair.seen["bruno"][1:] == [EnvelopeReceived(envelope(1))]


def records(data: bytes) -> list[LinkRecord]:
    decoder, found = RecordDecoder(), []
    decoder.receive(data)
    while (record := decoder.next_record()) is not None:
        found.append(record)
    return found


@pytest.mark.parametrize(
    "after_s, pings", [(TIMING.ping_beside_envelope_s - 0.01, 0), (TIMING.ping_beside_envelope_s, 1)]
)
def test_an_envelope_takes_a_ping_along_unless_one_was_just_sent(after_s: float, pings: int) -> None:
    pair = open_pair()
    pair.ana.send_envelope(envelope(1), after_s)
    assert [type(record) for record in records(pair.ana.data_to_send())] == [EnvelopeRecord] + [Ping] * pings


def test_pings_measure_the_round_trip() -> None:
    pair = open_pair(latency_s=0.1)
    assert pair.ana.srtt_s == pytest.approx(0.2)
    assert pair.bruno.srtt_s == pytest.approx(0.2)


def run_until_closed(machine: LinkMachine, *, until_s: float) -> float | None:
    """Call its timers on time, let nothing arrive; when did it give up?"""
    while (due := machine.next_timeout()) is not None and due <= until_s:
        machine.handle_timeout(due)
        if machine.state is LinkState.CLOSED:
            return due
    return None


def test_a_silent_peer_is_noticed_by_pings_alone_in_less_than_five_seconds() -> None:
    pair = open_pair()
    closed_at = run_until_closed(pair.ana, until_s=60)
    assert closed_at is not None
    assert closed_at < 5
    assert events(pair.ana) == [LinkClosed(CloseCause.SILENT)]


def test_a_silent_peer_is_noticed_sooner_when_an_envelope_is_sent_to_it() -> None:
    pair = open_pair()
    pair.ana.send_envelope(envelope(1), 1.0)
    assert run_until_closed(pair.ana, until_s=60) == 1.0 + TIMING.pong_deadline_s


def test_any_byte_from_the_peer_is_a_sign_of_life() -> None:
    pair = open_pair()
    now = 0.0
    while now < 60:
        now = pair.ana.next_timeout() or 0.0
        pair.ana.handle_timeout(now)
        pair.ana.receive_data(encode_record(Pong(999)), now)
    assert pair.ana.state is LinkState.OPEN


def test_a_peer_that_talks_and_does_not_read_costs_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    one = len(encode_record(Ack(envelope(1).id, True)))
    monkeypatch.setattr(machine_module, "MAX_UNSENT_BYTES", 2_000 * one)
    pair = open_pair()
    pair.bruno.receive_data(encode_record(Ping(1)) * 5_000, 1.0)
    assert records(pair.bruno.data_to_send()) == [Pong(1)] * MAX_PONGS_UNSENT
    for _ in range(2_000):
        pair.bruno.acknowledge(envelope(1).id, opened=True)
    assert pair.bruno.state is LinkState.OPEN
    pair.bruno.acknowledge(envelope(1).id, opened=True)
    assert events(pair.bruno)[-1] == LinkClosed(CloseCause.SILENT)
    assert pair.bruno.data_to_send() == b"", "nobody is there to read it"


def test_after_a_sleep_of_our_own_the_peer_is_asked_once_more() -> None:
    pair = open_pair()
    pair.ana.handle_timeout(2.0)
    pair.ana.handle_timeout(3600.0)
    assert events(pair.ana) == []
    pair.ana.handle_timeout(3600.0 + TIMING.pong_deadline_s)
    assert events(pair.ana) == [LinkClosed(CloseCause.SILENT)]


def test_a_bye_ends_both_sides_and_nothing_can_be_sent_after_it() -> None:
    pair = open_pair()
    pair.ana.send_envelope(envelope(1), 1.0)
    pair.ana.close()
    pair.settle()
    assert pair.seen["ana"][-1] == LinkClosed(CloseCause.CLOSED_HERE)
    assert pair.seen["bruno"][-1] == LinkClosed(CloseCause.BYE)
    with pytest.raises(LinkLostError):
        pair.ana.send_envelope(envelope(2), 2.0)
    assert pair.ana.next_timeout() is None


def test_closing_before_the_hellos_says_nothing() -> None:
    ana, bruno = two_friends()
    machine = dialler(ana, bruno.own)
    machine.close()
    assert machine.data_to_send() == b""
