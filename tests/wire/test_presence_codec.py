"""docs/protocol/presence.md, "Bytes"."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.errors import MalformedError
from mepassa.wire.presence import (
    LIFE_MS,
    MAX_AHEAD_MS,
    MAX_PRESENCE_BYTES,
    PresenceBody,
    PresenceRecord,
    StoredPresence,
    decode_presence_body,
    decode_presence_record,
    decode_stored_presence,
    encode_presence_body,
    encode_presence_record,
    encode_stored_presence,
)

PEER_ID = "12D3KooWCSL1nq98jKeC1VUmcrXY6RbraubQcaMpFz3R2nj8Df73"
BODY = PresenceBody(PEER_ID, ("/ip4/192.0.2.7/tcp/4001",))
SIGNATURES = st.binary(min_size=64, max_size=64)
DECODERS: list[Callable[[bytes], object]] = [decode_presence_body, decode_presence_record, decode_stored_presence]
EXAMPLES = [
    encode_presence_body(BODY),
    encode_presence_record(PresenceRecord(encode_presence_body(BODY), bytes(64))),
    encode_stored_presence(StoredPresence(1_790_000_000_000, bytes(512), bytes(64))),
]


@given(st.lists(st.text("0123456789./ipct", min_size=1, max_size=30), max_size=16).map(tuple))
def test_a_body_comes_back_as_it_went(addresses: tuple[str, ...]) -> None:
    body = PresenceBody(PEER_ID, addresses)
    assert decode_presence_body(encode_presence_body(body)) == body


@given(st.binary(min_size=1, max_size=900), SIGNATURES)
def test_a_record_comes_back_as_it_went(body: bytes, signature: bytes) -> None:
    record = PresenceRecord(body, signature)
    assert decode_presence_record(encode_presence_record(record)) == record


@given(st.integers(0, 2**53), st.sampled_from([512, 928]), SIGNATURES)
def test_a_stored_record_comes_back_as_it_went_and_fits_into_a_kibibyte(
    sequence: int, size: int, signature: bytes
) -> None:
    stored = StoredPresence(sequence, bytes(size), signature)
    encoded = encode_stored_presence(stored)
    assert len(encoded) <= MAX_PRESENCE_BYTES
    assert decode_stored_presence(encoded) == stored


@given(st.binary(max_size=1200))
def test_random_bytes_give_a_value_or_a_documented_error(data: bytes) -> None:
    for decode in DECODERS:
        try:
            decode(data)
        except MalformedError:
            continue


@given(st.sampled_from(EXAMPLES), st.data())
def test_mutated_bytes_give_a_value_or_a_documented_error(example: bytes, data: st.DataObject) -> None:
    mutated = bytearray(example)
    for _ in range(data.draw(st.integers(1, 5))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    for decode in DECODERS:
        try:
            decode(bytes(mutated[: data.draw(st.integers(0, len(mutated)))]))
        except MalformedError:
            continue


@pytest.mark.parametrize(
    "now_ms, fresh",
    [
        (1_000_000_000, True),
        (1_000_000_000 + LIFE_MS - 1, True),
        (1_000_000_000 + LIFE_MS, False),
        (1_000_000_000 - MAX_AHEAD_MS, True),
        (1_000_000_000 - MAX_AHEAD_MS - 1, False),
    ],
)
def test_a_record_is_fresh_for_two_hours_and_at_most_ten_minutes_ahead(now_ms: int, *, fresh: bool) -> None:
    assert StoredPresence(1_000_000_000, b"x", bytes(64)).is_fresh(now_ms) is fresh


def test_golden_bytes_of_a_body() -> None:
    """Changing them is a protocol decision."""
    expected = "9201 92d934" + PEER_ID.encode().hex() + "91b7" + BODY.addresses[0].encode().hex()
    assert encode_presence_body(BODY) == bytes.fromhex(expected)
