"""What a device makes of envelopes, with its real database behind it: the whole way in, and the steps of it."""

from collections.abc import Callable
from pathlib import Path

from mepassa.crypto.certificates import decode_sender_certificate
from mepassa.crypto.messages import MessageType
from mepassa.crypto.padding import pad
from mepassa.crypto.sender_keys import SenderKeyRecord, create, distribution_message, encrypt, process_distribution
from mepassa.identity import Label
from mepassa.model.device_list import DeviceEntry, SignedDeviceList
from mepassa.model.envelope import MAX_ENVELOPE_BYTES, SealedEnvelope
from mepassa.model.errors import DecryptionError, MalformedError, SignatureError, UnlistedDeviceError
from mepassa.model.ids import DistributionId
from mepassa.model.signal import Signal
from mepassa.protocol import session, signalling
from mepassa.protocol.account import local_identity, sender_certificate
from mepassa.protocol.devices import learn_answered
from mepassa.protocol.inbound import Arrival, receive
from mepassa.protocol.removal import learn_own_list
from mepassa.protocol.sealing import (
    ResendRequest,
    SignalPayload,
    Unsealed,
    open_sealed,
    read_plaintext,
    seal,
    seal_plaintext,
    sender_certificate_expires,
)
from mepassa.protocol.sender_keys import open_from_group
from mepassa.protocol.session import SessionRecord
from mepassa.testing import ManualClock
from tests.crypto.people import NOW_MS, Person
from tests.doors.door import Fed, Outcome, door
from tests.protocol.device_lists import become_second_device, next_list
from tests.protocol.phones import STORED, Phone, befriend
from tests.protocol.test_signalling import offer

ANA, BRUNO = Person("ana"), Person("bruno")
ANA.initiate(BRUNO.remote, BRUNO.bundle())
PREKEY = ANA.encrypt(BRUNO.remote, pad(b"text")).body
SEALED = seal(ANA.own, ANA.certificate, BRUNO.own.key.public, MessageType.PREKEY, PREKEY, rng=ANA.rng).raw
CERTIFICATE = decode_sender_certificate(ANA.certificate)
RESEND = seal_plaintext(ANA.own, ANA.certificate, BRUNO.own.key.public, ResendRequest(None, None, 1, 1), rng=ANA.rng)
NOTE = seal_plaintext(ANA.own, ANA.certificate, BRUNO.own.key.public, SignalPayload(b"signal"), rng=ANA.rng)
REFUSED = (DecryptionError,)


def envelope(data: bytes) -> SealedEnvelope:
    """Empty and overlong ones are refused by the type, before anybody reads them."""
    return SealedEnvelope(data[:MAX_ENVELOPE_BYTES] or b"\0")


def opened(body: bytes) -> object:
    return session.decrypt(
        SessionRecord.EMPTY, BRUNO.own, ANA.remote, MessageType.PREKEY, body,
        prekeys=BRUNO.prekeys, now_ms=NOW_MS, rng=BRUNO.rng, derivations=200,
    )  # fmt: skip


def two(folder: Path) -> tuple[Phone, Phone]:
    clock = ManualClock()
    ana, beto = (Phone(name, folder / f"{name}.db", clock) for name in ("ana", "beto"))
    befriend(ana, beto)
    return ana, beto


def taken(folder: Path) -> Fed:
    """Envelopes as they come: true ones, one of a device that is not listed, junk. The fate is the outcome; none raises."""
    ana, beto = two(folder)
    for word in ("um", "dois", "três"):
        beto.write(ana, word)
    seeds = [each.raw for each in beto.post(ana)]
    become_second_device(beto)
    beto.write(ana, "de um aparelho sem lista")
    seeds += [each.raw for each in beto.post(ana)]
    return lambda data: Outcome(ana.take(envelope(data)).fate), seeds


def messages_in_true_seals(folder: Path) -> Fed:
    """The seal is right, what is in it is not: this far comes only who is a contact."""
    ana, beto = two(folder)
    beto.write(ana, "verdadeira")
    (true,) = beto.post(ana)
    body = open_sealed(local_identity(ana.own), true).body
    certificate = beto.db.run_now(lambda tx: sender_certificate(tx, beto.own, beto.now))

    def feed(data: bytes) -> Outcome:
        sealed = seal(
            local_identity(beto.own), certificate, ana.own.identity_key, MessageType.SIGNAL, data[:9000], rng=beto.rng
        )
        return Outcome(ana.db.run_now(lambda tx: receive(tx, sealed, Arrival(STORED), ana.now, ana.rng)).fate)

    return feed, [body]


