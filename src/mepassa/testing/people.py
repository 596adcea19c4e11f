"""Made-up accounts for tests of homes and transports: real root, device and list; prekeys that only look like keys."""

import asyncio
from dataclasses import dataclass, field

from mepassa.identity import IdentityKeyPair, RootKey, delivery_token, hash_token, sign_device_list, signal_token
from mepassa.model.device_list import DeviceEntry, DeviceList, SignedDeviceList
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import Address, RunId
from mepassa.model.prekeys import LAST_RESORT_ID_BASE, KyberPrekey, OneTimePrekey, PrekeyUpload, SignedPrekey
from mepassa.model.secret import SecretBytes
from mepassa.ports.mailbox import HomeAddress, TokenRecord, TurnCredentials
from mepassa.ports.rng import Rng


class Runs:
    """`ports.mailbox.RunCounter` in memory. `replaced` counts how often the home said that we were rolled back."""

    def __init__(self, run_id: RunId, counter: int = 0) -> None:
        self.run_id, self.counter, self.replaced = run_id, counter, 0

    async def rise(self) -> int:
        self.counter += 1
        return self.counter

    async def rolled_back(self, counter: int) -> int:
        self.replaced += 1
        self.counter = counter + 1
        return self.counter


@dataclass
class Person:
    """One account with one device (number 1), and what its contacts know."""

    home: HomeAddress
    root: RootKey
    device_key: IdentityKeyPair
    profile_key: bytes
    device_list: SignedDeviceList
    runs: Runs
    own: Address

    @classmethod
    def make(cls, rng: Rng, home: HomeAddress, *, version: int = 1) -> "Person":
        root = RootKey(SecretBytes(rng.token(32)))
        device_key = IdentityKeyPair(SecretBytes(rng.token(32)))
        entry = DeviceEntry(1, device_key.public, 1 + rng.below(16_380))
        devices = DeviceList(version, bytes(32), (entry,), home.url, home.key)
        return cls(
            home=home,
            root=root,
            device_key=device_key,
            profile_key=rng.token(32),
            device_list=sign_device_list(root, devices),
            runs=Runs(RunId(rng.token(16))),
            own=Address(root.account_id, 1),
        )

    def sign(self, message: bytes) -> bytes:
        return self.device_key.sign(message)

    @property
    def delivery_token(self) -> bytes:
        return delivery_token(self.profile_key)

    @property
    def signal_token(self) -> bytes:
        return signal_token(self.profile_key)

    def token_records(self) -> tuple[TokenRecord, ...]:
        return (
            TokenRecord(hash_token(self.delivery_token), "delivery"),
            TokenRecord(hash_token(self.signal_token), "signal"),
        )


def fake_prekeys(first_id: int = 1, count: int = 100, *, replace: bool = False) -> PrekeyUpload:
    """An upload of the right shape; each key holds its id, so that a test can tell them apart."""

    def ec(id_: int) -> bytes:
        return b"\x05" + id_.to_bytes(32)

    def kyber(id_: int) -> KyberPrekey:
        return KyberPrekey(id_, b"\x08" + id_.to_bytes(8) * 196, bytes(64))

    ids = range(first_id, first_id + count)
    return PrekeyUpload(
        SignedPrekey(first_id, ec(first_id), bytes(64)),
        kyber(LAST_RESORT_ID_BASE + first_id),
        tuple(OneTimePrekey(id_, ec(id_)) for id_ in ids),
        tuple(kyber(id_) for id_ in ids),
        replace,
    )


@dataclass
class Listener:
    """`ports.mailbox.OwnHomeHandler` that writes down what it is told; `refuse`: envelopes it raises for, by bytes."""

    envelopes: list[SealedEnvelope] = field(default_factory=list)
    signals: list[SealedEnvelope] = field(default_factory=list)
    low: list[tuple[int, int]] = field(default_factory=list)
    log_ins: list[TurnCredentials | None] = field(default_factory=list)
    log_outs: list[str] = field(default_factory=list)
    refuse: set[bytes] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def envelope_delivered(self, envelope: SealedEnvelope) -> None:
        if envelope.raw in self.refuse:
            raise ValueError("this handler does not take that envelope")
        self.envelopes.append(envelope)
        self.changed.set()

    async def signal_received(self, sealed: SealedEnvelope) -> None:
        self.signals.append(sealed)
        self.changed.set()

    async def prekeys_low(self, one_time_left: int, kyber_left: int) -> None:
        self.low.append((one_time_left, kyber_left))
        self.changed.set()

    async def logged_in(self, turn: TurnCredentials | None) -> None:
        self.log_ins.append(turn)
        self.changed.set()

    async def logged_out(self, reason: str) -> None:
        self.log_outs.append(reason)
        self.changed.set()

    async def until_envelopes(self, count: int) -> None:
        """Until so many have come in all."""
        while len(self.envelopes) < count:
            self.changed.clear()
            await self.changed.wait()

    async def until_log_ins(self, count: int) -> None:
        while len(self.log_ins) < count:
            self.changed.clear()
            await self.changed.wait()
