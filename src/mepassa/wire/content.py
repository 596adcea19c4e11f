"""Content <-> bytes: what is inside the encryption (docs/protocol/encoding.md, "Content").

The union of bodies stays open: a body whose tag this version does not know decodes to `UnknownBody(tag)`, whatever
follows the tag, so that the rest of the content (ids, order, list version) still counts.
"""

from typing import Annotated

import msgspec

from mepassa.model.content import (
    MAX_TEXT_BYTES,
    Body,
    Content,
    Introduction,
    Key32,
    Text,
    UnknownBody,
)
from mepassa.model.envelope import MAX_PLAINTEXT_BYTES
from mepassa.model.errors import MalformedError, TooLargeError
from mepassa.model.ids import AccountId, EnvelopeId, MessageId, Timestamp
from mepassa.wire.codec import Codec

MAX_CONTENT_BYTES = MAX_PLAINTEXT_BYTES - 1
"""Padding adds at least its own mark of one byte."""

_KNOWN_TAGS = range(10)


class _Shell(msgspec.Struct, frozen=True, array_like=True):
    """`Content` with its body still in bytes. Field for field the same; a test compares the two."""

    message_id: MessageId
    sender_seq: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    sent_at_ms: Annotated[Timestamp, msgspec.Meta(ge=0, le=2**53)]
    list_version: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    list_hash: Key32
    body: msgspec.Raw
    introduction: Introduction | None = None
    resend_of: EnvelopeId | None = None
    chat: AccountId | None = None


_SHELL: Codec[_Shell] = Codec(_Shell, limit_bytes=MAX_CONTENT_BYTES)
_CONTENT: Codec[Content] = Codec(Content, limit_bytes=MAX_CONTENT_BYTES)
_BODY: Codec[Body] = Codec(Body, limit_bytes=MAX_CONTENT_BYTES)


def encode_content(content: Content) -> bytes:
    """Raises `TooLargeError` when it would not fit one envelope."""
    return _CONTENT.encode(content)


def decode_content(data: bytes) -> Content:
    """Raises `TooLargeError` or `MalformedError`, and nothing else."""
    shell = _SHELL.decode(data)
    body = _decode_body(bytes(shell.body))
    if isinstance(body, Text) and len(body.text.encode()) > MAX_TEXT_BYTES:
        raise TooLargeError(len(body.text.encode()), MAX_TEXT_BYTES)
    return Content(
        message_id=shell.message_id,
        sender_seq=shell.sender_seq,
        sent_at_ms=shell.sent_at_ms,
        list_version=shell.list_version,
        list_hash=shell.list_hash,
        body=body,
        introduction=shell.introduction,
        resend_of=shell.resend_of,
        chat=shell.chat,
    )


def rewrite(content: Content, *, body: Body | None = None, resend_of: EnvelopeId | None = None) -> Content:
    """The same content with another body, or marked as the resend of an envelope."""
    return msgspec.structs.replace(content, body=body or content.body, resend_of=resend_of or content.resend_of)


def _decode_body(raw: bytes) -> Body:
    tag = _tag(raw)
    return _BODY.decode(b"\x92\x01" + raw) if tag in _KNOWN_TAGS else UnknownBody(tag)


def _tag(raw: bytes) -> int:
    """The first element of a MessagePack array: a number of 0..127, one byte."""
    head = {0xDC: 3, 0xDD: 5}.get(raw[0], 1 if 0x91 <= raw[0] <= 0x9F else 0) if raw else 0
    if head == 0 or len(raw) <= head or raw[head] > 0x7F:
        raise MalformedError("A body does not begin with its tag.")
    return raw[head]
