"""Every field of every message, wrong in every way that has a name: a named error, and the record as it was.

docs/protocol/session.md, "Messages" and "Parsing". Plain messages are wrong *by their sender*: the MAC fits, so only the
other device itself could have written them. What is changed on the way fails at the MAC at the latest.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from nacl import bindings

from mepassa.crypto import double_ratchet
from mepassa.crypto.errors import (
    AuthenticationError,
    InvalidKeyError,
    InvalidMessageError,
    NoOpeningSessionError,
    PrekeyMissingError,
    SpqrError,
    TooManySkippedError,
)
from mepassa.crypto.messages import (
    MAC_BYTES,
    MessageType,
    decode_prekey_signal_message,
    encode_addresses,
    encode_signal_body,
)
from mepassa.crypto.primitives import encrypt_cbc, hmac_sha256
from mepassa.crypto.protobuf import Kind, Schema, encode_bytes, encode_uint, encode_varint
from mepassa.crypto.spqr.erasure import Decoder
from mepassa.crypto.spqr.message import MessageType as SpqrType
from mepassa.crypto.spqr.message import decode_spqr_message
from mepassa.identity.curve import FIELD_PRIME, LOW_ORDER_U, edwards_from_montgomery, montgomery_from_edwards
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import DecryptionError, DuplicateMessageError
from mepassa.model.ids import Address
from mepassa.protocol.sealing import open_sealed, seal
from mepassa.protocol.session import SignalCiphertext
from tests.crypto.people import Person, acquainted

ANA, BRUNO = acquainted()
for _ in range(150):  # past two SPQR epochs, so that there are key epochs which have been dropped
    BRUNO.decrypt(ANA.remote, ANA.encrypt(BRUNO.remote, b"x"))
    ANA.decrypt(BRUNO.remote, BRUNO.encrypt(ANA.remote, b"x"))
BRUNO.decrypt(ANA.remote, ANA.encrypt(BRUNO.remote, b"x"))
OTHER = Person("other")
PROPER_KEY = OTHER.own.key.public.raw

IMPROPER_KEYS = {
    "of low order": b"\x05" + bytes(32),
    "of order 8": b"\x05" + max(LOW_ORDER_U - {FIELD_PRIME - 1}).to_bytes(32, "little"),
    "not canonical": b"\x05" + (FIELD_PRIME + 9).to_bytes(32, "little"),
    "with bit 255": PROPER_KEY[:32] + bytes([PROPER_KEY[32] | 0x80]),
    "of another type": b"\x06" + PROPER_KEY[1:],
    "too short": PROPER_KEY[:32],
    "too long": PROPER_KEY + b"\x00",
    "empty": b"",
}


@contextmanager
def unchanged(person: Person, peer: Person) -> Iterator[None]:
    """The serialized record and the prekeys, before and after."""

    def kept() -> tuple[bytes, object]:
        keys = person.prekeys
        return person.record(peer.remote).to_bytes(), tuple(
            map(set, (keys.one_times, keys.signeds, keys.kybers, keys.uses))
        )

    before = kept()
    yield
    assert kept() == before


# --- plain messages ----------------------------------------------------------------------------------------------------


def written(*, extra: bytes = b"", version: int = 0x44, blocks: bytes | None = None, **fields: Any) -> SignalCiphertext:
    """What Ana's device would send next, with other fields, or with more after them (the last of a field counts); the
    MAC covers it all. `blocks`: encrypted as they are, without padding. Her own state stays where it is."""
    current = ANA.record(BRUNO.remote).current
    assert current is not None
    state = current.ratchet
    _, spqr, spqr_key = state.spqr.send(os.urandom)
    seed = hmac_sha256(state.sending.chain_key, b"\x01")
    key, mac_key, iv = double_ratchet._message_keys(seed, spqr_key)
    ciphertext = (
        encrypt_cbc(key, iv, b"text") if blocks is None else Cipher(AES(key), CBC(iv)).encryptor().update(blocks)
    )
    honest: dict[str, Any] = {
        "ratchet_key": state.sending.key_pair.public,
        "number": state.sending.next_number,
        "previous_chain_length": state.previous_chain_length,
        "ciphertext": ciphertext,
        "spqr": spqr,
        "addresses": encode_addresses(ANA.own.address, BRUNO.own.address),
    }
    body = bytes((version,)) + encode_signal_body(**(honest | fields))[1:] + extra
    parties = ANA.own.key.public.raw + BRUNO.own.key.public.raw
    return SignalCiphertext(MessageType.SIGNAL, body + hmac_sha256(mac_key, parties + body)[:MAC_BYTES], b"")


@dataclass(frozen=True)
class Counters:
    """Where both ratchets stand: what Ana sends next, what Bruno has seen."""

    number: int
    ratchet_key: bytes
    epoch: int
    index: int


def _counters() -> Counters:
    current = ANA.record(BRUNO.remote).current
    assert current is not None
    sending = current.ratchet.sending
    _, field, _ = current.ratchet.spqr.send(os.urandom)
    spqr = decode_spqr_message(field)
    assert spqr.epoch >= 3
    return Counters(sending.next_number, sending.key_pair.public, spqr.epoch, spqr.index)


NEXT = _counters()


def spqr(epoch: int = NEXT.epoch, index: int = NEXT.index, kind: int = SpqrType.NONE, rest: bytes = b"", version: int = 1) -> bytes:  # fmt: skip
    return bytes((version,)) + encode_varint(epoch) + encode_varint(index) + bytes((kind,)) + rest


BY_THE_SENDER: dict[str, tuple[dict[str, Any], type[DecryptionError]]] = {
    **{f"ratchet key {how}": ({"extra": encode_bytes(1, key)}, InvalidKeyError) for how, key in IMPROPER_KEYS.items()},
    "ratchet key of nobody": ({"ratchet_key": PROPER_KEY}, AuthenticationError),
    "counter used before": ({"number": NEXT.number - 1}, DuplicateMessageError),
    "counter off by one": ({"number": NEXT.number + 1}, AuthenticationError),
    "counter 25 000 ahead": ({"number": NEXT.number + 25_001}, TooManySkippedError),
    "counter 2^32 - 1": ({"number": 2**32 - 1}, TooManySkippedError),
    "counter 2^32": ({"number": 2**32}, InvalidMessageError),
    "counter as bytes": ({"extra": encode_bytes(2, b"\x01")}, InvalidMessageError),
    "previous counter 2^32": ({"previous_chain_length": 2**32}, InvalidMessageError),
    "ciphertext empty": ({"ciphertext": b""}, InvalidMessageError),
    "ciphertext in no whole blocks": ({"ciphertext": bytes(31)}, InvalidMessageError),
    "ciphertext with padding 0": ({"blocks": bytes(32)}, InvalidMessageError),
    "ciphertext with padding 17": ({"blocks": bytes([17]) * 32}, InvalidMessageError),
    "ciphertext with uneven padding": ({"blocks": bytes(30) + b"\x01\x02"}, InvalidMessageError),
    "SPQR absent": ({"spqr": b""}, SpqrError),
    "SPQR version 0": ({"spqr": spqr(version=0)}, SpqrError),
    "SPQR version 2": ({"spqr": spqr(version=2)}, SpqrError),
    "SPQR epoch 0": ({"spqr": spqr(epoch=0)}, SpqrError),
    "SPQR epoch dropped": ({"spqr": spqr(epoch=1)}, SpqrError),
    "SPQR epoch one ahead": ({"spqr": spqr(epoch=NEXT.epoch + 1, index=1)}, SpqrError),
    "SPQR epoch far ahead": ({"spqr": spqr(epoch=10_000)}, SpqrError),
    "SPQR epoch 2^64 - 1": ({"spqr": spqr(epoch=2**64 - 1)}, SpqrError),
    "SPQR epoch 2^64": ({"spqr": spqr(epoch=2**64)}, SpqrError),
    "SPQR index 0": ({"spqr": spqr(index=0)}, SpqrError),
    "SPQR index used": ({"spqr": spqr(index=NEXT.index - 1)}, SpqrError),
    "SPQR index off by one": ({"spqr": spqr(index=NEXT.index + 1)}, AuthenticationError),
    "SPQR index 25 001 ahead": ({"spqr": spqr(index=NEXT.index + 25_000)}, TooManySkippedError),
    "SPQR index 2^32 - 1": ({"spqr": spqr(index=2**32 - 1)}, TooManySkippedError),
    "SPQR index 2^32": ({"spqr": spqr(index=2**32)}, SpqrError),
    "SPQR type 7": ({"spqr": spqr(kind=7)}, SpqrError),
    "SPQR chunk missing": ({"spqr": spqr(kind=SpqrType.EK)}, SpqrError),
    "SPQR chunk short": ({"spqr": spqr(kind=SpqrType.EK, rest=b"\x05" + bytes(31))}, SpqrError),
    "SPQR chunk 65 536": ({"spqr": spqr(kind=SpqrType.EK, rest=encode_varint(65_536) + bytes(32))}, SpqrError),
    "addresses too short": ({"extra": encode_bytes(6, bytes(35))}, InvalidMessageError),
    "addresses too long": ({"extra": encode_bytes(6, bytes(37))}, InvalidMessageError),
    "addresses swapped": ({"addresses": encode_addresses(BRUNO.own.address, ANA.own.address)}, AuthenticationError),
    "addresses of another device": (
        {"addresses": encode_addresses(Address(ANA.own.address.account, 2), BRUNO.own.address)},
        AuthenticationError,
    ),
    "addresses to somebody else": ({"addresses": encode_addresses(ANA.own.address, OTHER.own.address)}, AuthenticationError),
    "version 3": ({"version": 0x34}, InvalidMessageError),
    "from an older speaker": ({"version": 0x43}, InvalidMessageError),
    "a field cut short": ({"extra": b"\x0a\x21"}, InvalidMessageError),
    "a group": ({"extra": b"\x0b\x0c"}, InvalidMessageError),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_THE_SENDER)
def test_a_plain_message_that_its_sender_wrote_wrongly(name: str) -> None:
    fields, error = BY_THE_SENDER[name]
    with unchanged(BRUNO, ANA), pytest.raises(DecryptionError) as caught:
        BRUNO.decrypt(ANA.remote, written(**fields))
    assert type(caught.value) is error


WITHOUT_MEANING: dict[str, dict[str, Any]] = {
    "as it should be": {},
    "another previous counter": {"previous_chain_length": 2**32 - 1},
    "unknown fields": {"extra": encode_uint(9, 1) + encode_bytes(200, b"x")},
    "bytes after the SPQR field": {"extra": encode_bytes(5, spqr() + b"more")},
    "SPQR numbers in longer form": {"spqr": b"\x01" + bytes([NEXT.epoch | 0x80, 0]) + encode_varint(NEXT.index) + b"\x00"},
    "a chunk that this state does not wait for": {"spqr": spqr(kind=SpqrType.CT2, rest=b"\x00" + bytes(32))},
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_MEANING)
def test_what_says_nothing_is_passed_over(name: str) -> None:
    made = written(**WITHOUT_MEANING[name])
    assert BRUNO.try_decrypt(ANA.remote, made.type, made.body).plaintext == b"text"


def test_a_repeated_chunk_with_other_data_changes_nothing() -> None:
    """The first of a number counts (also where a hostile sender repeats it in time)."""
    held = Decoder(3, {})
    chunk = decode_spqr_message(spqr(kind=SpqrType.HDR, rest=b"\x01" + b"a" * 32)).chunk
    again = decode_spqr_message(spqr(kind=SpqrType.HDR, rest=b"\x01" + b"b" * 32)).chunk
    assert chunk is not None
    assert again is not None
    assert held.add(chunk).add(again) == held.add(chunk)


@pytest.mark.parametrize("part", ["first half", "second half", "MAC"])
def test_a_plain_message_changed_on_the_way(part: str) -> None:
    body = written().body
    middle = len(body) // 2
    places = {
        "first half": range(middle),
        "second half": range(middle, len(body) - 8),
        "MAC": range(len(body) - 8, len(body)),
    }
    for place in places[part]:
        changed = body[:place] + bytes([body[place] ^ 0x40]) + body[place + 1 :]
        with unchanged(BRUNO, ANA), pytest.raises(DecryptionError):
            BRUNO.decrypt(ANA.remote, SignalCiphertext(MessageType.SIGNAL, changed, b""))
    for cut in (b"", body[:8], body[:-1], body + b"\x00"):
        with unchanged(BRUNO, ANA), pytest.raises(DecryptionError):
            BRUNO.decrypt(ANA.remote, SignalCiphertext(MessageType.SIGNAL, cut, b""))


# --- PreKey messages ---------------------------------------------------------------------------------------------------

CARLA = Person("carla")
CARLA.initiate(BRUNO.remote, BRUNO.bundle())
ANOTHER_BUNDLE = BRUNO.bundle()  # its prekeys are there, too
FIRST = CARLA.encrypt(BRUNO.remote, b"first")
OUTER = decode_prekey_signal_message(FIRST.body)
TORSION = b"\x05" + montgomery_from_edwards(
    bindings.crypto_core_ed25519_add(edwards_from_montgomery(OUTER.base_key[1:], 0), bytes(32))
)
_FIELDS = Schema({number: Kind.BYTES if number in {2, 3, 4, 8} else Kind.UINT32 for number in range(1, 9)})


def prekey(**changed: bytes | int | None) -> SignalCiphertext:
    """Carla's first message with fields changed (`f2=...`) or left out (None), the last of a repeated one counting."""
    read = _FIELDS.decode(FIRST.body[1:])
    out = b"\x44"
    for number in range(1, 9):
        honest = read.value(number) if number in {2, 3, 4, 8} else read.number(number)
        value = changed.get(f"f{number}", honest)
        if value is not None:
            out += encode_bytes(number, value) if isinstance(value, bytes) else encode_uint(number, value)
    return SignalCiphertext(MessageType.PREKEY, out, b"")


