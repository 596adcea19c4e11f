"""docs/protocol/groups.md, "Sender keys": the published values, the limits just below and above, and no trace of a failure."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mepassa.crypto.budget import STRANGER_DERIVATIONS, WorkBudget
from mepassa.crypto.errors import (
    AuthenticationError,
    CorruptRecordError,
    ForeignSenderKeyError,
    InvalidKeyError,
    InvalidMessageError,
    SenderKeyMissingError,
    SenderKeyUsedUpError,
    TooManySkippedError,
    WorkBudgetError,
)
from mepassa.crypto.kept_keys import NO_KEYS, KeptKeys
from mepassa.crypto.keys import SigningKeyPair
from mepassa.crypto.primitives import ZERO_SALT, encrypt_cbc, hkdf, hmac_sha256
from mepassa.crypto.protobuf import encode_bytes, encode_uint
from mepassa.crypto.sender_key_messages import (
    SenderKeyDistributionMessage,
    decode_sender_key_distribution_message,
    decode_sender_key_message,
    encode_sender_key_body,
    encode_sender_key_distribution_message,
)
from mepassa.crypto.sender_keys import (
    LAST_ITERATION,
    MAX_CHAINS,
    MAX_JUMP,
    MAX_SKIPPED,
    SenderKeyChain,
    SenderKeyRecord,
    create,
    decrypt,
    distribution_message,
    encrypt,
    process_distribution,
)
from mepassa.model.errors import DecryptionError, DuplicateMessageError
from mepassa.model.ids import DistributionId
from mepassa.testing.chance import SeededRng
from tests.crypto.damage import damaged

VECTORS = Path(__file__).parents[1] / "vectors"
RNG = SeededRng("sender keys")
GROUP = DistributionId.from_random(RNG.token(16))


class Speaker:
    """One device's own sender key."""

    def __init__(self, distribution_id: DistributionId = GROUP) -> None:
        self.record = create(distribution_id, RNG.token)

    @property
    def distribution(self) -> SenderKeyDistributionMessage:
        return distribution_message(self.record)

    def say(self, text: bytes) -> bytes:
        self.record, message = encrypt(self.record, text)
        return message

    def at(self, iteration: int, text: bytes) -> bytes:
        """What a chain of ours would say there; the iterations between are derived and forgotten."""
        chain = self.record.chains[0]
        chain_key = chain.chain_key
        for _ in range(chain.next_iteration, iteration):
            chain_key = hmac_sha256(chain_key, b"\x02")
        moved = SenderKeyChain(chain.chain_id, iteration, chain_key, chain.signing_key, chain.signing_pair, NO_KEYS)
        return encrypt(SenderKeyRecord(GROUP, (moved,)), text)[1]


class Listener:
    """What one device keeps of another's sender key."""

    def __init__(self, *speakers: Speaker) -> None:
        self.record = SenderKeyRecord(GROUP)
        for speaker in speakers:
            self.learn(speaker.distribution)

    def learn(self, message: SenderKeyDistributionMessage) -> None:
        arrived = decode_sender_key_distribution_message(encode_sender_key_distribution_message(message))
        self.record = process_distribution(self.record, arrived)

    def hear(self, message: bytes, derivations: int = MAX_JUMP) -> bytes:
        budget = WorkBudget(derivations)
        self.record, text = decrypt(self.record, decode_sender_key_message(message), budget)
        return text

    def refuses(self, message: bytes, error: type[DecryptionError], derivations: int = MAX_JUMP) -> None:
        """And nothing has changed."""
        before, saved = self.record, self.record.to_bytes()
        with pytest.raises(error):
            self.hear(message, derivations)
        assert self.record is before
        assert self.record.to_bytes() == saved


@pytest.fixture
def speaker() -> Speaker:
    return Speaker()


@pytest.fixture
def listener(speaker: Speaker) -> Listener:
    return Listener(speaker)


# --- published values --------------------------------------------------------------------------------------------------


