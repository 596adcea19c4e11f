"""Every parser of Signal's formats: a value or a documented error, whatever the bytes; and the rules of reading."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mepassa.crypto import messages
from mepassa.crypto.certificates import decode_sender_certificate, decode_server_certificate
from mepassa.crypto.errors import InvalidKeyError, InvalidMessageError
from mepassa.crypto.messages import (
    DecryptionErrorMessage,
    MessageType,
    PlaintextContent,
    SignalMessage,
    decode_decryption_error_message,
    decode_plaintext_content,
    decode_prekey_signal_message,
    decode_signal_message,
    encode_decryption_error_message,
    encode_plaintext_content,
    encode_signal_body,
    ratchet_key_of,
)
from mepassa.crypto.padding import MAX_CONTENT_BYTES, pad, unpad
from mepassa.crypto.protobuf import (
    Kind,
    Schema,
    decode_varint,
    encode_bytes,
    encode_fixed64,
    encode_uint,
    encode_varint,
)
from mepassa.crypto.sealed_sender import decode_content, encode_content, open_sealed
from mepassa.model.errors import DecryptionError, TooLargeError
from mepassa.protocol.sealing import seal
from tests.crypto.damage import damaged
from tests.crypto.people import Person

ANA, BRUNO = Person("ana"), Person("bruno")
ANA.initiate(BRUNO.remote, BRUNO.bundle())
PREKEY = ANA.encrypt(BRUNO.remote, b"text").body
SIGNAL = decode_prekey_signal_message(PREKEY).message
CONTENT = encode_content(MessageType.PREKEY, ANA.certificate, PREKEY, hint=1)
SEALED = seal(ANA.own, ANA.certificate, BRUNO.own.key.public, MessageType.PREKEY, PREKEY, rng=ANA.rng).raw
RATCHET_KEY = decode_signal_message(SIGNAL).ratchet_key
ERROR = encode_decryption_error_message(DecryptionErrorMessage(RATCHET_KEY, 5, 1))
PLAINTEXT = encode_plaintext_content(PlaintextContent(DecryptionErrorMessage(RATCHET_KEY, 5, 1), bytes(16)))

PARSERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "decode_signal_message": (decode_signal_message, SIGNAL),
    "decode_prekey_signal_message": (decode_prekey_signal_message, PREKEY),
    "decode_server_certificate": (decode_server_certificate, ANA.device_certificate),
    "decode_sender_certificate": (decode_sender_certificate, ANA.certificate),
    "decode_content": (decode_content, CONTENT),
    "open_sealed": (lambda data: open_sealed(BRUNO.own.key, data), SEALED),
    "decode_decryption_error_message": (decode_decryption_error_message, ERROR),
    "decode_plaintext_content": (decode_plaintext_content, PLAINTEXT),
    "unpad": (unpad, pad(b"content")),
}
ALL = pytest.mark.parametrize("name", PARSERS)


@ALL
@settings(max_examples=40)
@given(data=st.data())
def test_random_and_mutated_bytes_are_a_value_or_a_decryption_error(name: str, data: st.DataObject) -> None:
    parse, sample = PARSERS[name]
    for raw in data.draw(damaged(sample)):
        try:
            parse(raw)
        except DecryptionError:
            pass


@ALL
def test_the_sample_itself_is_read(name: str) -> None:
    parse, sample = PARSERS[name]
    parse(sample)


def _fields(body: bytes) -> dict[int, bytes]:
    """By number, each as it is written."""
    found, position = {}, 0
    while position < len(body):
        start = position
        tag, position = decode_varint(body, position)
        match tag & 7:
            case 0:
                _, position = decode_varint(body, position)
            case 1:
                position += 8
            case _:
                size, position = decode_varint(body, position)
                position += size
        found[tag >> 3] = body[start:position]
    return found


def _value(field: bytes) -> bytes:
    _, position = decode_varint(field, 0)
    size, position = decode_varint(field, position)
    return field[position : position + size]


INNER_SERVER, INNER_SENDER = (_value(_fields(whole)[1]) for whole in (ANA.device_certificate, ANA.certificate))
REQUIRED: dict[str, tuple[Callable[[bytes], object], bytes, set[int]]] = {
    "a message": (lambda body: decode_signal_message(SIGNAL[:1] + body + SIGNAL[-8:]), SIGNAL[1:-8], {1, 2, 4}),
    "a PreKey message": (
        lambda body: decode_prekey_signal_message(PREKEY[:1] + body), PREKEY[1:], {2, 3, 4, 6, 7, 8},
    ),
    "a server certificate": (decode_server_certificate, ANA.device_certificate, {1, 2}),
    "what it signs": (
        lambda inner: decode_server_certificate(encode_bytes(1, inner) + encode_bytes(2, bytes(64))), INNER_SERVER,
        {1, 2},
    ),
    "a sender certificate": (decode_sender_certificate, ANA.certificate, {1, 2}),
    "what that signs": (
        lambda inner: decode_sender_certificate(encode_bytes(1, inner) + encode_bytes(2, bytes(64))), INNER_SENDER,
        {2, 3, 4, 5},
    ),
    "a sealed envelope": (lambda body: open_sealed(BRUNO.own.key, SEALED[:1] + body), SEALED[1:], {1, 2, 3}),
    "a sealed content": (decode_content, CONTENT, {1, 2, 3}),
    "a resend request": (decode_decryption_error_message, ERROR, {2}),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUIRED)
def test_a_message_that_lacks_a_field_which_it_must_have_is_an_invalid_message(name: str) -> None:
    parse, body, required = REQUIRED[name]
    fields = _fields(body)
    parse(b"".join(fields.values()))
    for number in required:
        with pytest.raises(InvalidMessageError):
            parse(b"".join(field for other, field in fields.items() if other != number))


@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_an_invalid_message(raw: bytes) -> None:
    schema = Schema({1: Kind.BYTES, 2: Kind.UINT32, 3: Kind.FIXED64, 4: Kind.UINT64})
    try:
        schema.decode(raw)
    except InvalidMessageError:
        pass


@given(st.integers(0, 2**70 - 1))
def test_varints_round_trip_up_to_ten_bytes(number: int) -> None:
    encoded = encode_varint(number)
    assert decode_varint(encoded + b"rest", 0) == (number, len(encoded))
    for cut in range(len(encoded)):
        with pytest.raises(InvalidMessageError):
            decode_varint(encoded[:cut], 0)


# --- rules of reading --------------------------------------------------------------------------------------------------

SCHEMA = Schema({1: Kind.BYTES, 2: Kind.UINT32, 3: Kind.FIXED64}, required=(2,))


@pytest.mark.parametrize("number", [0, 1, 126, 127, 128, 16_383, 16_384])
def test_varints_change_length_where_they_should(number: int) -> None:
    written = encode_varint(number)
    assert decode_varint(written, 0) == (number, len(written))


def test_tags_and_fixed_numbers_are_read_up_to_their_ends() -> None:
    assert Schema({16: Kind.UINT32}).decode(b"\x80\x01\x05").number(16) == 5
    assert Schema({1: Kind.FIXED64}).decode(b"\x09" + b"\x07" + bytes(7)).number(1) == 7
    with pytest.raises(InvalidMessageError):
        Schema({1: Kind.FIXED64}).decode(b"\x09" + bytes(7))


@pytest.mark.parametrize("field", [1, 9])
@pytest.mark.parametrize("cut", [b"\x08\x80", b"\x09" + bytes(7), b"\x0a\x02x", b"\x0a", b"\x0d" + bytes(3)])
def test_a_last_field_that_runs_over_the_end_is_refused_though_nobody_asks_for_it(field: int, cut: bytes) -> None:
    kind = {0: Kind.UINT32, 1: Kind.FIXED64}.get(cut[0] & 7, Kind.BYTES)
    with pytest.raises(InvalidMessageError):
        Schema({field: kind}).decode(cut)


@pytest.mark.parametrize("wire_type", range(8))
def test_a_known_field_has_its_own_wire_type_and_no_other(wire_type: int) -> None:
    written = bytes([1 << 3 | wire_type]) + bytes({1: 8, 5: 4}.get(wire_type, 1))
    taken = set()
    for kind in Kind:
        with contextlib.suppress(InvalidMessageError):
            Schema({1: kind}).decode(written)
            taken.add(kind)
    right = {0: {Kind.UINT32, Kind.UINT64}, 1: {Kind.FIXED64}, 2: {Kind.BYTES}}
    assert taken == right.get(wire_type, set())


@pytest.mark.parametrize("wire_type", [3, 4, 6, 7])
def test_a_field_of_no_known_wire_type_is_refused_though_nobody_asks_for_it(wire_type: int) -> None:
    with pytest.raises(InvalidMessageError):
        Schema({}).decode(bytes([1 << 3 | wire_type]))


def test_a_tag_of_more_than_32_bits_is_refused_though_nobody_asks_for_it() -> None:
    assert Schema({}).decode(encode_varint(2**32 - 8) + b"\x01").number_or_none(1) is None
    with pytest.raises(InvalidMessageError):
        Schema({}).decode(encode_varint(2**32) + b"\x01")


def test_unknown_fields_are_skipped_and_the_last_of_a_repeated_one_wins() -> None:
    unknown = encode_uint(9, 1) + encode_bytes(200, b"x") + encode_fixed64(11, 1) + b"\x65\x00\x00\x00\x00"
    fields = SCHEMA.decode(
        encode_uint(2, 1) + unknown + encode_bytes(1, b"a") + encode_bytes(1, b"b") + encode_uint(2, 7)
    )
    assert (fields.value(1), fields.number(2)) == (b"b", 7)
    assert 9 not in fields
    assert fields.number_or_none(3) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",  # the required field is missing
        encode_bytes(2, b"x"),  # another wire type
        encode_uint(2, 1) + encode_uint(1, 1),
        encode_uint(2, 1) + encode_uint(3, 1),
        encode_uint(2, 2**32),  # over 32 bits
        encode_uint(2, 1) + encode_uint(0, 1),  # field 0
        encode_uint(2, 1) + b"\x0b\x0c",  # groups
        encode_uint(2, 1) + b"\x0a\x05abc",  # shorter than it says
        encode_uint(2, 1) + b"\x0a",
        encode_uint(2, 1) + b"\x19\x00",
        encode_uint(2, 1) + b"\x0a" + b"\xff" * 10,
        encode_uint(2, 1) + b"\xff\xff\xff\xff\x7f\x00",  # a tag over 32 bits
    ],
)
def test_a_message_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidMessageError):
        SCHEMA.decode(raw)


# --- a SignalMessage's two readers -------------------------------------------------------------------------------------


def body(
    *, number: int = 3, previous: int = 200, ciphertext: bytes = b"\x05" * 16, spqr: bytes = b"\x01\x01\x05"
) -> bytes:
    return encode_signal_body(
        ratchet_key=RATCHET_KEY,
        number=number,
        previous_chain_length=previous,
        ciphertext=ciphertext,
        spqr=spqr,
        addresses=bytes(range(36)),
    )


def outcome(
    read: Callable[[bytes, bytes], SignalMessage | None], raw: bytes
) -> SignalMessage | type[DecryptionError] | None:
    try:
        return read(raw, b"mac of 8")
    except DecryptionError as error:
        return type(error)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=400), st.binary(max_size=200))
def test_what_we_write_is_read_in_the_usual_way_and_as_the_schema_reads_it(
    number: int, previous: int, ciphertext: bytes, spqr: bytes
) -> None:
    raw = body(number=number, previous=previous, ciphertext=ciphertext, spqr=spqr)
    usual = outcome(messages._read_usual_body, raw)
    assert isinstance(usual, SignalMessage)
    assert (usual.number, usual.ciphertext, usual.spqr) == (number, ciphertext, spqr)
    assert usual == outcome(messages._read_any_body, raw)


TELLING = (0x00, 0x01, 0x0A, 0x10, 0x18, 0x21, 0x22, 0x24, 0x2A, 0x32, 0x7F, 0x80, 0xFF)
"""Bytes that mean something where a message is taken apart: its tags and lengths, and the ends of a varint's."""


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(body(), id="usual"),
        pytest.param(body(ciphertext=b"", spqr=b""), id="empty fields"),
        pytest.param(body(ciphertext=bytes(range(140))), id="a length of two bytes"),
        pytest.param(body(number=2**32 - 1, previous=2**32 - 1), id="largest numbers"),
        pytest.param(body(number=2**32), id="number over 32 bits"),
        pytest.param(body(previous=2**32), id="previous chain length over 32 bits"),
    ],
)
def test_a_message_changed_anywhere_is_read_as_the_schema_reads_it_or_left_to_it(raw: bytes) -> None:
    """Each byte in turn takes other values, is left out, comes twice; and the message ends at each."""
    changed = [raw[:place] + bytes((value,)) + raw[place + 1 :] for place in range(1, len(raw)) for value in TELLING]
    for place in range(1, len(raw)):
        changed += [raw[:place] + raw[place + 1 :], raw[: place + 1] + raw[place:], raw[:place]]
    left = 0
    for each in changed:
        usual = outcome(messages._read_usual_body, each)
        left += usual is None
        assert usual is None or usual == outcome(messages._read_any_body, each)
    assert left > 0


