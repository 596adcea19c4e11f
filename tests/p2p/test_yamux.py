"""Our Yamux against the library's own and against peers that keep no rule. Names and bytes: the specification's."""

import struct
from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from libp2p.stream_muxer.exceptions import (
    MuxedConnUnavailable,
    MuxedStreamClosed,
    MuxedStreamEOF,
    MuxedStreamError,
    MuxedStreamReset,
)
from libp2p.stream_muxer.yamux.yamux import Yamux as TheirYamux

from mepassa.model.errors import MalformedError
from mepassa.p2p import yamux
from mepassa.p2p.yamux import IDLE_S, INITIAL_WINDOW_BYTES, MAX_STREAMS, WIDE_WINDOW_BYTES, Yamux, YamuxStream
from tests.p2p.raw_pair import BOTH_WAYS, OURS, Muxed, chance, muxed_pair
from tests.p2p.told_session import frame, lone, told

DATA, UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8


def both(pair: Muxed) -> list[Any]:
    return [pair.near, pair.far]


async def read_all(stream: Any) -> bytes:
    read = b""
    try:
        while data := await stream.read(10_000):
            read += data
    except MuxedStreamEOF:
        pass
    return read


@pytest.fixture
def conn() -> Yamux:
    """One end, as its peer's frames find it; `told` is what it answers."""
    return lone()


# --- with another implementation --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", BOTH_WAYS, ids="-".join)
@pytest.mark.parametrize("seed", range(4))
def test_streams_of_both_sides_carry_more_than_their_windows_both_ways_at_once(
    kinds: tuple[str, str], seed: int
) -> None:
    async def echo(conn: Any) -> None:
        stream = await conn.accept_stream()
        while data := await stream.read(50_000):
            await stream.write(data)
            if data.endswith(b"."):
                await stream.close()
                return

    async def ask(conn: Any, data: bytes) -> None:
        stream = await conn.open_stream()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.write, data)
            assert await read_all(stream) == data
        await stream.close()

    async def main() -> None:
        async with muxed_pair(kinds, *chance(seed)) as pair, trio.open_nursery() as nursery:
            for one, other in ((pair.near, pair.far), (pair.far, pair.near)):
                nursery.start_soon(echo, other)
                nursery.start_soon(
                    ask, one, Random(seed).randbytes(2 * INITIAL_WINDOW_BYTES).replace(b".", b",") + b"."
                )

    trio.run(main)


@pytest.mark.parametrize("kinds", BOTH_WAYS, ids="-".join)
def test_a_stream_closed_by_one_side_is_written_by_the_other_and_a_reset_ends_both(kinds: tuple[str, str]) -> None:
    async def main() -> None:
        async with muxed_pair(kinds) as pair:
            near = await pair.near.open_stream()
            far = await pair.far.accept_stream()
            await near.write(b"question")
            await near.close()
            with pytest.raises(MuxedStreamError):
                await near.write(b"more")
            assert await read_all(far) == b"question"
            await far.write(b"answer")
            assert await near.read(100) == b"answer"
            await far.reset()
            with pytest.raises(MuxedStreamReset if kinds[0] == OURS else MuxedStreamError):  # theirs may call it an end
                await near.read(1)
            for stream in (near, far):
                with pytest.raises(MuxedStreamError):
                    await stream.write(b"late")

    trio.run(main)


@pytest.mark.parametrize("kinds", BOTH_WAYS, ids="-".join)
@pytest.mark.parametrize("who", ["near", "far", "the wire"])
def test_the_end_of_the_connection_ends_whoever_reads_writes_or_accepts(kinds: tuple[str, str], who: str) -> None:
    async def main() -> None:
        ended: list[str] = []

        async def expect(what: str, work: Any, *args: Any) -> None:
            with pytest.raises((MuxedStreamError, MuxedConnUnavailable)):
                await work(*args)
            ended.append(what)

        async with muxed_pair(kinds) as pair:
            near = await pair.near.open_stream()
            await pair.far.accept_stream()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(expect, "read", near.read, 1)
                nursery.start_soon(expect, "write", near.write, bytes(2 * INITIAL_WINDOW_BYTES))
                nursery.start_soon(expect, "accept", pair.far.accept_stream)
                await trio.testing.wait_all_tasks_blocked(0.05)
                await (pair.near_raw if who == "the wire" else getattr(pair, who)).close()
        assert sorted(ended) == ["accept", "read", "write"]
        assert all(conn.is_closed for conn in both(pair))

    trio.run(main)


