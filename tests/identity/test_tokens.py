"""docs/protocol/identity.md, "Tokens"."""

import pytest

from mepassa.identity import delivery_token, hash_token, signal_token, token_matches
from mepassa.model.errors import InvalidInputError


def test_tokens_of_one_profile_key_differ_by_right_and_stay_the_same() -> None:
    """Golden values: homes hold the hashes, contacts compute the tokens; changing them is a protocol decision."""
    assert delivery_token(bytes(32)).hex() == "8dab049a789ce9ab4db1d4526a6ea2cc"
    assert signal_token(bytes(32)).hex() == "e4da7aab44050b1c0568fcff33854084"
    assert delivery_token(bytes(32)) != delivery_token(bytes(31) + b"\x01")


def test_a_home_compares_tokens_by_their_hash() -> None:
    token = delivery_token(bytes(32))
    assert token_matches(hash_token(token), token)
    assert not token_matches(hash_token(token), signal_token(bytes(32)))


def test_a_profile_key_of_another_size_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        delivery_token(bytes(31))
