"""Which devices an account has, and where it lives: signed by the root key (docs/protocol/identity.md)."""

import hashlib
from typing import Annotated

import msgspec

from mepassa.model.home_url import MAX_URL_CHARS
from mepassa.model.ids import DeviceId
from mepassa.model.keys import HomeKey, IdentityKey

MAX_DEVICES = 16
"""Devices an account may list. Each costs every sender one encryption a message; nobody owns more that chat."""

HomeUrl = Annotated[str, msgspec.Meta(min_length=8, max_length=MAX_URL_CHARS)]


class DeviceEntry(msgspec.Struct, frozen=True, array_like=True):
    device: DeviceId
    identity_key: IdentityKey
    registration_id: Annotated[int, msgspec.Meta(ge=1, le=16_380)]


class DeviceList(msgspec.Struct, frozen=True, array_like=True):
    """`version` = max(previous + 1, unix ms); `previous_hash`: SHA-256 of the previous list's bytes, zeros at first."""

    version: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    previous_hash: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    devices: Annotated[tuple[DeviceEntry, ...], msgspec.Meta(min_length=1, max_length=MAX_DEVICES)]
    home_url: HomeUrl
    home_key: HomeKey
    successor_home: HomeUrl | None = None

    def entry(self, device: int) -> DeviceEntry | None:
        return next((entry for entry in self.devices if entry.device == device), None)

    def lists(self, device: int, identity_key: IdentityKey) -> bool:
        """Whether that device is one of them: the same number with another key is another device."""
        entry = self.entry(device)
        return entry is not None and entry.identity_key == identity_key


class SignedDeviceList(msgspec.Struct, frozen=True, array_like=True):
    """The exact bytes that were signed, and the root key's signature over them (context string first)."""

    body: Annotated[bytes, msgspec.Meta(max_length=4096)]
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]

    @property
    def hash(self) -> bytes:
        """SHA-256 of `body`, 32 bytes: what messages carry so that a home cannot freeze an old list."""
        return hashlib.sha256(self.body).digest()
