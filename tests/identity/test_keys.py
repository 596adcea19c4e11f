"""docs/protocol/identity.md, "Keys": root key, device key, home key."""

import pickle
import random
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.identity import (
    HomeKeyPair,
    IdentityKeyPair,
    Label,
    RootKey,
    check_identity_key,
    trust_root,
    verify_ed25519,
    verify_home,
    verify_recovery,
    verify_root,
    verify_xeddsa,
)
from mepassa.identity.curve import (
    FIELD_PRIME,
    GROUP_ORDER,
    LOW_ORDER_U,
    edwards_from_montgomery,
    is_torsion_free,
    montgomery_from_edwards,
)
from mepassa.model.errors import InvalidInputError, MalformedError, SignatureError
from mepassa.model.keys import IdentityKey, RootPublicKey
from mepassa.model.secret import SecretBytes

SEED_PUBLICS = {
    1: "051b1b58dd50ea14b60da17b790cd02754d970c9bab864ebb3c0f3016fe51d3f57",
    2: "0560346e7c911a5f6ba154129174cafe75b294ac3bbd5549632f48cec6266f8410",
    3: "0575e270df2952c57ba8367ba8618c178f9fe50db2799d304e74e918d985686146",
    4: "05edd03cade80d29de6ea313a74ab369f4732ecb36649066b78b5b2dd664cb0417",
    5: "05c44e429251771ec76197c7a1f8ea289a18ca3dd7a7e102ba7cc84df6b55cbe1a",
}
"""Public keys of seeds that are one byte 32 times; the official library reproduced them."""


def seeded(byte: int) -> IdentityKeyPair:
    return IdentityKeyPair(SecretBytes(bytes([byte]) * 32))


@pytest.mark.parametrize("byte", SEED_PUBLICS)
def test_a_device_key_is_the_birational_image_of_its_ed25519_key(byte: int) -> None:
    assert seeded(byte).public.hex() == SEED_PUBLICS[byte]
    assert trust_root(RootKey(SecretBytes(bytes([byte]) * 32)).public).hex() == SEED_PUBLICS[byte]


def test_ed25519_follows_rfc_8032_test_2() -> None:
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    verify_ed25519(public, b"\x72", signature)
    with pytest.raises(SignatureError):
        verify_ed25519(public, b"\x73", signature)


def test_a_root_signature_holds_for_its_label_and_parts_only() -> None:
    root = RootKey.generate()
    signature = root.sign(Label.DEVICE_LIST, b"list")
    verify_root(root.public, signature, Label.DEVICE_LIST, b"list")
    for label, part in ((Label.HELLO, b"list"), (Label.DEVICE_LIST, b"lisT")):
        with pytest.raises(SignatureError):
            verify_root(root.public, signature, label, part)
    with pytest.raises(SignatureError):
        verify_root(RootKey.generate().public, signature, Label.DEVICE_LIST, b"list")


def test_a_proof_for_recovery_holds_for_its_root_its_home_and_its_hello_only() -> None:
    root, home, nonces = RootKey.generate(), HomeKeyPair.generate().public, (bytes(32), b"\x01" * 32)
    proof = root.sign_recovery(home, *nonces)
    verify_recovery(root.public, proof, home, *nonces)
    for wrong in (
        (RootKey.generate().public, proof, home, *nonces),
        (root.public, proof, HomeKeyPair.generate().public, *nonces),
        (root.public, proof, home, *nonces[::-1]),
    ):
        with pytest.raises(SignatureError):
            verify_recovery(*wrong)


def test_the_root_key_signs_nothing_unlabelled_but_server_certificates() -> None:
    root = RootKey.generate()
    verify_xeddsa(trust_root(root.public), b"\x08\x01", root.sign_certificate(b"\x08\x01"))
    with pytest.raises(InvalidInputError):
        root.sign_certificate(b"mepassa device list 1")


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100))
def test_xeddsa_verifies_what_it_signs_whatever_the_sign_bit(seed: bytes, message: bytes) -> None:
    key = IdentityKeyPair(SecretBytes(seed))
    verify_xeddsa(key.public, message, key.sign(message))


def test_xeddsa_refuses_every_single_flipped_bit() -> None:
    key = seeded(1)
    signature = key.sign(b"message")
    for bit in range(512):
        broken = bytearray(signature)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SignatureError):
            verify_xeddsa(key.public, b"message", bytes(broken))
    for wrong in (b"", signature[:63], signature + b"\x00"):
        with pytest.raises(SignatureError):
            verify_xeddsa(key.public, b"message", wrong)


def test_both_sides_agree_on_the_same_secret() -> None:
    ana, bruno = IdentityKeyPair.generate(), IdentityKeyPair.generate()
    assert ana.agree(bruno.public.raw) == bruno.agree(ana.public.raw)


IMPROPER = [
    b"",
    b"\x06" + SEED_PUBLICS[1].encode()[:32],
    b"\x05" + b"\xff" * 32,  # not below 2^255
    b"\x05" + (FIELD_PRIME + 9).to_bytes(32, "little"),  # a second encoding of u = 9
    b"\x05" + FIELD_PRIME.to_bytes(32, "little"),  # of u = 0
    *(b"\x05" + u.to_bytes(32, "little") for u in LOW_ORDER_U),
    bytes.fromhex(SEED_PUBLICS[1]) + b"\x00",
]