def published() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((VECTORS / "groups.json").read_text())
    return loaded


def published_record() -> SenderKeyRecord:
    v = published()
    pair = SigningKeyPair(b"\x05" * 32)
    chain = SenderKeyChain(v["chain_id"], 0, b"\x08" * 32, pair.public, pair, NO_KEYS)
    return SenderKeyRecord(DistributionId(UUID(v["distribution_id"]).bytes), (chain,))


def test_published_distribution_and_message_are_made_and_read() -> None:
    v, record = published(), published_record()
    assert record.chains[0].signing_key.hex() == v["signing_key"]
    distribution = encode_sender_key_distribution_message(distribution_message(record))
    assert distribution.hex() == v["distribution_message"]
    moved, message = encrypt(record, v["text"].encode())
    assert message.hex() == v["message"]
    assert moved.chains[0].chain_key.hex() == v["next_chain_key"]
    seed = hmac_sha256(b"\x08" * 32, b"\x01")
    assert hkdf(ZERO_SALT, seed, b"WhisperGroup", 48).hex() == v["iv"] + v["key"]
    reader = process_distribution(
        SenderKeyRecord(record.distribution_id), decode_sender_key_distribution_message(distribution)
    )
    read, text = decrypt(reader, decode_sender_key_message(message), WorkBudget(0))
    assert text == v["text"].encode()
    assert read.chains[0].chain_key == moved.chains[0].chain_key


def test_a_new_distribution_id_is_a_version_4_uuid() -> None:
    assert GROUP.uuid.version == 4
    assert DistributionId.from_random(bytes(16)).hex() == "00000000000040008000000000000000"


# --- order, repetition, loss -------------------------------------------------------------------------------------------


def test_messages_open_in_any_order_and_once(speaker: Speaker, listener: Listener, seed: int) -> None:
    order = SeededRng(seed)
    waiting = [(b"%d" % number, speaker.say(b"%d" % number)) for number in range(60)]
    while waiting:
        text, message = waiting.pop(order.below(len(waiting)))
        assert listener.hear(message) == text
        listener.refuses(message, DuplicateMessageError)
        listener.record = SenderKeyRecord.from_bytes(listener.record.to_bytes())
    assert listener.record.chains[0].skipped_seeds.numbers() == []


def test_a_late_member_reads_from_its_distribution_on_and_nothing_before(speaker: Speaker) -> None:
    early = speaker.say(b"early")
    late = Listener(speaker)
    late.refuses(early, DuplicateMessageError)
    assert late.hear(speaker.say(b"now")) == b"now"


def test_a_jump_of_25_000_opens_and_one_more_does_not(speaker: Speaker, listener: Listener) -> None:
    assert listener.hear(speaker.at(0, b"first")) == b"first"
    listener.refuses(speaker.at(1 + MAX_JUMP + 1, b"too far"), TooManySkippedError)
    assert listener.hear(speaker.at(1 + MAX_JUMP, b"far")) == b"far"
    assert len(listener.record.chains[0].skipped_seeds) == MAX_SKIPPED


def test_of_a_jump_the_last_2_000_are_kept(speaker: Speaker, listener: Listener) -> None:
    messages = [speaker.say(b"%d" % number) for number in range(2_101)]
    assert listener.hear(messages[2_100]) == b"2100"
    listener.refuses(messages[99], DuplicateMessageError)
    assert listener.hear(messages[100]) == b"100"


def test_kept_seeds_are_counted_across_jumps_and_the_oldest_stored_go_first(
    speaker: Speaker, listener: Listener
) -> None:
    """10 kept, then 1995 new: the first five are lost."""
    messages = [speaker.say(b"%d" % number) for number in range(2_007)]
    listener.hear(messages[10])
    listener.hear(messages[2_006])
    assert len(listener.record.chains[0].skipped_seeds) == MAX_SKIPPED
    for number in range(10):
        if number < 5:
            listener.refuses(messages[number], DuplicateMessageError)
        else:
            assert listener.hear(messages[number]) == b"%d" % number


