"""docs/protocol/identity.md, "Recovery phrase": BIP39's encoding, with its published vectors for 256 bits."""

import hashlib
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.identity import Language, RecoveryPhraseError, RootKey, decode_recovery_phrase, encode_recovery_phrase
from mepassa.identity.recovery_phrase import word_list
from mepassa.model.secret import SecretBytes

VECTORS = {
    "00" * 32: "abandon " * 23 + "art",
    "7f" * 32: "legal winner thank year wave sausage worth useful " * 2
    + "legal winner thank year wave sausage worth title",
    "80" * 32: "letter advice cage absurd amount doctor acoustic avoid " * 2
    + "letter advice cage absurd amount doctor acoustic bless",
    "ff" * 32: "zoo " * 23 + "vote",
}


@pytest.mark.parametrize("seed", VECTORS)
def test_published_vectors(seed: str) -> None:
    root = RootKey(SecretBytes(bytes.fromhex(seed)))
    assert encode_recovery_phrase(root) == VECTORS[seed]
    assert decode_recovery_phrase(VECTORS[seed]).public == root.public


@pytest.mark.parametrize(
    "language, sha256",
    [
        (Language.ENGLISH, "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"),
        (Language.PORTUGUESE, "2685e9c194c82ae67e10ba59d9ea5345a23dc093e92276fc5361f6667d79cd3f"),
    ],
)
def test_the_word_lists_are_the_published_ones(language: Language, sha256: str) -> None:
    raw = files("mepassa.identity").joinpath("wordlists", f"{language}.txt").read_bytes()
    assert hashlib.sha256(raw).hexdigest() == sha256
    assert len(set(word_list(language))) == 2048


def test_the_two_lists_share_no_word_so_that_a_phrase_names_its_language() -> None:
    assert not set(word_list(Language.ENGLISH)) & set(word_list(Language.PORTUGUESE))


@given(st.binary(min_size=32, max_size=32), st.sampled_from(list(Language)))
def test_every_seed_survives_in_both_languages(seed: bytes, language: Language) -> None:
    phrase = encode_recovery_phrase(RootKey(SecretBytes(seed)), language)
    assert len(phrase.split()) == 24
    assert decode_recovery_phrase(f"  {phrase.upper()}\n").seed == SecretBytes(seed)


def test_an_error_says_which_word_without_repeating_it() -> None:
    words = VECTORS["7f" * 32].split()
    words[4] = "wawe"
    with pytest.raises(RecoveryPhraseError) as caught:
        decode_recovery_phrase(" ".join(words))
    assert caught.value.word == 5
    assert "wawe" not in caught.value.message


def test_swapped_words_and_wrong_counts_are_refused() -> None:
    words = VECTORS["7f" * 32].split()
    words[0], words[1] = words[1], words[0]
    for text in (" ".join(words), " ".join(words[:23]), "", "abandon " * 24):
        with pytest.raises(RecoveryPhraseError):
            decode_recovery_phrase(text)


@given(st.text(max_size=300) | st.lists(st.sampled_from(["zoo", "abandon", "zumbido"]), max_size=30).map(" ".join))
def test_any_text_is_a_phrase_or_a_recovery_phrase_error(text: str) -> None:
    try:
        decode_recovery_phrase(text)
    except RecoveryPhraseError:
        pass