KYBER = OUTER.kyber_ciphertext
OTHER_ID = ANOTHER_BUNDLE.signed_prekey.id

FIRST_MESSAGES: dict[str, tuple[dict[str, bytes | int | None], type[DecryptionError]]] = {
    "one-time id left out": ({"f1": None}, AuthenticationError),
    "one-time id of another": ({"f1": OTHER_ID}, AuthenticationError),
    "one-time id unknown": ({"f1": 2**32 - 1}, PrekeyMissingError),
    "one-time id 2^32": ({"f1": 2**32}, InvalidMessageError),
    **{f"base key {how}": ({"f2": key}, InvalidKeyError) for how, key in IMPROPER_KEYS.items()},
    "base key with torsion": ({"f2": TORSION}, InvalidKeyError),
    "base key of nobody": ({"f2": PROPER_KEY}, AuthenticationError),
    "base key left out": ({"f2": None}, InvalidMessageError),
    **{f"identity key {how}": ({"f3": key}, InvalidKeyError) for how, key in IMPROPER_KEYS.items()},
    "identity key of somebody else": ({"f3": PROPER_KEY}, AuthenticationError),
    "identity key left out": ({"f3": None}, InvalidMessageError),
    "message empty": ({"f4": b""}, InvalidMessageError),
    "message of another version": ({"f4": b"\x33" + OUTER.message[1:]}, InvalidMessageError),
    "message with another MAC": ({"f4": OUTER.message[:-1] + bytes([OUTER.message[-1] ^ 1])}, AuthenticationError),
    "message of another session": ({"f4": written().body}, SpqrError),
    "message left out": ({"f4": None}, InvalidMessageError),
    "registration id 2^32": ({"f5": 2**32}, InvalidMessageError),
    "signed id unknown": ({"f6": 2**32 - 1}, PrekeyMissingError),
    "signed id of another": ({"f6": OTHER_ID}, AuthenticationError),
    "signed id left out": ({"f6": None}, InvalidMessageError),
    "Kyber id unknown": ({"f7": 2**32 - 1}, PrekeyMissingError),
    "Kyber id of another": ({"f7": OTHER_ID}, AuthenticationError),
    "Kyber id left out": ({"f7": None}, InvalidMessageError),
    "Kyber ciphertext too short": ({"f8": KYBER[:-1]}, InvalidMessageError),
    "Kyber ciphertext too long": ({"f8": KYBER + b"\x00"}, InvalidMessageError),
    "Kyber ciphertext of another type": ({"f8": b"\x07" + KYBER[1:]}, InvalidKeyError),
    "Kyber ciphertext changed": ({"f8": KYBER[:-1] + bytes([KYBER[-1] ^ 1])}, AuthenticationError),
    "Kyber ciphertext left out": ({"f8": None}, InvalidMessageError),
}  # fmt: skip


