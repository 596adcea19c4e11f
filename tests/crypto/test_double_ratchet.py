"""docs/protocol/session.md, "Ratchets": limits of chains, skipped seeds and jumps; refusals leave no trace."""

import os

import pytest

from mepassa.crypto import double_ratchet
from mepassa.crypto.budget import WorkBudget
from mepassa.crypto.double_ratchet import MAX_JUMP, MAX_SKIPPED, Parties, RatchetState
from mepassa.crypto.errors import (
    AuthenticationError,
    InvalidKeyError,
    InvalidMessageError,
    TooManySkippedError,
    WorkBudgetError,
)
from mepassa.crypto.keys import EcKeyPair
from mepassa.crypto.messages import decode_signal_message
from mepassa.crypto.pqxdh import SharedSecret
from mepassa.crypto.primitives import decrypt_cbc, encrypt_cbc
from mepassa.crypto.records import Reader, Writer
from mepassa.identity.curve import LOW_ORDER_U
from mepassa.model.errors import DecryptionError, DuplicateMessageError
from tests.crypto.people import Person, skip

ANA, BRUNO = Person("ana"), Person("bruno")
A_TO_B = Parties(ANA.own.key.public, ANA.own.address, BRUNO.own.key.public, BRUNO.own.address)
B_TO_A = Parties(BRUNO.own.key.public, BRUNO.own.address, ANA.own.key.public, ANA.own.address)
PLENTY = 10**9


def fresh() -> tuple[RatchetState, RatchetState]:
    secret = SharedSecret(bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32)
    signed_prekey = EcKeyPair(bytes([4]) * 32)
    return (
        double_ratchet.start_initiator(secret, signed_prekey.public, os.urandom),
        double_ratchet.start_responder(secret, signed_prekey),
    )


def encrypt(state: RatchetState, parties: Parties, text: bytes = b"text") -> tuple[RatchetState, bytes]:
    return double_ratchet.encrypt(state, parties, text, os.urandom)


def decrypt(
    state: RatchetState, parties: Parties, message: bytes, budget: WorkBudget | None = None
) -> tuple[RatchetState, bytes]:
    parsed = decode_signal_message(message)
    return double_ratchet.decrypt(state, parties, parsed, budget or WorkBudget(PLENTY), os.urandom)


def saved(state: RatchetState) -> bytes:
    out = Writer()
    state.write(out)
    return out.finish()


def test_both_sides_take_turns_and_out_of_order_messages_open() -> None:
    a, b = fresh()
    messages = []
    for number in range(5):
        a, message = encrypt(a, A_TO_B, b"%d" % number)
        messages.append(message)
    for number in (4, 0, 3, 1, 2):
        b, text = decrypt(b, B_TO_A, messages[number])
        assert text == b"%d" % number
    b, answer = encrypt(b, B_TO_A, b"answer")
    assert decrypt(a, A_TO_B, answer)[1] == b"answer"


def test_a_used_counter_is_a_duplicate_before_anything_else_is_looked_at() -> None:
    a, b = fresh()
    a, message = encrypt(a, A_TO_B)
    b, _ = decrypt(b, B_TO_A, message)
    budget = WorkBudget(PLENTY)
    for repeated in (message, message[:-1] + bytes([message[-1] ^ 1])):
        with pytest.raises(DuplicateMessageError):
            decrypt(b, B_TO_A, repeated, budget)
    assert budget.spent == 0


def test_every_changed_byte_is_refused_and_leaves_the_state_as_it_was() -> None:
    a, b = fresh()
    for _ in range(3):
        a, message = encrypt(a, A_TO_B)
        b, _ = decrypt(b, B_TO_A, message)
    b, answer = encrypt(b, B_TO_A)
    a, _ = decrypt(a, A_TO_B, answer)  # so that the next message brings a new ratchet key
    a, message = encrypt(a, A_TO_B)
    before = saved(b)
    for position in range(len(message)):
        broken = bytearray(message)
        broken[position] ^= 0x01
        with pytest.raises(DecryptionError):
            decrypt(b, B_TO_A, bytes(broken))
    assert saved(b) == before
    assert decrypt(b, B_TO_A, message)[1] == b"text"


def test_addresses_and_identity_keys_bind_a_message_to_its_parties() -> None:
    a, b = fresh()
    _, message = encrypt(a, A_TO_B)
    other = Person("other")
    wrong = [
        B_TO_A.__class__(B_TO_A.own_key, B_TO_A.own, B_TO_A.remote_key, other.own.address),
        B_TO_A.__class__(B_TO_A.own_key, other.own.address, B_TO_A.remote_key, B_TO_A.remote),
        B_TO_A.__class__(B_TO_A.own_key, B_TO_A.remote, B_TO_A.remote_key, B_TO_A.own),
        B_TO_A.__class__(B_TO_A.own_key, B_TO_A.own, other.own.key.public, B_TO_A.remote),
        B_TO_A.__class__(other.own.key.public, B_TO_A.own, B_TO_A.remote_key, B_TO_A.remote),
    ]
    for parties in wrong:
        with pytest.raises(AuthenticationError):
            decrypt(b, parties, message)


