"""docs/protocol/identity.md, "Safety number": the official library makes the same, and compares ours as we compare its."""

import pytest

from mepassa.crypto.errors import InvalidMessageError
from mepassa.crypto.protobuf import encode_bytes, encode_uint
from mepassa.crypto.safety_number import ITERATIONS, SafetyNumber, SafetyNumberVersionError, safety_number
from mepassa.identity import RootKey, trust_root
from mepassa.model.errors import DecryptionError
from mepassa.model.secret import SecretBytes
from mepassa.testing.chance import SeededRng
from tests.oracle.official import OfficialError, Oracle, unpack


@pytest.fixture
def roots(seed: int) -> tuple[RootKey, RootKey, RootKey]:
    rng = SeededRng(seed)
    ana, bruno, carla = (RootKey(SecretBytes(rng.token(32))) for _ in range(3))
    return ana, bruno, carla


def ours(own: RootKey, other: RootKey) -> SafetyNumber:
    return safety_number(own.public, own.account_id, other.public, other.account_id)


def official(oracle: Oracle, own: RootKey, other: RootKey) -> SafetyNumber:
    made = oracle.ask(
        "fingerprint",
        iterations=ITERATIONS,
        own_id=own.account_id.raw,
        own_key=trust_root(own.public).raw,
        other_id=other.account_id.raw,
        other_key=trust_root(other.public).raw,
    )
    return SafetyNumber(made["digits"], unpack(made["scannable"]))


def compared_officially(oracle: Oracle, own: bytes, scanned: bytes) -> bool | str:
    """True or false, or what the official library calls the error."""
    try:
        return bool(oracle.ask("compare_fingerprints", own=own, scanned=scanned)["yes"])
    except OfficialError as error:
        return "version" if "version" in str(error).lower() else "no code"


def compared_by_us(own: SafetyNumber, scanned: bytes) -> bool | str:
    try:
        return own.matches(scanned)
    except SafetyNumberVersionError:
        return "version"
    except InvalidMessageError:
        return "no code"


def test_both_make_the_same_digits_and_the_same_code(oracle: Oracle, roots: tuple[RootKey, RootKey, RootKey]) -> None:
    for own in roots:
        for other in roots:
            if own is not other:
                assert ours(own, other) == official(oracle, own, other)


def test_each_accepts_the_code_on_the_others_screen_and_no_other(
    oracle: Oracle, roots: tuple[RootKey, RootKey, RootKey]
) -> None:
    """Ours scans theirs, theirs scans ours; the same answer for the mirror, the own side twice, and third people."""
    ana, bruno, carla = roots
    own = ours(ana, bruno)
    for whose, expected in (
        ((bruno, ana), True),
        ((ana, bruno), False),
        ((carla, ana), False),
        ((bruno, carla), False),
        ((carla, bruno), False),
        ((ana, carla), False),
    ):
        by_us, by_them = ours(*whose), official(oracle, *whose)
        assert compared_by_us(own, by_them.scannable) is expected
        assert compared_officially(oracle, own.scannable, by_us.scannable) is expected
        assert compared_officially(oracle, by_us.scannable, own.scannable) is expected


def test_what_is_no_code_or_of_another_version_is_told_the_same_way(
    oracle: Oracle, roots: tuple[RootKey, RootKey, RootKey]
) -> None:
    ana, bruno, _ = roots
    own, mirrored = ours(ana, bruno), ours(bruno, ana).scannable
    body, half = mirrored[2:], encode_bytes(2, encode_bytes(1, bytes(32)))
    for scanned, expected in (
        (encode_uint(1, 1) + body, "version"),
        (encode_uint(1, 3) + body, "version"),
        (encode_uint(1, 2) + half, "no code"),
        (encode_uint(1, 2) + half + encode_bytes(3, b"\xff"), "no code"),
        (b"\xff\xff\xff", "no code"),
        (b"not a code at all", "no code"),
        (mirrored + encode_uint(9, 1), True),
        (mirrored[:-1], "no code"),
        (encode_uint(1, 2) + half + encode_bytes(3, encode_bytes(1, bytes(31))), False),
    ):
        assert compared_by_us(own, scanned) == compared_officially(oracle, own.scannable, scanned) == expected, scanned


def test_a_damaged_code_never_matches_anywhere(
    oracle: Oracle, roots: tuple[RootKey, RootKey, RootKey], seed: int
) -> None:
    """Every byte of the code changed once: we and the official library agree, and nobody says yes."""
    ana, bruno, _ = roots
    own, mirrored, rng = ours(ana, bruno), ours(bruno, ana).scannable, SeededRng(seed)
    for position in range(len(mirrored)):
        damaged = bytearray(mirrored)
        damaged[position] ^= 1 + rng.below(255)
        by_us = compared_by_us(own, bytes(damaged))
        assert by_us is not True
        assert compared_officially(oracle, own.scannable, bytes(damaged)) is not True
        if by_us is False:
            assert compared_officially(oracle, own.scannable, bytes(damaged)) is False


@pytest.mark.parametrize("scanned", [b"", b"\x0a", bytes(300)])
def test_a_refusal_is_one_documented_error(roots: tuple[RootKey, RootKey, RootKey], scanned: bytes) -> None:
    with pytest.raises(DecryptionError):
        ours(roots[0], roots[1]).matches(scanned)