def test_the_last_iteration_is_two_below_the_end_of_32_bits(speaker: Speaker) -> None:
    own = speaker.record.chains[0]
    near_end = SenderKeyChain(own.chain_id, LAST_ITERATION, own.chain_key, own.signing_key, own.signing_pair, NO_KEYS)
    record = SenderKeyRecord(GROUP, (near_end,))
    reader = process_distribution(SenderKeyRecord(GROUP), distribution_message(record))
    record, last = encrypt(record, b"the last")
    with pytest.raises(SenderKeyUsedUpError):
        encrypt(record, b"one too many")
    reader, text = decrypt(reader, decode_sender_key_message(last), WorkBudget(0))
    assert text == b"the last"
    body = encode_sender_key_body(GROUP, own.chain_id, 2**32 - 1, encrypt_cbc(bytes(32), bytes(16), b"x"))
    assert own.signing_pair is not None
    beyond = decode_sender_key_message(body + own.signing_pair.sign(body))
    with pytest.raises(InvalidMessageError):
        decrypt(reader, beyond, WorkBudget(MAX_JUMP))
    assert SenderKeyRecord.from_bytes(reader.to_bytes()).to_bytes() == reader.to_bytes()


def test_work_is_bounded_before_it_is_done(speaker: Speaker, listener: Listener) -> None:
    message = speaker.at(STRANGER_DERIVATIONS + 1, b"x")
    listener.refuses(message, WorkBudgetError, STRANGER_DERIVATIONS)
    assert listener.hear(speaker.at(STRANGER_DERIVATIONS, b"y"), STRANGER_DERIVATIONS) == b"y"
    budget = WorkBudget(MAX_JUMP)
    decrypt(listener.record, decode_sender_key_message(speaker.at(STRANGER_DERIVATIONS + 9, b"z")), budget)
    assert (budget.spent, budget.sender_key, budget.double_ratchet) == (8, MAX_JUMP - 8, MAX_JUMP)


def test_a_forged_jump_costs_no_derivation(speaker: Speaker, listener: Listener) -> None:
    forged = bytearray(speaker.at(20_000, b"x"))
    forged[-1] ^= 1
    budget = WorkBudget(MAX_JUMP)
    with pytest.raises(AuthenticationError):
        decrypt(listener.record, decode_sender_key_message(bytes(forged)), budget)
    assert budget.spent == 0


# --- refusals leave no trace -------------------------------------------------------------------------------------------


def test_every_tampered_byte_is_refused_and_changes_nothing(speaker: Speaker, listener: Listener) -> None:
    messages = [speaker.say(b"text") for _ in range(3)]
    listener.hear(messages[1])
    for message in (messages[0], messages[2]):  # one of a kept seed, one of the chain
        for place in range(len(message)):
            tampered = bytearray(message)
            tampered[place] ^= 1 << place % 8
            listener.refuses(bytes(tampered), DecryptionError)
        assert listener.hear(message) == b"text"


def signed(speaker: Speaker, iteration: int, ciphertext: bytes, *, chain_id: int | None = None) -> bytes:
    chain = speaker.record.chains[0]
    assert chain.signing_pair is not None
    body = encode_sender_key_body(GROUP, chain.chain_id if chain_id is None else chain_id, iteration, ciphertext)
    return body + chain.signing_pair.sign(body)


@pytest.mark.parametrize("ciphertext", [b"", bytes(15), bytes(16), bytes(33)])
def test_a_signed_message_that_does_not_decrypt_leaves_its_iteration_usable(
    speaker: Speaker, listener: Listener, ciphertext: bytes
) -> None:
    listener.refuses(signed(speaker, 0, ciphertext), InvalidMessageError)
    assert listener.hear(speaker.say(b"text")) == b"text"


