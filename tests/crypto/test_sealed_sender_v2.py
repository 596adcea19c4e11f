"""docs/protocol/sealed-sender.md, "Version 2": the published values, one copy a device, and every refusal."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from hypothesis import given, settings
from hypothesis import strategies as st

from mepassa.crypto import sealed_sender, sealed_sender_v2
from mepassa.crypto.errors import AuthenticationError, InvalidKeyError, InvalidMessageError
from mepassa.crypto.keys import EcKeyPair
from mepassa.crypto.messages import MessageType
from mepassa.crypto.multi_recipient import (
    RecipientCopy,
    SentMessage,
    decode_sent_message,
    encode_sent_message,
)
from mepassa.crypto.protobuf import encode_varint
from mepassa.crypto.sealed_sender import encode_content
from mepassa.crypto.sealed_sender_v2 import Recipient, open_sealed, seal
from mepassa.identity import IdentityKeyPair
from mepassa.model.errors import DecryptionError, InvalidInputError
from mepassa.model.ids import AccountId, Address
from mepassa.model.keys import IdentityKey
from mepassa.model.secret import SecretBytes
from mepassa.testing.chance import SeededRng
from tests.crypto.damage import damaged
from tests.crypto.people import Person

VECTORS = Path(__file__).parents[1] / "vectors"
ANA = Person("ana")
CONTENT = encode_content(MessageType.SENDER_KEY, ANA.certificate, b"group message", hint=1, group_id=b"G1")
RNG = SeededRng("sealed to many")
BETO, CAIO, DORA = (AccountId(RNG.token(16)) for _ in range(3))


class Device:
    def __init__(self, account: AccountId, number: int) -> None:
        self.key = IdentityKeyPair(SecretBytes(RNG.token(32)))
        self.recipient = Recipient(Address(account, number), 1000 + number, self.key.public)

    def copy_in(self, sent: SentMessage) -> bytes:
        address = self.recipient.address
        [copy] = [c for c in sent.copies if (c.service_id, c.device) == (address.service_id, address.device)]
        return sent.received_by(copy)


BETO_1, BETO_2, CAIO_1 = Device(BETO, 1), Device(BETO, 2), Device(CAIO, 1)
DEVICES = (BETO_1, CAIO_1, BETO_2)
SENT = seal(ANA.own.key, [device.recipient for device in DEVICES], CONTENT, RNG.token, excluded=[DORA])
AS_SENT = encode_sent_message(SENT)
RECEIVED = BETO_1.copy_in(SENT)


# --- published values --------------------------------------------------------------------------------------------------


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text())
    return loaded


def key(byte: int) -> IdentityKeyPair:
    return IdentityKeyPair(SecretBytes(bytes([byte]) * 32))


def published_content() -> bytes:
    """As tests/crypto/test_published_values.py makes and checks it."""
    v = load("sealed-sender")
    inner = (
        bytes.fromhex("1002190068e5cf8b0100002221")
        + key(1).public.raw
        + b"\x2a\x69"
        + bytes.fromhex(v["server_certificate"])
        + b"\x32\x24"
        + v["sender"].encode()
    )
    certificate = (
        b"\x0a" + encode_varint(len(inner)) + inner + b"\x12\x40" + bytes.fromhex(v["sender_certificate_signature"])
    )
    content = encode_content(MessageType.SENDER_KEY, certificate, bytes.fromhex(v["message"]), hint=1, group_id=b"G1")
    assert hashlib.sha256(content).hexdigest() == v["sha256_content"]
    return content


def test_published_values_are_made_split_and_opened() -> None:
    v, recipient = load("groups"), key(2)
    account, excluded = (AccountId(UUID(v[name]).bytes) for name in ("recipient", "excluded"))
    to = [Recipient(Address(account, device), number, recipient.public) for device, number in v["devices"]]
    sent = seal(key(1), to, published_content(), lambda size: b"\x07" * size, excluded=[excluded])
    assert sent.shared[:32].hex() == v["ephemeral"]
    assert sent.shared[-16:].hex() == v["gcm_siv_tag"]
    assert [copy.sealed_key.hex() for copy in sent.copies] == [v["sealed_secret"] + v["sender_tag"]] * 2
    # With one key for both devices the official form shares an entry; ours is read from it, never written so.
    official = (
        bytes.fromhex(v["sent_begins"]) + sent.copies[0].sealed_key + b"\x00" + excluded.raw + b"\x00" + sent.shared
    )
    assert (len(official), hashlib.sha256(official).hexdigest()) == (v["sent_bytes"], v["sha256_sent"])
    assert decode_sent_message(official) == sent
    for copy in sent.copies:
        received = sent.received_by(copy)
        assert (len(received), hashlib.sha256(received).hexdigest()) == (v["received_bytes"], v["sha256_received"])
        assert open_sealed(recipient, received).group_id == b"G1"


# --- for many devices --------------------------------------------------------------------------------------------------


def test_every_device_opens_its_own_copy_and_no_other() -> None:
    arrived = decode_sent_message(AS_SENT)
    assert arrived == SENT
    for device in DEVICES:
        opened = open_sealed(device.key, device.copy_in(arrived))
        assert (opened.type, opened.message, opened.hint) == (MessageType.SENDER_KEY, b"group message", 1)
        assert (opened.group_id, opened.certificate.sender) == (b"G1", ANA.own.address)
        for other in DEVICES:
            if other is not device:
                with pytest.raises(AuthenticationError):
                    open_sealed(device.key, other.copy_in(arrived))


def test_it_takes_68_bytes_a_device_and_97_around_the_content() -> None:
    assert len(AS_SENT) == 2 + 3 * 68 + 18 + len(SENT.shared)
    assert len(RECEIVED) == len(CONTENT) + 97


def test_two_messages_share_nothing() -> None:
    again = seal(ANA.own.key, [BETO_1.recipient], CONTENT, RNG.token)
    assert again.shared[:32] != SENT.shared[:32]
    assert again.copies[0].sealed_key != SENT.copies[0].sealed_key


def test_copies_of_two_messages_do_not_mix() -> None:
    other = seal(ANA.own.key, [BETO_1.recipient], CONTENT, RNG.token)
    with pytest.raises(AuthenticationError):
        open_sealed(BETO_1.key, SentMessage(SENT.copies, (), other.shared).received_by(SENT.copies[0]))


def test_it_may_carry_a_message_of_a_pairwise_session() -> None:
    for kind in (MessageType.SIGNAL, MessageType.PREKEY, MessageType.PLAINTEXT):
        sent = seal(ANA.own.key, [BETO_1.recipient], encode_content(kind, ANA.certificate, b"x"), RNG.token)
        assert open_sealed(BETO_1.key, BETO_1.copy_in(sent)).type is kind


# --- opening -----------------------------------------------------------------------------------------------------------


def test_every_tampered_byte_is_refused() -> None:
    for place in range(len(RECEIVED)):
        tampered = bytearray(RECEIVED)
        tampered[place] ^= 1 << place % 8
        with pytest.raises(DecryptionError):
            open_sealed(BETO_1.key, bytes(tampered))


def test_another_sender_cannot_show_anas_certificate() -> None:
    mallory = key(9)
    sent = seal(mallory, [BETO_1.recipient], CONTENT, RNG.token)
    with pytest.raises(AuthenticationError):
        open_sealed(BETO_1.key, BETO_1.copy_in(sent))


def test_a_fellow_recipient_cannot_pass_it_on_to_others() -> None:
    """Caio knows the message secret; the tag for another device needs the sender's key all the same."""
    dora = Device(DORA, 1)
    secret = SeededRng("m").token(32)
    sent = seal(ANA.own.key, [CAIO_1.recipient], CONTENT, lambda size: secret[:size])
    passed_on = seal(CAIO_1.key, [dora.recipient], CONTENT, lambda size: secret[:size])
    assert passed_on.shared == sent.shared
    with pytest.raises(AuthenticationError):
        open_sealed(dora.key, dora.copy_in(passed_on))


