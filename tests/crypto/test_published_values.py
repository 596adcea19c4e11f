"""Every value in tests/vectors, computed again: changing one of them is a break with the official library."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from mepassa.crypto.budget import WorkBudget
from mepassa.crypto.certificates import (
    decode_sender_certificate,
    decode_server_certificate,
    issue_device_certificate,
    verify_chain,
)
from mepassa.crypto.keys import EcKeyPair
from mepassa.crypto.messages import (
    ENVELOPE_ID_FIELD,
    SIGNAL_FIELD,
    DecryptionErrorMessage,
    MessageType,
    PlaintextContent,
    decode_plaintext_content,
    encode_decryption_error_message,
    encode_plaintext_content,
)
from mepassa.crypto.primitives import hkdf, hmac_sha256, kdf_ck
from mepassa.crypto.protobuf import encode_bytes
from mepassa.crypto.safety_number import ITERATIONS, combine, fingerprint
from mepassa.crypto.sealed_sender import ContentHint, encode_content, open_sealed, seal
from mepassa.crypto.spqr import incremental_mlkem as mlkem
from mepassa.crypto.spqr.authenticator import Authenticator, epoch_secret
from mepassa.crypto.spqr.chain import Chain
from mepassa.crypto.spqr.erasure import Encoder
from mepassa.identity import IdentityKeyPair, RootKey, trust_root
from mepassa.model.ids import AccountId
from mepassa.model.secret import SecretBytes

VECTORS = Path(__file__).parents[1] / "vectors"
AUTH_KEY = bytes(range(32))
KEM_SEED = bytes(range(64))


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text())
    return loaded


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def key(byte: int) -> IdentityKeyPair:
    return IdentityKeyPair(SecretBytes(bytes([byte]) * 32))


def test_spqr_authenticator_and_split_kem() -> None:
    v = load("spqr")
    start = Authenticator.start(AUTH_KEY)
    assert (start.root.hex(), start.mac_key.hex()) == (v["authenticator_root"], v["authenticator_mac_key"])
    header, ek_vector = mlkem.public_parts(KEM_SEED)
    assert header.hex() == v["header"]
    assert start.header_mac(1, header).hex() == v["header_mac"]
    shared_secret, ct1, m_and_r = mlkem.encapsulate_1(header, lambda size: b"\xa5" * size)
    mlkem.check_ek_vector(ek_vector, header)
    ct2 = mlkem.encapsulate_2(ek_vector, m_and_r)
    assert sha256(ek_vector) == v["sha256_ek_vector"]
    assert (sha256(ct1), sha256(ct2)) == (v["sha256_ct1"], v["sha256_ct2"])
    assert shared_secret.hex() == v["shared_secret"]
    assert mlkem.decapsulate(KEM_SEED, ct1, ct2) == shared_secret
    secret = epoch_secret(1, shared_secret)
    assert secret.hex() == v["epoch_secret"]
    assert start.update(1, secret).ciphertext_mac(1, ct1 + ct2).hex() == v["ciphertext_mac"]


def test_spqr_chain() -> None:
    v = load("spqr")
    a2b, b2a = Chain.start(AUTH_KEY, a2b=True), Chain.start(AUTH_KEY, a2b=False)
    assert a2b.next_root.hex() == v["chain_next_root_0"]
    for chain, expected in ((a2b, v["epoch_0_a2b"]), (b2a, v["epoch_0_b2a"])):
        for place, value in enumerate(expected, 1):
            chain, index, message_key = chain.next_send_key(0)
            assert (index, message_key.hex()) == (place, value)
    secret = bytes.fromhex(v["epoch_secret"])
    a2b, b2a = a2b.add_epoch(1, secret), b2a.add_epoch(1, secret)
    assert a2b.next_root.hex() == b2a.next_root.hex() == v["chain_next_root_1"]
    assert a2b.next_send_key(1)[2].hex() == v["epoch_1_a2b"][0]
    assert b2a.next_send_key(1)[2].hex() == v["epoch_1_b2a"][0]
    assert b2a.receive_key(0, 2, WorkBudget(2))[1].hex() == v["epoch_0_a2b"][1]


def test_spqr_erasure_code() -> None:
    encoder = Encoder(bytes(range(96)))
    assert encoder.chunk_at(2).data == bytes(range(64, 96))
    assert encoder.chunk_at(3).data == bytes(range(96, 128))
    assert encoder.chunk_at(65_535).data.hex() == load("spqr")["chunk_65535_of_bytes_00_to_5f"]


def test_certificates() -> None:
    """Shape A: a certificate key of its own between root and sender; ours are shape B, the formats are the same."""
    v = load("sealed-sender")
    root, certificate_key, sender = RootKey(SecretBytes(b"\x03" * 32)), key(4), key(1)
    server = issue_device_certificate(root, 1, certificate_key.public)
    assert server.hex() == v["server_certificate"]
    assert decode_server_certificate(server).key == certificate_key.public
    inner = (
        bytes.fromhex("1002190068e5cf8b0100002221")
        + sender.public.raw
        + bytes.fromhex("2a69")
        + server
        + bytes.fromhex("3224")
        + v["sender"].encode()
    )
    signature = certificate_key.sign(inner)
    assert signature.hex() == v["sender_certificate_signature"]
    whole = encode_bytes(1, inner) + encode_bytes(2, signature)
    assert sha256(whole) == v["sha256_sender_certificate"]
    certificate = decode_sender_certificate(whole)
    assert certificate.sender.account == AccountId(UUID(v["sender"]).bytes)
    assert (certificate.sender.device, certificate.expires_at_ms) == (v["sender_device"], v["expires_ms"])
    assert verify_chain(certificate, trust_root(root.public))
    assert not verify_chain(certificate, certificate_key.public)

    content = encode_content(MessageType.SENDER_KEY, whole, bytes.fromhex(v["message"]), hint=1, group_id=b"G1")
    assert sha256(content) == v["sha256_content"]
    ephemeral = EcKeyPair(b"\x06" * 32)
    assert ephemeral.public.hex() == v["ephemeral_public"]
    envelope = seal(sender, key(2).public, content, ephemeral)
    assert bytes.fromhex(v["encrypted_static"]) in envelope
    assert sha256(envelope) == v["sha256_envelope"]
    opened = open_sealed(key(2), envelope)
    assert opened.message.hex() == v["message"]
    assert (opened.type, opened.hint, opened.group_id) == (MessageType.SENDER_KEY, 1, b"G1")


def test_decryption_error_message() -> None:
    v = load("sealed-sender")["decryption_error"]
    error = DecryptionErrorMessage(None, v["timestamp_ms"], v["device"])
    assert encode_decryption_error_message(error).hex() == v["message"]
    content = PlaintextContent(error)
    assert encode_plaintext_content(content).hex() == v["plaintext_content"]
    assert decode_plaintext_content(bytes.fromhex(v["plaintext_content"])) == content


def test_safety_number() -> None:
    v = load("safety-number")
    own, other = (
        fingerprint(bytes.fromhex(v[f"{side}_key"]), bytes.fromhex(v[f"{side}_id"])) for side in ("own", "other")
    )
    number = combine(own, other)
    assert (number.digits, number.scannable.hex()) == (v["digits"], v["scannable"])
    assert combine(other, own).digits == v["digits"]


def test_hmac_follows_rfc_4231_case_2() -> None:
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert hmac_sha256(b"Jefe", b"what do ya want for nothing?").hex() == expected


@given(st.binary(max_size=200), st.binary(max_size=200))
@example(bytes(63), b"").via("a key just below a block, one that fills it, and one that has to be hashed first")
@example(bytes(range(64)), b"")
@example(bytes(range(65)), b"")
def test_hmac_is_that_of_the_standard_library(key: bytes, data: bytes) -> None:
    assert hmac_sha256(key, data) == hmac.digest(key, data, "sha256")


def test_numbers_on_the_wire() -> None:
    """The official library's, and two of our own that it skips; written out, since both our sides would change together."""
    kinds = (MessageType.SIGNAL, MessageType.PREKEY, MessageType.SENDER_KEY, MessageType.PLAINTEXT)
    assert [int(kind) for kind in kinds] == [2, 3, 7, 8]
    sealed = [encode_content(kind, b"certificate", b"message", hint=0)[:2] for kind in kinds]
    assert sealed == [b"\x08\x02", b"\x08\x01", b"\x08\x07", b"\x08\x08"]  # _TYPE_ON_THE_WIRE
    assert list(map(int, (ContentHint.DEFAULT, ContentHint.RESENDABLE, ContentHint.IMPLICIT))) == [0, 1, 2]
    assert (SIGNAL_FIELD, ENVELOPE_ID_FIELD) == (2020, 2021)
    assert ITERATIONS == 5200


@given(st.binary(min_size=32, max_size=32))
def test_kdf_ck_is_two_hmacs_of_the_chain_key(chain_key: bytes) -> None:
    """The Double Ratchet §5.2: 0x01 gives what a message's keys come from, 0x02 the next chain key."""
    seed, following = (hmac.digest(chain_key, constant, "sha256") for constant in (b"\x01", b"\x02"))
    assert kdf_ck(chain_key) == (following, seed)


def test_hkdf_follows_rfc_5869_cases_1_and_3() -> None:
    case_1 = hkdf(bytes(range(13)), b"\x0b" * 22, bytes(range(0xF0, 0xFA)), 42)
    assert case_1.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
    case_3 = hkdf(b"", b"\x0b" * 22, b"", 42)
    assert case_3.hex() == ("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8")


def test_x25519_follows_rfc_7748() -> None:
    """§6.1: both sides come to the same secret."""
    alice = EcKeyPair(bytes.fromhex(ALICE))
    bob = EcKeyPair(bytes.fromhex(BOB))
    assert alice.public[1:].hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert alice.agree(bob.public).hex() == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"


ALICE = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
BOB = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
