"""What follows the handshake, against the library's own session and against whoever is between the two."""

from itertools import pairwise
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p.network.connection.exceptions import RawConnError

from mepassa.model.errors import DecryptionError
from mepassa.p2p.noise import NoiseSession
from tests.p2p.raw_pair import BOTH_WAYS, chance, raw_pair, shake_hands

WORDS = [b"a", b"bc" * 600, b"d" * 200_000, b"e" * 65_519, b"f" * 65_520, b"end"]


def sealed(*words: bytes) -> tuple[NoiseSession, bytes]:
    """Who can read it, and what came for it."""

    async def main() -> tuple[NoiseSession, bytes]:
        near, far = raw_pair()
        sender, reader = await shake_hands(near, far)
        del far.came[:]
        for word in words:
            sender.send(word)
        return reader, bytes(far.came)

    return trio.run(main)


@pytest.mark.parametrize("kinds", BOTH_WAYS, ids="-".join)
@pytest.mark.parametrize("seed", range(4))
def test_all_arrives_in_order_however_it_is_cut_and_whoever_is_at_the_other_end(
    kinds: tuple[str, str], seed: int
) -> None:
    async def main() -> None:
        sessions = await shake_hands(*raw_pair(*chance(seed)), kinds)
        for one, other in (sessions, reversed(sessions)):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_write, one)
                for word in WORDS:
                    assert await other.read(len(word)) == word

    async def _write(session: Any) -> None:
        for word in WORDS:
            await session.write(word)

    trio.run(main)


def test_the_bytes_are_those_of_the_library() -> None:
    """A length of two bytes, big endian, and a message of at most 65 535 (libp2p's noise, "Wire format")."""
    _, came = sealed(b"x" * 65_520)
    assert came[:2] == b"\xff\xff"
    assert came[2 + 65_535 :][:2] == (1 + 16).to_bytes(2, "big")
    assert len(came) == 2 + 65_535 + 2 + 17


@given(st.lists(st.integers(0, 3_100)))
def test_the_cuts_make_no_difference(cuts: list[int]) -> None:
    reader, came = sealed(b"one", b"", b"two" * 1000)
    read = b""
    for begin, end in pairwise([0, *sorted(cuts), len(came)]):
        read += reader.receive_data(came[begin:end])
    assert read == b"one" + b"two" * 1000


@pytest.mark.parametrize(
    "spoil",
    [
        lambda came: came[:10] + bytes([came[10] ^ 1]) + came[11:],
        lambda came: b"\x00\x00" + came,
        lambda came: b"\x00\x0f" + bytes(15) + came,
        lambda came: b"\xff\xff" + came + bytes(65_535),
        lambda came: came[21:] + came[:21],
        lambda came: came[:21] + came,
    ],
    ids=["flipped", "no tag at all", "less than a tag", "a longer length", "reordered", "twice"],
)
def test_what_the_peer_did_not_seal_is_refused(spoil: Any) -> None:
    reader, came = sealed(b"one", b"two")
    with pytest.raises(DecryptionError):
        reader.receive_data(spoil(came))


def test_a_message_that_never_ends_is_waited_for_and_no_more_is_held_than_it_can_be_long() -> None:
    reader, _ = sealed()
    for _ in range(65_535):
        assert reader.receive_data(b"\xff") == b""
    assert len(reader._sealed) == 65_535


def test_what_a_read_leaves_over_is_received_next_and_the_end_is_the_end() -> None:
    async def main() -> None:
        near, far = raw_pair()
        sender, reader = await shake_hands(near, far)
        sender.send(b"negotiated, and the first frame")
        assert await reader.read(12) == b"negotiated, "
        assert await reader.receive() == b"and the first frame"
        sender.send(b"last")
        await near.close()
        assert await reader.read(100) == b"last"
        assert await reader.receive() == await reader.read() == await reader.read(1) == b""

    trio.run(main)


def test_a_lost_connection_is_told_to_the_writer() -> None:
    async def main() -> None:
        near, far = raw_pair()
        sender, _ = await shake_hands(near, far)
        await far.close()
        with pytest.raises(RawConnError):
            sender.send(b"x")

    trio.run(main)


def test_what_the_kernel_does_not_take_waits_and_nothing_overtakes_it() -> None:
    async def main() -> None:
        near, far = raw_pair()
        sender, reader = await shake_hands(near, far)
        near.gate = trio.Event()
        sender.send(b"one,")
        near.gate.set()
        sender.send(b"two")
        assert not far.came, "the first waits for `flush`, and the second for the first"
        await sender.flush()
        assert not sender.unsent
        assert await reader.read(7) == b"one,two"

    trio.run(main)
