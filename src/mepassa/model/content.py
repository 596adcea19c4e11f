"""What travels inside the encryption: one envelope carries one Content (docs/protocol/envelope.md).

The union of bodies stays open: a body that this version does not know decodes to `UnknownBody`, is acknowledged
and shown as "needs a newer version". Bytes and bounds: `wire.content`.
"""

from enum import StrEnum
from typing import Annotated

import msgspec

from mepassa.model.card import Card, Name, Token
from mepassa.model.device_list import HomeUrl, SignedDeviceList
from mepassa.model.ids import AccountId, EnvelopeId, MessageId, Timestamp
from mepassa.model.keys import HomeKey, PresencePublicKey, RootPublicKey
from mepassa.model.route import Policy, Route
from mepassa.model.secret import silent
from mepassa.model.status import ChatState

MAX_TEXT_BYTES = 16_384
"""UTF-8 bytes of one text between accepted contacts."""
MAX_REQUEST_TEXT_BYTES = 2_048
"""UTF-8 bytes of a text until the other side has accepted."""

MAX_DISTRIBUTION_BYTES = 256
"""A SenderKeyDistributionMessage has about 100 bytes; the rest is for fields of later versions."""

Key32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class ReceiptKind(StrEnum):
    DELIVERED = "delivered"
    READ = "read"


class Text(msgspec.Struct, frozen=True, array_like=True, tag=1):
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT_BYTES)]
    reply_to: MessageId | None = None


class ReceiptEntry(msgspec.Struct, frozen=True, array_like=True):
    message_id: MessageId
    route: Route | None = None


class Receipt(msgspec.Struct, frozen=True, array_like=True, tag=2):
    kind: ReceiptKind
    entries: Annotated[tuple[ReceiptEntry, ...], msgspec.Meta(min_length=1, max_length=200)]


class ContactAccepted(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The answer to a request: from now on both are contacts. `presence_key` is there when direct paths are allowed."""

    profile_key: Key32
    presence_key: PresencePublicKey | None = None

    __repr__ = silent


class ProfileKey(msgspec.Struct, frozen=True, array_like=True, tag=4):
    profile_key: Key32

    __repr__ = silent


class PresenceKey(msgspec.Struct, frozen=True, array_like=True, tag=5):
    presence_key: PresencePublicKey


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """Says nothing: a QR contact is made without a text."""


class SenderKeyDistribution(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """Signal's SenderKeyDistributionMessage: how to read what the device that sends this says to a group.

    It counts for that device alone, whatever the message claims (docs/protocol/groups.md).
    """

    message: Annotated[bytes, msgspec.Meta(min_length=1, max_length=MAX_DISTRIBUTION_BYTES)]


class ContactCopy(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """To our own other devices only: a contact as it is now here, after somebody decided something about it.

    `changed_ms`: when that was; the newest decision counts on all devices. The account follows from the root key.
    """

    root_key: RootPublicKey
    name: Name
    state: ChatState
    policy: Policy
    changed_ms: Annotated[Timestamp, msgspec.Meta(ge=0, le=2**53)]
    home_url: HomeUrl
    home_key: HomeKey
    last_sender_seq: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    device_list: SignedDeviceList | None = None
    profile_key: Key32 | None = None
    presence_key: PresencePublicKey | None = None
    invite_token: Token | None = None

    __repr__ = silent


class AccountCopy(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """To our own other devices only: the account's newest list, and the keys that all its devices share.

    `presence_seed` is private. `keys_ms`: when these keys were made; the newest count.
    """

    device_list: SignedDeviceList
    profile_key: Key32
    presence_seed: Key32
    keys_ms: Annotated[Timestamp, msgspec.Meta(ge=0, le=2**53)]

    def __repr__(self) -> str:
        return "AccountCopy(…)"


class UnknownBody(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """A body of a later version: kept as its tag only."""

    kind: int


Body = (
    Text
    | Receipt
    | ContactAccepted
    | ProfileKey
    | PresenceKey
    | Hello
    | SenderKeyDistribution
    | ContactCopy
    | AccountCopy
    | UnknownBody
)


class Introduction(msgspec.Struct, frozen=True, array_like=True):
    """Who the stranger is: enclosed in every envelope until the other side has answered (docs/protocol/contacts.md)."""

    card: Card
    device_list: SignedDeviceList
    profile_key: Key32
    invite_token: Token | None = None

    __repr__ = silent


class Content(msgspec.Struct, frozen=True, array_like=True):
    """`sender_seq` counts from 1 per chat and sender, 0 for what the screen does not show.

    `list_hash` is the SHA-256 of the sender's device list. `resend_of`: the envelope that could not be opened and that
    this content was in before, so that its "could not open" row is replaced. `chat`: whom this is meant for, an account.
    The same bytes go to the sender's own other devices, and tell them by it which chat this belongs to.
    """

    message_id: MessageId
    sender_seq: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    sent_at_ms: Timestamp
    list_version: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    list_hash: Key32
    body: Body
    introduction: Introduction | None = None
    resend_of: EnvelopeId | None = None
    chat: AccountId | None = None
