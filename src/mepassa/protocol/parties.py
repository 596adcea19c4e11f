"""Who speaks with whom: this device, and one device of somebody else."""

from dataclasses import dataclass

from mepassa.crypto.double_ratchet import Parties
from mepassa.identity.device_key import IdentityKeyPair
from mepassa.model.ids import Address
from mepassa.model.keys import IdentityKey


@dataclass(frozen=True, slots=True)
class LocalIdentity:
    """This device. `registration_id` stands in its own device list entry."""

    address: Address
    key: IdentityKeyPair
    registration_id: int


@dataclass(frozen=True, slots=True)
class RemoteDevice:
    """Another device, as the verified device list of its account has it."""

    address: Address
    identity_key: IdentityKey


def parties(own: LocalIdentity, remote: RemoteDevice) -> Parties:
    return Parties(own.key.public, own.address, remote.identity_key, remote.address)
