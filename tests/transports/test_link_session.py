"""docs/protocol/link.md over real sessions in memory, under virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mepassa.identity import LinkRole
from mepassa.model.errors import LinkLostError, MalformedError, PathRefusedError
from mepassa.model.route import AddressClass, FoundBy, RouteKind, RouteTransport
from mepassa.ports.transport import LinkFacts
from mepassa.testing import VirtualLoop
from mepassa.transports.link import CloseCause, HelloRefusedError, LinkSession, LinkSet, LinkTiming
from mepassa.transports.link.session import MAX_IN_FLIGHT, MAX_UNTAKEN
from mepassa.transports.loopback import LoopbackStream, stream_pair
from mepassa.wire.link import ByeReason, EnvelopeRecord, Ping, encode_record
from tests.transports.link_peers import Person, Recorder, envelope, two_friends

FACTS = LinkFacts(RouteKind.DIRECT, RouteTransport.LIBP2P, AddressClass.LOOPBACK, FoundBy.SIGNAL)


class Side:
    """One person's end: a session, its handler, its links."""

    def __init__(self, me: Person, *, recorder: Recorder | None = None) -> None:
        self.me = me
        self.recorder = recorder or Recorder()
        self.links = LinkSet()
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, stream: LoopbackStream, peer: Person | None, *, binding: bytes = b"channel") -> LinkSession:
        session = LinkSession(
            stream,
            role=LinkRole.LISTENER if peer is None else LinkRole.DIALLER,
            identity=self.me,
            handler=self.recorder,
            binding=binding,
            facts=FACTS,
            peer=None if peer is None else peer.own,
            links=self.links,
        )
        self.tasks.append(asyncio.get_running_loop().create_task(session.run()))
        return session


class Meeting:
    """Ana dials Bruno over a pair of streams."""

    def __init__(self, *, latency_s: float = 0.01) -> None:
        ana, bruno = two_friends()
        self.ana, self.bruno = Side(ana), Side(bruno)
        self.latency_s = latency_s

    def connect(self, *, binding: bytes = b"channel") -> tuple[LinkSession, LinkSession, LoopbackStream]:
        here, there = stream_pair(latency_s=self.latency_s)
        answering = self.bruno.start(there, None, binding=binding)
        return self.ana.start(here, self.bruno.me, binding=binding), answering, here

    async def open(self) -> tuple[LinkSession, LinkSession, LoopbackStream]:
        dialling, answering, stream = self.connect()
        await dialling.wait_open()
        await answering.wait_open()
        return dialling, answering, stream


Scenario = Callable[[Meeting], Awaitable[None]]


def play(scenario: Scenario, *, seed: int | None = None) -> None:
    """Run under virtual time; afterwards every session's task has ended by itself or is ended here."""

    async def main() -> None:
        meeting = Meeting()
        await scenario(meeting)
        for side in (meeting.ana, meeting.bruno):
            await side.links.end_all("close")
            await asyncio.gather(*side.tasks)

    VirtualLoop(seed).run(main())


@pytest.mark.parametrize("seed", range(8))
def test_envelopes_are_acknowledged_after_the_handler_returns_several_in_flight(seed: int) -> None:
    async def scenario(meeting: Meeting) -> None:
        link, other, _ = await meeting.open()
        meeting.bruno.recorder.hold = asyncio.Event()
        sends = [asyncio.ensure_future(link.send(envelope(number))) for number in range(10)]
        await asyncio.sleep(1)
        assert not any(send.done() for send in sends)
        meeting.bruno.recorder.hold.set()
        async with asyncio.timeout(0.1):  # at once, not with the next ping
            await asyncio.gather(*sends)
        assert sorted(meeting.bruno.recorder.received, key=lambda it: it.raw) == [envelope(n) for n in range(10)]
        await other.send(envelope(99))
        assert meeting.ana.recorder.received == [envelope(99)]
        assert link.srtt_s == pytest.approx(0.02, abs=0.001)

    play(scenario, seed=seed)


