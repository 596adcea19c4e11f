"""docs/protocol/envelope.md and sealed-sender.md: from content to envelope and back; who is believed to have sent it."""

from dataclasses import replace

import msgspec
import pytest

from mepassa.crypto.certificates import (
    decode_sender_certificate,
    issue_device_certificate,
    issue_sender_certificate,
    validate,
)
from mepassa.crypto.errors import AuthenticationError, InvalidKeyError, InvalidMessageError
from mepassa.crypto.keys import EcKeyPair
from mepassa.crypto.protobuf import Kind, Schema, encode_bytes, encode_fixed64, encode_uint
from mepassa.crypto.sealed_sender import ContentHint, encode_content
from mepassa.crypto.sealed_sender import seal as seal_bytes
from mepassa.identity import IdentityKeyPair, RootKey
from mepassa.model.device_list import DeviceEntry, DeviceList
from mepassa.model.envelope import MAX_ENVELOPE_BYTES, SealedEnvelope
from mepassa.model.errors import DecryptionError, InvalidInputError, TooLargeError
from mepassa.model.ids import Address, EnvelopeId
from mepassa.model.keys import IdentityKey
from mepassa.protocol import sealing
from mepassa.protocol.parties import LocalIdentity
from mepassa.protocol.sealing import (
    MAX_CONTENT_BYTES,
    MessageType,
    ResendRequest,
    SenderVerdict,
    SignalPayload,
    Unsealed,
    open_content,
    open_sealed,
    read_plaintext,
    seal,
    seal_content,
    seal_plaintext,
    sender_certificate_expires,
    validate_sender,
)
from tests.crypto.people import DAY_MS, HOME_KEY, NOW_MS, Person, acquainted

EXPIRES_MS = NOW_MS + 60 * DAY_MS


def send(sender: Person, recipient: Person, content: bytes) -> SealedEnvelope:
    record, envelope, _ = seal_content(
        sender.record(recipient.remote), sender.own, recipient.remote, sender.certificate, content, now_ms=NOW_MS, rng=sender.rng
    )  # fmt: skip
    sender.records[recipient.own.address] = record
    return envelope


def receive(recipient: Person, sender: Person, envelope: SealedEnvelope) -> bytes:
    unsealed = open_sealed(recipient.own, envelope)
    assert validate_sender(unsealed, sender.root.public, sender.device_list, NOW_MS) is SenderVerdict.VALID
    opened = open_content(
        recipient.record(unsealed.remote), recipient.own, unsealed, prekeys=recipient.prekeys, now_ms=NOW_MS, rng=recipient.rng
    )  # fmt: skip
    recipient.records[unsealed.sender] = opened.record
    recipient.prekeys.consume(opened.consumed)
    return opened.plaintext


# --- content -----------------------------------------------------------------------------------------------------------


def test_content_travels_sealed_and_padded_both_ways() -> None:
    ana, bruno = Person("ana"), Person("bruno")
    ana.initiate(bruno.remote, bruno.bundle())
    assert receive(bruno, ana, send(ana, bruno, b"oi")) == b"oi"
    assert receive(ana, bruno, send(bruno, ana, b"oi!")) == b"oi!"
    short, longer, next_class = (send(ana, bruno, bytes(size)) for size in (1, 255, 256))
    assert len(short.raw) == len(longer.raw)
    assert len(next_class.raw) - len(longer.raw) in range(256, 260)


def test_the_largest_content_in_a_first_message_fits_and_one_byte_more_changes_nothing() -> None:
    ana, bruno = Person("ana"), Person("bruno")
    ana.initiate(bruno.remote, bruno.bundle())
    envelope = send(ana, bruno, bytes(MAX_CONTENT_BYTES))
    assert len(envelope.raw) <= MAX_ENVELOPE_BYTES
    before = ana.record(bruno.remote).to_bytes()
    with pytest.raises(TooLargeError):
        send(ana, bruno, bytes(MAX_CONTENT_BYTES + 1))
    assert ana.record(bruno.remote).to_bytes() == before
    assert receive(bruno, ana, envelope) == bytes(MAX_CONTENT_BYTES)