def test_an_ephemeral_key_that_is_not_the_secrets_own_is_refused() -> None:
    """Or a sender could make one envelope that two devices read differently."""
    secret, other = RNG.token(32), EcKeyPair.generate(RNG.token)
    content_key = sealed_sender_v2._expand(secret)[1]
    sealed_key = sealed_sender_v2._seal_key(ANA.own.key, other, secret, BETO_1.key.public.raw)
    ciphertext = AESGCMSIV(content_key).encrypt(bytes(12), CONTENT, None)
    with pytest.raises(AuthenticationError):
        open_sealed(BETO_1.key, RECEIVED[:1] + sealed_key + other.public[1:] + ciphertext)


@pytest.mark.parametrize("byte", [0x00, 0x11, 0x20, 0x21, 0x23, 0x2F, 0x32])
def test_any_received_version_but_22_is_refused(byte: int) -> None:
    with pytest.raises(InvalidMessageError):
        open_sealed(BETO_1.key, bytes([byte]) + RECEIVED[1:])
    with pytest.raises(InvalidMessageError):
        sealed_sender.open_sealed(BETO_1.key, RECEIVED)


def test_a_received_message_has_at_least_97_bytes() -> None:
    for size in (0, 1, 96):
        with pytest.raises(InvalidMessageError):
            open_sealed(BETO_1.key, RECEIVED[:size])
    with pytest.raises(AuthenticationError):
        open_sealed(BETO_1.key, RECEIVED[:97])


