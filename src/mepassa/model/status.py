"""Where a message, a chat and the trust in a contact stand."""

from enum import StrEnum


class MessageStatus(StrEnum):
    """Rises only: queued < sent | stored < delivered < read; `failed` after 14 days without a receipt.

    The table of legal moves is `protocol.delivery.TRANSITIONS`.
    """

    QUEUED = "queued"
    SENT = "sent"
    STORED = "stored"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"


class ChatState(StrEnum):
    """`requested`: we asked and wait; `request`: a stranger asks us; then `accepted` or `blocked`."""

    REQUESTED = "requested"
    REQUEST = "request"
    ACCEPTED = "accepted"
    BLOCKED = "blocked"


class Verification(StrEnum):
    """Whether this person has compared the safety number with the contact (docs/protocol/identity.md, "Verified")."""

    NONE = "none"
    VERIFIED = "verified"
    WITHDRAWN = "withdrawn"
    """Was verified, then something happened that an honest contact does not cause; stands until compared anew."""