def test_an_envelope_shows_nothing_of_its_sender() -> None:
    ana, bruno = acquainted()
    raw = send(ana, bruno, b"x").raw
    for known in (ana.own.key.public.raw[1:], ana.own.address.account.raw, str(ana.own.address.account.uuid).encode()):
        assert known not in raw


def test_only_the_device_it_is_sealed_for_opens_it_and_only_unchanged() -> None:
    ana, bruno = acquainted()
    carla = Person("carla")
    envelope = send(ana, bruno, b"x")
    with pytest.raises(DecryptionError):
        open_sealed(carla.own, envelope)
    for position in range(0, len(envelope.raw), 3):
        broken = bytearray(envelope.raw)
        broken[position] ^= 1
        with pytest.raises(DecryptionError):
            open_sealed(bruno.own, SealedEnvelope(bytes(broken)))
    assert receive(bruno, ana, envelope) == b"x"


def test_a_key_in_the_certificate_that_is_not_the_sealers_is_refused() -> None:
    """Carla seals with her own key and shows Ana's certificate."""
    ana, bruno, carla = Person("ana"), Person("bruno"), Person("carla")
    content = encode_content(MessageType.SIGNAL, ana.certificate, b"x")
    sealed = seal_bytes(carla.own.key, bruno.own.key.public, content, EcKeyPair.generate(carla.rng.token))
    with pytest.raises(AuthenticationError):
        open_sealed(bruno.own, SealedEnvelope(sealed))


def test_content_that_is_not_padded_is_refused_and_the_record_stays() -> None:
    ana, bruno = acquainted()
    bare = ana.encrypt(bruno.remote, b"not padded")
    envelope = seal(ana.own, ana.certificate, bruno.own.key.public, bare.type, bare.body, rng=ana.rng)
    with pytest.raises(InvalidMessageError):
        receive(bruno, ana, envelope)


def test_a_recipient_key_that_is_no_proper_key_is_refused() -> None:
    ana = Person("ana")
    with pytest.raises(InvalidKeyError):
        seal(ana.own, ana.certificate, IdentityKey(b"\x05" + bytes(32)), MessageType.SIGNAL, b"x", rng=ana.rng)


# --- certificates: our own rules, which the official validation does not have ------------------------------------------


def shown(person: Person, certificate: bytes) -> Unsealed:
    return Unsealed(MessageType.SIGNAL, b"", 0, decode_sender_certificate(certificate))


def verdict(
    person: Person, certificate: bytes, devices: DeviceList | None = None, now_ms: int = NOW_MS
) -> SenderVerdict:
    return validate_sender(shown(person, certificate), person.root.public, devices or person.device_list, now_ms)


def test_a_proper_chain_is_valid_until_it_expires() -> None:
    ana = Person("ana")
    assert sender_certificate_expires(ana.certificate) == EXPIRES_MS
    assert verdict(ana, ana.certificate, now_ms=EXPIRES_MS) is SenderVerdict.VALID
    assert verdict(ana, ana.certificate, now_ms=EXPIRES_MS + 1) is SenderVerdict.EXPIRED


def test_a_chain_counts_only_under_the_root_of_exactly_its_account() -> None:
    ana, carla = Person("ana"), Person("carla")
    unsealed = shown(ana, ana.certificate)
    assert validate_sender(unsealed, None, ana.device_list, NOW_MS) is SenderVerdict.UNKNOWN_ROOT
    assert validate_sender(unsealed, carla.root.public, ana.device_list, NOW_MS) is SenderVerdict.UNKNOWN_ROOT
    # Carla certifies herself as Ana: her own root verifies the chain, but it is not the root of Ana's account.
    posing = issue_sender_certificate(carla.own.key, ana.own.address, carla.device_certificate, EXPIRES_MS)
    assert verdict(ana, posing) is SenderVerdict.UNKNOWN_ROOT
    assert (
        validate(decode_sender_certificate(posing), carla.root.public, carla.device_list, NOW_MS)
        is SenderVerdict.UNKNOWN_ROOT
    )


