"""docs/protocol/session.md, "SPQR": message, erasure code, split KEM, chain and Braid, each at its limits."""

import os
import random
from typing import NamedTuple

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from mepassa.crypto.budget import WorkBudget
from mepassa.crypto.errors import CorruptRecordError, SpqrError, TooManySkippedError, WorkBudgetError
from mepassa.crypto.protobuf import encode_varint
from mepassa.crypto.records import Reader, Writer
from mepassa.crypto.spqr import braid
from mepassa.crypto.spqr import chain as chain_module
from mepassa.crypto.spqr import incremental_mlkem as mlkem
from mepassa.crypto.spqr.chain import KEPT_KEYS, MAX_JUMP, Chain, KeyEpoch
from mepassa.crypto.spqr.erasure import Decoder, Encoder, multiply
from mepassa.crypto.spqr.message import (
    Chunk,
    MessageType,
    SpqrMessage,
    decode_spqr_message,
    encode_spqr_message,
)
from mepassa.crypto.spqr.ratchet import SpqrState

AUTH_KEY = bytes(range(32))
PLENTY = 10**9


# --- message -----------------------------------------------------------------------------------------------------------


def test_messages_on_the_wire() -> None:
    nothing = SpqrMessage(1, 1, MessageType.NONE, None)
    assert encode_spqr_message(nothing).hex() == "01010100"
    chunk = SpqrMessage(300, 70_000, MessageType.CT1, Chunk(200, bytes(32)))
    assert encode_spqr_message(chunk).hex() == "01ac02f0a20405c801" + "00" * 32


@given(
    st.integers(1, 2**64 - 1),
    st.integers(1, 2**32 - 1),
    st.sampled_from(list(MessageType)),
    st.integers(0, 65_535),
    st.binary(min_size=32, max_size=32),
)
def test_what_is_encoded_is_decoded(epoch: int, index: int, kind: MessageType, number: int, data: bytes) -> None:
    chunk = None if kind in {MessageType.NONE, MessageType.CT1_ACK} else Chunk(number, data)
    message = SpqrMessage(epoch, index, kind, chunk)
    assert decode_spqr_message(encode_spqr_message(message)) == message
    assert decode_spqr_message(encode_spqr_message(message) + b"trailing") == message