def test_a_message_of_another_chain_or_distribution_finds_no_key(speaker: Speaker, listener: Listener) -> None:
    other_chain = speaker.record.chains[0].chain_id ^ 1
    listener.refuses(signed(speaker, 0, bytes(16), chain_id=other_chain), SenderKeyMissingError)
    elsewhere = Speaker(DistributionId.from_random(RNG.token(16)))
    listener.refuses(elsewhere.say(b"x"), SenderKeyMissingError)
    with pytest.raises(InvalidMessageError):
        listener.learn(elsewhere.distribution)


def test_only_the_owner_sends_with_a_key(listener: Listener) -> None:
    for record in (listener.record, SenderKeyRecord(GROUP)):
        with pytest.raises(ForeignSenderKeyError):
            encrypt(record, b"x")
        with pytest.raises(ForeignSenderKeyError):
            distribution_message(record)


# --- distributions -----------------------------------------------------------------------------------------------------


def test_the_distribution_gives_the_present_and_repeats_itself_between_messages(speaker: Speaker) -> None:
    first = speaker.distribution
    assert (first.iteration, speaker.distribution.chain_key) == (0, first.chain_key)
    speaker.say(b"x")
    assert (speaker.distribution.iteration, speaker.distribution.chain_id) == (1, first.chain_id)
    assert speaker.distribution.chain_key != first.chain_key


def test_the_sixth_chain_pushes_out_the_last() -> None:
    speakers = [Speaker() for _ in range(MAX_CHAINS + 1)]
    listener = Listener(*speakers[:-1])
    assert listener.hear(speakers[0].say(b"still")) == b"still"
    listener.learn(speakers[-1].distribution)
    listener.refuses(speakers[0].say(b"gone"), SenderKeyMissingError)
    assert listener.hear(speakers[1].say(b"kept")) == b"kept"


def test_a_known_chain_stays_as_it_is_and_survives_the_next_push_out() -> None:
    speakers = [Speaker() for _ in range(MAX_CHAINS + 1)]
    oldest = speakers[0]
    first, second = oldest.say(b"0"), oldest.say(b"1")
    listener = Listener(oldest, *speakers[1:MAX_CHAINS])
    chain = listener.record.chains[-1]
    for iteration, chain_key in ((0, chain.chain_key), (7, chain.chain_key), (2, bytes(32))):
        listener.learn(SenderKeyDistributionMessage(GROUP, chain.chain_id, iteration, chain_key, chain.signing_key))
        assert listener.record.chains[0] is chain
        assert len(listener.record.chains) == MAX_CHAINS
    listener.learn(speakers[-1].distribution)
    assert listener.hear(oldest.say(b"2")) == b"2"
    for early in (first, second):
        listener.refuses(early, DuplicateMessageError)
    listener.refuses(speakers[1].say(b"pushed out"), SenderKeyMissingError)


def test_a_known_chain_with_another_signing_key_is_replaced(speaker: Speaker, listener: Listener) -> None:
    listener.learn(Speaker().distribution)
    pair = SigningKeyPair.generate(RNG.token)
    usurped = SenderKeyDistributionMessage(GROUP, speaker.distribution.chain_id, 0, bytes(32), pair.public)
    listener.learn(usurped)
    assert [chain.signing_key for chain in listener.record.chains].count(pair.public) == 1
    assert (listener.record.chains[0].signing_key, len(listener.record.chains)) == (pair.public, 2)
    listener.refuses(speaker.say(b"x"), AuthenticationError)


# --- reading -----------------------------------------------------------------------------------------------------------

DISTRIBUTION = encode_sender_key_distribution_message(Speaker().distribution)
MESSAGE = Speaker().say(b"text")


@pytest.mark.parametrize("byte", [0x00, 0x23, 0x30, 0x34, 0x43, 0x44])
def test_any_version_byte_but_33_is_refused(byte: int) -> None:
    for decode, sample in (
        (decode_sender_key_distribution_message, DISTRIBUTION),
        (decode_sender_key_message, MESSAGE),
    ):
        for raw in (bytes([byte]) + sample[1:], b""):
            with pytest.raises(InvalidMessageError):
                decode(raw)