def test_a_certified_device_cannot_certify_another_key_or_another_device() -> None:
    """Officially both pass: whoever holds one certified key could speak for the whole account."""
    ana = Person("ana")
    mallory = IdentityKeyPair.generate()
    account = ana.own.address.account

    def by_ana(identity_key: IdentityKey, device: int) -> bytes:
        inner = (
            encode_uint(2, device)
            + encode_fixed64(3, EXPIRES_MS)
            + encode_bytes(4, identity_key.raw)
            + encode_bytes(5, ana.device_certificate)
            + encode_bytes(6, str(account.uuid).encode())
        )
        return encode_bytes(1, inner) + encode_bytes(2, ana.own.key.sign(inner))

    entries = (*ana.device_list.devices, DeviceEntry(2, mallory.public, 5))
    devices = DeviceList(2, bytes(32), entries, "https://home.example", HOME_KEY)
    assert verdict(ana, by_ana(ana.own.key.public, 1), devices) is SenderVerdict.VALID
    assert verdict(ana, by_ana(mallory.public, 1), devices) is SenderVerdict.KEY_MISMATCH
    assert verdict(ana, by_ana(mallory.public, 2), devices) is SenderVerdict.KEY_MISMATCH
    assert verdict(ana, by_ana(ana.own.key.public, 2), devices) is SenderVerdict.KEY_MISMATCH


def test_the_signed_list_has_the_last_word() -> None:
    ana = Person("ana")
    stranger = DeviceEntry(2, IdentityKeyPair.generate().public, 5)
    replaced = DeviceEntry(1, stranger.identity_key, 5)

    def listing(*entries: DeviceEntry) -> DeviceList:
        return DeviceList(2, bytes(32), entries, "https://home.example", HOME_KEY)

    assert verdict(ana, ana.certificate, listing(stranger)) is SenderVerdict.UNLISTED_DEVICE
    assert validate_sender(shown(ana, ana.certificate), ana.root.public, None, NOW_MS) is SenderVerdict.UNLISTED_DEVICE
    assert verdict(ana, ana.certificate, listing(replaced)) is SenderVerdict.UNLISTED_DEVICE, "set up anew, or stolen"


def test_a_changed_certificate_is_refused_or_unknown() -> None:
    ana = Person("ana")
    for position in range(len(ana.certificate)):
        broken = bytearray(ana.certificate)
        broken[position] ^= 0x04
        try:
            certificate = decode_sender_certificate(bytes(broken))
        except DecryptionError:
            continue
        assert validate(certificate, ana.root.public, ana.device_list, NOW_MS) is not SenderVerdict.VALID


def rewritten(certificate: bytes, *extra: bytes, drop: int = 0) -> bytes:
    """With fields added to the inner part, or one dropped; the signature no longer fits, which parsing does not mind."""
    inner = Schema({1: Kind.BYTES, 2: Kind.BYTES}).decode(certificate).value(1)
    if drop:
        inner = inner.replace(encode_bytes(drop, Schema({drop: Kind.BYTES}).decode(inner).value(drop)), b"")
    return encode_bytes(1, inner + b"".join(extra)) + encode_bytes(2, bytes(64))


@pytest.mark.parametrize(
    "name, extra",
    [
        ("by reference", encode_uint(8, 2)),
        ("two spellings at once", encode_bytes(7, bytes(16))),
        ("upper case", encode_bytes(6, b"ABCDEF01-0405-8607-8809-0A0B0C0D0E0F")),
        ("braces", encode_bytes(6, b"{00010203-0405-8607-8809-0a0b0c0d0e0f}")),
        ("no UUID", encode_bytes(6, b"bob")),
        ("not ASCII", encode_bytes(6, b"\xff" * 36)),
        ("device 0", encode_uint(2, 0)),
        ("device 128", encode_uint(2, 128)),
        ("low-order key", encode_bytes(4, b"\x05" + bytes(32))),
        ("no server certificate", encode_bytes(5, b"")),
    ],
)
def test_a_certificate_is_refused_by_the_parser(name: str, extra: bytes) -> None:
    with pytest.raises(DecryptionError):
        decode_sender_certificate(rewritten(Person("ana").certificate, extra))
    assert name