def test_the_library_counts_no_byte_over_its_window() -> None:
    """What it would only log: a writer of ours that waits for the reader, and is read bit by bit."""

    async def main() -> None:
        async with muxed_pair(("ours", "theirs")) as pair, trio.open_nursery() as nursery:
            assert isinstance(pair.far, TheirYamux)
            near = await pair.near.open_stream()
            far: Any = await pair.far.accept_stream()
            nursery.start_soon(near.write, bytes(3 * INITIAL_WINDOW_BYTES))
            left = 3 * INITIAL_WINDOW_BYTES
            while left:
                assert len(pair.far.stream_buffers[1]) <= far.target_recv_window
                left -= len(await far.read(7_777))

    trio.run(main)


# --- bytes on the wire ------------------------------------------------------------------------------------------------


async def test_frames_as_the_specification_draws_them(conn: Yamux) -> None:
    stream = await conn.open_stream()
    assert told(conn).hex(" ", 4) == "00010001 00000001 00000000"
    assert stream.send(b"hi") == b""
    assert told(conn) == bytes.fromhex("000000000000000100000002") + b"hi"
    await stream.close()
    assert told(conn).hex(" ", 4) == "00010004 00000001 00000000"
    await stream.reset()
    assert told(conn).hex(" ", 4) == "00010008 00000001 00000000"
    conn.receive_data(frame(UPDATE, SYN, 2, 0))
    assert told(conn).hex(" ", 4) == "00010002 00000002 00000000"
    conn.receive_data(frame(PING, SYN, 0, 0xABCD))
    assert told(conn).hex(" ", 4) == "00020002 00000000 0000abcd"
    conn.receive_data(frame(PING, ACK, 0, 1) + frame(DATA, 0, 99, 3) + b"old" + frame(UPDATE, RST, 99, 0))
    assert told(conn) == b"", "an answer, and frames of a stream that is gone, ask for none"
    await conn.close()
    assert told(conn).hex(" ", 4) == "00030000 00000000 00000000"
    await conn.close()
    assert told(conn) == b""


async def test_the_peer_hears_of_room_when_half_the_window_has_been_taken(conn: Yamux) -> None:
    stream = await conn.open_stream()
    told(conn)
    half = INITIAL_WINDOW_BYTES // 2
    conn.receive_data(frame(DATA, ACK, 1, INITIAL_WINDOW_BYTES) + bytes(INITIAL_WINDOW_BYTES))
    assert len(stream.take(half - 1)) == half - 1
    assert told(conn) == b""
    assert len(stream.take(1)) == 1
    assert told(conn) == frame(UPDATE, 0, 1, half)
    stream.wide()
    assert told(conn) == frame(UPDATE, 0, 1, WIDE_WINDOW_BYTES - INITIAL_WINDOW_BYTES)
    conn.receive_data(frame(UPDATE, FIN, 1, 0))
    stream.take(half)
    assert told(conn) == b"", "nothing more will come"


async def test_a_stream_sends_no_more_than_its_window_and_in_frames_that_fit_one_noise_message(conn: Yamux) -> None:
    stream = await conn.open_stream()
    told(conn)
    data: bytes | memoryview = bytes(INITIAL_WINDOW_BYTES + 10)
    sizes = []
    while size := len(data) - len(rest := stream.send(data)):
        sizes.append(size)
        data = rest
    assert (sum(sizes), max(sizes)) == (INITIAL_WINDOW_BYTES, 65_519 - 12)
    told(conn)
    conn.receive_data(frame(UPDATE, 0, 1, 4))
    assert len(stream.send(rest)) == 6
    assert told(conn) == frame(DATA, 0, 1, 4) + bytes(4)


@pytest.mark.parametrize("cut", [1, 5, 12, 13, 10**6])
async def test_frames_come_in_any_pieces(conn: Yamux, cut: int) -> None:
    came = b"".join(
        [frame(DATA, SYN, 2, 3), b"one", frame(UPDATE, 0, 2, 5), frame(DATA, 0, 2, 0), frame(DATA, FIN, 2, 3), b"two"]
    )
    for begin in range(0, len(came), cut):
        conn.receive_data(came[begin : begin + cut])
    stream = conn._to_accept.receive_nowait()
    assert await stream.read() == b"onetwo"
    with pytest.raises(MuxedStreamEOF):
        await stream.read()