@pytest.mark.parametrize(
    "field",
    [
        encode_bytes(1, bytes(15)),
        encode_bytes(1, bytes(17)),
        encode_uint(1, 1),
        encode_uint(2, 2**32),
        encode_uint(3, 2**32),
        encode_bytes(3, b"x"),
    ],
)
def test_a_wrong_field_is_refused_in_both(field: bytes) -> None:
    with pytest.raises(InvalidMessageError):
        decode_sender_key_distribution_message(DISTRIBUTION + field)
    with pytest.raises(InvalidMessageError):
        decode_sender_key_message(MESSAGE[:-64] + field + MESSAGE[-64:])


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_chain_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(InvalidMessageError):
        decode_sender_key_distribution_message(DISTRIBUTION + encode_bytes(4, bytes(size)))


@pytest.mark.parametrize(
    "key",
    [
        SigningKeyPair(bytes(32)).public[:32],
        SigningKeyPair(bytes(32)).public + b"\x00",
        b"\x06" + SigningKeyPair(bytes(32)).public[1:],
        b"\x05" + bytes(32),
        b"\x05" + (2**255 - 20).to_bytes(32, "little"),  # u = -1 has no Edwards form
        b"\x05" + b"\xff" * 32,
    ],
    ids=["short", "long", "type", "low order", "minus one", "not canonical"],
)
def test_an_improper_signing_key_is_refused(key: bytes) -> None:
    with pytest.raises(InvalidKeyError):
        decode_sender_key_distribution_message(DISTRIBUTION + encode_bytes(5, key))


@pytest.mark.parametrize("field", [1, 2, 3, 4, 5])
def test_no_field_may_be_missing(field: int) -> None:
    fields = {
        1: encode_bytes(1, GROUP.raw),
        2: encode_uint(2, 1),
        3: encode_uint(3, 0),
        4: encode_bytes(4, bytes(32)),
        5: encode_bytes(5, SigningKeyPair(bytes(32)).public),
    }
    decode_sender_key_distribution_message(b"\x33" + b"".join(fields.values()))
    del fields[field]
    with pytest.raises(InvalidMessageError):
        decode_sender_key_distribution_message(b"\x33" + b"".join(fields.values()))
    if field != 5:
        with pytest.raises(InvalidMessageError):
            decode_sender_key_message(b"\x33" + b"".join(fields.values()) + bytes(64))


def test_a_chain_id_may_have_all_32_bits() -> None:
    assert decode_sender_key_distribution_message(DISTRIBUTION + encode_uint(2, 2**32 - 1)).chain_id == 2**32 - 1


def test_the_shortest_message_that_is_looked_at_has_65_bytes() -> None:
    for size in (0, 64, 65):
        with pytest.raises(InvalidMessageError):
            decode_sender_key_message(b"\x33" * size)


PARSERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "decode_sender_key_message": (decode_sender_key_message, MESSAGE),
    "decode_sender_key_distribution_message": (decode_sender_key_distribution_message, DISTRIBUTION),
}


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=40)
@given(data=st.data())
def test_random_and_mutated_bytes_are_a_value_or_a_decryption_error(name: str, data: st.DataObject) -> None:
    parse, sample = PARSERS[name]
    for raw in data.draw(damaged(sample)):
        try:
            parse(raw)
        except DecryptionError:
            pass


# --- saved form --------------------------------------------------------------------------------------------------------


