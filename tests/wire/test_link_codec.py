"""docs/protocol/link.md, "Records"."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.envelope import MAX_ENVELOPE_BYTES
from mepassa.model.errors import MalformedError, TooLargeError
from mepassa.model.ids import AccountId, EnvelopeId
from mepassa.wire.codec import Codec
from mepassa.wire.link import (
    MAX_RECORD_BYTES,
    Ack,
    Bye,
    EnvelopeRecord,
    ErrorRecord,
    Hello,
    LinkRecord,
    Ping,
    Pong,
    RecordDecoder,
    decode_record,
    encode_record,
)

NONCES = st.integers(0, 2**53)
RECORDS: st.SearchStrategy[LinkRecord] = st.one_of(
    st.builds(
        Hello,
        account=st.binary(min_size=16, max_size=16).map(AccountId),
        device=st.integers(1, 127),
        list_version=st.integers(1, 2**53),
        signature=st.binary(min_size=64, max_size=64),
    ),
    st.builds(EnvelopeRecord, st.binary(min_size=1, max_size=300)),
    st.builds(Ack, st.binary(min_size=16, max_size=16).map(EnvelopeId)),
    st.builds(Ping, NONCES),
    st.builds(Pong, NONCES),
    st.builds(Bye, st.integers(0, 255)),
    st.builds(ErrorRecord, st.integers(0, 255)),
)
Outcome = tuple[list[LinkRecord], type[Exception] | None, bool]


def feed(chunks: list[bytes]) -> Outcome:
    """What a reader sees: the records, the error that ended it, and whether it stopped inside a record."""
    decoder = RecordDecoder()
    records: list[LinkRecord] = []
    try:
        for chunk in chunks:
            decoder.receive(chunk)
            while (record := decoder.next_record()) is not None:
                records.append(record)
    except MalformedError as error:
        return records, type(error), False
    return records, None, decoder.in_record


@given(RECORDS)
def test_a_record_comes_back_as_it_went(record: LinkRecord) -> None:
    framed = encode_record(record)
    assert int.from_bytes(framed[:4], "big") == len(framed) - 4
    assert decode_record(framed[4:]) == record


@given(st.lists(RECORDS, max_size=6), st.integers(1, 50))
def test_however_a_stream_is_split_the_records_are_the_same(records: list[LinkRecord], step: int) -> None:
    stream = b"".join(map(encode_record, records))
    pieces = [stream[start : start + step] for start in range(0, len(stream), step)]
    assert feed([stream]) == feed(pieces) == (records, None, False)


@given(st.binary(max_size=400))
def test_random_bytes_give_a_record_or_a_documented_error_whole_and_byte_by_byte(data: bytes) -> None:
    assert feed([data]) == feed([bytes([byte]) for byte in data])
    try:
        decode_record(data)
    except MalformedError:
        pass


@given(RECORDS, st.data())
def test_mutated_records_give_a_record_or_a_documented_error(record: LinkRecord, data: st.DataObject) -> None:
    stream = bytearray(encode_record(record))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(stream)))
    mutated = bytes(stream[:cut])
    assert feed([mutated]) == feed([bytes([byte]) for byte in mutated])


def test_a_length_over_the_limit_is_refused_before_its_bytes_are_waited_for() -> None:
    decoder = RecordDecoder()
    decoder.receive((MAX_RECORD_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(TooLargeError):
        decoder.next_record()
    longest = RecordDecoder()
    longest.receive(MAX_RECORD_BYTES.to_bytes(4, "big"))
    assert longest.next_record() is None


def test_a_codec_takes_its_limit_and_not_a_byte_more_either_way() -> None:
    codec: Codec[bytes] = Codec(bytes, limit_bytes=10)
    assert codec.decode(codec.encode(bytes(6))) == bytes(6)
    wider: Codec[bytes] = Codec(bytes, limit_bytes=11)
    one_more = wider.encode(bytes(7))
    with pytest.raises(TooLargeError):
        codec.encode(bytes(7))
    with pytest.raises(TooLargeError):
        codec.decode(one_more)


def test_the_largest_envelope_fits_and_one_byte_more_is_refused() -> None:
    framed = encode_record(EnvelopeRecord(bytes(MAX_ENVELOPE_BYTES)))
    assert decode_record(framed[4:]) == EnvelopeRecord(bytes(MAX_ENVELOPE_BYTES))
    with pytest.raises(MalformedError):
        decode_record(encode_record(EnvelopeRecord(bytes(MAX_ENVELOPE_BYTES + 1)))[4:])


def test_golden_bytes_of_the_small_records() -> None:
    """Changing these is a protocol decision."""
    assert encode_record(Ping(7)).hex(" ") == "00 00 00 05 92 01 92 04 07"
    assert encode_record(Pong(7)).hex(" ") == "00 00 00 05 92 01 92 05 07"
    assert encode_record(Bye(1)).hex(" ") == "00 00 00 05 92 01 92 06 01"
    assert encode_record(ErrorRecord(0)).hex(" ") == "00 00 00 05 92 01 92 07 00"
    ack = "00 00 00 17 92 01 93 03 c4 10" + " 00" * 16
    assert encode_record(Ack(EnvelopeId(bytes(16)))).hex(" ") == ack + " c2"
    assert encode_record(Ack(EnvelopeId(bytes(16)), opened=True)).hex(" ") == ack + " c3"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x92\x01\x92\x09\x00",
        b"\x92\x01\x92\x03\xc4\x0f" + bytes(15),
        b"\x92\x02\x92\x04\x07",
        b"\x92\x01\x90",
        b"\xc0",
    ],
)
def test_unknown_kinds_versions_and_empty_records_are_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_record(body)
