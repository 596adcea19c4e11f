"""This account, this device, its prekeys, and what its home has been told."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from mepassa.model.device_list import SignedDeviceList
from mepassa.model.ids import Address, Timestamp
from mepassa.model.keys import IdentityKey, RootPublicKey
from mepassa.model.secret import SecretBytes
from mepassa.ports.mailbox import HomeAddress, TokenRecord


@dataclass(frozen=True, slots=True)
class OwnAccount:
    """This account and this device; seeds are 32 bytes of Ed25519. The root key is not among them: nothing that runs
    every day needs it, so it lies in a file of its own (docs/protocol/identity.md, "Root key at rest")."""

    address: Address
    name: str
    root_key: RootPublicKey
    identity_key: IdentityKey
    device_seed: SecretBytes
    registration_id: int
    device_certificate: bytes
    """Signal's server certificate, by the root key for the device key."""
    device_list: SignedDeviceList
    list_version: int
    home: HomeAddress
    profile_key: SecretBytes
    presence_seed: SecretBytes


class OwnStore(Protocol):
    def own(self) -> OwnAccount:
        """Raises `NotInitialisedError`."""
        ...

    def put_own(self, own: OwnAccount) -> None: ...

    def kept_root_seed(self) -> SecretBytes | None:
        """What a database of an earlier version still holds of the root key."""
        ...

    def drop_root_seed(self) -> None: ...

    def setting(self, name: str) -> bytes | None: ...

    def put_setting(self, name: str, value: bytes | None) -> None: ...


def kept_number(store: OwnStore, name: str) -> int:
    """A setting that is a number, big-endian; 0 where there is none."""
    return int.from_bytes(store.setting(name) or b"", "big")


class PrekeyKind(IntEnum):
    ONE_TIME = 1
    SIGNED = 2
    KYBER_ONE_TIME = 3
    KYBER_LAST_RESORT = 4


@dataclass(frozen=True, slots=True)
class PrekeyRow:
    """A private prekey in the encoding of `crypto`; the public half follows from it."""

    kind: PrekeyKind
    id: int
    secret: SecretBytes
    created_ms: Timestamp
    uploaded: bool = False


class PrekeyStore(Protocol):
    def prekey(self, kind: PrekeyKind, prekey_id: int) -> PrekeyRow | None: ...

    def prekeys(self, kind: PrekeyKind) -> tuple[PrekeyRow, ...]:
        """By rising id."""
        ...

    def untold_prekeys(self, kind: PrekeyKind) -> tuple[PrekeyRow, ...]:
        """Those that the home has not got yet, by rising id."""
        ...

    def prekey_count(self, kind: PrekeyKind) -> int: ...

    def put_prekey(self, row: PrekeyRow) -> None: ...

    def delete_prekey(self, kind: PrekeyKind, prekey_id: int) -> None:
        """With what `put_last_resort_use` keeps of it."""
        ...

    def next_prekey_id(self, kind: PrekeyKind, count: int, first: int = 1) -> int:
        """The first of `count` numbers that this database has never given; numbering begins at `first`."""
        ...

    def mark_prekeys_uploaded(self, kind: PrekeyKind, prekey_id: int) -> None: ...

    def last_resort_used(self, kyber_id: int, signed_id: int, base_key: bytes) -> bool: ...

    def put_last_resort_use(self, kyber_id: int, signed_id: int, base_key: bytes) -> None: ...


class TokenStore(Protocol):
    """What our home has been told of tokens, so that only differences are sent."""

    def home_tokens(self) -> tuple[TokenRecord, ...]: ...

    def put_home_tokens(self, add: tuple[TokenRecord, ...], remove: tuple[bytes, ...]) -> None: ...
