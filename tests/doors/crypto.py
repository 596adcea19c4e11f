"""Signal's formats and what is derived from them: messages, certificates, keys, ratchets, saved records, blobs."""

from collections.abc import Callable

from mepassa.crypto import pqxdh, sealed_sender, sealed_sender_v2
from mepassa.crypto.blob_cipher import HEADER_BYTES, BlobOpener, BlobSealer, BlobStream
from mepassa.crypto.budget import WorkBudget
from mepassa.crypto.certificates import decode_sender_certificate, decode_server_certificate
from mepassa.crypto.errors import (
    AuthenticationError,
    CorruptRecordError,
    InvalidKeyError,
    InvalidMessageError,
    SpqrError,
)
from mepassa.crypto.kem import KyberKeyPair, encapsulate
from mepassa.crypto.keys import EcKeyPair, agree, check_base_key, check_public
from mepassa.crypto.messages import (
    DecryptionErrorMessage,
    PlaintextContent,
    decode_decryption_error_message,
    decode_plaintext_content,
    decode_prekey_signal_message,
    decode_signal_message,
    encode_decryption_error_message,
    encode_plaintext_content,
)
from mepassa.crypto.multi_recipient import decode_sent_message, encode_sent_message
from mepassa.crypto.padding import mark, pad, unmark, unpad
from mepassa.crypto.primitives import decrypt_cbc, encrypt_cbc
from mepassa.crypto.profile_cipher import open_profile, seal_profile
from mepassa.crypto.protobuf import Kind, Schema, decode_varint, encode_bytes, encode_uint, encode_varint
from mepassa.crypto.safety_number import SafetyNumber, combine
from mepassa.crypto.sealed_sender import ContentHint, decode_content, encode_content
from mepassa.crypto.sealed_sender_v2 import Recipient
from mepassa.crypto.sender_key_messages import (
    decode_sender_key_distribution_message,
    decode_sender_key_message,
    encode_sender_key_distribution_message,
)
from mepassa.crypto.sender_keys import (
    SenderKeyRecord,
    create,
    decrypt,
    distribution_message,
    encrypt,
    process_distribution,
)
from mepassa.crypto.spqr import incremental_mlkem as mlkem
from mepassa.crypto.spqr.message import decode_spqr_message
from mepassa.crypto.spqr.ratchet import SpqrState
from mepassa.model.errors import DecryptionError
from mepassa.model.ids import AccountId, DistributionId
from mepassa.model.secret import SecretBytes
from mepassa.protocol.sealing import seal
from mepassa.protocol.session import MessageType, SessionRecord
from mepassa.testing import SeededRng
from tests.crypto.people import Person
from tests.doors.door import door

RNG = SeededRng("doors")
ANA, BRUNO = Person("ana"), Person("bruno")
BUNDLE = BRUNO.bundle()
ANA.initiate(BRUNO.remote, BUNDLE)
PREKEY = ANA.encrypt(BRUNO.remote, b"text").body
OUTER = decode_prekey_signal_message(PREKEY)
SIGNAL = OUTER.message
RATCHET_KEY = decode_signal_message(SIGNAL).ratchet_key
SPQR = decode_signal_message(SIGNAL).spqr
SEALED = seal(ANA.own, ANA.certificate, BRUNO.own.key.public, MessageType.PREKEY, PREKEY, rng=ANA.rng).raw
CONTENT = encode_content(MessageType.PREKEY, ANA.certificate, PREKEY, hint=ContentHint.RESENDABLE)
RESEND = DecryptionErrorMessage(OUTER.base_key, 1_790_000_000_000, 1)

LOW_ORDER = b"\x05" + bytes(32)
"""A public key that is none; in the place of a proper one it is the documented `InvalidKeyError`."""
FORM = (InvalidMessageError,)
FORM_AND_KEYS = (InvalidMessageError, InvalidKeyError)


def without(message: bytes, key: bytes) -> bytes:
    assert key in message
    return message.replace(key, LOW_ORDER)


def grown_records() -> list[bytes]:
    """Session records in as many of the Braid's states as a conversation goes through, with archives and skipped keys."""
    ana, bruno, found = Person("ana of records"), Person("bruno of records"), dict[bytes, bytes]()
    ana.initiate(bruno.remote, bruno.bundle())
    for turn in range(240):
        sender, reader = (ana, bruno) if turn % 2 else (bruno, ana)
        if turn == 0:
            sender, reader = ana, bruno
        sent = [sender.encrypt(reader.remote, b"x") for _ in range(2)]
        opened = reader.try_decrypt(sender.remote, sent[-1].type, sent[-1].body)
        reader.records[sender.remote.address] = opened.record
        for person, other in ((ana, bruno), (bruno, ana)):
            record = person.record(other.remote)
            if record.current is not None:
                found.setdefault(type(record.current.ratchet.spqr.braid).__name__.encode(), record.to_bytes())
    ana.initiate(bruno.remote, bruno.bundle())
    return [*found.values(), ana.record(bruno.remote).to_bytes()]