def test_an_account_as_sixteen_bytes_is_read_too() -> None:
    ana = Person("ana")
    raw = rewritten(ana.certificate, encode_bytes(7, ana.own.address.account.raw), drop=6)
    assert decode_sender_certificate(raw).sender == ana.own.address
    with pytest.raises(InvalidMessageError):
        decode_sender_certificate(rewritten(ana.certificate, encode_bytes(7, bytes(15)), drop=6))


def test_a_device_certificate_is_issued_for_a_device_number_and_key_by_the_root_alone() -> None:
    root, key = RootKey.generate(), IdentityKeyPair.generate()
    certificate = issue_device_certificate(root, 3, key.public)
    own = LocalIdentity(Address(root.account_id, 3), key, 5)
    sender = sealing.issue_sender_certificate(own, certificate, NOW_MS)
    devices = DeviceList(1, bytes(32), (DeviceEntry(3, key.public, 5),), "https://home.example", HOME_KEY)
    assert validate(decode_sender_certificate(sender), root.public, devices, NOW_MS) is SenderVerdict.VALID
    with pytest.raises(InvalidInputError):
        root.sign_certificate(b"mepassa anything")


# --- plaintext: resend requests and signals ----------------------------------------------------------------------------


def test_a_resend_request_names_what_failed() -> None:
    ana, bruno = Person("ana"), Person("bruno")
    request = ResendRequest(EnvelopeId(bytes(range(16))), ana.own.key.public.raw, NOW_MS, 1)
    for sent in (request, replace(request, envelope_id=None), replace(request, ratchet_key=None)):
        envelope = seal_plaintext(bruno.own, bruno.certificate, ana.own.key.public, sent, rng=bruno.rng)
        unsealed = open_sealed(ana.own, envelope)
        assert (unsealed.type, unsealed.hint) == (MessageType.PLAINTEXT, ContentHint.IMPLICIT)
        assert read_plaintext(unsealed) == sent


def test_a_signal_travels_padded_without_a_session() -> None:
    ana, bruno = Person("ana"), Person("bruno")
    sealed = [
        seal_plaintext(bruno.own, bruno.certificate, ana.own.key.public, SignalPayload(bytes(size)), rng=bruno.rng)
        for size in (1, 400, 511)
    ]
    assert read_plaintext(open_sealed(ana.own, sealed[1])) == SignalPayload(bytes(400))
    assert len(sealed[1].raw) == len(sealed[2].raw) > len(sealed[0].raw)


def test_a_ratcheted_message_is_never_read_as_plaintext() -> None:
    ana, bruno = acquainted()
    unsealed = open_sealed(bruno.own, send(ana, bruno, b"x"))
    with pytest.raises(InvalidMessageError):
        read_plaintext(unsealed)
    envelope = seal_plaintext(ana.own, ana.certificate, bruno.own.key.public, SignalPayload(b"x"), rng=ana.rng)
    with pytest.raises(DecryptionError):
        receive(bruno, ana, envelope)


def test_only_the_outer_type_makes_it_plaintext() -> None:
    ana, bruno = Person("ana"), Person("bruno")
    sealed = seal_plaintext(bruno.own, bruno.certificate, ana.own.key.public, SignalPayload(b"x"), rng=bruno.rng)
    unsealed = open_sealed(ana.own, sealed)
    with pytest.raises(InvalidMessageError):
        read_plaintext(replace(unsealed, type=MessageType.SIGNAL))


def test_what_is_unsealed_says_where_it_came_from_and_nothing_more() -> None:
    ana, bruno = acquainted()
    unsealed = open_sealed(bruno.own, send(ana, bruno, b"x"))
    assert unsealed.sender == ana.own.address
    assert unsealed.remote == ana.remote
    assert unsealed.hint == ContentHint.RESENDABLE
    assert msgspec.structs.astuple(unsealed.sender) == (ana.own.address.account, 1)
