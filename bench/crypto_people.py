"""Two devices for the figures of the encryption: real keys, prekeys and a record in memory."""

from mepassa.identity import IdentityKeyPair, RootKey
from mepassa.model.ids import Address
from mepassa.model.prekeys import PrekeyBundle
from mepassa.model.secret import SecretBytes
from mepassa.ports.rng import SystemRng
from mepassa.ports.stores import PrekeyKind
from mepassa.protocol import session
from mepassa.protocol.parties import LocalIdentity, RemoteDevice
from mepassa.protocol.prekeys import LastResortUse, generate, publish_kyber, publish_one_time, publish_signed
from mepassa.protocol.sealing import issue_device_certificate, issue_sender_certificate
from mepassa.protocol.session import Decrypted, SessionRecord, SignalCiphertext

RNG = SystemRng()
NOW_MS = 1_800_000_000_000
TEXT = RNG.token(256)


class Device:
    def __init__(self) -> None:
        root = RootKey.generate()
        self.own = LocalIdentity(Address(root.account_id, 1), IdentityKeyPair.generate(), 77)
        self.remote = RemoteDevice(self.own.address, self.own.key.public)
        certificate = issue_device_certificate(root, 1, self.own.key.public)
        self.certificate = issue_sender_certificate(self.own, certificate, NOW_MS)
        self.secrets: dict[PrekeyKind, SecretBytes] = {}
        self.record = SessionRecord.EMPTY

    def one_time(self, prekey_id: int) -> SecretBytes | None:
        return self.secrets[PrekeyKind.ONE_TIME]

    def signed(self, prekey_id: int) -> SecretBytes | None:
        return self.secrets[PrekeyKind.SIGNED]

    def kyber(self, prekey_id: int) -> SecretBytes | None:
        return self.secrets[PrekeyKind.KYBER_ONE_TIME]

    def last_resort_used(self, use: LastResortUse) -> bool:
        return False

    def bundle(self) -> PrekeyBundle:
        rows = {
            kind: generate(kind, 1, now_ms=NOW_MS, rng=RNG)
            for kind in (PrekeyKind.ONE_TIME, PrekeyKind.SIGNED, PrekeyKind.KYBER_ONE_TIME)
        }
        self.secrets = {kind: row.secret for kind, row in rows.items()}
        return PrekeyBundle(
            1,
            77,
            self.own.key.public,
            publish_signed(self.own, rows[PrekeyKind.SIGNED]),
            publish_kyber(self.own, rows[PrekeyKind.KYBER_ONE_TIME]),
            publish_one_time(rows[PrekeyKind.ONE_TIME]),
        )

    def encrypt(self, to: "Device") -> SignalCiphertext:
        self.record, made = session.encrypt(self.record, self.own, to.remote, TEXT, now_ms=NOW_MS, rng=RNG)
        return made

    def open(self, sender: "Device", made: SignalCiphertext) -> Decrypted:
        return session.decrypt(
            self.record, self.own, sender.remote, made.type, made.body, prekeys=self, now_ms=NOW_MS, rng=RNG
        )

    def decrypt(self, sender: "Device", made: SignalCiphertext) -> None:
        self.record = self.open(sender, made).record


def acquainted() -> tuple[Device, Device]:
    ana, bruno = Device(), Device()
    ana.record = session.initiate(SessionRecord.EMPTY, ana.own, bruno.remote, bruno.bundle(), now_ms=NOW_MS, rng=RNG)
    bruno.decrypt(ana, ana.encrypt(bruno))
    ana.decrypt(bruno, bruno.encrypt(ana))
    return ana, bruno
