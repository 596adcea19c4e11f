"""A link's stream of records, fed whole and in pieces: both must see the same."""

from mepassa.model.errors import MalformedError
from mepassa.model.ids import AccountId, EnvelopeId
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

_RECORDS: list[LinkRecord] = [
    Hello(AccountId(bytes(16)), 1, 1, bytes(64)),
    EnvelopeRecord(b"sealed" * 20),
    Ack(EnvelopeId(bytes(16))),
    Ping(1),
    Pong(2**40),
    Bye(1),
    ErrorRecord(0),
]
SEEDS = [*map(encode_record, _RECORDS), b"".join(map(encode_record, _RECORDS))]


def target(data: bytes) -> str:
    whole = _read([data])
    in_pieces = _read([data[start : start + 7] for start in range(0, len(data), 7)])
    if whole != in_pieces:
        raise AssertionError("whole and in pieces differ")
    return whole[1]


def _read(chunks: list[bytes]) -> tuple[list[LinkRecord], str]:
    decoder = RecordDecoder()
    records: list[LinkRecord] = []
    try:
        for chunk in chunks:
            decoder.receive(chunk)
            while (record := decoder.next_record()) is not None:
                records.append(record)
    except MalformedError as error:
        return records, error.code
    return records, "incomplete" if decoder.in_record else "value"
