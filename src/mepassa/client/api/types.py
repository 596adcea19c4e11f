"""The JSON of the local API: one Struct per request, response and event (docs: the API's own `/api/v1/openapi.json`).

This is a contract with programs outside. Names are the JSON names, to the letter; fields may be added, never renamed,
removed or given another meaning. Bytes are lower-case hex, times are unix milliseconds, lists are plain arrays.
Requests forbid unknown fields, so that a misspelt one is told and not ignored. The page mirrors this file in
`web/src/model/api.ts`; tests/browser/test_api_mirror.py compares the two.
"""

from typing import Annotated, Literal

import msgspec

from mepassa.model.content import MAX_TEXT_BYTES
from mepassa.model.route import AddressClass, FoundBy, Policy, RouteKind, RouteTransport
from mepassa.model.status import ChatState, MessageStatus, Verification

Hex16 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
"""16 bytes: an account, message, chat, invite or client id."""
LIVE_PATH_KINDS = Literal["direct", "relayed"]
MAX_LINK_CHARACTERS = 4_096
"""A card is under 1 KiB; this bounds what is decoded at all."""
MAX_PAGE = 1_000
"""Messages in one answer of `GET /chats/{chat_id}/messages`."""
DEFAULT_PAGE = 50

# --- what is answered ------------------------------------------------------------------------------------------------


class ErrorBody(msgspec.Struct, frozen=True):
    """`code` is the class name in `model.errors` (stable); `message` one plain sentence; `field` the input at fault."""

    code: str
    message: str
    field: str | None = None


class ErrorAnswer(msgspec.Struct, frozen=True):
    error: ErrorBody


class Home(msgspec.Struct, frozen=True):
    """The home server as this node sees it. `error` says why it is not connected, when that is known."""

    url: str
    connected: bool
    error: ErrorBody | None = None


class Me(msgspec.Struct, frozen=True):
    """GET /me."""

    account_id: Hex16
    device_id: int
    name: str
    home: Home


class Health(msgspec.Struct, frozen=True):
    """GET /health. `ok` is true when `problems` is empty; each problem is an error (`ClockWrongError`, …).

    `waiting` counts envelopes that have not left this device yet, and contacts whose receipts wait a little.
    """

    ok: bool
    home: Home
    problems: list[ErrorBody]
    waiting: int = 0


class Check(msgspec.Struct, frozen=True):
    """One thing that `mepassa doctor` looked at; `advice` says what to do when it is not ok."""

    name: str
    ok: bool
    sentence: str
    advice: str | None = None


class Diagnosis(msgspec.Struct, frozen=True):
    """POST /doctor: looks at folder, clock, home and network now; takes a few seconds."""

    ok: bool
    checks: list[Check]


class Code(msgspec.Struct, frozen=True):
    """POST /codes: opens the page once within a minute, as `/open?code=…`."""

    code: str


class Path(msgspec.Struct, frozen=True):
    """A live path to the contact, with its smoothed round trip."""

    kind: LIVE_PATH_KINDS
    rtt_ms: float | None = None


class Chat(msgspec.Struct, frozen=True):
    id: Hex16
    name: str
    account_id: Hex16
    state: ChatState
    unread: int
    path: Path | None
    policy: Policy
    verification: Verification = Verification.NONE
    """`verified`: the person has compared the safety number. `withdrawn`: it counts no longer; an alarm said why."""
    verified_at_ms: int | None = None
    """When it was last found equal; stays when it is withdrawn."""


class Route(msgspec.Struct, frozen=True):
    """`via` names the relay or home as host:port; null on the direct route."""

    kind: RouteKind
    transport: RouteTransport
    via: str | None = None
    address_class: AddressClass | None = None
    found_by: FoundBy | None = None
    rtt_ms: float | None = None


class TextContent(msgspec.Struct, frozen=True, tag_field="kind", tag="text"):
    text: str


class UnreadableContent(msgspec.Struct, frozen=True, tag_field="kind", tag="unreadable"):
    """An envelope that could not be opened, or a body of a later version; `code` is an error's class name."""

    code: str


Content = TextContent | UnreadableContent


class Message(msgspec.Struct, frozen=True):
    """`sender` is an account id. `route` is null while queued, and for what another device of ours sent until its receipt."""

    id: Hex16
    chat_id: Hex16
    sender: Hex16
    sent_at_ms: int
    sender_seq: int
    content: Content
    status: MessageStatus
    route: Route | None


class Invite(msgspec.Struct, frozen=True):
    """`qr_svg`: one `<svg viewBox="0 0 N N">` whose modules are `<path d="…">` (segno `svg_inline(omitsize=True)`).

    The page takes the view box and the path data from it and draws its own picture: no markup is inserted.
    """

    id: Hex16
    link: str
    scheme_link: str
    qr_svg: str
    expires_at_ms: int


class SafetyNumber(msgspec.Struct, frozen=True):
    """GET /chats/{chat_id}/safety_number: 60 decimal digits, without spaces."""

    safety_number: Annotated[str, msgspec.Meta(pattern="^[0-9]{60}$")]


class SafetyCode(msgspec.Struct, frozen=True):
    """GET /chats/{chat_id}/safety_code: the safety number for the other side to scan or paste.

    `qr_svg` as in `Invite`.
    """

    code: str
    qr_svg: str