def full_record() -> SenderKeyRecord:
    """Five chains, the newest our own, all with kept seeds."""
    speakers = [Speaker() for _ in range(MAX_CHAINS)]
    listener = Listener(*speakers)
    for speaker in speakers:
        listener.hear(speaker.at(3, b"x"))
    newest = listener.record.chains[0]
    own = speakers[-1].record.chains[0]
    mine = SenderKeyChain(
        newest.chain_id,
        newest.next_iteration,
        newest.chain_key,
        newest.signing_key,
        own.signing_pair,
        newest.skipped_seeds,
    )
    return SenderKeyRecord(GROUP, (mine, *listener.record.chains[1:]))


FULL = full_record().to_bytes()


def test_a_saved_record_goes_on_where_it_was() -> None:
    read = SenderKeyRecord.from_bytes(FULL)
    assert read.to_bytes() == FULL
    before, after = full_record().chains[0], read.chains[0]
    assert after.skipped_seeds.numbers() == before.skipped_seeds.numbers() == [0, 1, 2]
    record, message = encrypt(read, b"on")
    reader = process_distribution(SenderKeyRecord(GROUP), distribution_message(read))
    assert decrypt(reader, decode_sender_key_message(message), WorkBudget(0))[1] == b"on"
    assert record.chains[1:] == read.chains[1:]


def test_the_saved_form_of_version_1_stays_readable() -> None:
    """tests/vectors keeps one; it is read and written byte for byte."""
    saved = bytes.fromhex((VECTORS / "sender-key-record-1.hex").read_text().strip())
    record = SenderKeyRecord.from_bytes(saved)
    assert record.to_bytes() == saved
    assert [len(chain.skipped_seeds) for chain in record.chains] == [3, 3, 3, 3, 3]
    assert [chain.signing_pair is not None for chain in record.chains] == [True, False, False, False, False]
    moved, message = encrypt(record, b"from an old record")
    assert hashlib.sha256(message).hexdigest() == "966afcf5e59c2ff44feba392a81526b9e50b82470f2996f16db108b176e65001"
    assert moved.chains[0].next_iteration == record.chains[0].next_iteration + 1


@given(data=st.data())
@settings(max_examples=60)
def test_any_bytes_are_a_record_or_a_corrupt_one(data: st.DataObject) -> None:
    mutated = bytearray(FULL)
    for _ in range(data.draw(st.integers(1, 3))):
        mutated[data.draw(st.integers(0, 60))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(FULL) - 1))
    for raw in (bytes(mutated), FULL[:cut], FULL + b"\x00", data.draw(st.binary(max_size=300))):
        try:
            SenderKeyRecord.from_bytes(raw)
        except CorruptRecordError:
            pass


def test_a_record_over_its_bounds_is_corrupt() -> None:
    record = SenderKeyRecord.from_bytes(FULL)
    chain = record.chains[-1]

    def crowded(count: int) -> SenderKeyChain:
        seeds = KeptKeys().followed_by((number, bytes(32)) for number in range(count))
        return SenderKeyChain(chain.chain_id, 5_000, chain.chain_key, chain.signing_key, None, seeds)

    sixth = SenderKeyChain(1, 0, chain.chain_key, chain.signing_key, None, NO_KEYS)
    for chains in ((crowded(MAX_SKIPPED + 1),), (*record.chains, sixth), (sixth, sixth)):
        with pytest.raises(CorruptRecordError):
            SenderKeyRecord.from_bytes(SenderKeyRecord(GROUP, chains).to_bytes())
    SenderKeyRecord.from_bytes(SenderKeyRecord(GROUP, (crowded(MAX_SKIPPED),)).to_bytes())
    with pytest.raises(CorruptRecordError):
        SenderKeyRecord.from_bytes(b"\x02" + FULL[1:])


def test_nothing_secret_is_printed(speaker: Speaker) -> None:
    chain = speaker.record.chains[0]
    printed = repr(speaker.record) + repr(chain) + repr(speaker.distribution) + repr(chain.signing_pair)
    assert chain.signing_pair is not None
    for secret in (chain.chain_key, chain.signing_pair.seed):
        assert repr(secret)[2:-1] not in printed
        assert secret.hex() not in printed
