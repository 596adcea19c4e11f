"""Published test vectors (tests/vectors/published), against the functions that messages really pass through."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from mepassa.crypto.errors import InvalidKeyError, InvalidMessageError, SpqrError
from mepassa.crypto.kem import KyberKeyPair, encapsulate
from mepassa.crypto.keys import EcKeyPair, check_base_key
from mepassa.crypto.primitives import decrypt_cbc, encrypt_cbc, hkdf, hmac_sha256
from mepassa.crypto.spqr import incremental_mlkem as mlkem
from mepassa.identity.curve import montgomery_from_edwards
from mepassa.identity.device_key import IdentityKeyPair, verify_xeddsa
from mepassa.identity.ed25519 import verify_ed25519
from mepassa.model.errors import SignatureError
from mepassa.model.keys import IdentityKey
from mepassa.model.secret import SecretBytes

Case = dict[str, Any]
FOLDER = Path(__file__).parents[1] / "vectors" / "published"

raw = bytes.fromhex


def load(name: str) -> list[Case]:
    found = json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))
    assert found["source"]
    cases: list[Case] = found["cases"]
    assert cases
    return cases


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def flagged(cases: list[Case], flag: str) -> list[Case]:
    return [case for case in cases if flag in case.get("flags", ())]


# --- Curve25519 --------------------------------------------------------------------------------------------------------


def test_x25519_agrees_and_refuses_low_order_and_non_canonical_keys() -> None:
    """Wycheproof calls these "acceptable"; we do not accept them. The others that it calls so lie on the twist."""
    refused = 0
    for case in load("x25519"):
        pair, public = EcKeyPair(raw(case["private"])), b"\x05" + raw(case["public"])
        if {"LowOrderPublic", "NonCanonicalPublic"} & set(case["flags"]):
            refused += 1
            with pytest.raises(InvalidKeyError):
                pair.agree(public)
        else:
            assert pair.agree(public) == raw(case["shared"]), case["tcId"]
    assert refused == 44


def test_x25519_follows_rfc_7748() -> None:
    """§5.2. Its second value has bit 255 set, which the RFC ignores; for us it is another spelling, and refused."""
    for case in load("rfc-7748"):
        pair, public = EcKeyPair(raw(case["private"])), raw(case["public"])
        if public[31] & 0x80:
            with pytest.raises(InvalidKeyError):
                pair.agree(b"\x05" + public)
        assert pair.agree(b"\x05" + public[:31] + bytes([public[31] & 0x7F])) == raw(case["shared"])


def test_a_base_key_is_never_on_the_twist() -> None:
    twisted = flagged(load("x25519"), "Twist")
    assert len(twisted) > 100
    for case in twisted[::10]:
        with pytest.raises(InvalidKeyError):
            check_base_key(b"\x05" + raw(case["public"]))


def test_x25519_a_thousand_times_follows_rfc_7748() -> None:
    """§5.2: k and u are the same at first; each result becomes k, and the old k becomes u."""
    k = u = b"\x09" + bytes(31)
    for _ in range(1000):
        k, u = EcKeyPair(k).agree(b"\x05" + u[:31] + bytes([u[31] & 0x7F])), k
    assert k.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


def test_ed25519_takes_what_is_valid_and_nothing_else() -> None:
    for case in load("ed25519"):
        public, message, signature = raw(case["public"]), raw(case["msg"]), raw(case["sig"])
        if case["result"] == "valid":
            verify_ed25519(public, message, signature)
        elif case["result"] == "invalid" or "SmallOrderPublicKey" in case["flags"]:
            with pytest.raises(SignatureError):
                verify_ed25519(public, message, signature)


def test_a_device_signs_as_rfc_8032_says_but_for_the_sign_bit() -> None:
    """§7.1: tests 1, 2, 3 and 1024 are among them."""
    cases = load("rfc-8032")
    assert {len(case["msg"]) // 2 for case in cases} >= {0, 1, 2, 1023}
    for case in cases:
        public, signature = raw(case["public"]), bytearray(raw(case["sig"]))
        verify_ed25519(public, raw(case["msg"]), bytes(signature))
        signature[63] |= public[31] & 0x80
        pair = IdentityKeyPair(SecretBytes(raw(case["seed"])))
        assert pair.public.raw[1:] == montgomery_from_edwards(public)
        assert pair.sign(raw(case["msg"])) == bytes(signature)


def test_xeddsa_takes_the_same_signatures_with_the_sign_bit_moved() -> None:
    """A signature of another length, or with that bit set already, has no XEdDSA form."""
    verdicts = {"valid": 0, "invalid": 0}
    for case in load("ed25519"):
        public, message, signature = raw(case["public"]), raw(case["msg"]), bytearray(raw(case["sig"]))
        if case["result"] == "acceptable" or len(signature) != 64 or signature[63] & 0x80:
            continue
        signature[63] |= public[31] & 0x80
        key = IdentityKey(b"\x05" + montgomery_from_edwards(public))
        verdicts[case["result"]] += 1
        if case["result"] == "valid":
            verify_xeddsa(key, message, bytes(signature))
        else:
            with pytest.raises(SignatureError):
                verify_xeddsa(key, message, bytes(signature))
    assert verdicts["valid"] >= 100
    assert verdicts["invalid"] >= 20


# --- symmetric ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hkdf-sha256", "rfc-5869"])
def test_hkdf(name: str) -> None:
    for case in load(name):
        salt, ikm, info, size = raw(case["salt"]), raw(case["ikm"]), raw(case["info"]), int(case["size"])
        if case.get("result") == "invalid":
            with pytest.raises(ValueError, match="derive"):
                hkdf(salt, ikm, info, size)
        else:
            assert hkdf(salt, ikm, info, size).hex() == case["okm"].lower()


def test_hmac_follows_rfc_4231() -> None:
    for case in load("rfc-4231"):
        tag = case["tag"]
        assert hmac_sha256(raw(case["key"]), raw(case["msg"])).hex()[: len(tag)] == tag


def test_cbc_encrypts_as_nist_says_and_adds_one_padded_block() -> None:
    for case in load("aes-cbc"):
        key, iv, message, expected = (raw(case[name]) for name in ("key", "iv", "msg", "ct"))
        made = encrypt_cbc(key, iv, message)
        assert (made[: len(message)], len(made)) == (expected, len(message) + 16)
        assert decrypt_cbc(key, iv, made) == message
        if expected != made:  # whole blocks without padding
            with pytest.raises(InvalidMessageError):
                decrypt_cbc(key, iv, expected[:-1])


def test_aes_gcm_siv_follows_rfc_8452() -> None:
    cases = load("aes-gcm-siv")
    assert len(flagged(cases, "Ktv")) == 26
    for case in cases:
        key, iv, aad, message, sealed = (raw(case[name]) for name in ("key", "iv", "aad", "msg", "ct"))
        cipher, sealed = AESGCMSIV(key), sealed + raw(case["tag"])
        if case["result"] == "valid":
            assert cipher.encrypt(iv, message, aad) == sealed
            assert cipher.decrypt(iv, sealed, aad) == message
        else:
            with pytest.raises(InvalidTag):
                cipher.decrypt(iv, sealed, aad)


# --- ML-KEM ------------------------------------------------------------------------------------------------------------


def split(ek: bytes) -> tuple[bytes, bytes]:
    """(header, ek vector), as the ek side sends them."""
    return ek[mlkem.EK_VECTOR_BYTES :] + hashlib.sha3_256(ek).digest(), ek[: mlkem.EK_VECTOR_BYTES]


def test_our_encapsulation_in_two_halves_is_that_of_fips_203() -> None:
    for case in [*load("acvp-ml-kem-768-encapsulation"), *load("ml-kem-768-encapsulation")]:
        ek, m = raw(case["ek"]), raw(case["m"])
        if len(ek) != mlkem.EK_VECTOR_BYTES + 32:
            continue  # the Braid puts it together from chunks: it has no other length
        header, ek_vector = split(ek)
        if case.get("result") == "invalid":
            with pytest.raises(SpqrError):
                mlkem.check_ek_vector(ek_vector, header)
            continue
        mlkem.check_ek_vector(ek_vector, header)
        secret, ct1, m_and_r = mlkem.encapsulate_1(header, {32: m}.__getitem__)
        assert secret.hex() == case["K"].lower()
        assert sha256(ct1 + mlkem.encapsulate_2(ek_vector, m_and_r)) == case["sha256_c"]


def test_ml_kem_keys_come_from_their_seeds() -> None:
    for case in load("acvp-ml-kem-key-generation"):
        seed = raw(case["d"]) + raw(case["z"])
        if case["set"] == "ML-KEM-768":
            header, ek_vector = mlkem.public_parts(seed)
            assert sha256(ek_vector + header[:32]) == case["sha256_ek"]
        else:
            assert sha256(KyberKeyPair(seed).public[1:]) == case["sha256_ek"]


def test_ml_kem_768_decapsulates_and_rejects_implicitly() -> None:
    for case in load("ml-kem-768-decapsulation"):
        seed, ciphertext = raw(case["seed"]), raw(case["c"])
        if case["result"] == "valid":
            ct1, ct2 = ciphertext[: mlkem.CT1_BYTES], ciphertext[mlkem.CT1_BYTES :]
            assert mlkem.decapsulate(seed, ct1, ct2).hex() == case["K"]
        else:  # another length, which chunks cannot have
            assert len(ciphertext) != mlkem.CT1_BYTES + mlkem.CT2_BYTES or len(seed) != mlkem.SEED_BYTES


def test_kyber_1024_is_ml_kem_1024_with_another_last_step() -> None:
    for case in load("ml-kem-1024-decapsulation"):
        seed, ciphertext = raw(case["seed"]), raw(case["c"])
        if len(seed) != 64:
            continue  # our own seeds have no other length
        if case["result"] == "valid":
            last = hashlib.shake_256(raw(case["K"]) + hashlib.sha3_256(ciphertext).digest()).digest(32)
            assert KyberKeyPair(seed).decapsulate(b"\x08" + ciphertext) == last
        else:
            with pytest.raises(InvalidKeyError):
                KyberKeyPair(seed).decapsulate(b"\x08" + ciphertext)


def test_kyber_1024_refuses_improper_public_keys() -> None:
    improper = [case for case in load("ml-kem-1024-encapsulation") if case["result"] == "invalid"]
    assert len(improper) >= 10
    for case in improper:
        with pytest.raises(InvalidKeyError):
            encapsulate(b"\x08" + raw(case["ek"]))
