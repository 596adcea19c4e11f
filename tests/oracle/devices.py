"""Devices of three kinds behind one door: ours, and the official library in two versions.

What a device does is a generator: it yields what it asks of an oracle and is sent the answer. So a hundred conversations
can take their steps together, and their questions travel to Node in one line.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from mepassa.crypto.certificates import decode_sender_certificate, verify_chain
from mepassa.crypto.padding import pad, unpad
from mepassa.identity import IdentityKeyPair, trust_root
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import DecryptionError
from mepassa.model.ids import AccountId, Address
from mepassa.model.keys import IdentityKey
from mepassa.model.prekeys import PrekeyBundle
from mepassa.model.secret import SecretBytes
from mepassa.protocol import session
from mepassa.protocol.parties import LocalIdentity, RemoteDevice
from mepassa.protocol.sealing import (
    ResendRequest,
    Unsealed,
    issue_device_certificate,
    issue_sender_certificate,
    open_sealed,
    read_plaintext,
    seal,
    seal_plaintext,
)
from mepassa.protocol.session import NoSessionError, SessionRecord, SignalCiphertext
from mepassa.testing.chance import SeededRng
from tests.crypto.people import DAY_MS, NOW_MS, Person, Prekeys
from tests.oracle.official import NEWEST, Oracle, bundle_facts, read_bundle, unpack

T = TypeVar("T")
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    oracle: Oracle
    command: str
    facts: dict[str, object]


Asking = Generator[Ask, Answer, T]


class Refused(Exception):
    """`args[0]`: the error's name at the device that refused."""


class Device(Protocol):
    """`root`: what its certificates are checked under."""

    @property
    def address(self) -> Address: ...
    @property
    def identity_key(self) -> IdentityKey: ...
    @property
    def root(self) -> IdentityKey: ...

    def begin(self, peer: "Device") -> Asking[None]: ...
    def send(self, peer: "Device", text: bytes) -> Asking["Sent | None"]: ...
    def open(self, peer: "Device", sealed: bytes) -> Asking[bytes]: ...
    def complain(self, peer: "Device", sealed: bytes) -> Asking[bytes]: ...
    def heed(self, peer: "Device", complaint: bytes) -> Asking[bool]: ...
    def bundle(self, *, one_time: bool) -> Asking[PrekeyBundle]: ...
    def restart(self) -> None: ...
    def forget_prekeys(self) -> Asking[None]: ...
    def re_register(self) -> Asking[None]: ...
    def archive(self, peer: "Device") -> Asking[None]: ...
    def lose(self, peer: "Device") -> Asking[None]: ...


@dataclass(frozen=True, slots=True)
class Sent:
    """`ciphertext`: what is inside the seal, known of our own only."""

    sealed: bytes
    ciphertext: SignalCiphertext | None


def remote(peer: Device) -> RemoteDevice:
    return RemoteDevice(peer.address, peer.identity_key)


# --- ours --------------------------------------------------------------------------------------------------------------