@pytest.mark.parametrize("byte", [0x33, 0x34, 0x43, 0x45, 0x54, 0x00])
def test_any_version_byte_but_44_is_refused(byte: int) -> None:
    for decode, sample in ((decode_signal_message, SIGNAL), (decode_prekey_signal_message, PREKEY)):
        with pytest.raises(InvalidMessageError):
            decode(bytes([byte]) + sample[1:])


@pytest.mark.parametrize("byte", [0x01, 0x10, 0x12, 0x22, 0x23, 0x44])
def test_any_sealed_version_but_11_is_refused(byte: int) -> None:
    with pytest.raises(InvalidMessageError):
        open_sealed(BRUNO.own.key, bytes([byte]) + SEALED[1:])


def test_keys_with_bytes_after_the_33rd_are_refused() -> None:
    for field, sample in ((1, SIGNAL), (2, PREKEY), (3, PREKEY)):
        longer = encode_bytes(field, RATCHET_KEY + b"\x00")
        raw = sample[:-8] + longer + sample[-8:] if sample is SIGNAL else sample + longer
        decode = decode_signal_message if sample is SIGNAL else decode_prekey_signal_message
        with pytest.raises(InvalidKeyError):
            decode(raw)


@pytest.mark.parametrize("size", [35, 37])
def test_addresses_of_another_length_are_refused(size: int) -> None:
    with pytest.raises(InvalidMessageError):
        decode_signal_message(SIGNAL[:-8] + encode_bytes(6, bytes(size)) + SIGNAL[-8:])