REFUSED = {
    "absent": "",
    "version 0": "00010100",
    "version 2": "02010100",
    "epoch 0": "01000100",
    "epoch over 64 bits": "0181808080808080808080020100",
    "index 0": "01010000",
    "index over 32 bits": "010180808080" + "1000",
    "type 7": "01010107",
    "type 7, with a chunk": "0101010700" + "00" * 32,
    "no type": "010101",
    "chunk cut short": "0101010100" + "00" * 31,
    "chunk number 65536": "01010101808004" + "00" * 32,
    "varint of 11 bytes": "01" + "80" * 11 + "00" + "0100",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_message_is_refused(name: str) -> None:
    with pytest.raises(SpqrError):
        decode_spqr_message(bytes.fromhex(REFUSED[name]))


def test_the_largest_numbers_are_read() -> None:
    message = SpqrMessage(2**64 - 1, 2**32 - 1, MessageType.CT1, Chunk(65_535, bytes(32)))
    assert decode_spqr_message(encode_spqr_message(message)) == message


@pytest.mark.parametrize(("epoch", "index"), [(2**64, 1), (1, 2**32), (0, 1), (1, 0)])
def test_numbers_just_outside_are_refused(epoch: int, index: int) -> None:
    with pytest.raises(SpqrError):
        decode_spqr_message(b"\x01" + encode_varint(epoch) + encode_varint(index) + b"\x00")


def test_a_decoder_keeps_the_first_of_a_number_and_no_more_than_it_needs() -> None:
    decoder = Decoder(2, {})
    for number, data in ((7, b"a"), (7, b"b"), (0, b"c"), (1, b"d")):
        decoder = decoder.add(Chunk(number, data * 32))
    assert decoder.chunks == {7: b"a" * 32, 0: b"c" * 32}


def test_non_minimal_numbers_are_accepted() -> None:
    assert decode_spqr_message(bytes.fromhex("01818000818000" + "00")) == SpqrMessage(1, 1, MessageType.NONE, None)


@given(st.binary(max_size=60) | st.binary(max_size=50).map(lambda tail: b"\x01\x01\x01" + tail))
def test_any_bytes_are_a_message_or_an_spqr_error(data: bytes) -> None:
    try:
        decode_spqr_message(data)
    except SpqrError:
        pass


# --- erasure code ------------------------------------------------------------------------------------------------------


def test_the_field_is_the_specified_one() -> None:
    assert multiply(0x8000, 2) == 0x100B
    assert multiply(0x1234, 0x5678) == 0x6324
    assert multiply(0, 0x1234) == multiply(0x1234, 0) == 0


@given(st.sampled_from([3, 5, 30, 36]), st.randoms(use_true_random=False), st.booleans())
def test_any_n_different_chunks_bring_the_message_back(needed: int, dice: random.Random, parity_only: bool) -> None:
    message = dice.randbytes(32 * needed)
    encoder = Encoder(message)
    numbers = dice.sample(range(needed if parity_only else 0, 65_536 if dice.random() < 0.5 else 80), needed)
    decoder = Decoder(needed, {})
    for number in numbers:
        assert decoder.message() is None
        decoder = decoder.add(encoder.chunk_at(number))
        assert decoder.add(Chunk(number, bytes(32))) == decoder  # the first of a number wins
    assert decoder.message() == message


def test_words_of_zero_survive_parity() -> None:
    message = bytes(31) + b"\x01" + bytes(64)
    decoder = Decoder(3, {})
    for number in (7, 8, 9):
        decoder = decoder.add(Encoder(message).chunk_at(number))
    assert decoder.message() == message


def test_numbers_start_again_after_65535_with_the_same_data() -> None:
    encoder = Encoder(bytes(range(96)), 65_535)
    encoder, last = encoder.chunk()
    encoder, first = encoder.chunk()
    assert (last.number, first) == (65_535, Chunk(0, bytes(range(32))))
    assert encoder.next == 1


# --- split KEM ---------------------------------------------------------------------------------------------------------


def test_openssl_decapsulates_what_the_two_halves_make() -> None:
    for _ in range(50):
        private = MLKEM768PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
        header, ek_vector = mlkem.public_parts(private.private_bytes_raw())
        assert ek_vector + header[:32] == public
        mlkem.check_ek_vector(ek_vector, header)
        secret, ct1, m_and_r = mlkem.encapsulate_1(header, os.urandom)
        assert private.decapsulate(ct1 + mlkem.encapsulate_2(ek_vector, m_and_r)) == secret


def test_reduction_is_exact_below_2_to_the_26_and_compression_for_every_coefficient(seed: int) -> None:
    """Another seventh of all values each run; what is reduced in earnest stays below 2^25."""
    values = np.arange(seed % 7, 2**26, 7, dtype=np.int64)
    for part in np.array_split(values, 16):
        assert bool((mlkem._reduce(part) == part % mlkem.Q).all())
    coefficients = np.arange(mlkem.Q, dtype=np.int64)
    for bits, compress in ((10, mlkem._compress_10), (4, mlkem._compress_4)):
        expected = (coefficients * 2**bits * 2 + mlkem.Q) // (2 * mlkem.Q) % 2**bits
        assert bool((compress(coefficients) == expected).all())


def test_secret_arithmetic_has_no_division() -> None:
    """KyberSlash: `%` and `//` on secret coefficients leak through time. Only public sampling may branch."""
    import ast
    from pathlib import Path

    tree = ast.parse(Path(mlkem.__file__).read_text())
    secret = {"_reduce", "_compress_10", "_compress_4", "_ntt", "_inverse_ntt", "_multiply", "_cbd2", "encapsulate_1", "encapsulate_2", "_pack", "_unpack"}  # fmt: skip
    found = {
        function.name: [
            node
            for node in ast.walk(function)
            if (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Div))
            or isinstance(node, ast.If | ast.IfExp)
        ]
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and function.name in secret
    }
    assert found.keys() == secret
    assert not any(found.values())


