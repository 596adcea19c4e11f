"""docs/protocol/identity.md, "Device list"."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mepassa.identity import (
    IdentityKeyPair,
    RootKey,
    decode_device_list,
    next_version,
    sign_device_list,
    supersedes,
    verify_device_list,
)
from mepassa.model.device_list import MAX_DEVICES, DeviceEntry, DeviceList, SignedDeviceList
from mepassa.model.errors import (
    DeviceListForkError,
    DeviceListStaleError,
    InvalidInputError,
    MalformedError,
    SignatureError,
)
from mepassa.model.keys import HomeKey, IdentityKey
from mepassa.model.secret import SecretBytes

ROOT = RootKey(SecretBytes(bytes([3]) * 32))
KEYS = [IdentityKeyPair(SecretBytes(bytes([byte]) * 32)).public for byte in range(MAX_DEVICES)]


def listing(version: int = 1, count: int = 1, url: str = "https://home.example") -> DeviceList:
    entries = tuple(DeviceEntry(number + 1, KEYS[number], 1000 + number) for number in range(count))
    return DeviceList(version, bytes(32), entries, url, HomeKey(bytes([7]) * 32), "https://" + "s" * 192)


def test_a_full_list_with_the_longest_urls_is_signed_and_verified() -> None:
    devices = listing(count=MAX_DEVICES, url="https://" + "h" * 192)
    assert verify_device_list(ROOT.public, sign_device_list(ROOT, devices)) == devices


def test_a_list_signed_by_another_root_or_changed_is_refused() -> None:
    signed = sign_device_list(ROOT, listing())
    with pytest.raises(SignatureError):
        verify_device_list(RootKey.generate().public, signed)
    for position in range(len(signed.body)):
        body = bytearray(signed.body)
        body[position] ^= 1
        with pytest.raises(SignatureError):
            verify_device_list(ROOT.public, SignedDeviceList(bytes(body), signed.signature))


def test_a_list_that_names_a_device_or_key_twice_is_neither_signed_nor_read() -> None:
    entry = DeviceEntry(1, KEYS[0], 5)
    improper = DeviceEntry(2, IdentityKey(b"\x05" + bytes(32)), 5)
    for entries in (
        (entry, DeviceEntry(1, KEYS[1], 6)),
        (entry, DeviceEntry(2, KEYS[0], 6)),
        (entry, improper),
    ):
        with pytest.raises(InvalidInputError):
            sign_device_list(ROOT, msgspec.structs.replace(listing(), devices=entries))


def test_newer_replaces_older_is_ignored_and_a_fork_is_an_alarm() -> None:
    old, new = sign_device_list(ROOT, listing(5)), sign_device_list(ROOT, listing(6))
    assert supersedes(None, old)
    assert supersedes(old, new)
    assert not supersedes(new, new)
    with pytest.raises(DeviceListStaleError):
        supersedes(new, old)
    with pytest.raises(DeviceListForkError):
        supersedes(new, sign_device_list(ROOT, listing(6, count=2)))


def test_versions_rise_even_when_the_clock_goes_back() -> None:
    assert next_version(None, 1_700_000_000_000) == 1_700_000_000_000
    assert next_version(1_700_000_000_000, 5) == 1_700_000_000_001


@given(st.binary(max_size=5000))
def test_any_bytes_are_a_device_list_or_malformed(raw: bytes) -> None:
    try:
        decode_device_list(raw)
    except MalformedError:
        pass


@settings(max_examples=200)
@given(st.integers(0, 10_000), st.integers(0, 255), st.integers(0, 10_000))
def test_a_mutated_list_is_a_device_list_or_malformed(position: int, value: int, cut: int) -> None:
    body = bytearray(sign_device_list(ROOT, listing(count=3)).body)
    body[position % len(body)] = value
    try:
        decode_device_list(bytes(body[: cut % (len(body) * 4) or None]))
    except MalformedError:
        pass