@pytest.mark.parametrize("size", [0, 1568, 1570])
def test_a_kyber_ciphertext_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(InvalidMessageError):
        decode_prekey_signal_message(PREKEY + encode_bytes(8, bytes(size)))


@pytest.mark.parametrize("number", [0, 3, 4, 9, 2**32 - 1])
def test_content_of_another_type_is_refused(number: int) -> None:
    with pytest.raises(InvalidMessageError):
        decode_content(CONTENT + encode_uint(1, number))


def test_unknown_hints_are_kept_as_they_are() -> None:
    assert decode_content(CONTENT + encode_uint(4, 77)).hint == 77


def test_plaintext_content_carries_exactly_one_thing() -> None:
    both = encode_plaintext_content(PlaintextContent(DecryptionErrorMessage(None, 1, 1), signal=pad(b"x")))
    neither = encode_plaintext_content(PlaintextContent())
    lonely_id = encode_plaintext_content(PlaintextContent(signal=pad(b"x"), envelope_id=bytes(16)))
    short_id = encode_plaintext_content(PlaintextContent(DecryptionErrorMessage(None, 1, 1), bytes(15)))
    for raw in (both, neither, lonely_id, short_id, PLAINTEXT[:-1], b"\xc1" + PLAINTEXT[1:], b"\xc0", b""):
        with pytest.raises(InvalidMessageError):
            decode_plaintext_content(raw)


