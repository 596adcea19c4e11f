"""docs/protocol/identity.md, "Safety number"."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.crypto.errors import InvalidMessageError
from mepassa.crypto.protobuf import encode_bytes, encode_uint
from mepassa.crypto.safety_number import SafetyNumber, SafetyNumberVersionError, combine, fingerprint, safety_number
from mepassa.model.errors import DecryptionError, MalformedError
from mepassa.model.keys import RootPublicKey
from tests.crypto.people import Person

ANA, BRUNO, CARLA = (fingerprint(bytes([n]) * 33, bytes(16), iterations=2) for n in (1, 2, 3))
OURS = combine(ANA, BRUNO)


def test_both_sides_see_the_same_sixty_digits_and_scan_each_others_code() -> None:
    ana, bruno = Person("ana").root, Person("bruno").root
    ours = safety_number(ana.public, ana.account_id, bruno.public, bruno.account_id)
    theirs = safety_number(bruno.public, bruno.account_id, ana.public, ana.account_id)
    assert ours.digits == theirs.digits
    assert len(ours.digits) == 60
    assert ours.digits.isdecimal()
    assert ours.matches(theirs.scannable)
    assert theirs.matches(ours.scannable)


def test_another_person_or_the_same_side_twice_does_not_match() -> None:
    assert not OURS.matches(OURS.scannable)
    assert not OURS.matches(combine(CARLA, ANA).scannable)
    assert not OURS.matches(combine(BRUNO, CARLA).scannable)
    assert OURS.matches(combine(BRUNO, ANA).scannable)
    assert OURS.digits != combine(ANA, CARLA).digits


def test_another_version_is_told_before_anything_else() -> None:
    mirrored = combine(BRUNO, ANA).scannable
    for other in (encode_uint(1, 1) + mirrored[2:], mirrored[2:], b"", encode_uint(1, 3)):
        with pytest.raises(SafetyNumberVersionError):
            OURS.matches(other)


def test_a_code_with_a_side_missing_is_none() -> None:
    half = encode_uint(1, 2) + encode_bytes(2, encode_bytes(1, bytes(32)))
    other_half = encode_uint(1, 2) + encode_bytes(3, encode_bytes(1, bytes(32)))
    for scanned in (half, other_half, half + encode_bytes(3, b""), b"\xff"):
        with pytest.raises(InvalidMessageError):
            OURS.matches(scanned)


@given(st.binary(max_size=100), st.integers(0, 71), st.integers(1, 255))
def test_any_scanned_bytes_match_or_not_or_are_a_decryption_error(raw: bytes, position: int, change: int) -> None:
    mutated = bytearray(combine(BRUNO, ANA).scannable)
    mutated[position % len(mutated)] ^= change
    for scanned in (raw, bytes(mutated)):
        try:
            OURS.matches(scanned)
        except DecryptionError:
            pass


def test_a_root_key_that_is_none_has_no_safety_number() -> None:
    ana = Person("ana").root
    with pytest.raises(MalformedError):
        safety_number(ana.public, ana.account_id, RootPublicKey(b"\x01" + bytes(31)), ana.account_id)
    assert isinstance(OURS, SafetyNumber)
