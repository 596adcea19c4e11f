"""docs/protocol/identity.md, "Presence"."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import VerifyKey

from mepassa.identity import (
    PresenceKeyPair,
    open_presence,
    presence_slot,
    seal_presence,
    utc_day,
    verify_blinded,
)
from mepassa.identity.presence import _sealing_key
from mepassa.model.errors import DecryptionError, InvalidInputError, MalformedError, SignatureError
from mepassa.model.keys import PresencePublicKey
from mepassa.model.secret import SecretBytes

ANA = PresenceKeyPair(SecretBytes(bytes([1]) * 32))


def test_a_presence_key_is_the_ed25519_key_of_its_seed() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    expected = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32).public_key().public_bytes_raw()
    assert ANA.public.raw == expected


@given(st.integers(0, 2**32 - 1), st.integers(1, 127), st.binary(max_size=50))
def test_a_contact_finds_the_slot_and_any_ed25519_verifies_its_signature(day: int, device: int, message: bytes) -> None:
    slot = ANA.blinded(day, device)
    assert presence_slot(ANA.public, day, device) == slot.public
    signature = slot.sign(message)
    verify_blinded(slot.public, message, signature)
    VerifyKey(slot.public).verify(message, signature)


def test_slots_differ_by_day_device_and_key() -> None:
    slots = [ANA.blinded(day, device).public for day in (1, 2) for device in (1, 2)]
    assert len({*slots, ANA.public.raw, PresenceKeyPair.generate().blinded(1, 1).public}) == 6


def test_a_signature_for_one_slot_does_not_hold_for_another() -> None:
    signature = ANA.blinded(1, 1).sign(b"m")
    with pytest.raises(SignatureError):
        verify_blinded(ANA.blinded(2, 1).public, b"m", signature)
    with pytest.raises(SignatureError):
        verify_blinded(ANA.blinded(1, 1).public, b"n", signature)
    assert ANA.blinded(1, 1).sign(b"m")[:32] != ANA.blinded(2, 1).sign(b"m")[:32]


@pytest.mark.parametrize("raw", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32, b"\x02" + bytes(31)])
def test_a_presence_key_that_is_no_proper_point_has_no_slot(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        presence_slot(PresencePublicKey(raw), 1, 1)


@given(st.binary(max_size=899))
def test_a_sealed_record_opens_for_contacts_on_its_day_only(record: bytes) -> None:
    sealed = seal_presence(ANA.public, 9, 1, record)
    assert len(sealed) in (512, 928)
    assert open_presence(ANA.public, 9, 1, sealed) == record
    for day, device in ((8, 1), (9, 2)):
        with pytest.raises(DecryptionError):
            open_presence(ANA.public, day, device, sealed)


@given(st.binary(max_size=600) | st.binary(min_size=512, max_size=512))
def test_any_bytes_open_or_are_a_decryption_error(sealed: bytes) -> None:
    with pytest.raises(DecryptionError):
        open_presence(ANA.public, 9, 1, sealed)


def test_what_a_contact_has_sealed_without_a_mark_or_with_more_after_it_does_not_open() -> None:
    key = AESGCM(_sealing_key(ANA.public, 9, 1))
    for padded in (bytes(484), b"record\x80".ljust(483, b"\x00") + b"\x01"):
        with pytest.raises(DecryptionError):
            open_presence(ANA.public, 9, 1, bytes(12) + key.encrypt(bytes(12), padded, None))


def test_a_record_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        seal_presence(ANA.public, 9, 1, bytes(900))


def test_days_are_counted_in_utc() -> None:
    assert utc_day(86_399_999) == 0
    assert utc_day(86_400_000) == 1
