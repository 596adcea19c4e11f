"""What a contact seals for us: contents, cards (as bytes and as links) and signals."""

from fuzz.engine import read_by
from mepassa.model.card import Card
from mepassa.model.content import ContactAccepted, Content, Introduction, Receipt, ReceiptEntry, ReceiptKind, Text
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.errors import RemoteError
from mepassa.model.ids import AttemptId, EnvelopeId, MessageId, Timestamp
from mepassa.model.keys import HomeKey, RootPublicKey
from mepassa.model.route import AddressClass, NatKind, Route, RouteKind, RouteTransport
from mepassa.model.signal import Signal, SignalKind
from mepassa.wire.card import card_to_link, card_to_scheme_link, decode_card, decode_link, encode_card
from mepassa.wire.content import decode_content, encode_content
from mepassa.wire.signal import decode_signal, encode_signal

_CARD = Card("https://home.test", HomeKey(bytes(32)), RootPublicKey(bytes(32)), "Ana", bytes(16))
_ROUTE = Route(RouteKind.STORED, RouteTransport.MAILBOX, "home.test", AddressClass.HOME, None, 1.5)
_BODIES = (
    Text("oi", MessageId(bytes(16))),
    Receipt(ReceiptKind.READ, (ReceiptEntry(MessageId(bytes(16)), _ROUTE),)),
    ContactAccepted(bytes(32)),
)
_INTRODUCTION = Introduction(_CARD, SignedDeviceList(bytes(100), bytes(64)), bytes(32), bytes(16))
_SIGNAL = Signal(
    SignalKind.OFFER,
    AttemptId(bytes(16)),
    Timestamp(1_790_000_000_000),
    "ufrag",
    "p" * 22,
    ("1 1 udp 1 192.0.2.7 9 typ host",),
    NatKind.CONE,
    bytes(32),
    bytes(32),
    "12D3KooWCSL1nq98jKeC1VUmcrXY6RbraubQcaMpFz3R2nj8Df73",
    ("/ip4/192.0.2.7/tcp/4001",),
)
SEEDS = [
    *(
        encode_content(
            Content(MessageId(bytes(16)), 1, Timestamp(1), 1, bytes(32), body, _INTRODUCTION, EnvelopeId(bytes(16)))
        )
        for body in _BODIES
    ),
    encode_card(_CARD),
    card_to_link(_CARD).encode(),
    card_to_scheme_link(_CARD).encode(),
    encode_signal(_SIGNAL),
]
target = read_by(
    decode_content,
    decode_card,
    decode_signal,
    lambda data: decode_link(data.decode("utf-8", "replace")),
    errors=RemoteError,
)