def test_an_ek_vector_must_be_the_promised_one_with_proper_coefficients() -> None:
    import hashlib

    header, ek_vector = mlkem.public_parts(bytes(64))
    with pytest.raises(SpqrError):
        mlkem.check_ek_vector(bytes([ek_vector[0] ^ 1]) + ek_vector[1:], header)
    improper = b"\xff" * 1152  # coefficients of 4095, promised properly
    with pytest.raises(SpqrError):
        mlkem.check_ek_vector(improper, header[:32] + hashlib.sha3_256(improper + header[:32]).digest())


# --- chain -------------------------------------------------------------------------------------------------------------


def chains() -> tuple[Chain, Chain]:
    return Chain.start(AUTH_KEY, a2b=True), Chain.start(AUTH_KEY, a2b=False)


def test_skipped_keys_are_kept_two_thousand_back_and_used_once() -> None:
    sender, receiver = chains()
    keys = {}
    for _ in range(4100):
        sender, index, key = sender.next_send_key(0)
        keys[index] = key
    receiver, key = receiver.receive_key(0, 4001, WorkBudget(PLENTY))
    assert key == keys[4001]
    with pytest.raises(SpqrError):
        receiver.receive_key(0, 4001, WorkBudget(PLENTY))
    with pytest.raises(SpqrError):
        receiver.receive_key(0, 4001 - KEPT_KEYS - 1, WorkBudget(PLENTY))
    late, key = receiver.receive_key(0, 4001 - KEPT_KEYS, WorkBudget(0))
    assert key == keys[4001 - KEPT_KEYS]
    with pytest.raises(SpqrError):
        late.receive_key(0, 4001 - KEPT_KEYS, WorkBudget(0))
    further, _ = receiver.receive_key(0, 4003, WorkBudget(PLENTY))
    with pytest.raises(SpqrError):
        further.receive_key(0, 4001 - KEPT_KEYS + 1, WorkBudget(PLENTY))
    assert further.receive_key(0, 4002, WorkBudget(0))[1] == keys[4002]
    assert max(len(epoch.stored) for epoch in further.epochs) <= KEPT_KEYS


def test_a_jump_of_25000_is_derived_and_one_more_is_not() -> None:
    _, receiver = chains()
    budget = WorkBudget(PLENTY)
    receiver.receive_key(0, MAX_JUMP, budget)
    assert budget.spent == MAX_JUMP
    with pytest.raises(TooManySkippedError):
        receiver.receive_key(0, MAX_JUMP + 1, budget)
    assert budget.spent == MAX_JUMP
    with pytest.raises(WorkBudgetError):
        receiver.receive_key(0, 11, WorkBudget(10))


