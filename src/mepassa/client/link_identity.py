"""What links are told of the account (`ports.transport.LinkIdentity`): a snapshot, since a hello cannot wait for a disk."""

from mepassa.identity import IdentityKeyPair
from mepassa.model.ids import Address
from mepassa.model.keys import IdentityKey
from mepassa.model.status import ChatState
from mepassa.ports.db import Db
from mepassa.ports.stores import OwnAccount, Tx
from mepassa.protocol.devices import listed_devices


class DbLinkIdentity:
    """Call `refresh` before the first use and after contacts, lists or states change."""

    def __init__(self, db: Db[Tx], own: OwnAccount) -> None:
        self._db, self._own = db, own
        self._key = IdentityKeyPair(own.device_seed)
        self._peers: dict[Address, IdentityKey] = {}

    async def refresh(self) -> None:
        self._own, self._peers = await self._db.run(_read)

    @property
    def own(self) -> Address:
        return self._own.address

    @property
    def list_version(self) -> int:
        return self._own.list_version

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    def peer_key(self, peer: Address) -> IdentityKey | None:
        return self._peers.get(peer)


def _read(tx: Tx) -> tuple[OwnAccount, dict[Address, IdentityKey]]:
    peers = {}
    for contact in tx.contacts():
        devices = listed_devices(contact) if contact.state is ChatState.ACCEPTED else None
        for entry in devices.devices if devices is not None else ():
            peers[Address(contact.account, entry.device)] = entry.identity_key
    return tx.own(), peers