def grown_spqr() -> tuple[SpqrState, list[bytes]]:
    """A state, and fields that it takes: the next ones of its other side."""
    ana, bruno = SpqrState.start(bytes(32), initiator=True), SpqrState.start(bytes(32), initiator=False)
    fields: list[bytes] = []
    for _ in range(30):
        ana, field, _ = ana.send(RNG.token)
        bruno, _ = bruno.receive(field, WorkBudget(100))
        bruno, back, _ = bruno.send(RNG.token)
        ana, _ = ana.receive(back, WorkBudget(100))
    for _ in range(20):
        bruno, field, _ = bruno.send(RNG.token)
        fields.append(field)
    return ana, fields


SESSIONS = [
    door(decode_signal_message, seeds=[SIGNAL, without(SIGNAL, RATCHET_KEY)], errors=FORM_AND_KEYS),
    door(decode_prekey_signal_message, seeds=[PREKEY, without(PREKEY, OUTER.base_key)], errors=FORM_AND_KEYS),
    door(
        decode_decryption_error_message,
        seeds=[
            encode_decryption_error_message(RESEND),
            without(encode_decryption_error_message(RESEND), OUTER.base_key),
        ],
        errors=FORM_AND_KEYS,
    ),
    door(
        decode_plaintext_content,
        seeds=[
            encode_plaintext_content(PlaintextContent(RESEND, bytes(16))),
            without(encode_plaintext_content(PlaintextContent(RESEND, bytes(16))), OUTER.base_key),
            encode_plaintext_content(PlaintextContent(signal=pad(b"signal"))),
        ],
        errors=FORM_AND_KEYS,
    ),
    door(
        decode_server_certificate,
        seeds=[ANA.device_certificate, without(ANA.device_certificate, ANA.own.key.public.raw)],
        errors=FORM_AND_KEYS,
    ),
    door(
        decode_sender_certificate,
        seeds=[ANA.certificate, without(ANA.certificate, ANA.own.key.public.raw)],
        errors=FORM_AND_KEYS,
    ),
    door(decode_content, seeds=[CONTENT, without(CONTENT, ANA.own.key.public.raw)], errors=FORM_AND_KEYS),
    door(
        sealed_sender.open_sealed,
        feed=lambda data: sealed_sender.open_sealed(BRUNO.own.key, data),
        seeds=[SEALED],
        errors=(DecryptionError,),
    ),
    door(unmark, seeds=[mark(b"content", 32), mark(b"", 1)], errors=FORM),
    door(unpad, seeds=[pad(b"content"), pad(b"")], errors=FORM),
    door(decode_spqr_message, seeds=[SPQR], errors=(SpqrError,)),
    door(SessionRecord.from_bytes, seeds=grown_records(), errors=(CorruptRecordError,)),
]


def spqr_door() -> Callable[[bytes], object]:
    state, _ = SPQR_STATE
    return lambda field: state.receive(field, WorkBudget(2_000))


SPQR_STATE = grown_spqr()

EK_HEADER, EK_VECTOR = mlkem.public_parts(mlkem.generate_keys(RNG.token)[0])

