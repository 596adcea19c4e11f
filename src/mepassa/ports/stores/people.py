"""Contacts with their chats, invites, and where their devices were last reached."""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from mepassa.model.device_list import SignedDeviceList
from mepassa.model.ids import NEVER, AccountId, Address, Timestamp
from mepassa.model.keys import PresencePublicKey, RootPublicKey
from mepassa.model.route import Policy
from mepassa.model.secret import SecretBytes
from mepassa.model.status import ChatState, Verification
from mepassa.ports.mailbox import HomeAddress


@dataclass(frozen=True, slots=True)
class Contact:
    """The other account and the chat with it: a pair chat's id is the account's id.

    `home` is what the newest verified device list (at first: the card) says; while the state is `REQUEST` nobody may
    contact it. `device_list` is None between adding a card and the first answer of its home. `list_wanted`: the
    newest version that a message has named; fetched when above `list_version`.
    """

    account: AccountId
    root_key: RootPublicKey
    name: str
    state: ChatState
    home: HomeAddress
    policy: Policy = Policy.AUTO
    device_list: SignedDeviceList | None = None
    list_version: int = 0
    list_wanted: int = 0
    profile_key: SecretBytes | None = None
    """Theirs: gives the tokens for their mailbox. None until their answer has come."""
    presence_key: PresencePublicKey | None = None
    invite_token: bytes | None = field(default=None, repr=False)
    """Theirs, from the card: what we deposit with until `profile_key` is there."""
    last_sender_seq: int = 0
    """Ours, in this chat."""
    added_ms: Timestamp = NEVER
    verification: Verification = Verification.NONE
    verified_ms: Timestamp = NEVER
    """When the person last found the numbers equal; stays when that is withdrawn."""
    changed_ms: Timestamp = NEVER
    """When somebody, here or at another own device, last decided about state or policy."""

    @property
    def allows_direct(self) -> bool:
        return self.policy is not Policy.HIDE_MY_IP


class InviteKind(StrEnum):
    LINK = "link"
    QR = "qr"


@dataclass(frozen=True, slots=True)
class Invite:
    token: bytes = field(repr=False)
    kind: InviteKind
    created_ms: Timestamp
    expires_ms: Timestamp
    uses_left: int
    revoked: bool = False

    @property
    def id(self) -> bytes:
        """16 bytes that name it on this device and tell nothing of the token."""
        return hashlib.sha256(b"mepassa invite id" + self.token).digest()[:16]

    def live(self, now_ms: Timestamp) -> bool:
        return not self.revoked and self.uses_left > 0 and now_ms < self.expires_ms


class ContactStore(Protocol):
    def contact(self, account: AccountId) -> Contact | None: ...

    def put_contact(self, contact: Contact) -> None: ...

    def put_sender_seq(self, account: AccountId, seq: int) -> None:
        """A contact's `last_sender_seq` and nothing else of it: what every message changes."""
        ...

    def contacts(self) -> tuple[Contact, ...]:
        """Newest activity first."""
        ...

    def put_invite(self, invite: Invite) -> None: ...

    def invite(self, token: bytes) -> Invite | None: ...

    def invites(self) -> tuple[Invite, ...]: ...

    def use_invite(self, token: bytes, account: AccountId) -> bool:
        """Count an account's use; False when this account had used it before."""
        ...


class AddressBook(Protocol):
    """Where a device was last reached, so that direct paths are tried while its home is away."""

    def put_known_addresses(self, peer: Address, addresses: tuple[str, ...], now_ms: Timestamp) -> None: ...

    def known_addresses(self, peer: Address) -> tuple[str, ...]: ...

    def forget_known_addresses(self, peer: Address | None = None) -> None: ...