@pytest.mark.parametrize("name", FIRST_MESSAGES)
def test_a_first_message_with_a_wrong_field(name: str) -> None:
    fields, error = FIRST_MESSAGES[name]
    with unchanged(BRUNO, CARLA), pytest.raises(DecryptionError) as caught:
        BRUNO.decrypt(CARLA.remote, prekey(**fields))
    assert type(caught.value) is error


def test_the_first_message_itself_opens_whatever_its_registration_id() -> None:
    for made in (prekey(), prekey(f5=2**32 - 1), prekey(f5=None)):
        assert BRUNO.try_decrypt(CARLA.remote, made.type, made.body).plaintext == b"first"


@pytest.mark.parametrize("version", [0x00, 0x33, 0x34, 0x43, 0x45, 0x54, 0xFF])
def test_a_first_message_of_another_version(version: int) -> None:
    changed = msgspec.structs.replace(FIRST, body=bytes((version,)) + FIRST.body[1:])
    with unchanged(BRUNO, CARLA), pytest.raises(InvalidMessageError):
        BRUNO.decrypt(CARLA.remote, changed)


def test_a_repeated_first_message_is_judged_by_what_is_inside() -> None:
    """Once its base key is known, the ids beside it are not looked at; what is authenticated still is."""
    dora = Person("dora")
    dora.initiate(BRUNO.remote, BRUNO.bundle())
    first, second = dora.encrypt(BRUNO.remote, b"1"), dora.encrypt(BRUNO.remote, b"2")
    BRUNO.decrypt(dora.remote, first)
    with unchanged(BRUNO, dora), pytest.raises(DuplicateMessageError):
        BRUNO.decrypt(dora.remote, first)
    outer = decode_prekey_signal_message(second.body)
    for position in range(0, len(outer.message), 5):
        broken = outer.message[:position] + bytes([outer.message[position] ^ 2]) + outer.message[position + 1 :]
        body = second.body.replace(outer.message, broken)
        with unchanged(BRUNO, dora), pytest.raises(DecryptionError):
            BRUNO.decrypt(dora.remote, msgspec.structs.replace(second, body=body))
    assert BRUNO.decrypt(dora.remote, second) == b"2"