@pytest.mark.parametrize(
    "ephemeral", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32], ids=["zero", "one", "not canonical"]
)
def test_an_improper_ephemeral_key_is_refused(ephemeral: bytes) -> None:
    with pytest.raises(InvalidKeyError):
        open_sealed(BETO_1.key, RECEIVED[:49] + ephemeral + RECEIVED[81:])


def test_a_message_for_an_improper_key_is_not_made() -> None:
    with pytest.raises(InvalidKeyError):
        seal(ANA.own.key, [Recipient(Address(BETO, 1), 1, IdentityKey(b"\x05" + bytes(32)))], CONTENT, RNG.token)


# --- as sent: what is not written --------------------------------------------------------------------------------------


def copy(account: AccountId = BETO, device: int = 1, registration_id: int = 1) -> RecipientCopy:
    return RecipientCopy(b"\x00" + account.raw, device, registration_id, bytes(48))


@pytest.mark.parametrize(
    "message",
    [
        SentMessage((), (), bytes(48)),
        SentMessage((copy(), copy()), (), bytes(48)),
        SentMessage((copy(),), (b"\x00" + BETO.raw,), bytes(48)),
        SentMessage((copy(),), (b"\x00" + CAIO.raw,) * 2, bytes(48)),
        SentMessage((copy(device=0),), (), bytes(48)),
        SentMessage((copy(device=128),), (), bytes(48)),
        SentMessage((copy(registration_id=16_384),), (), bytes(48)),
        SentMessage((copy(registration_id=-1),), (), bytes(48)),
    ],
    ids=["nobody", "twice", "in and out", "out twice", "device 0", "device 128", "registration 16384", "negative"],
)
def test_a_message_that_could_not_be_read_is_not_written(message: SentMessage) -> None:
    with pytest.raises(InvalidInputError):
        encode_sent_message(message)


def test_the_largest_numbers_are_written_and_read() -> None:
    message = SentMessage((copy(device=127, registration_id=16_383), copy(registration_id=0)), (), bytes(32))
    assert decode_sent_message(encode_sent_message(message)) == message


# --- as sent: what is read ---------------------------------------------------------------------------------------------

SERVICE_ID = b"\x00" + BETO.raw
SEALED_KEY = bytes(range(48))
SHARED = bytes(48)


def entry(*devices: tuple[int, int], service_id: bytes = SERVICE_ID) -> bytes:
    """An entry as the official creator writes it; flags of the device numbers as given."""
    return service_id + b"".join(bytes((n,)) + flags.to_bytes(2, "big") for n, flags in devices) + SEALED_KEY


def sent(*entries: bytes, count: bytes | None = None, shared: bytes = SHARED) -> bytes:
    return b"\x23" + (encode_varint(len(entries)) if count is None else count) + b"".join(entries) + shared


def test_devices_that_share_an_entry_become_copies_of_their_own() -> None:
    read = decode_sent_message(sent(entry((1, 0x8001), (2, 0x8000), (3, 0x3FFF))))
    assert [(c.device, c.registration_id) for c in read.copies] == [(1, 1), (2, 0), (3, 16_383)]
    assert {c.sealed_key for c in read.copies} == {SEALED_KEY}