def test_the_acknowledgement_carries_whether_the_handler_took_this_copy_as_the_first() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, _, _ = await meeting.open()
        assert [await link.send(envelope(1)), await link.send(envelope(1)), await link.send(envelope(2))] == [
            True,
            False,
            True,
        ]

    play(scenario)


def test_the_handler_hears_opened_then_envelopes_then_closed_once_each() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, other, _ = await meeting.open()
        await link.send(envelope(1))
        await link.close()
        await other.wait_closed()
        for side, session in ((meeting.ana, link), (meeting.bruno, other)):
            assert side.recorder.opened == [session]
            assert side.recorder.closed == [session]
            assert side.links.live() == ()
        assert other.cause is CloseCause.BYE

    play(scenario)


def test_a_handler_that_raises_keeps_the_link_and_acknowledges_nothing() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, _, _ = await meeting.open()
        meeting.bruno.recorder.refuse = MalformedError
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await link.send(envelope(1))
        meeting.bruno.recorder.refuse = None
        await link.send(envelope(1))
        assert meeting.bruno.recorder.received == [envelope(1)]

    play(scenario)


def test_a_cancelled_send_leaves_the_link_open_for_the_next() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, _, _ = await meeting.open()
        meeting.bruno.recorder.hold = asyncio.Event()
        for number in range(2 * MAX_IN_FLIGHT):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await link.send(envelope(number))
        meeting.bruno.recorder.hold.set()
        await link.send(envelope(1000))
        assert link.is_open

    play(scenario)


def test_two_callers_may_send_the_same_envelope_and_it_travels_once() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, _, _ = await meeting.open()
        await asyncio.gather(link.send(envelope(1)), link.send(envelope(1)))
        assert meeting.bruno.recorder.received == [envelope(1)]

    play(scenario)


def test_at_most_so_many_envelopes_are_in_flight_and_all_arrive() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, _, _ = await meeting.open()
        await asyncio.gather(*(link.send(envelope(number, 36_000)) for number in range(3 * MAX_IN_FLIGHT)))
        assert len(meeting.bruno.recorder.received) == 3 * MAX_IN_FLIGHT

    play(scenario)


def test_a_sender_that_outruns_the_handler_is_not_read_any_further() -> None:
    """Memory stays bounded whatever a peer sends."""

    async def scenario(meeting: Meeting) -> None:
        link, other, stream = await meeting.open()
        meeting.bruno.recorder.hold = asyncio.Event()
        flood = b"".join(encode_record(EnvelopeRecord(envelope(n).raw)) for n in range(100))
        writing = asyncio.ensure_future(stream.write(flood * 40))
        await asyncio.sleep(0.1)
        assert other._untaken < MAX_UNTAKEN + 400  # what one read of 64 KiB can hold, once
        writing.cancel()
        meeting.bruno.recorder.hold.set()
        await link.close()

    play(scenario)


def test_reading_stops_at_the_last_envelope_that_may_wait_and_goes_on_when_one_is_taken() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, other, stream = await meeting.open()
        meeting.bruno.recorder.hold = asyncio.Event()
        for number in range(MAX_UNTAKEN + 1):
            await stream.write(encode_record(EnvelopeRecord(envelope(number).raw)))
            await asyncio.sleep(0.02)
        assert other._untaken == MAX_UNTAKEN
        meeting.bruno.recorder.hold.set()
        await link.send(envelope(999))
        assert meeting.bruno.recorder.received == [*map(envelope, range(MAX_UNTAKEN + 1)), envelope(999)]

    play(scenario)


def test_a_frozen_peer_is_noticed_in_less_than_five_seconds() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, _, stream = await meeting.open()
        await asyncio.sleep(30)
        stream.cut()
        started = asyncio.get_running_loop().time()
        await link.wait_closed()
        assert asyncio.get_running_loop().time() - started < 5
        assert link.cause is CloseCause.SILENT

    play(scenario)


