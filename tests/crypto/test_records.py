"""docs/protocol/session.md, "Saved form": what is written is read, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.crypto.errors import CorruptRecordError
from mepassa.crypto.records import Reader, Writer


@given(
    st.integers(0, 2**64 - 1),
    st.binary(max_size=300),
    st.dictionaries(st.integers(0, 2**33), st.binary(min_size=4, max_size=4), max_size=5),
)
def test_what_is_written_is_read(number: int, block: bytes, keyed: dict[int, bytes]) -> None:
    out = Writer()
    out.uint(number)
    out.block(block)
    out.optional(None)
    out.optional(block)
    out.keyed(keyed)
    saved = Reader(out.finish())
    assert saved.uint() == number
    assert saved.block() == block
    assert saved.optional() is None
    assert saved.optional() == block
    read = saved.keyed(4, 5)
    assert list(read.items()) == list(keyed.items())  # the order is part of the state
    saved.end()


def test_limits_are_kept_before_memory_is_spent() -> None:
    def reader(number: int) -> Reader:
        out = Writer()
        out.uint(number)
        return Reader(out.finish())

    for read in (
        lambda: reader(2**62).block(),
        lambda: reader(6).keyed(32, 5),
        lambda: reader(6).several(Reader.uint, 5),
        lambda: reader(2).flag(),
        lambda: reader(3).uint(2),
        lambda: reader(31).block(32),
        lambda: Reader(b"").uint(),
        lambda: Reader(b"\x80" * 11).uint(),
        lambda: Reader(b"xx").raw(3),
        lambda: Reader(b"x").end(),
    ):
        with pytest.raises(CorruptRecordError):
            read()


@given(st.binary(max_size=50))
def test_any_bytes_are_values_or_corrupt(raw: bytes) -> None:
    saved = Reader(raw)
    try:
        saved.uint()
        saved.optional()
        saved.keyed(32, 3)
        saved.several(lambda reader: reader.block(), 3)
        saved.end()
    except CorruptRecordError:
        pass


def test_numbers_and_blocks_are_read_up_to_their_ends() -> None:
    for number in (127, 128):
        out = Writer()
        out.uint(number)
        assert Reader(out.finish()).uint(number) == number
    with pytest.raises(CorruptRecordError):
        Reader(b"\x03abc").block(2)
    assert Reader(b"\x03abc").block(3) == b"abc"
