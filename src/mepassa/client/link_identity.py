"""What links are told of the account (`ports.transport.LinkIdentity`): a snapshot, since a hello cannot wait for a disk."""

from collections.abc import Callable
from dataclasses import dataclass

from mepassa.identity import IdentityKeyPair
from mepassa.model.ids import AccountId, Address
from mepassa.model.keys import IdentityKey
from mepassa.model.status import ChatState
from mepassa.ports.db import Db
from mepassa.ports.stores import OwnAccount, Tx
from mepassa.ports.transport import LinkIdentity
from mepassa.protocol.devices import ourselves, reachable_devices, recipients
from mepassa.protocol.removal import is_removed


@dataclass(frozen=True, slots=True)
class _Peer:
    key: IdentityKey
    allows_direct: bool


class DbLinkIdentity:
    """Call `refresh` before the first use and after contacts, lists, states or policies change."""

    def __init__(self, db: Db[Tx], own: OwnAccount) -> None:
        self._db, self._own = db, own
        self._key = IdentityKeyPair(own.device_seed)
        self._peers: dict[Address, _Peer] = {}
        self._allow_direct: dict[AccountId, bool] = {}
        self._written_to: dict[Address, IdentityKey] = {}
        self.ended: frozenset[Address] = frozenset()
        """Devices to which nothing goes any more since the last refresh: removed, set up anew under their number, or of
        somebody who was blocked."""
        self.on_unlisted: Callable[[AccountId], None] = lambda _account: None
        """Hears of hellos in the name of an accepted contact's device that the contact's list does not name."""

    async def refresh(self) -> None:
        before = self._written_to
        self._own, self._peers, self._written_to = await self._db.run(_read)
        self.ended = frozenset(device for device, key in before.items() if self._written_to.get(device) != key)
        self._allow_direct = {address.account: peer.allows_direct for address, peer in self._peers.items()}

    @property
    def own(self) -> Address:
        return self._own.address

    @property
    def list_version(self) -> int:
        return self._own.list_version

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    def peer_key(self, peer: Address) -> IdentityKey | None:
        found = self._peers.get(peer)
        return None if found is None else found.key

    def unlisted_hello(self, peer: Address, *, direct: bool = False) -> None:
        """`direct`: by a transport on which those from whom we hide our address are strangers."""
        allows_direct = self._allow_direct.get(peer.account)
        if allows_direct or (allows_direct is not None and not direct):
            self.on_unlisted(peer.account)

    def for_direct_links(self) -> LinkIdentity:
        """The same account for a transport that shows our address: contacts from whom we hide it are strangers there.

        They would be refused after both hellos anyway; but a hello that is answered proves who sits at this address.
        """
        return _Direct(self)

    def direct_peer_key(self, peer: Address) -> IdentityKey | None:
        found = self._peers.get(peer)
        return found.key if found is not None and found.allows_direct else None


@dataclass(frozen=True, slots=True)
class _Direct:
    """A view: it follows every refresh."""

    whole: DbLinkIdentity

    @property
    def own(self) -> Address:
        return self.whole.own

    @property
    def list_version(self) -> int:
        return self.whole.list_version

    def sign(self, message: bytes) -> bytes:
        return self.whole.sign(message)

    def peer_key(self, peer: Address) -> IdentityKey | None:
        return self.whole.direct_peer_key(peer)

    def unlisted_hello(self, peer: Address) -> None:
        self.whole.unlisted_hello(peer, direct=True)


def _read(tx: Tx) -> tuple[OwnAccount, dict[Address, _Peer], dict[Address, IdentityKey]]:
    peers: dict[Address, _Peer] = {}
    written_to: dict[Address, IdentityKey] = {}
    for contact in () if is_removed(tx) else (*tx.contacts(), ourselves(tx)):
        if contact.state in {ChatState.REQUESTED, ChatState.ACCEPTED}:
            written_to |= {device.address: device.identity_key for device in recipients(tx, contact)}
        for device in reachable_devices(tx, contact):
            peers[device.address] = _Peer(device.identity_key, contact.allows_direct)
    return tx.own(), peers, written_to
