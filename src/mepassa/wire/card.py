"""Contact card <-> link text (docs/protocol/contacts.md, "Card").

`https://HOME/i#…` for sharing (the part after # never reaches a server), `mepassa://add/…` for the app and QR codes;
the dots are base64url of the encoded card, without padding.
"""

from mepassa.model.card import Card
from mepassa.model.errors import MalformedError, TooLargeError
from mepassa.model.home_url import check_home_url
from mepassa.wire.base64url import decode_base64url, encode_base64url
from mepassa.wire.codec import Codec

MAX_CARD_BYTES = 640
"""URL 200, name 64 characters of up to 4 bytes, three keys and a token, and their frames."""
MAX_LINK_CHARS = 2_048
"""A longer text is no link of ours; it is not searched."""
SCHEME_PREFIX = "mepassa://add/"

_CARD: Codec[Card] = Codec(Card, limit_bytes=MAX_CARD_BYTES)


def encode_card(card: Card) -> bytes:
    return _CARD.encode(card)


def decode_card(data: bytes) -> Card:
    """Raises `TooLargeError` or `MalformedError`, and nothing else."""
    card = _CARD.decode(data)
    check_home_url(card.home_url)
    return card


def card_to_link(card: Card) -> str:
    return f"{card.home_url}/i#{_fragment(card)}"


def card_to_scheme_link(card: Card) -> str:
    return SCHEME_PREFIX + _fragment(card)


def decode_link(text: str) -> Card:
    """A card from either form of link. Raises `MalformedError` (`TooLargeError` for an overlong text).

    The visible host of a web link must be the card's home, so that a link cannot show one home and mean another.
    """
    if len(text) > MAX_LINK_CHARS:
        raise TooLargeError(len(text), MAX_LINK_CHARS)
    text = text.strip()
    if text.startswith(SCHEME_PREFIX):
        return decode_card(_unfragment(text.removeprefix(SCHEME_PREFIX)))
    shown, mark, fragment = text.partition("/i#")
    if not mark:
        raise MalformedError("This is not a MePassa contact link.")
    card = decode_card(_unfragment(fragment))
    if shown.lower() != card.home_url:
        raise MalformedError("This contact link shows another server than it names.")
    return card


def _fragment(card: Card) -> str:
    return encode_base64url(encode_card(card))


def _unfragment(text: str) -> bytes:
    data = decode_base64url(text)
    if data is None:
        raise MalformedError("This contact link is damaged; ask for a new one.")
    return data
