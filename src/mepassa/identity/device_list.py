"""The signed device list: which devices an account has (docs/protocol/identity.md, "Device list")."""

from functools import lru_cache

from mepassa.identity.device_key import check_identity_key
from mepassa.identity.labels import Label
from mepassa.identity.root_key import RootKey, verify_root
from mepassa.model.device_list import DeviceList, SignedDeviceList
from mepassa.model.errors import DeviceListForkError, DeviceListStaleError, InvalidInputError, MalformedError
from mepassa.model.keys import RootPublicKey
from mepassa.wire.codec import Codec

MAX_DEVICE_LIST_BYTES = 4096
"""16 devices and two home URLs fit with room to spare."""

LISTS_REMEMBERED = 256
"""A message looks several times into its contact's list, and the next message again."""

_CODEC: Codec[DeviceList] = Codec(DeviceList, limit_bytes=MAX_DEVICE_LIST_BYTES)


@lru_cache(LISTS_REMEMBERED)
def decode_device_list(body: bytes) -> DeviceList:
    """The list in `body`, *not* verified: use `verify_device_list` unless the bytes come from our own database.

    No number and no key twice, every key proper. Raises `MalformedError` or `TooLargeError`.
    """
    devices = _CODEC.decode(body)
    if len({entry.device for entry in devices.devices}) != len(devices.devices):
        raise MalformedError("A device list names a device twice.")
    if len({entry.identity_key for entry in devices.devices}) != len(devices.devices):
        raise MalformedError("A device list names a key twice.")
    for entry in devices.devices:
        check_identity_key(entry.identity_key.raw)
    return devices


def sign_device_list(root: RootKey, devices: DeviceList) -> SignedDeviceList:
    """Raises `InvalidInputError` for a list that no reader would take."""
    body = _CODEC.encode(devices)
    try:
        decode_device_list(body)
    except MalformedError as error:
        raise InvalidInputError(error.message) from error
    return SignedDeviceList(body, root.sign(Label.DEVICE_LIST, body))


def verify_device_list(root: RootPublicKey, signed: SignedDeviceList) -> DeviceList:
    """The list, proven to be the account's. The signature is checked before anything is decoded.

    Raises `SignatureError`, `MalformedError` or `TooLargeError`.
    """
    verify_root(root, signed.signature, Label.DEVICE_LIST, signed.body)
    return decode_device_list(signed.body)


def supersedes(known: SignedDeviceList | None, offered: SignedDeviceList) -> bool:
    """Whether `offered` takes the place of `known`; False when it is the same list. Both have been verified.

    Raises `DeviceListStaleError` for an older one (ignore it) and `DeviceListForkError` for the same version with
    other content (tell the person).
    """
    if known is None:
        return True
    if known.body == offered.body:
        return False
    known_version, offered_version = decode_device_list(known.body).version, decode_device_list(offered.body).version
    if offered_version < known_version:
        raise DeviceListStaleError
    if offered_version == known_version:
        raise DeviceListForkError
    return True


def next_version(previous: int | None, now_ms: int) -> int:
    """max(previous + 1, unix ms): rises even when the clock went back."""
    return max((previous or 0) + 1, now_ms)
