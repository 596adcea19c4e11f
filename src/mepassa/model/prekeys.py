"""Prekeys as a home hands them out and an initiator uses them (PQXDH; docs/protocol/session.md)."""

from typing import Annotated

import msgspec

from mepassa.model.ids import DeviceId
from mepassa.model.keys import IdentityKey

LAST_RESORT_ID_BASE = 2**24
"""Kyber prekey ids from here on are last-resort keys; one-time ids count from 1 below it."""

PrekeyId = Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]
EcPublic = Annotated[bytes, msgspec.Meta(min_length=33, max_length=33)]
KyberPublic = Annotated[bytes, msgspec.Meta(min_length=1569, max_length=1569)]
Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


class OneTimePrekey(msgspec.Struct, frozen=True, array_like=True):
    """An X25519 key, unsigned, handed out once. `public` = 0x05 + 32 bytes."""

    id: PrekeyId
    public: EcPublic


class SignedPrekey(msgspec.Struct, frozen=True, array_like=True):
    """`signature`: XEdDSA by the identity key over the prefixed public key."""

    id: PrekeyId
    public: EcPublic
    signature: Signature


class KyberPrekey(msgspec.Struct, frozen=True, array_like=True):
    """Kyber-1024, `public` = 0x08 + 1568 bytes; one-time or last-resort by its id."""

    id: PrekeyId
    public: KyberPublic
    signature: Signature


class PrekeyBundle(msgspec.Struct, frozen=True, array_like=True):
    """All that an initiator needs for one device. `identity_key` must equal the one in the root-signed device list."""

    device: DeviceId
    registration_id: Annotated[int, msgspec.Meta(ge=1, le=16_380)]
    identity_key: IdentityKey
    signed_prekey: SignedPrekey
    kyber_prekey: KyberPrekey
    one_time_prekey: OneTimePrekey | None = None


class PrekeyUpload(msgspec.Struct, frozen=True, array_like=True):
    """What a device gives its home. With `replace` every older prekey of this device is dropped in the same step.

    Without it the one-time keys are added; signed and last-resort become the ones handed out from now on.
    At most 100 one-time keys of each kind, so that an upload (165 KB of Kyber keys) fits one frame.
    """

    signed_prekey: SignedPrekey
    last_resort_prekey: KyberPrekey
    one_time_prekeys: Annotated[tuple[OneTimePrekey, ...], msgspec.Meta(max_length=100)] = ()
    kyber_prekeys: Annotated[tuple[KyberPrekey, ...], msgspec.Meta(max_length=100)] = ()
    replace: bool = False