def test_the_ratchet_key_of_a_failed_message_is_found_where_it_can_be_read() -> None:
    assert ratchet_key_of(MessageType.SIGNAL, SIGNAL) == RATCHET_KEY
    assert ratchet_key_of(MessageType.PREKEY, PREKEY) == RATCHET_KEY
    for kind, raw in ((MessageType.SIGNAL, b"\x44"), (MessageType.PREKEY, b""), (MessageType.PLAINTEXT, PLAINTEXT)):
        assert ratchet_key_of(kind, raw) is None
    improper = SIGNAL[:-8] + encode_bytes(1, b"\x05" + bytes(32)) + SIGNAL[-8:]
    assert ratchet_key_of(MessageType.SIGNAL, improper) is None


# --- padding -----------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=2000))
def test_padding_comes_off_again_and_only_leaves_size_classes(content: bytes) -> None:
    padded = pad(content)
    assert unpad(padded) == content
    assert len(padded) in {256, 512, 1024, 2048}


def test_padding_at_its_limits() -> None:
    assert [len(pad(bytes(size))) for size in (0, 255, 256, 511, 512)] == [256, 256, 512, 512, 1024]
    assert len(pad(bytes(MAX_CONTENT_BYTES))) == 32_768
    assert unpad(pad(bytes(MAX_CONTENT_BYTES))) == bytes(MAX_CONTENT_BYTES)
    with pytest.raises(TooLargeError):
        pad(bytes(MAX_CONTENT_BYTES + 1))


@pytest.mark.parametrize("size", [256 * 2**power for power in range(8)])
def test_a_size_class_ends_one_byte_before_its_length(size: int) -> None:
    for content in (b"x" * (size - 1), b"\x80" * (size - 1), bytes(size - 1)):
        assert len(pad(content)) == size
        assert unpad(pad(content)) == content
    if size <= MAX_CONTENT_BYTES:
        assert len(pad(b"x" * size)) == 2 * size
        assert unpad(pad(b"x" * size)) == b"x" * size
    else:
        with pytest.raises(TooLargeError):
            pad(b"x" * size)
    # A class too large for its content is not what `pad` makes: two lengths would stand for one text.
    with pytest.raises(InvalidMessageError):
        unpad((b"x" * (size // 2 - 1) + b"\x80").ljust(size if size > 256 else 512, b"\x00"))


@pytest.mark.parametrize(
    "raw", [b"", bytes(256), b"\x80", b"\x80" + bytes(256), b"x\x80" + bytes(510), b"\x80" + bytes(65_535)]
)
def test_what_pad_does_not_make_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidMessageError):
        unpad(raw)