def test_entries_of_one_account_are_never_merged() -> None:
    other_key = bytes(48)
    one, two = entry((1, 1)), entry((2, 2))[:-48] + other_key
    read = decode_sent_message(sent(one, two))
    assert [c.sealed_key for c in read.copies] == [SEALED_KEY, other_key]
    assert [read.received_by(c) for c in read.copies] == [b"\x22" + k + SHARED for k in (SEALED_KEY, other_key)]


def test_bit_14_is_not_looked_at_and_phone_number_identities_pass() -> None:
    read = decode_sent_message(sent(entry((1, 0x4007), service_id=b"\x01" + BETO.raw)))
    assert read.copies == (RecipientCopy(b"\x01" + BETO.raw, 1, 7, SEALED_KEY),)


def test_excluded_members_may_stand_anywhere_and_nobody_at_all_is_a_message() -> None:
    out = b"\x00" + CAIO.raw + b"\x00"
    read = decode_sent_message(sent(out, entry((1, 1)), shared=bytes(32)))
    assert (len(read.copies), read.excluded, read.shared) == (1, (b"\x00" + CAIO.raw,), bytes(32))
    assert decode_sent_message(sent()) == SentMessage((), (), SHARED)


BAD = {
    "empty": b"",
    "version 22": b"\x22" + AS_SENT[1:],
    "version 24": b"\x24" + AS_SENT[1:],
    "version 11": b"\x11" + AS_SENT[1:],
    "no count": b"\x23",
    "open count": b"\x23\x81",
    "count not minimal": sent(entry((1, 1)), count=b"\x81\x00"),
    "count over the entries": sent(entry((1, 1)), count=b"\x02", shared=bytes(32)),
    "count over 32 bits": sent(entry((1, 1)), count=b"\x81\x80\x80\x80\x10"),
    "count of 2^32-1": sent(entry((1, 1)), count=b"\xff\xff\xff\xff\x0f"),
    "kind 2": sent(entry((1, 1), service_id=b"\x02" + BETO.raw)),
    "device 128": sent(entry((128, 1))),
    "device 0 after another": sent(entry((1, 0x8001), (0, 1))),
    "device twice in an entry": sent(entry((1, 0x8001), (1, 1))),
    "device twice": sent(entry((1, 1)), entry((1, 1))),
    "excluded, then in": sent(SERVICE_ID + b"\x00", entry((1, 1))),
    "in, then excluded": sent(entry((1, 1)), SERVICE_ID + b"\x00"),
    "excluded twice": sent(SERVICE_ID + b"\x00", SERVICE_ID + b"\x00"),
    "31 bytes shared": sent(entry((1, 1)), shared=bytes(31)),
    "nothing shared": sent(entry((1, 1)), shared=b""),
    "cut in a key": sent(entry((1, 1)))[:60],
    "cut in a device": sent(entry((1, 1)))[:20],
    "devices without end": b"\x23\x01" + SERVICE_ID + b"\x01\x80\x01" * 200,
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_of_the_form_is_refused(name: str) -> None:
    with pytest.raises(InvalidMessageError):
        decode_sent_message(BAD[name])


def test_every_cut_before_the_shared_part_is_refused() -> None:
    for size in range(len(AS_SENT) - len(SENT.shared) + 32):
        with pytest.raises(InvalidMessageError):
            decode_sent_message(AS_SENT[:size])


PARSERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "decode_sent_message": (decode_sent_message, AS_SENT),
    "open_sealed": (lambda data: open_sealed(BETO_1.key, data), RECEIVED),
}


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=40)
@given(data=st.data())
def test_random_and_mutated_bytes_are_a_value_or_a_decryption_error(name: str, data: st.DataObject) -> None:
    parse, sample = PARSERS[name]
    for raw in data.draw(damaged(sample)):
        try:
            parse(raw)
        except DecryptionError:
            pass


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 127), st.integers(0, 16_383)), min_size=1, max_size=12),
    st.sets(st.integers(6, 9)),
    st.binary(min_size=32, max_size=80),
)
def test_what_is_written_is_read(places: list[tuple[int, int, int]], out: set[int], shared: bytes) -> None:
    named = {(who, device): number for who, device, number in places}
    message = SentMessage(
        tuple(copy(AccountId(bytes([who]) * 16), device, number) for (who, device), number in named.items()),
        tuple(b"\x00" + bytes([who]) * 16 for who in out),
        shared,
    )
    assert decode_sent_message(encode_sent_message(message)) == message