class Comparison(msgspec.Struct, frozen=True):
    """POST /chats/{chat_id}/safety_code. Only `match` changes anything: the contact is verified with that.

    `own_code`: this device's own code was given. `no_code`: it is none.
    """

    result: Literal["match", "no_match", "own_code", "other_version", "no_code"]


class Paths(msgspec.Struct, frozen=True):
    """What PUT /paths answers: which kinds of live path this node takes now."""

    direct: bool
    relay: bool


# --- what is asked ---------------------------------------------------------------------------------------------------


class CreateInvite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /invites -> Invite. `link`: 30 days, 20 uses. `qr`: in person, one use, 10 minutes."""

    kind: Literal["link", "qr"]


class AddContact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /contacts -> Chat. Exactly one of `link` and `username`. `direct` false = hide_my_ip."""

    link: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_LINK_CHARACTERS)] | None = None
    username: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    direct: bool = True


class SendMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /chats/{chat_id}/messages -> Message; the same `client_id` again gives the same message.

    `text` is 1 to MAX_TEXT_BYTES bytes of UTF-8 (2 048 until accepted); the bound here is a first, cheap one:
    the handler counts bytes and answers `TextTooLongError`.
    """

    client_id: Hex16
    text: str
    reply_to: Hex16 | None = None


class AcceptRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /chats/{chat_id}/accept -> Chat. `direct` false = hide_my_ip."""

    direct: bool = True


class MarkRead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /chats/{chat_id}/read -> Chat. Everything up to and with this message."""

    up_to: Hex16


class SetPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /chats/{chat_id}/policy -> Chat."""

    route: Policy


class SetVerification(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /chats/{chat_id}/verification -> Chat. To verify, say which number was compared: 409 when it is another."""

    verified: bool
    safety_number: Annotated[str, msgspec.Meta(pattern="^[0-9]{60}$")] | None = None


class CompareCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /chats/{chat_id}/safety_code -> Comparison. `code`: what the other side's screen showed, as text."""

    code: Annotated[str, msgspec.Meta(max_length=MAX_LINK_CHARACTERS)]


class SetPaths(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /paths -> Paths. A kind that is left out stays as it is."""

    direct: bool | None = None
    relay: bool | None = None
    how: Literal["close", "silence"] = "close"


# --- WS /events?after=SEQ --------------------------------------------------------------------------------------------
# Without `after`: from now on. `seq` rises by one per event. A reader must pass over types that it does not know.


class MessageEvent(msgspec.Struct, frozen=True, tag_field="type", tag="message"):
    """A message came to be here: incoming, or sent from this node by whatever face."""

    seq: int
    message: Message


class StatusEvent(msgspec.Struct, frozen=True, tag_field="type", tag="status"):
    """A message's status or route changed."""

    seq: int
    chat_id: Hex16
    message_id: Hex16
    status: MessageStatus
    route: Route | None


class PathEvent(msgspec.Struct, frozen=True, tag_field="type", tag="path"):
    """The live path came, went, changed its kind, or its round trip moved by more than a fifth."""

    seq: int
    chat_id: Hex16
    path: Path | None


class ChatEvent(msgspec.Struct, frozen=True, tag_field="type", tag="chat"):
    """A chat is new, or any of its fields but `path` changed (`unread` too: nobody else counts)."""

    seq: int
    chat: Chat


class HomeEvent(msgspec.Struct, frozen=True, tag_field="type", tag="home"):
    seq: int
    home: Home


class AlarmEvent(msgspec.Struct, frozen=True, tag_field="type", tag="alarm"):
    """Something that a person must know. `note` is a stable word: those of `protocol.alarms`; more may come."""

    seq: int
    chat_id: Hex16 | None
    note: str


class GoneEvent(msgspec.Struct, frozen=True, tag_field="type", tag="gone"):
    """A row left the screen: it could not be opened, and what was in it has come again as a message of its own."""

    seq: int
    chat_id: Hex16
    message_id: Hex16


class ResetEvent(msgspec.Struct, frozen=True, tag_field="type", tag="reset"):
    """`after` is older than what is kept (or newer than what exists): read everything anew, then connect without it."""


LoggedEvent = MessageEvent | StatusEvent | PathEvent | ChatEvent | HomeEvent | AlarmEvent | GoneEvent
Event = LoggedEvent | ResetEvent

__all__ = [
    "DEFAULT_PAGE",
    "MAX_PAGE",
    "MAX_TEXT_BYTES",
    "AcceptRequest",
    "AddContact",
    "AlarmEvent",
    "Chat",
    "ChatEvent",
    "Check",
    "Code",
    "CompareCode",
    "Comparison",
    "Content",
    "CreateInvite",
    "Diagnosis",
    "ErrorAnswer",
    "ErrorBody",
    "Event",
    "GoneEvent",
    "Health",
    "Home",
    "HomeEvent",
    "Invite",
    "LoggedEvent",
    "MarkRead",
    "Me",
    "Message",
    "MessageEvent",
    "Path",
    "PathEvent",
    "Paths",
    "ResetEvent",
    "Route",
    "SafetyCode",
    "SafetyNumber",
    "SendMessage",
    "SetPaths",
    "SetPolicy",
    "SetVerification",
    "StatusEvent",
    "TextContent",
    "UnreadableContent",
]
