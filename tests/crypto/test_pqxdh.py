"""docs/protocol/session.md, "PQXDH" and "Prekeys": both sides come to the same secret, and only with the right keys."""

import hashlib
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey

from mepassa.crypto import pqxdh
from mepassa.crypto.errors import CorruptRecordError, InvalidKeyError
from mepassa.crypto.kem import KyberKeyPair, encapsulate
from mepassa.crypto.keys import EcKeyPair
from mepassa.crypto.pqxdh import SharedSecret
from tests.crypto.people import Person


def respond(bruno: Person, ana: Person, initiation: pqxdh.Initiation, *, one_time: bool) -> SharedSecret:
    return pqxdh.respond(
        bruno.own.key,
        signed_prekey=EcKeyPair(bruno.prekeys.signeds[1].expose()),
        one_time_prekey=EcKeyPair(bruno.prekeys.one_times[1].expose()) if one_time else None,
        kyber_prekey=KyberKeyPair(bruno.prekeys.kybers[1].expose()),
        base_key=initiation.base_key,
        identity_key=ana.own.key.public.raw,
        kyber_ciphertext=initiation.kyber_ciphertext,
    )


@pytest.mark.parametrize("one_time", [True, False])
def test_both_sides_come_to_the_same_secret(*, one_time: bool) -> None:
    ana, bruno = Person("ana"), Person("bruno")
    initiation = pqxdh.initiate(ana.own.key, bruno.bundle(one_time=one_time), os.urandom)
    assert respond(bruno, ana, initiation, one_time=one_time) == initiation.secret


def test_leaving_out_the_one_time_prekey_gives_another_secret() -> None:
    ana, bruno = Person("ana"), Person("bruno")
    initiation = pqxdh.initiate(ana.own.key, bruno.bundle(), os.urandom)
    assert respond(bruno, ana, initiation, one_time=False) != initiation.secret
    assert respond(bruno, Person("carla"), initiation, one_time=True) != initiation.secret


def test_kyber_round_3_differs_from_ml_kem_in_its_secret_alone() -> None:
    pair = KyberKeyPair(bytes(range(64)))
    secret, ciphertext = encapsulate(pair.public)
    assert pair.decapsulate(ciphertext) == secret
    plain = MLKEM1024PrivateKey.from_seed_bytes(bytes(range(64))).decapsulate(ciphertext[1:])
    expected = hashlib.shake_256(plain + hashlib.sha3_256(ciphertext[1:]).digest()).digest(32)
    assert secret == expected != plain


def test_kem_keys_and_ciphertexts_of_another_form_are_refused() -> None:
    pair = KyberKeyPair.generate(os.urandom)
    _, ciphertext = encapsulate(pair.public)
    for public in (b"", pair.public[1:], b"\x07" + pair.public[1:], pair.public + b"\x00", b"\x08" + b"\xff" * 1568):
        with pytest.raises(InvalidKeyError):
            encapsulate(public)
    for wrong in (b"", ciphertext[1:], b"\x07" + ciphertext[1:], ciphertext + b"\x00"):
        with pytest.raises(InvalidKeyError):
            pair.decapsulate(wrong)
    with pytest.raises(CorruptRecordError):
        KyberKeyPair(bytes(63))
    with pytest.raises(CorruptRecordError):
        EcKeyPair(bytes(31))


def test_a_changed_ciphertext_gives_another_secret_and_no_error() -> None:
    pair = KyberKeyPair.generate(os.urandom)
    secret, ciphertext = encapsulate(pair.public)
    assert pair.decapsulate(ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])) != secret