# --- who it is from ----------------------------------------------------------------------------------------------------


def test_a_message_of_one_session_opens_in_nobody_elses() -> None:
    made = written()
    for remote in (OTHER.remote, CARLA.remote, replace(ANA.remote, identity_key=OTHER.own.key.public)):
        with unchanged(BRUNO, ANA), pytest.raises(NoOpeningSessionError):
            BRUNO.decrypt(remote, made)


# --- the seal ----------------------------------------------------------------------------------------------------------

_ENVELOPE = Schema({1: Kind.BYTES, 2: Kind.BYTES, 3: Kind.BYTES})
SEALED = seal(ANA.own, ANA.certificate, BRUNO.own.key.public, MessageType.SIGNAL, written().body, rng=ANA.rng).raw


def sealed(*, version: int = 0x11, **changed: bytes | None) -> SealedEnvelope:
    read = _ENVELOPE.decode(SEALED[1:])
    out = bytes((version,))
    for number in (1, 2, 3):
        value = changed.get(f"f{number}", read.value(number))
        out += b"" if value is None else encode_bytes(number, value)
    return SealedEnvelope(out)


STATIC, CONTENT = _ENVELOPE.decode(SEALED[1:]).value(2), _ENVELOPE.decode(SEALED[1:]).value(3)