# --- peers that keep no rule ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "came",
    [
        struct.pack("!BBHII", 1, PING, SYN, 0, 0),
        struct.pack("!BBHII", 0, 4, 0, 0, 0),
        frame(DATA, 0, 1, WIDE_WINDOW_BYTES + 1),
        frame(DATA, 0, 1, 2**32 - 1),
        frame(DATA, 0, 1, INITIAL_WINDOW_BYTES + 1) + bytes(INITIAL_WINDOW_BYTES + 1),
        frame(DATA, SYN, 2, INITIAL_WINDOW_BYTES) + bytes(INITIAL_WINDOW_BYTES) + frame(DATA, 0, 2, 1) + b"x",
        frame(UPDATE, SYN, 3, 0),
        frame(UPDATE, SYN, 0, 0),
        frame(UPDATE, SYN, 2, 0) * 2,
    ],
    ids=["version", "type", "length", "all ones", "window", "window by two", "our number", "no number", "open already"],
)
async def test_what_breaks_the_protocol_is_refused_before_memory_is_spent(conn: Yamux, came: bytes) -> None:
    await conn.open_stream()
    with pytest.raises(MalformedError):
        conn.receive_data(came)


async def test_past_so_many_streams_the_peers_are_reset_and_those_that_ended_make_room(conn: Yamux) -> None:
    for number in range(1, MAX_STREAMS + 1):
        conn.receive_data(frame(UPDATE, SYN, 2 * number, 0))
    told(conn)
    conn.receive_data(frame(UPDATE, SYN, 9_000, 0))
    assert told(conn) == frame(UPDATE, RST, 9_000, 0)
    conn.receive_data(frame(UPDATE, RST, 2, 0) + frame(UPDATE, SYN, 9_002, 0))
    assert told(conn) == frame(UPDATE, RST, 9_002, 0), "the one that ended has not been accepted yet"
    with pytest.raises(MuxedStreamReset):
        await conn._to_accept.receive_nowait().read()
    conn.receive_data(frame(UPDATE, SYN, 9_004, 0))
    assert told(conn) == frame(UPDATE, ACK, 9_004, 0)


async def test_after_the_peer_said_go_away_its_frames_are_not_looked_at(conn: Yamux) -> None:
    stream = await conn.open_stream()
    conn.receive_data(frame(DATA, 0, 1, 4) + b"last" + frame(GO_AWAY, 0, 0, 0) + b"\xff" * 100)
    assert conn.is_closed
    assert await stream.read() == b"last"
    with pytest.raises(MuxedStreamReset):
        await stream.read()
    with pytest.raises(MuxedStreamReset):
        stream.send(b"x")
    with pytest.raises(MuxedStreamError):
        await conn.open_stream()


@pytest.mark.parametrize("first", ["ours", "theirs"])
async def test_a_stream_closed_by_both_is_forgotten_and_its_number_says_nothing_more(conn: Yamux, first: str) -> None:
    stream = await conn.open_stream()
    if first == "ours":
        await stream.close()
    conn.receive_data(frame(DATA, FIN, 1, 4) + b"last")
    assert conn._streams == ({} if first == "ours" else {1: stream})
    await stream.close()
    assert not conn._streams
    conn.receive_data(frame(DATA, 0, 1, 4) + b"late")
    assert await read_all(stream) == b"last"


async def test_a_stream_that_we_closed_is_not_written(conn: Yamux) -> None:
    stream = await conn.open_stream()
    await stream.close()
    with pytest.raises(MuxedStreamClosed):
        stream.send(b"x")


def test_a_peer_that_asks_and_does_not_read_the_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamux, "MAX_UNSENT_BYTES", 3_000)

    async def main() -> None:
        async with muxed_pair() as pair:
            pair.far_raw.gate = trio.Event()  # the kernel of the one asked takes nothing any more
            asked = 0
            while not pair.far.is_closed:
                pair.near.tell(PING, SYN, 0, asked)
                asked += 1
                await trio.testing.wait_all_tasks_blocked()
            assert asked == 3_000 // (2 + 12 + 16) + 1

    trio.run(main)


def test_a_write_that_waits_for_the_kernel_ends_with_the_connection() -> None:
    async def write(stream: YamuxStream) -> None:
        with pytest.raises(MuxedStreamReset):
            await stream.write(b"x")

    async def main() -> None:
        async with muxed_pair() as pair:
            stream = await pair.near.open_stream()
            pair.near_raw.gate = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write, stream)
                await trio.testing.wait_all_tasks_blocked()
                await pair.near.close()

    trio.run(main)