def test_a_jump_that_the_budget_does_not_allow_is_not_even_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusing after the work would cost us what the budget is there to save."""
    begun: list[int] = []
    monkeypatch.setattr(chain_module, "_skip_to", lambda _epoch, index: begun.append(index))
    with pytest.raises(WorkBudgetError):
        chains()[1].receive_key(0, 11, WorkBudget(10))
    assert not begun


def test_a_chain_ends_with_the_last_index_that_four_bytes_hold() -> None:
    def last_but(left: int) -> Chain:
        (begun,) = Chain.start(AUTH_KEY, a2b=True).epochs
        at = KeyEpoch(begun.send_seed, 2**32 - 1 - left, begun.receive_seed, 2**32 - 1, begun.stored)
        return Chain(bytes(32), True, 0, 0, (at,))

    for left in (2**31, 1):
        chain, index, _ = last_but(left).next_send_key(0)
        assert index == 2**32 - left
        out = Writer()
        chain.write(out)
        (kept,) = Chain.read(Reader(out.finish())).epochs
        assert (kept.send_counter, kept.receive_counter) == (index, 2**32 - 1)
    with pytest.raises(SpqrError):
        last_but(0).next_send_key(0)


@pytest.mark.parametrize(
    ("kept", "current", "send_epoch", "is_sound"),
    [
        (1, 0, 0, True),
        (3, 7, 5, True),
        (3, 7, 7, True),
        (3, 7, 4, False),
        (3, 7, 8, False),
        (0, 7, 7, False),
        (4, 7, 7, False),
    ],
)
def test_a_saved_chain_sends_in_an_epoch_that_it_keeps(
    kept: int, current: int, send_epoch: int, *, is_sound: bool
) -> None:
    epoch = chains()[0].epochs[0]
    out = Writer()
    Chain(bytes(32), True, current, send_epoch, (epoch,) * kept).write(out)
    if is_sound:
        assert Chain.read(Reader(out.finish())).send_epoch == send_epoch
    else:
        with pytest.raises(CorruptRecordError):
            Chain.read(Reader(out.finish()))


def test_key_epochs_fall_one_behind_the_one_we_send_on() -> None:
    chain, other = chains()
    for epoch in (1, 2):
        secret = bytes([epoch]) * 32
        chain, other = chain.add_epoch(epoch, secret), other.add_epoch(epoch, secret)
    old_seed = chain.epochs[0].send_seed
    chain, _, _ = chain.next_send_key(1)
    assert old_seed is not None
    assert chain.epochs[0].send_seed is None
    assert chain.receive_key(0, 1, WorkBudget(1))
    with pytest.raises(SpqrError):
        chain.next_send_key(0)
    chain, index, key = chain.next_send_key(2)
    assert other.receive_key(2, index, WorkBudget(1))[1] == key
    assert chain.oldest == 1
    for dropped_or_unknown in (0, 3):
        with pytest.raises(SpqrError):
            chain.receive_key(dropped_or_unknown, 1, WorkBudget(1))
    with pytest.raises(SpqrError):
        chain.add_epoch(4, bytes(32))
    with pytest.raises(SpqrError):
        chain.next_send_key(3)


# --- Braid -------------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    a: SpqrState
    b: SpqrState


def fresh() -> Pair:
    return Pair(SpqrState.start(AUTH_KEY, initiator=True), SpqrState.start(AUTH_KEY, initiator=False))


def reloaded(state: SpqrState) -> SpqrState:
    out = Writer()
    state.write(out)
    saved = Reader(out.finish())
    loaded = SpqrState.read(saved)
    saved.end()
    again = Writer()
    loaded.write(again)
    assert again.finish() == out.finish()
    return loaded


def exchange(sender: SpqrState, receiver: SpqrState) -> tuple[SpqrState, SpqrState]:
    sender, field, key = sender.send(os.urandom)
    receiver, received = receiver.receive(field, WorkBudget(PLENTY))
    assert key == received
    return sender, receiver


def test_every_state_survives_saving_and_both_sides_agree_over_many_epochs(seed: int) -> None:
    """Random losses, each state saved and loaded at every step: all eleven states are passed through."""
    dice = random.Random(seed)
    a, b = fresh()
    seen = set()
    while min(a.epoch, b.epoch) < 8:
        a, b = reloaded(a), reloaded(b)
        seen |= {type(a.braid), type(b.braid)}
        if dice.random() < 0.2:
            a, _, _ = a.send(os.urandom)
        if dice.random() < 0.2:
            b, _, _ = b.send(os.urandom)
        if dice.random() < 0.5:
            a, b = exchange(a, b)
        else:
            b, a = exchange(b, a)
    assert len(seen) >= 10  # EkReceivedCt1Sampled or Ct1Acknowledged may be missed by luck


def test_both_ways_into_ct2_are_taken() -> None:
    """The ct side may have the whole ek before its ct1 is acknowledged, or the other way round."""
    a, b = fresh()
    for _ in range(3):
        a, b = exchange(a, b)
    b, a = exchange(b, a)  # ct1 has begun
    for _ in range(36):
        a, b = exchange(a, b)
    assert isinstance(b.braid, braid.EkReceivedCt1Sampled)
    reloaded(b)
    for _ in range(29):
        b, a = exchange(b, a)
    assert isinstance(a.braid, braid.Ct1Received)
    a, b = exchange(a, b)
    assert isinstance(b.braid, braid.Ct2Sampled)

    a, b = fresh()
    for _ in range(3):
        a, b = exchange(a, b)
    for _ in range(30):
        b, a = exchange(b, a)
    assert isinstance(a.braid, braid.Ct1Received)
    a, b = exchange(a, b)
    assert isinstance(b.braid, braid.Ct1Acknowledged)
    reloaded(b)
    for _ in range(35):
        a, b = exchange(a, b)
    assert isinstance(b.braid, braid.Ct2Sampled)
    for _ in range(5):
        b, a = exchange(b, a)
    assert isinstance(a.braid, braid.NoHeaderReceived)
    assert a.epoch == 2
    a, b = exchange(a, b)
    assert isinstance(b.braid, braid.KeysUnsampled)
    assert b.epoch == 2


def test_an_epoch_that_cannot_be_yet_is_refused() -> None:
    a, b = fresh()
    a, field, _ = a.send(os.urandom)
    for epoch in (2, 3):
        with pytest.raises(SpqrError):
            b.receive(field[:1] + bytes([epoch]) + field[2:], WorkBudget(PLENTY))


def test_a_wrong_chunk_is_refused_when_the_header_is_complete() -> None:
    a, b = fresh()
    for _ in range(2):
        a, b = exchange(a, b)
    _, field, _ = a.send(os.urandom)
    with pytest.raises(SpqrError):
        b.receive(field[:-1] + bytes([field[-1] ^ 1]), WorkBudget(PLENTY))
    exchange(a, b)  # the state from before still takes the true one


def test_a_wrong_ciphertext_chunk_fails_its_mac() -> None:
    a, b = fresh()
    for _ in range(3):
        a, b = exchange(a, b)
    for _ in range(30):
        b, a = exchange(b, a)
    for _ in range(36):
        a, b = exchange(a, b)
    for _ in range(4):
        b, a = exchange(b, a)
    _, field, _ = b.send(os.urandom)
    with pytest.raises(SpqrError):
        a.receive(field[:-1] + bytes([field[-1] ^ 1]), WorkBudget(PLENTY))
    b, a = exchange(b, a)
    assert a.epoch == 2


def test_a_wrong_ek_chunk_is_refused_before_anything_is_made_of_it() -> None:
    """Whether the vector is complete before ct1 is acknowledged, with the acknowledgement, or after it."""
    before, a = fresh()[::-1]
    for _ in range(3):
        a, before = exchange(a, before)
    before, a = exchange(before, a)
    for _ in range(35):
        a, before = exchange(a, before)
    assert isinstance(before.braid, braid.Ct1Sampled)

    together, with_ct1 = before, a
    for _ in range(29):
        together, with_ct1 = exchange(together, with_ct1)
    assert isinstance(with_ct1.braid, braid.Ct1Received)

    c, after = fresh()
    for _ in range(3):
        c, after = exchange(c, after)
    for _ in range(30):
        after, c = exchange(after, c)
    for _ in range(35):
        c, after = exchange(c, after)
    assert isinstance(after.braid, braid.Ct1Acknowledged)

    for sender, receiver, then in (
        (a, before, braid.EkReceivedCt1Sampled),
        (with_ct1, together, braid.Ct2Sampled),
        (c, after, braid.Ct2Sampled),
    ):
        _, field, _ = sender.send(os.urandom)
        with pytest.raises(SpqrError):
            receiver.receive(field[:-1] + bytes([field[-1] ^ 1]), WorkBudget(PLENTY))
        assert isinstance(receiver.receive(field, WorkBudget(PLENTY))[0].braid, then)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_saved_state_or_corrupt(raw: bytes) -> None:
    try:
        SpqrState.read(Reader(raw))
    except CorruptRecordError:
        pass