def test_what_is_in_flight_on_a_lost_link_is_reported_lost() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, other, _ = await meeting.open()
        meeting.bruno.recorder.hold = asyncio.Event()
        sends = [asyncio.ensure_future(link.send(envelope(number))) for number in range(MAX_IN_FLIGHT + 5)]
        await asyncio.sleep(0.1)
        closing = asyncio.ensure_future(other.close())
        results = await asyncio.gather(*sends, return_exceptions=True)
        assert all(isinstance(result, LinkLostError) for result in results)
        with pytest.raises(LinkLostError):
            await link.send(envelope(1))
        meeting.bruno.recorder.hold.set()
        await closing

    play(scenario)


def test_silence_swallows_everything_both_ways_and_closes_after_ten_seconds() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, other, _ = await meeting.open()
        loop = asyncio.get_running_loop()
        started = loop.time()
        other.silence()
        sends = asyncio.gather(link.send(envelope(1)), other.send(envelope(2)), return_exceptions=True)
        await link.wait_closed()
        assert link.cause is CloseCause.SILENT
        await other.wait_closed()
        assert loop.time() - started < LinkTiming().silence_s + 1
        assert all(isinstance(result, LinkLostError) for result in await sends)
        assert meeting.bruno.recorder.received == []
        assert meeting.ana.recorder.received == []

    play(scenario)


def test_a_silenced_side_holds_on_for_ten_seconds_when_the_peer_does() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, other, _ = await meeting.open()
        started = asyncio.get_running_loop().time()
        other.silence()
        link.silence()
        await other.wait_closed()
        assert asyncio.get_running_loop().time() - started == pytest.approx(LinkTiming().silence_s, abs=0.1)

    play(scenario)


def test_an_older_link_drains_and_ends_once_a_newer_one_has_said_hello() -> None:
    async def scenario(meeting: Meeting) -> None:
        older, older_there, _ = await meeting.open()
        meeting.bruno.recorder.hold = asyncio.Event()
        pending = asyncio.ensure_future(older.send(envelope(1)))
        await asyncio.sleep(0.1)
        newer, newer_there, _ = await meeting.open()
        assert meeting.ana.links.live() == (newer,)
        assert older.is_open
        meeting.bruno.recorder.hold.set()
        await pending
        begun = asyncio.get_running_loop().time()
        await asyncio.gather(older.wait_closed(), older_there.wait_closed())
        assert asyncio.get_running_loop().time() - begun < 0.1, "nothing is in flight on it any more"
        assert older_there.cause is CloseCause.REPLACED
        assert newer.is_open
        assert newer_there.is_open

    play(scenario)


@pytest.mark.parametrize("seed", range(20))
def test_two_that_dial_each_other_at_once_keep_exactly_one_link(seed: int) -> None:
    async def scenario(meeting: Meeting) -> None:
        one, other = stream_pair(latency_s=0.01)
        third, fourth = stream_pair(latency_s=0.01)
        sessions = [
            meeting.ana.start(one, meeting.bruno.me, binding=b"a"),
            meeting.bruno.start(other, None, binding=b"a"),
            meeting.bruno.start(third, meeting.ana.me, binding=b"b"),
            meeting.ana.start(fourth, None, binding=b"b"),
        ]
        await asyncio.gather(*(session.wait_open() for session in sessions))
        await asyncio.sleep(10)
        assert len(meeting.ana.links.live()) == len(meeting.bruno.links.live()) == 1
        await meeting.ana.links.live()[0].send(envelope(1))
        await meeting.bruno.links.live()[0].send(envelope(2))

    play(scenario, seed=seed)


def test_what_is_sent_on_a_link_that_is_being_refused_is_not_taken() -> None:
    async def scenario(meeting: Meeting) -> None:
        meeting.bruno.recorder.refuse_link = PathRefusedError
        link, other, _ = meeting.connect()
        await link.wait_open()
        with pytest.raises(LinkLostError):
            await link.send(envelope(1))
        await other.wait_closed()
        assert meeting.bruno.recorder.received == []
        assert meeting.bruno.recorder.closed == [other]

    play(scenario)


