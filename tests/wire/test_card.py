"""docs/protocol/contacts.md, "Card": as a link, as a scheme link, and what damaged links do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.card import Card
from mepassa.model.errors import MalformedError, TooLargeError
from mepassa.model.keys import HomeKey, RootPublicKey
from mepassa.wire.card import (
    card_to_link,
    card_to_scheme_link,
    decode_card,
    decode_link,
    encode_card,
)

keys = st.binary(min_size=32, max_size=32)
cards = st.builds(
    Card,
    home_url=st.sampled_from(["https://home.test", "http://127.0.0.1:8080", "https://[2001:db8::1]:444"]),
    home_key=keys.map(HomeKey),
    root_key=keys.map(RootPublicKey),
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
    invite_token=st.none() | st.binary(min_size=16, max_size=16),
)
ANA = Card("https://home.test", HomeKey(bytes(32)), RootPublicKey(bytes(32)), "Ana", bytes(16))


@given(cards)
def test_a_card_comes_back_from_both_forms_of_link(card: Card) -> None:
    assert decode_link(card_to_link(card)) == card
    assert decode_link(f"  {card_to_scheme_link(card)}\n") == card


@given(st.binary(max_size=200))
def test_random_bytes_are_a_card_or_malformed(data: bytes) -> None:
    try:
        decode_card(data)
    except MalformedError:
        pass


@given(cards, st.data())
def test_mutated_cards_are_a_card_or_malformed(card: Card, data: st.DataObject) -> None:
    raw = bytearray(encode_card(card))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_card(bytes(raw))
    except MalformedError:
        pass


@given(
    st.text(max_size=300)
    | st.text(max_size=100).map("mepassa://add/".__add__)
    | st.text(max_size=99).map("https://home.test/i#".__add__)
)
def test_any_text_is_a_link_or_malformed(text: str) -> None:
    try:
        decode_link(text)
    except MalformedError:
        pass


@given(cards, st.data())
def test_mutated_links_are_a_link_or_malformed(card: Card, data: st.DataObject) -> None:
    text = card_to_link(card)
    at = data.draw(st.integers(0, len(text) - 1))
    try:
        decode_link(text[:at] + data.draw(st.characters()) + text[at + 1 :])
    except MalformedError:
        pass


def test_a_link_cannot_show_one_home_and_mean_another() -> None:
    with pytest.raises(MalformedError):
        decode_link(card_to_link(ANA).replace("home.test", "bank.test"))


def test_a_link_has_one_spelling() -> None:
    link = card_to_link(ANA)
    for other in (link + "=", link + "\u200b", link.replace("#", "#\n"), link[:-1] + "!"):
        with pytest.raises(MalformedError):
            decode_link(other)


def test_an_overlong_link_is_not_searched() -> None:
    with pytest.raises(TooLargeError):
        decode_link("mepassa://add/" + "A" * 3000)