def test_a_message_with_four_newer_chains_opens_and_with_five_does_not() -> None:
    a, b = fresh()
    a, first = encrypt(a, A_TO_B)
    a, late = encrypt(a, A_TO_B, b"late")
    b, _ = decrypt(b, B_TO_A, first)
    for newer in range(1, 6):
        b, answer = encrypt(b, B_TO_A)
        a, _ = decrypt(a, A_TO_B, answer)
        a, message = encrypt(a, A_TO_B)
        b, _ = decrypt(b, B_TO_A, message)
        if newer <= 4:
            assert decrypt(b, B_TO_A, late)[1] == b"late"
        else:
            with pytest.raises(DecryptionError):
                decrypt(b, B_TO_A, late)
    assert len(b.receiving) == 5


def test_using_an_old_chain_does_not_refresh_it() -> None:
    a, b = fresh()
    late = []
    for _ in range(7):
        a, message = encrypt(a, A_TO_B)
        late.append(message)
    b, _ = decrypt(b, B_TO_A, late.pop(0))
    for _ in range(5):
        b, _ = decrypt(b, B_TO_A, late.pop(0))
        b, answer = encrypt(b, B_TO_A)
        a, _ = decrypt(a, A_TO_B, answer)
        a, message = encrypt(a, A_TO_B)
        b, _ = decrypt(b, B_TO_A, message)
    with pytest.raises(DecryptionError):
        decrypt(b, B_TO_A, late.pop(0))
    assert len(b.receiving) == 5


def test_two_thousand_skipped_seeds_are_kept_and_the_oldest_goes_first() -> None:
    """A gap of 2 001: number 0 is lost, number 1 opens (its SPQR key is exactly 2 000 back)."""
    a, b = fresh()
    a, zero = encrypt(a, A_TO_B)
    a, one = encrypt(a, A_TO_B, b"one")
    a = skip(a, MAX_SKIPPED - 1)
    a, last = encrypt(a, A_TO_B)
    b, _ = decrypt(b, B_TO_A, last)
    assert len(b.receiving[0].skipped_seeds) == MAX_SKIPPED
    with pytest.raises(DuplicateMessageError):
        decrypt(b, B_TO_A, zero)
    b, text = decrypt(b, B_TO_A, one)
    assert text == b"one"
    with pytest.raises(DuplicateMessageError):
        decrypt(b, B_TO_A, one)


def test_24999_lost_messages_are_forgiven_and_25000_are_not() -> None:
    a, b = fresh()
    a, first = encrypt(a, A_TO_B)
    b, _ = decrypt(b, B_TO_A, first)
    a = skip(a, 24_999)
    a, within = encrypt(a, A_TO_B, b"within")
    a, beyond = encrypt(a, A_TO_B, b"beyond")
    a, far_beyond = encrypt(a, A_TO_B, b"far beyond")
    budget = WorkBudget(PLENTY)
    assert decrypt(b, B_TO_A, within, budget)[1] == b"within"
    assert budget.spent == 2 * 25_000
    before = saved(b)
    for message, error in ((beyond, TooManySkippedError), (far_beyond, TooManySkippedError)):
        with pytest.raises(error):
            decrypt(b, B_TO_A, message)
    assert saved(b) == before
    assert decode_signal_message(far_beyond).number == MAX_JUMP + 2


def test_work_is_refused_before_it_is_done() -> None:
    a, b = fresh()
    a = skip(a, 100)
    _, message = encrypt(a, A_TO_B)
    budget = WorkBudget(100)
    with pytest.raises(WorkBudgetError):
        decrypt(b, B_TO_A, message, budget)
    assert budget.spent == 0
    assert decrypt(b, B_TO_A, message, WorkBudget(101))[1] == b"text"


def test_the_previous_counter_is_one_less_than_what_was_sent() -> None:
    a, b = fresh()
    for _ in range(3):
        a, message = encrypt(a, A_TO_B)
        b, _ = decrypt(b, B_TO_A, message)
    assert a.previous_chain_length == 0
    b, answer = encrypt(b, B_TO_A)
    a, _ = decrypt(a, A_TO_B, answer)
    assert a.previous_chain_length == 2


def test_a_saved_state_goes_on_where_it_was() -> None:
    a, b = fresh()
    a, first = encrypt(a, A_TO_B)
    a = skip(a, 3)
    a, fifth = encrypt(a, A_TO_B)
    b, _ = decrypt(b, B_TO_A, fifth)
    loaded = RatchetState.read(Reader(saved(b)))
    assert saved(loaded) == saved(b)
    loaded, answer = encrypt(loaded, B_TO_A)
    a, _ = decrypt(a, A_TO_B, answer)
    _, message = encrypt(a, A_TO_B, b"new key")
    loaded, text = decrypt(loaded, B_TO_A, message)
    assert text == b"new key"
    assert decrypt(loaded, B_TO_A, first)[1] == b"text"


def test_states_print_no_secret() -> None:
    a, _ = fresh()
    assert a.root_key.hex() not in repr(a)
    assert repr(a.root_key)[2:-1] not in repr(a)
    assert a.sending.key_pair.private.hex() not in repr(a.sending.key_pair)


@pytest.mark.parametrize("u", sorted(LOW_ORDER_U))
def test_a_low_order_key_is_never_agreed_with(u: int) -> None:
    with pytest.raises(InvalidKeyError):
        EcKeyPair.generate(os.urandom).agree(b"\x05" + u.to_bytes(32, "little"))


def test_bad_padding_is_refused() -> None:
    key, iv = bytes(32), bytes(16)
    assert decrypt_cbc(key, iv, encrypt_cbc(key, iv, b"x" * 16)) == b"x" * 16
    for ciphertext in (b"", bytes(15), bytes(16), bytes(32)):
        with pytest.raises(InvalidMessageError):
            decrypt_cbc(key, iv, ciphertext)