def answered_lists(folder: Path) -> Fed:
    """What a contact's home hands out: the list that is known, a newer one, another of the same version, no list at all."""
    ana, beto = two(folder)
    known = ana.contact(beto).device_list
    assert known is not None
    lists = [known, next_list(beto), SignedDeviceList(b"no list", beto.root.sign(Label.DEVICE_LIST, b"no list"))]

    def feed(data: bytes) -> Outcome:
        offered = SignedDeviceList(data[64:], data[:64])
        current = ana.db.run_now(lambda tx: learn_answered(tx, beto.account, offered))
        return Outcome("current" if current else "outdated")

    return feed, [each.signature + each.body for each in lists]


def own_lists(folder: Path) -> Fed:
    """What our own home shows as our list: the one that is known, one without this device, no list at all."""
    ana, _ = two(folder)
    bare = next_list(ana, DeviceEntry(2, ana.own.identity_key, 7), drop=1)
    none = SignedDeviceList(b"no list", ana.root.sign(Label.DEVICE_LIST, b"no list"))

    def feed(data: bytes) -> Outcome:
        removed = ana.db.run_now(lambda tx: learn_own_list(tx, SignedDeviceList(data[64:], data[:64])))
        return Outcome("removed" if removed else "as before")

    return feed, [each.signature + each.body for each in (ana.own.device_list, bare, none)]


def signals(folder: Path) -> Fed:
    ana, beto = two(folder)
    certificate = beto.db.run_now(lambda tx: sender_certificate(tx, beto.own, beto.now))

    def sealed(signal: Signal) -> SealedEnvelope:
        return beto.db.run_now(lambda tx: signalling.seal_signal(tx, ana.address, signal, beto.now, beto.rng)[0])

    def noted(payload: bytes) -> SealedEnvelope:
        own = local_identity(beto.own)
        return seal_plaintext(own, certificate, ana.own.identity_key, SignalPayload(payload), rng=beto.rng)

    seeds = [sealed(offer(beto.now)).raw, noted(b"no signal").raw]
    become_second_device(beto)
    certificate = beto.db.run_now(lambda tx: sender_certificate(tx, beto.own, beto.now))
    seeds.append(noted(b"x").raw)
    return lambda data: ana.db.run_now(lambda tx: signalling.open_signal(tx, envelope(data), ana.now)), seeds


def group_messages(folder: Path) -> Fed:
    ana, beto = two(folder)
    group = DistributionId.from_random(beto.rng.token(16))
    own = create(group, beto.rng.token)
    record = process_distribution(SenderKeyRecord(group), distribution_message(own))
    ana.db.run_now(lambda tx: tx.put_sender_key(beto.address, group, record.to_bytes(), ana.now))
    seeds = []
    for word in (b"um", b"dois"):
        own, message = encrypt(own, pad(word))
        seeds.append(message)
    return lambda data: ana.db.run_now(lambda tx: open_from_group(tx, beto.address, data, ana.now)), seeds


def read(kind: MessageType) -> Callable[[bytes], object]:
    return lambda data: read_plaintext(Unsealed(kind, data, 0, CERTIFICATE))


PROTOCOL = [
    door(
        open_sealed,
        feed=lambda data: open_sealed(BRUNO.own, envelope(data)),
        seeds=[SEALED],
        errors=REFUSED,
        inputs=150,
    ),
    door(sender_certificate_expires, seeds=[ANA.certificate], errors=REFUSED),
    door(session.decrypt, feed=opened, seeds=[PREKEY], errors=REFUSED, inputs=150),
    door(
        read_plaintext,
        feed=read(MessageType.PLAINTEXT),
        seeds=[open_sealed(BRUNO.own, sealed).body for sealed in (RESEND, NOTE)],
        errors=REFUSED,
    ),
    door(receive, make=taken, errors=(), inputs=200),
    door("mepassa.protocol.inbound.receive, in a true seal", make=messages_in_true_seals, errors=(), inputs=100),
    door(
        signalling.open_signal,
        make=signals,
        errors=(DecryptionError, MalformedError, UnlistedDeviceError),
        inputs=150,
    ),
    door(
        learn_answered,
        "mepassa.protocol.devices.learn_list",
        make=answered_lists,
        errors=(SignatureError, MalformedError),
        inputs=150,
    ),
    door(learn_own_list, make=own_lists, errors=(SignatureError, MalformedError), inputs=150),
    door(open_from_group, make=group_messages, errors=REFUSED, inputs=150),
]