def test_a_write_waits_for_the_kernel_and_streams_take_turns_behind_it() -> None:
    async def main() -> None:
        async with muxed_pair() as pair:
            streams = [await pair.near.open_stream() for _ in range(2)]
            others = [await pair.far.accept_stream() for _ in range(2)]
            pair.near_raw.gate = trio.Event()
            done: list[int] = []

            async def write(number: int) -> None:
                await streams[number].write(b"x" * 100)
                done.append(number)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(write, 0)
                nursery.start_soon(write, 1)
                await trio.testing.wait_all_tasks_blocked()
                assert not done
                pair.near_raw.gate.set()
            assert sorted(done) == [0, 1]
            for other in others:
                assert await other.read(200) == b"x" * 100

    trio.run(main)


def test_thousands_of_frames_received_at_once_are_answered_in_one_message() -> None:
    async def main() -> None:
        async with muxed_pair() as pair:
            begin = len(pair.near_raw.seen)
            pair.near.secured_conn.send(b"".join(frame(PING, SYN, 0, number) for number in range(5_000)))
            await trio.testing.wait_all_tasks_blocked()
            answered = len(pair.near_raw.seen) - begin
            assert answered == 5_000 * 12 + 2 + 16

    trio.run(main)


async def test_a_peer_that_closes_no_stream_is_asked_on_so_many_and_no_more(conn: Yamux) -> None:
    for _ in range(MAX_STREAMS):
        await (await conn.open_stream()).close()
    with pytest.raises(MuxedStreamError):
        await conn.open_stream()
    conn.receive_data(frame(UPDATE, FIN, 1, 0))
    await conn.open_stream()


def test_a_peer_that_fills_the_windows_of_many_streams_is_left_before_they_are_all_full() -> None:
    async def main() -> None:
        async with muxed_pair() as pair:
            for _ in range(2 * WIDE_WINDOW_BYTES // INITIAL_WINDOW_BYTES):
                await (await pair.near.open_stream()).write(bytes(INITIAL_WINDOW_BYTES))
            one_more = await pair.near.open_stream()
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not pair.far.is_closed
            await one_more.write(b"x")
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert pair.far.is_closed

    trio.run(main)


@pytest.mark.parametrize("closed", [False, True], ids=["none was opened", "the last was closed"])
def test_a_connection_that_carries_no_stream_is_over(closed: bool) -> None:
    """Its peer may be dead: nothing is sent, so TCP does not say so, and its place is one of few."""

    async def main() -> None:
        async with muxed_pair() as pair:
            if closed:
                near = await pair.near.open_stream()
                far = await pair.far.accept_stream()
                await trio.sleep(10 * IDLE_S)
                assert not any(conn.is_closed for conn in both(pair)), "a stream is life enough; it has its own pings"
                await near.close()
                await far.close()
            await trio.sleep(2 * IDLE_S + 1)
            assert all(conn.is_closed for conn in both(pair))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))


def test_what_the_swarm_raises_at_the_end_of_a_connection_does_not_end_the_swarm() -> None:
    async def on_close() -> None:
        raise RuntimeError

    async def main() -> None:
        async with muxed_pair() as pair:
            pair.near.on_close = on_close
            await pair.far.close()

    trio.run(main)


def test_a_write_that_waits_for_room_ends_when_its_stream_is_closed() -> None:
    async def main() -> None:
        async with muxed_pair() as pair, trio.open_nursery() as nursery:
            stream = await pair.near.open_stream()

            async def write() -> None:
                with pytest.raises(MuxedStreamClosed):
                    await stream.write(bytes(INITIAL_WINDOW_BYTES + 1))

            nursery.start_soon(write)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await stream.close()
            with trio.fail_after(5):
                while nursery.child_tasks:
                    await trio.lowlevel.checkpoint()

    trio.run(main)


def test_a_write_cancelled_half_way_resets_its_stream_and_the_connection_lives() -> None:
    async def main() -> None:
        async with muxed_pair() as pair:
            stream, other = await pair.near.open_stream(), await pair.near.open_stream()
            with trio.move_on_after(0.05):
                await stream.write(bytes(INITIAL_WINDOW_BYTES + 1))
            with pytest.raises(MuxedStreamReset):
                await stream.write(b"not the rest of it")
            await other.write(b"x")
            await pair.far.accept_stream()
            assert await (await pair.far.accept_stream()).read(1) == b"x"

    trio.run(main)