class OurDevice:
    def __init__(self, rng: SeededRng) -> None:
        self.person = Person("ours", rng=rng)
        self.rng = rng
        self.address = self.person.own.address
        self.root = trust_root(self.person.root.public)
        self.epochs: dict[bytes, tuple[int, bool]] = {}
        """Of each session by its base key: the highest SPQR epoch, and whether we began it."""

    @property
    def identity_key(self) -> IdentityKey:
        return self.person.own.key.public

    def bundle(self, *, one_time: bool) -> Asking[PrekeyBundle]:
        yield from ()
        return self.person.bundle(one_time=one_time)

    def begin(self, peer: Device) -> Asking[None]:
        bundle = yield from peer.bundle(one_time=self.rng.below(4) > 0)
        self.person.initiate(remote(peer), bundle)

    def send(self, peer: Device, text: bytes) -> Asking[Sent | None]:
        try:
            made = self.person.encrypt(remote(peer), pad(text))
        except NoSessionError:
            yield from self.begin(peer)
            made = self.person.encrypt(remote(peer), pad(text))
        self._look(peer)
        return Sent(self.seal(peer, made), made)

    def seal(self, peer: Device, made: SignalCiphertext) -> bytes:
        mine = self.person
        return seal(mine.own, mine.certificate, peer.identity_key, made.type, made.body, rng=self.rng).raw

    def open(self, peer: Device, sealed: bytes) -> Asking[bytes]:
        """A refusal leaves no trace: the session's record and the prekeys are compared."""
        yield from ()
        before = self._saved(peer)
        try:
            unsealed = self.unseal(peer, sealed)
            padded = self.person.decrypt(remote(peer), SignalCiphertext(unsealed.type, unsealed.body, b""))
        except DecryptionError as error:
            assert self._saved(peer) == before
            raise Refused(error.code) from error
        self._look(peer)
        return unpad(padded)

    def refuse(self, peer: Device, ciphertext: SignalCiphertext) -> str:
        """For damage inside the seal: the error's name."""
        before = self._saved(peer)
        try:
            self.person.decrypt(remote(peer), ciphertext)
        except DecryptionError as error:
            assert self._saved(peer) == before
            return error.code
        raise AssertionError("a damaged message has opened")

    def unseal(self, peer: Device, sealed: bytes) -> Unsealed:
        """And what `validate_sender` would ask: the official root is no root key of ours."""
        unsealed = open_sealed(self.person.own, SealedEnvelope(sealed))
        if unsealed.sender != peer.address or unsealed.identity_key != peer.identity_key:
            raise Refused("key_mismatch")
        assert verify_chain(unsealed.certificate, peer.root)
        return unsealed

    def complain(self, peer: Device, sealed: bytes) -> Asking[bytes]:
        yield from ()
        failed = self.unseal(peer, sealed)
        request = ResendRequest(None, session.failed_ratchet_key(failed.type, failed.body), NOW_MS, peer.address.device)
        mine = self.person
        return seal_plaintext(mine.own, mine.certificate, peer.identity_key, request, rng=self.rng).raw

    def heed(self, peer: Device, complaint: bytes) -> Asking[bool]:
        yield from ()
        request = read_plaintext(self.unseal(peer, complaint))
        assert isinstance(request, ResendRequest)
        record = self.person.record(remote(peer))
        named = request.device == self.person.own.address.device and session.must_archive(
            record, ratchet_key=request.ratchet_key, sent_at_ms=0
        )
        if named:
            self.person.records[peer.address] = session.archive(record)
        return named

    def restart(self) -> None:
        """Only what was saved survives."""
        records = self.person.records
        self.person.records = {at: SessionRecord.from_bytes(record.to_bytes()) for at, record in records.items()}

    def forget_prekeys(self) -> Asking[None]:
        yield from ()
        prekeys = self.person.prekeys
        for kept in (prekeys.one_times, prekeys.signeds, prekeys.kybers):
            for number in sorted(kept)[:-1]:
                del kept[number]

    def re_register(self) -> Asking[None]:
        yield from ()
        mine = self.person
        key = IdentityKeyPair(SecretBytes(self.rng.token(32)))
        mine.own = LocalIdentity(self.address, key, mine.own.registration_id + 1)
        mine.device_certificate = issue_device_certificate(mine.root, self.address.device, key.public)
        mine.certificate = issue_sender_certificate(mine.own, mine.device_certificate, NOW_MS)
        mine.prekeys, mine.records = Prekeys(), {}

    def archive(self, peer: Device) -> Asking[None]:
        yield from ()
        self.person.records[peer.address] = session.archive(self.person.record(remote(peer)))

    def lose(self, peer: Device) -> Asking[None]:
        yield from ()
        self.person.records.pop(peer.address, None)

    def _look(self, peer: Device) -> None:
        current = self.person.record(remote(peer)).current
        if current is not None:
            spqr = current.ratchet.spqr
            self.epochs[current.base_key] = (spqr.epoch, spqr.chain.a2b)

    def _saved(self, peer: Device) -> tuple[bytes, object]:
        prekeys = self.person.prekeys
        spendable = (set(prekeys.one_times), set(prekeys.signeds), set(prekeys.kybers), set(prekeys.uses))
        return self.person.record(remote(peer)).to_bytes(), spendable


