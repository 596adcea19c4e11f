"""Two devices for the tests of this room: real keys, real records, prekeys in a dictionary."""

from dataclasses import dataclass, field

from msgspec.structs import replace

from mepassa.crypto.double_ratchet import RatchetState
from mepassa.crypto.primitives import hmac_sha256
from mepassa.identity import IdentityKeyPair, RootKey
from mepassa.model.device_list import DeviceEntry, DeviceList
from mepassa.model.ids import Address
from mepassa.model.keys import HomeKey
from mepassa.model.prekeys import LAST_RESORT_ID_BASE, PrekeyBundle
from mepassa.model.secret import SecretBytes
from mepassa.ports.rng import Rng
from mepassa.ports.stores import PrekeyKind
from mepassa.protocol import session
from mepassa.protocol.parties import LocalIdentity, RemoteDevice
from mepassa.protocol.prekeys import (
    ConsumedPrekeys,
    LastResortUse,
    generate,
    publish_kyber,
    publish_one_time,
    publish_signed,
)
from mepassa.protocol.sealing import issue_device_certificate, issue_sender_certificate
from mepassa.protocol.session import Decrypted, MessageType, SessionRecord, SignalCiphertext
from mepassa.testing.chance import SeededRng

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
HOME_KEY = HomeKey(bytes(32))


@dataclass
class Prekeys:
    """The `PrekeyLookup` of one device, in memory."""

    one_times: dict[int, SecretBytes] = field(default_factory=dict)
    signeds: dict[int, SecretBytes] = field(default_factory=dict)
    kybers: dict[int, SecretBytes] = field(default_factory=dict)
    uses: set[LastResortUse] = field(default_factory=set)

    def one_time(self, prekey_id: int) -> SecretBytes | None:
        return self.one_times.get(prekey_id)

    def signed(self, prekey_id: int) -> SecretBytes | None:
        return self.signeds.get(prekey_id)

    def kyber(self, prekey_id: int) -> SecretBytes | None:
        return self.kybers.get(prekey_id)

    def last_resort_used(self, use: LastResortUse) -> bool:
        return use in self.uses

    def consume(self, consumed: ConsumedPrekeys) -> None:
        if consumed.one_time_id is not None:
            del self.one_times[consumed.one_time_id]
        if consumed.kyber_id is not None:
            del self.kybers[consumed.kyber_id]
        if consumed.last_resort is not None:
            self.uses.add(consumed.last_resort)


class Person:
    """One account with one device. `records` holds the sessions by address; nothing else is remembered."""

    def __init__(self, name: str, *, rng: Rng | None = None, device: int = 1, registration_id: int = 77) -> None:
        self.rng = rng or SeededRng(name)
        self.root = RootKey(SecretBytes(self.rng.token(32)))
        key = IdentityKeyPair(SecretBytes(self.rng.token(32)))
        self.own = LocalIdentity(Address(self.root.account_id, device), key, registration_id)
        self.prekeys = Prekeys()
        self.records: dict[Address, SessionRecord] = {}
        self.device_certificate = issue_device_certificate(self.root, device, key.public)
        self.certificate = issue_sender_certificate(self.own, self.device_certificate, NOW_MS)
        self._next_id = 1

    @property
    def remote(self) -> RemoteDevice:
        return RemoteDevice(self.own.address, self.own.key.public)

    @property
    def device_list(self) -> DeviceList:
        entry = DeviceEntry(self.own.address.device, self.own.key.public, self.own.registration_id)
        return DeviceList(1, bytes(32), (entry,), "https://home.example", HOME_KEY)

    def bundle(self, *, one_time: bool = True, last_resort: bool = False) -> PrekeyBundle:
        number, self._next_id = self._next_id, self._next_id + 1
        kyber_id = number + LAST_RESORT_ID_BASE if last_resort else number
        once = generate(PrekeyKind.ONE_TIME, number, now_ms=NOW_MS, rng=self.rng)
        signed = generate(PrekeyKind.SIGNED, number, now_ms=NOW_MS, rng=self.rng)
        kyber = generate(PrekeyKind.KYBER_ONE_TIME, kyber_id, now_ms=NOW_MS, rng=self.rng)
        if one_time:
            self.prekeys.one_times[number] = once.secret
        self.prekeys.signeds[number] = signed.secret
        self.prekeys.kybers[kyber_id] = kyber.secret
        return PrekeyBundle(
            self.own.address.device,
            self.own.registration_id,
            self.own.key.public,
            publish_signed(self.own, signed),
            publish_kyber(self.own, kyber),
            publish_one_time(once) if one_time else None,
        )

    def record(self, peer: RemoteDevice) -> SessionRecord:
        return self.records.get(peer.address, SessionRecord.EMPTY)

    def initiate(self, peer: RemoteDevice, bundle: PrekeyBundle, now_ms: int = NOW_MS) -> None:
        record = session.initiate(self.record(peer), self.own, peer, bundle, now_ms=now_ms, rng=self.rng)
        self.records[peer.address] = record

    def encrypt(self, peer: RemoteDevice, plaintext: bytes, now_ms: int = NOW_MS) -> SignalCiphertext:
        record, ciphertext = session.encrypt(self.record(peer), self.own, peer, plaintext, now_ms=now_ms, rng=self.rng)
        self.records[peer.address] = record
        return ciphertext

    def try_decrypt(self, peer: RemoteDevice, kind: MessageType, body: bytes, now_ms: int = NOW_MS) -> Decrypted:
        """Without keeping anything."""
        return session.decrypt(
            self.record(peer), self.own, peer, kind, body, prekeys=self.prekeys, now_ms=now_ms, rng=self.rng
        )

    def decrypt(self, peer: RemoteDevice, ciphertext: SignalCiphertext, now_ms: int = NOW_MS) -> bytes:
        opened = self.try_decrypt(peer, ciphertext.type, ciphertext.body, now_ms)
        self.records[peer.address] = opened.record
        self.prekeys.consume(opened.consumed)
        return opened.plaintext

    def restart(self, peer: RemoteDevice) -> None:
        """Only what was saved survives."""
        self.records[peer.address] = SessionRecord.from_bytes(self.record(peer).to_bytes())


def acquainted(*, bundle_options: dict[str, bool] | None = None) -> tuple[Person, Person]:
    """Ana has initiated, Bruno has opened the first message and answered, Ana has read the answer."""
    ana, bruno = Person("ana"), Person("bruno")
    ana.initiate(bruno.remote, bruno.bundle(**(bundle_options or {})))
    assert bruno.decrypt(ana.remote, ana.encrypt(bruno.remote, b"first")) == b"first"
    assert ana.decrypt(bruno.remote, bruno.encrypt(ana.remote, b"second")) == b"second"
    return ana, bruno


def skip(state: RatchetState, count: int) -> RatchetState:
    """As if `count` messages had been sent and lost: both ratchets move, no message is made."""
    chain_key, spqr = state.sending.chain_key, state.spqr.chain
    for _ in range(count):
        chain_key = hmac_sha256(chain_key, b"\x02")
        spqr, _, _ = spqr.next_send_key(spqr.send_epoch)
    sending = replace(state.sending, chain_key=chain_key, next_number=state.sending.next_number + count)
    return replace(state, sending=sending, spqr=replace(state.spqr, chain=spqr))