PRIMITIVES = [
    door(check_public, seeds=[BRUNO.own.key.public.raw], errors=(InvalidKeyError,)),
    door(check_base_key, seeds=[OUTER.base_key], errors=(InvalidKeyError,), inputs=100),
    door(EcKeyPair.agree, feed=EcKeyPair(bytes(range(32))).agree, seeds=[OUTER.base_key], errors=(InvalidKeyError,)),
    door(
        agree,
        feed=lambda data: agree(BRUNO.own.key, data),
        seeds=[OUTER.base_key],
        errors=(InvalidKeyError,),
    ),
    door(encapsulate, seeds=[BUNDLE.kyber_prekey.public], errors=(InvalidKeyError,), inputs=100),
    door(
        KyberKeyPair.decapsulate,
        feed=KyberKeyPair(bytes(64)).decapsulate,
        seeds=[OUTER.kyber_ciphertext],
        errors=(InvalidKeyError,),
        inputs=100,
    ),
    door(
        pqxdh.respond,
        feed=lambda data: pqxdh.respond(
            BRUNO.own.key,
            signed_prekey=EcKeyPair(bytes(range(32))),
            one_time_prekey=None,
            kyber_prekey=KyberKeyPair(bytes(64)),
            base_key=data[:33],
            identity_key=data[33:66],
            kyber_ciphertext=data[66:],
        ),
        seeds=[OUTER.base_key + OUTER.identity_key + OUTER.kyber_ciphertext],
        errors=(InvalidKeyError,),
        inputs=100,
    ),
    door(
        decrypt_cbc,
        feed=lambda data: decrypt_cbc(bytes(32), bytes(16), data),
        seeds=[encrypt_cbc(bytes(32), bytes(16), b"text" * number) for number in range(8)],
        errors=FORM,
    ),
    door(decode_varint, feed=lambda data: decode_varint(data, 0), seeds=[encode_varint(2**40), b"\x80"], errors=FORM),
    door(
        Schema.decode,
        feed=Schema({1: Kind.BYTES, 2: Kind.UINT32, 3: Kind.FIXED64}, required=(1,)).decode,
        seeds=[encode_bytes(1, b"value") + encode_uint(2, 7)],
        errors=FORM,
    ),
    door(
        SafetyNumber.matches,
        feed=combine(bytes(64), b"\x01" * 64).matches,
        seeds=[combine(b"\x01" * 64, bytes(64)).scannable, combine(b"\x02" * 64, bytes(64)).scannable],
        errors=(DecryptionError,),
    ),
    door(
        "mepassa.crypto.spqr.ratchet.SpqrState.receive",
        "mepassa.crypto.spqr.authenticator.Authenticator.check_header",
        "mepassa.crypto.spqr.authenticator.Authenticator.check_ciphertext",
        "mepassa.crypto.spqr.chain.Chain.add_epoch",
        feed=spqr_door(),
        seeds=SPQR_STATE[1],
        errors=(DecryptionError,),
        inputs=200,
    ),
    door(
        mlkem.check_ek_vector,
        feed=lambda data: mlkem.check_ek_vector(data[64:], data[:64]),
        seeds=[EK_HEADER + EK_VECTOR],
        errors=(SpqrError,),
    ),
]

GROUP = DistributionId.from_random(ANA.rng.token(16))
OWN_KEY = create(GROUP, ANA.rng.token)
DISTRIBUTION = distribution_message(OWN_KEY)
READER = process_distribution(SenderKeyRecord(GROUP), DISTRIBUTION)
MOVED, GROUP_MESSAGE = encrypt(OWN_KEY, b"text")
SKIPPING = decrypt(READER, decode_sender_key_message(encrypt(MOVED, b"x")[1]), WorkBudget(9))[0]
SENT = sealed_sender_v2.seal(
    ANA.own.key,
    [Recipient(BRUNO.own.address, 77, BRUNO.own.key.public)],
    encode_content(MessageType.SENDER_KEY, ANA.certificate, GROUP_MESSAGE, group_id=b"group"),
    ANA.rng.token,
)

GROUPS = [
    door(decode_sender_key_message, seeds=[GROUP_MESSAGE], errors=FORM),
    door(
        decode_sender_key_distribution_message,
        seeds=[
            encode_sender_key_distribution_message(DISTRIBUTION),
            without(encode_sender_key_distribution_message(DISTRIBUTION), DISTRIBUTION.signing_key),
        ],
        errors=FORM_AND_KEYS,
    ),
    door(
        SenderKeyRecord.from_bytes,
        seeds=[MOVED.to_bytes(), SKIPPING.to_bytes()],
        errors=(CorruptRecordError,),
    ),
    door(decode_sent_message, seeds=[encode_sent_message(SENT)], errors=FORM),
    door(
        sealed_sender_v2.open_sealed,
        feed=lambda data: sealed_sender_v2.open_sealed(BRUNO.own.key, data),
        seeds=[SENT.received_by(SENT.copies[0])],
        errors=(DecryptionError,),
    ),
]

SEALER = BlobSealer(RNG.token)
BLOB = SEALER.update(b"a small file") + b"".join(SEALER.finish())
KEY, ACCOUNT = SecretBytes(bytes(32)), AccountId(bytes(16))


def streamed(data: bytes) -> None:
    reader = BlobStream(SEALER.reference)
    for start in range(0, len(data), 97):
        reader.update(data[start : start + 97])
    reader.finish()


BLOBS = [
    door(BlobStream.update, feed=streamed, seeds=[BLOB], errors=(AuthenticationError, InvalidMessageError)),
    door(
        BlobOpener.open_chunk,
        feed=lambda data: BlobOpener(SEALER.reference, BLOB[:HEADER_BYTES]).open_chunk(0, data),
        seeds=[BLOB[HEADER_BYTES:]],
        errors=(AuthenticationError,),
    ),
    door(
        open_profile,
        feed=lambda data: open_profile(KEY, ACCOUNT, 1, data),
        seeds=[seal_profile(KEY, ACCOUNT, 1, b"profile", random=RNG.token), bytes(512)],
        errors=(InvalidMessageError, AuthenticationError),
    ),
]

CRYPTO = [*SESSIONS, *PRIMITIVES, *GROUPS, *BLOBS]