def test_the_older_link_stays_while_the_newer_ones_hello_is_refused() -> None:
    async def scenario(meeting: Meeting) -> None:
        older, _, _ = await meeting.open()
        here, there = stream_pair()
        meeting.bruno.start(there, None, binding=b"another")
        refused = meeting.ana.start(here, meeting.bruno.me)
        with pytest.raises(PathRefusedError):
            await refused.wait_open()
        assert meeting.ana.links.live() == (older,)
        await older.send(envelope(1))

    play(scenario)


def test_a_dialler_whose_peer_answers_with_a_wrong_hello_says_so() -> None:
    async def scenario(meeting: Meeting) -> None:
        here, there = stream_pair()
        impostor = Side(Person(2))
        impostor.me.key = Person(9).key
        impostor.me.listed = meeting.bruno.me.listed
        impostor.start(there, None)
        dialling = meeting.ana.start(here, meeting.bruno.me)
        with pytest.raises(HelloRefusedError):
            await dialling.wait_open()
        assert meeting.ana.recorder.opened == []
        await asyncio.gather(*impostor.tasks)

    play(scenario)


def test_a_peer_that_never_says_hello_is_dropped_after_five_seconds() -> None:
    async def scenario(meeting: Meeting) -> None:
        here, _ = stream_pair()
        dialling = meeting.ana.start(here, meeting.bruno.me)
        with pytest.raises(LinkLostError):
            await dialling.wait_open()
        assert asyncio.get_running_loop().time() == pytest.approx(5)
        assert dialling.cause is CloseCause.HELLO_LATE

    play(scenario)


def test_garbage_on_a_live_link_closes_it_and_only_it() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, other, stream = await meeting.open()
        await stream.write(b"\x00\x00\x00\x02\xff\xff")
        await asyncio.gather(link.wait_closed(), other.wait_closed())
        assert other.cause is CloseCause.BROKE_RULES
        assert link.cause is CloseCause.ERROR_THERE
        again, _, _ = await meeting.open()
        await again.send(envelope(1))

    play(scenario)


def test_cancelling_the_owner_of_a_link_tells_the_handler_and_ends_the_stream() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, other, _ = await meeting.open()
        meeting.ana.tasks[0].cancel()
        await asyncio.gather(meeting.ana.tasks.pop(0), return_exceptions=True)
        assert meeting.ana.recorder.closed == [link]
        await other.wait_closed()
        assert other.cause is CloseCause.STREAM_ENDED

    play(scenario)


def test_a_handler_may_close_the_link_it_is_told_about() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, other, _ = await meeting.open()

        meeting.bruno.recorder.then = lambda: other.close(ByeReason.REFUSED)
        with pytest.raises(LinkLostError):
            await link.send(envelope(1))
        await other.wait_closed()

    play(scenario)


def test_pings_are_answered_while_the_handler_is_busy() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, _, stream = await meeting.open()
        meeting.bruno.recorder.hold = asyncio.Event()
        pending = asyncio.ensure_future(link.send(envelope(1)))
        await stream.write(encode_record(Ping(5)))
        await asyncio.sleep(60)
        assert link.is_open
        meeting.bruno.recorder.hold.set()
        await pending

    play(scenario)


def test_a_session_whose_task_was_cancelled_is_not_open_and_takes_nothing() -> None:
    async def scenario(meeting: Meeting) -> None:
        link, _, stream = await meeting.open()
        stream.cut()
        before = asyncio.ensure_future(link.send(envelope(1)))
        await asyncio.sleep(0)
        meeting.ana.tasks.pop().cancel()
        await asyncio.sleep(0)
        assert not link.is_open
        await link.wait_closed()
        for sending in (before, link.send(envelope(2))):
            async with asyncio.timeout(60):
                with pytest.raises(LinkLostError):
                    await sending

    play(scenario)
