"""docs/protocol/signal.md: the note by which two devices meet, in bytes."""

from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.errors import MalformedError
from mepassa.model.ids import AttemptId, Timestamp
from mepassa.model.route import NatKind
from mepassa.model.signal import MAX_ADDRESSES, Signal, SignalKind
from mepassa.wire.signal import decode_signal, encode_signal

lines = st.lists(st.text(min_size=1, max_size=40), max_size=MAX_ADDRESSES).map(tuple)
keys = st.binary(min_size=32, max_size=32)
signals = st.builds(
    Signal,
    kind=st.sampled_from(SignalKind),
    attempt_id=st.binary(min_size=16, max_size=16).map(AttemptId),
    sent_at_ms=st.integers(0, 2**53).map(Timestamp),
    ice_ufrag=st.text(min_size=4, max_size=32),
    ice_password=st.text(min_size=22, max_size=64),
    candidates=lines,
    nat_kind=st.sampled_from(NatKind),
    quic_certificate_sha256=keys,
    path_secret=keys,
    libp2p_peer_id=st.none() | st.text(min_size=1, max_size=80),
    libp2p_addresses=lines,
    relay_only=st.booleans(),
    direct=st.booleans(),
    relay=st.booleans(),
)


@given(signals)
def test_a_signal_comes_back_as_it_went(signal: Signal) -> None:
    assert decode_signal(encode_signal(signal)) == signal


@given(st.binary(max_size=300))
def test_random_bytes_are_a_signal_or_malformed(data: bytes) -> None:
    try:
        decode_signal(data)
    except MalformedError:
        pass


@given(signals, st.data())
def test_mutated_signals_are_a_signal_or_malformed(signal: Signal, data: st.DataObject) -> None:
    raw = bytearray(encode_signal(signal))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_signal(bytes(raw))
    except MalformedError:
        pass
