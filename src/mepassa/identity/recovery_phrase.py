"""The recovery phrase: the root key as 24 words (BIP39's encoding of 256 bits, with its 8-bit checksum).

Only the encoding is BIP39's: the words stand for the seed itself; nothing is stretched, no wallet is derived.
"""

import hashlib
import unicodedata
from enum import StrEnum
from functools import cache
from importlib.resources import files

from mepassa.identity.root_key import RootKey
from mepassa.model.errors import InvalidInputError
from mepassa.model.secret import SecretBytes

WORDS = 24
_MAX_TEXT = 1000
"""Characters that are looked at; 24 words of the longest kind take 240."""


class Language(StrEnum):
    ENGLISH = "english"
    PORTUGUESE = "portuguese"


class RecoveryPhraseError(InvalidInputError):
    """`word` counts from 1 and names the first word that is in no list; None when the phrase as a whole is wrong."""

    def __init__(self, message: str, word: int | None = None) -> None:
        super().__init__(message, field="recovery_phrase")
        self.word = word


@cache
def word_list(language: Language) -> tuple[str, ...]:
    """2 048 words; where they come from is said in wordlists/SOURCE.md."""
    text = files("mepassa.identity").joinpath("wordlists", f"{language}.txt").read_text(encoding="utf-8")
    return tuple(text.split())


def encode_recovery_phrase(root: RootKey, language: Language = Language.ENGLISH) -> str:
    """24 words, separated by single spaces."""
    seed = root.seed.expose()
    bits = int.from_bytes(seed + hashlib.sha256(seed).digest()[:1], "big")
    words = word_list(language)
    return " ".join(words[bits >> 11 * (WORDS - 1 - place) & 0x7FF] for place in range(WORDS))


def decode_recovery_phrase(text: str) -> RootKey:
    """The root key. Upper case, accents and extra space do not matter; the language is found by itself.

    Raises `RecoveryPhraseError`, which names the first unknown word by its place, never by itself.
    """
    words = _plain(text[:_MAX_TEXT]).split()
    if len(words) != WORDS:
        raise RecoveryPhraseError(f"A recovery phrase has {WORDS} words; this one has {len(words)}.")
    unknown = [_first_unknown(words, language) for language in Language]
    for language, place in zip(Language, unknown, strict=True):
        if place is None:
            return _decode(words, language)
    place = max(place for place in unknown if place is not None)
    raise RecoveryPhraseError(f"Word {place} of the recovery phrase is in no word list; check its spelling.", place)


def _first_unknown(words: list[str], language: Language) -> int | None:
    index = _index(language)
    return next((place for place, word in enumerate(words, 1) if word not in index), None)


def _decode(words: list[str], language: Language) -> RootKey:
    index = _index(language)
    bits = 0
    for word in words:
        bits = bits << 11 | index[word]
    raw = bits.to_bytes(33, "big")
    if hashlib.sha256(raw[:32]).digest()[0] != raw[32]:
        raise RecoveryPhraseError("These words are known but do not belong together; check their order and spelling.")
    return RootKey(SecretBytes(raw[:32]))


@cache
def _index(language: Language) -> dict[str, int]:
    return {_plain(word): place for place, word in enumerate(word_list(language))}


def _plain(text: str) -> str:
    """Lower case without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))