SEALS: dict[str, tuple[dict[str, Any], type[DecryptionError]]] = {
    **{f"version {version:#x}": ({"version": version}, InvalidMessageError) for version in (0x00, 0x10, 0x12, 0x21, 0x23)},
    **{f"ephemeral key {how}": ({"f1": key}, InvalidKeyError) for how, key in IMPROPER_KEYS.items()},
    "ephemeral key of nobody": ({"f1": PROPER_KEY}, AuthenticationError),
    "ephemeral key left out": ({"f1": None}, InvalidMessageError),
    "encrypted static too short": ({"f2": STATIC[:-1]}, InvalidMessageError),
    "encrypted static too long": ({"f2": STATIC + b"\x00"}, InvalidMessageError),
    "encrypted static changed": ({"f2": bytes([STATIC[0] ^ 1]) + STATIC[1:]}, AuthenticationError),
    "its MAC changed": ({"f2": STATIC[:-1] + bytes([STATIC[-1] ^ 1])}, AuthenticationError),
    "encrypted static left out": ({"f2": None}, InvalidMessageError),
    "content empty": ({"f3": b""}, AuthenticationError),
    "content cut": ({"f3": CONTENT[:-1]}, AuthenticationError),
    "content longer": ({"f3": CONTENT + b"\x00"}, AuthenticationError),
    "content changed": ({"f3": bytes([CONTENT[0] ^ 1]) + CONTENT[1:]}, AuthenticationError),
    "content left out": ({"f3": None}, InvalidMessageError),
}  # fmt: skip


@pytest.mark.parametrize("name", SEALS)
def test_a_seal_with_a_wrong_field(name: str) -> None:
    fields, error = SEALS[name]
    with pytest.raises(DecryptionError) as caught:
        open_sealed(BRUNO.own, sealed(**fields))
    assert type(caught.value) is error


def test_the_seal_itself_opens() -> None:
    assert open_sealed(BRUNO.own, sealed()).sender == ANA.own.address
