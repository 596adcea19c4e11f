"""docs/protocol/blobs.md, "Profile": a home keeps it, contacts read it, and neither can show an old one as new."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mepassa.crypto.errors import AuthenticationError, InvalidMessageError
from mepassa.crypto.profile_cipher import MAX_PROFILE_BYTES, SEALED_SIZES, open_profile, seal_profile
from mepassa.model.errors import DecryptionError, MalformedError, TooLargeError
from mepassa.model.ids import AccountId
from mepassa.model.profile import Profile
from mepassa.model.secret import SecretBytes
from mepassa.testing.chance import SeededRng
from mepassa.wire import profile as wire_profile
from mepassa.wire.profile import decode_profile, encode_profile

VECTORS = Path(__file__).parents[1] / "vectors" / "blob.json"
KEY, ANA = SecretBytes(b"k" * 32), AccountId(b"A" * 16)
SEALED = seal_profile(KEY, ANA, 5, encode_profile(Profile("Ana")), random=SeededRng(1).token)


def test_contacts_read_what_was_sealed() -> None:
    assert decode_profile(open_profile(KEY, ANA, 5, SEALED)) == Profile("Ana")


def test_another_key_account_or_version_does_not_open_it() -> None:
    for key, account, version in (
        (SecretBytes(b"K" * 32), ANA, 5),
        (KEY, AccountId(b"B" * 16), 5),
        (KEY, ANA, 4),
        (KEY, ANA, 6),
        (KEY, ANA, 5 + 2**32),
    ):
        with pytest.raises(AuthenticationError):
            open_profile(key, account, version, SEALED)


@given(st.binary(max_size=MAX_PROFILE_BYTES), st.integers(0, 2**64 - 1))
def test_every_profile_survives_in_one_of_two_sizes(profile: bytes, version: int) -> None:
    sealed = seal_profile(KEY, ANA, version, profile, random=SeededRng(version).token)
    assert len(sealed) in SEALED_SIZES
    assert open_profile(KEY, ANA, version, sealed) == profile


def test_the_size_classes_at_their_borders() -> None:
    def size(length: int) -> int:
        return len(seal_profile(KEY, ANA, 1, b"\x80" * length, random=SeededRng(1).token))

    assert [size(length) for length in (0, 482, 483, 484, MAX_PROFILE_BYTES)] == [512, 512, 512, 2048, 2048]
    with pytest.raises(TooLargeError):
        size(MAX_PROFILE_BYTES + 1)
    assert wire_profile.MAX_PROFILE_BYTES == MAX_PROFILE_BYTES


def test_the_longest_name_fits_the_small_class() -> None:
    raw = encode_profile(Profile("\U0010ffff" * 64))
    assert len(seal_profile(KEY, ANA, 1, raw, random=SeededRng(1).token)) == SEALED_SIZES[0]


def test_two_sealings_share_nothing() -> None:
    again = seal_profile(KEY, ANA, 5, encode_profile(Profile("Ana")), random=SeededRng(2).token)
    assert again[:12] != SEALED[:12]
    assert again[12:] != SEALED[12:]


@settings(max_examples=60)
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_no_byte_can_be_changed(position: int, flip: int) -> None:
    damaged = bytearray(SEALED)
    damaged[position] ^= flip
    with pytest.raises(AuthenticationError):
        open_profile(KEY, ANA, 5, bytes(damaged))


@given(st.binary(max_size=600) | st.binary(min_size=512, max_size=512))
def test_any_bytes_are_refused_as_a_decryption_error(data: bytes) -> None:
    with pytest.raises(DecryptionError):
        open_profile(KEY, ANA, 5, data)


@pytest.mark.parametrize("padded", [bytes(484), b"\x80" + bytes(482) + b"\x01"])
def test_padding_that_seal_does_not_make_is_refused(padded: bytes) -> None:
    from mepassa.crypto.profile_cipher import _bound_to, _cipher

    sealed = bytes(12) + _cipher(KEY).encrypt(bytes(12), padded, _bound_to(ANA, 5))
    with pytest.raises(InvalidMessageError):
        open_profile(KEY, ANA, 5, sealed)


@given(st.binary(max_size=3000))
def test_any_bytes_are_a_profile_or_malformed(data: bytes) -> None:
    try:
        decode_profile(data)
    except MalformedError:
        pass


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_mutated_profile_is_one_or_malformed(position: int, value: int) -> None:
    raw = bytearray(encode_profile(Profile("Ana Lua")))
    raw[position % len(raw)] = value
    try:
        decode_profile(bytes(raw))
    except MalformedError:
        pass


def test_a_field_of_a_later_version_passes() -> None:
    raw = encode_profile(Profile("Ana"))
    assert raw.hex(" ") == "92 01 91 a3 41 6e 61"
    assert decode_profile(raw.replace(b"\x91", b"\x92") + b"\xc4\x01x") == Profile("Ana")


def test_profiles_of_this_version_stay_readable() -> None:
    """Golden: changing these bytes is a protocol decision."""
    for case in json.loads(VECTORS.read_text())["profiles"]:
        key, account = SecretBytes(bytes.fromhex(case["key"])), AccountId.from_hex(case["account"])
        sealed = bytes.fromhex(case["sealed"])
        assert decode_profile(open_profile(key, account, case["version"], sealed)).name == case["name"]
