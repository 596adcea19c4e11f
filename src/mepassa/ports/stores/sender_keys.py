"""Sender keys for groups: our own with whoever holds them, and those of other devices."""

from dataclasses import dataclass
from typing import Protocol

from mepassa.model.ids import Address, DistributionId, Timestamp
from mepassa.model.keys import IdentityKey


@dataclass(frozen=True, slots=True)
class OwnSenderKey:
    """`record`: encoded by `crypto.sender_keys`. `created_ms`: when it was made, since it is made anew with age."""

    distribution_id: DistributionId
    record: bytes
    created_ms: Timestamp


@dataclass(frozen=True, slots=True)
class SenderKeyHolder:
    """A device that has been told our sender key. Another identity key at the same address is another device."""

    address: Address
    identity_key: IdentityKey


class SenderKeyStore(Protocol):
    def own_sender_key(self, distribution_id: DistributionId) -> OwnSenderKey | None: ...

    def put_own_sender_key(self, key: OwnSenderKey) -> None: ...

    def delete_own_sender_keys(self, distribution_id: DistributionId | None = None) -> None:
        """That one (None: all), and who holds it."""
        ...

    def sender_key_holders(self, distribution_id: DistributionId) -> tuple[SenderKeyHolder, ...]:
        """By address."""
        ...

    def put_sender_key_holder(self, distribution_id: DistributionId, holder: SenderKeyHolder) -> None: ...

    def distributions_held_by(self, peer: Address) -> tuple[DistributionId, ...]:
        """Those of our keys that this device has been told."""
        ...

    def sender_key(self, sender: Address, distribution_id: DistributionId) -> bytes | None:
        """The encoded record of another device's sender key."""
        ...

    def put_sender_key(
        self, sender: Address, distribution_id: DistributionId, record: bytes, now_ms: Timestamp
    ) -> None: ...

    def sender_keys(self, sender: Address) -> dict[DistributionId, int]:
        """What that device has told us and how many bytes each record has, the one that was not used for longest first."""
        ...

    def delete_sender_key(self, sender: Address, distribution_id: DistributionId | None = None) -> None:
        """That one (None: all of that device)."""
        ...
