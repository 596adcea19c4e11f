"""Signatures with context strings: what is signed for one purpose can never stand in for another.

Everything that we sign outside Signal's own formats goes through `labelled`. Signal's formats sign raw bytes that begin
with 05, 08 or 10; no label begins so, hence one key may serve both (docs/protocol/identity.md, "Signatures").
"""

from enum import StrEnum


class Label(StrEnum):
    """One per purpose. The number is the version of what follows; changing that means a new number."""

    ACCOUNT = "mepassa account 1"
    DEVICE_LIST = "mepassa device list 1"
    HELLO = "mepassa hello 1"
    AUTH = "mepassa auth 1"
    HOME_DOCUMENT = "mepassa home document 1"
    LINK = "mepassa link 1"
    PRESENCE = "mepassa presence 1"
    RECOVER = "mepassa recover 1"
    PRESENCE_RECORD = "mepassa presence record 1"


def labelled(label: Label, *parts: bytes) -> bytes:
    """The label, a zero byte, then each part after its length (u32, big-endian).

    No label holds a zero byte, so none is a prefix of another; framed parts cannot be moved across a border.
    """
    framed = [label.encode("ascii"), b"\x00"]
    for part in parts:
        framed += (len(part).to_bytes(4, "big"), part)
    return b"".join(framed)


def u64(number: int) -> bytes:
    """Eight bytes, big-endian: how numbers enter a signature. Raises `OverflowError` outside 0..2^64-1."""
    return number.to_bytes(8, "big")