# --- official ----------------------------------------------------------------------------------------------------------


class OfficialDevice:
    def __init__(self, oracle: Oracle, package: str, rng: SeededRng) -> None:
        self.oracle = oracle
        self.may_begin = package == NEWEST  # we refuse what the older one begins
        self.address = Address(AccountId(rng.token(16)), 1)
        self.identity_key = self.root = IdentityKey(bytes(33))
        self._certificate = b""
        self._rng = rng
        self._id = rng.token(8).hex()

    def create(self) -> Asking[None]:
        """Before anything else; again when it registers anew."""
        made = yield self._ask("create", name=str(self.address.account.uuid), device=self.address.device)
        self.identity_key = IdentityKey(unpack(made["identity_key"]))
        self.root = IdentityKey(unpack(made["root"]))
        answer = yield self._ask("certificate", expires=NOW_MS + DAY_MS)
        self._certificate = unpack(answer["certificate"])
        assert decode_sender_certificate(self._certificate).identity_key == self.identity_key

    def bundle(self, *, one_time: bool) -> Asking[PrekeyBundle]:
        return read_bundle((yield self._ask("bundle", one_time=one_time)))

    def begin(self, peer: Device) -> Asking[None]:
        bundle = yield from peer.bundle(one_time=self._rng.below(4) > 0)
        _checked((yield self._ask("initiate", peer=peer.address, bundle=bundle_facts(bundle))))

    def send(self, peer: Device, text: bytes) -> Asking[Sent | None]:
        """None when there is no session and it may not begin one."""
        facts = {"peer": peer.address, "plaintext": pad(text), "certificate": self._certificate}
        answer = yield self._ask("seal", **facts)
        if "not found" in answer.get("error", ""):
            if not self.may_begin:
                return None
            yield from self.begin(peer)
            answer = yield self._ask("seal", **facts)
        return Sent(unpack(_checked(answer)["sealed"]), None)

    def open(self, peer: Device, sealed: bytes) -> Asking[bytes]:
        facts = {"sealed": sealed, "root": peer.root.raw, "now": NOW_MS, "listed": peer.identity_key.raw}
        answer = _checked((yield self._ask("open", **facts)))
        assert answer["sender"] == str(peer.address.account.uuid)
        return unpad(unpack(answer["plaintext"]))

    def complain(self, peer: Device, sealed: bytes) -> Asking[bytes]:
        facts = {"peer": peer.address, "sealed": sealed, "certificate": self._certificate}
        return unpack(_checked((yield self._ask("complain", **facts)))["sealed"])

    def heed(self, peer: Device, complaint: bytes) -> Asking[bool]:
        return bool(_checked((yield self._ask("heed", peer=peer.address, sealed=complaint)))["archived"])

    def restart(self) -> None:
        """It saves and loads its sessions at every step anyway."""

    def forget_prekeys(self) -> Asking[None]:
        yield self._ask("forget")

    def re_register(self) -> Asking[None]:
        yield from self.create()

    def archive(self, peer: Device) -> Asking[None]:
        yield self._ask("archive", peer=peer.address)

    def lose(self, peer: Device) -> Asking[None]:
        yield self._ask("lose", peer=peer.address)

    def _ask(self, command: str, **facts: object) -> Ask:
        return Ask(self.oracle, command, {"id": self._id, **facts})


def _checked(answer: Answer) -> Answer:
    if "error" in answer:
        name = answer["name"] if answer["name"] not in {"Generic", "Error"} else answer["error"].split(":")[0]
        raise Refused(f"official: {re.sub('with .* not', 'not', name)}")  # without the address
    return answer