@pytest.mark.parametrize("raw", IMPROPER, ids=lambda raw: raw.hex()[:16])
def test_improper_public_keys_are_refused_for_agreeing_and_verifying(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        check_identity_key(raw)
    with pytest.raises(MalformedError):
        seeded(1).agree(raw)
    if len(raw) == 33:
        with pytest.raises(SignatureError):
            verify_xeddsa(IdentityKey(raw), b"m", bytes(64))


@given(st.binary(max_size=40))
def test_any_bytes_are_a_public_key_or_malformed(raw: bytes) -> None:
    try:
        assert check_identity_key(raw).raw == raw
    except MalformedError:
        pass


@given(st.binary(min_size=32, max_size=32))
def test_any_32_bytes_have_a_montgomery_form_or_are_malformed(raw: bytes) -> None:
    try:
        u = montgomery_from_edwards(raw)
        assert edwards_from_montgomery(u, raw[31] & 0x80) == raw
    except MalformedError:
        pass


def test_low_order_ed25519_keys_verify_nothing() -> None:
    """With y = -1 (order 2) the signature R = B·s, S = s holds for half of all messages: refused before it is tried."""
    for y in (0, 1, FIELD_PRIME - 1):
        with pytest.raises(SignatureError):
            verify_ed25519(y.to_bytes(32, "little"), b"m", bytes(64))
    for y in (1, FIELD_PRIME):  # no Montgomery form, and a second encoding of y = 0
        with pytest.raises(MalformedError):
            trust_root(RootPublicKey(y.to_bytes(32, "little")))


def test_a_key_with_torsion_is_told_from_a_clean_one() -> None:
    from nacl import bindings

    low_order = bytes(32)  # y = 0: order 4
    for byte in SEED_PUBLICS:
        clean = seeded(byte).public.raw[1:]
        assert is_torsion_free(clean)
        edwards = edwards_from_montgomery(clean, 0)
        mixed = bytes(bindings.crypto_core_ed25519_add(edwards, low_order))
        assert not is_torsion_free(montgomery_from_edwards(mixed))
    assert not is_torsion_free((2).to_bytes(32, "little"))  # on the twist
    assert GROUP_ORDER.bit_length() == 253


def by_ladder(u_bytes: bytes) -> bool:
    """Whether [L]Q is the neutral element: an x-only ladder (RFC 7748 §5), to hold the library's answer against."""
    p = FIELD_PRIME
    u = int.from_bytes(u_bytes, "little")
    x2, z2, x3, z3 = 1, 0, u, 1
    for bit in f"{GROUP_ORDER:b}":
        if bit == "1":
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b = x2 + z2, x2 - z2
        aa, bb = a * a % p, b * b % p
        e = aa - bb
        da, cb = (x3 - z3) * a % p, (x3 + z3) * b % p
        x3, z3 = (da + cb) ** 2 % p, u * (da - cb) ** 2 % p
        x2, z2 = aa * bb % p, e * (aa + 121665 * e) % p
        if bit == "1":
            x2, z2, x3, z3 = x3, z3, x2, z2
    return z2 == 0


def test_the_subgroup_test_agrees_with_a_ladder_on_either_curve(seed: int) -> None:
    """Of random u half lie on the twist, and an eighth of the others in the subgroup."""
    dice = random.Random(seed)
    answers = {True: 0, False: 0}
    for _ in range(60):
        u = (dice.getrandbits(255) % (FIELD_PRIME - 2)).to_bytes(32, "little")
        answers[is_torsion_free(u)] += 1
        assert is_torsion_free(u) == by_ladder(u)
    for low in LOW_ORDER_U:
        assert is_torsion_free(low.to_bytes(32, "little")) is False
    for _ in range(10):
        clean = IdentityKeyPair(SecretBytes(dice.randbytes(32))).public.raw[1:]
        assert is_torsion_free(clean)
        assert by_ladder(clean)
    assert answers[False] > 30


def test_a_home_signature_holds_for_its_home_only() -> None:
    home = HomeKeyPair.generate()
    verify_home(home.public, b"mepassa x", home.sign(b"mepassa x"))
    with pytest.raises(SignatureError):
        verify_home(HomeKeyPair.generate().public, b"mepassa x", home.sign(b"mepassa x"))


def test_an_account_id_is_a_uuid_of_version_8_over_the_root_key() -> None:
    root = RootKey(SecretBytes(bytes(32)))
    uuid = root.account_id.uuid
    digest = sha256(b"mepassa account 1" + root.public.raw).digest()
    assert uuid.version == 8
    assert uuid.variant == "specified in RFC 4122"
    assert root.account_id.raw[:6] == digest[:6]
    assert root.account_id.raw[9:] == digest[9:16]


def test_no_key_prints_or_pickles_its_secret() -> None:
    seed = bytes(range(32))
    for key in (RootKey(SecretBytes(seed)), IdentityKeyPair(SecretBytes(seed)), HomeKeyPair(SecretBytes(seed))):
        assert seed.hex() not in repr(key) + repr(key.seed)
        with pytest.raises(TypeError):
            pickle.dumps(key)
    for kind in (RootKey, IdentityKeyPair, HomeKeyPair):
        with pytest.raises(InvalidInputError):
            kind(SecretBytes(b"short"))
