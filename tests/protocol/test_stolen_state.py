"""docs/protocol/threat-model.md, "A thief of the unlocked device": what a copied session state opens, and what it does not."""

from dataclasses import dataclass

import pytest

from mepassa.model.errors import DecryptionError
from mepassa.protocol import session
from mepassa.protocol.session import SignalCiphertext
from mepassa.testing.chance import SeededRng
from tests.crypto.people import NOW_MS, Person, Prekeys, acquainted


@dataclass
class Heard:
    """One message on its way to Bruno, as whoever listens keeps it."""

    text: bytes
    sealed: SignalCiphertext


def turns(ana: Person, bruno: Person, count: int, name: str) -> list[Heard]:
    """Both write in turn and read each other at once."""
    heard = []
    for number in range(count):
        text = f"{name} {number}".encode()
        heard.append(Heard(text, ana.encrypt(bruno.remote, text)))
        assert bruno.decrypt(ana.remote, heard[-1].sealed) == text
        assert ana.decrypt(bruno.remote, bruno.encrypt(ana.remote, b"ok")) == b"ok"
    return heard


def opens(thief: session.SessionRecord, ana: Person, bruno: Person, heard: Heard) -> bool:
    """Whether a copy of Bruno's record, with his identity key, opens what Ana has sent him."""
    kind, body = heard.sealed.type, heard.sealed.body
    try:
        opened = session.decrypt(
            thief, bruno.own, ana.remote, kind, body, prekeys=Prekeys(), now_ms=NOW_MS, rng=SeededRng("thief")
        )
    except DecryptionError:
        return False
    assert opened.plaintext == heard.text
    return True


@pytest.fixture
def pair() -> tuple[Person, Person]:
    return acquainted()


def test_what_was_read_before_the_theft_is_not_opened_by_what_was_stolen(pair: tuple[Person, Person]) -> None:
    """Forward secrecy: a message key is gone once it was used, and none leads back."""
    ana, bruno = pair
    before = turns(ana, bruno, 12, "before")
    stolen = bruno.record(ana.remote)
    coming = Heard(b"the next one", ana.encrypt(bruno.remote, b"the next one"))
    assert opens(stolen, ana, bruno, coming), "the copy is a good one"
    assert not any(opens(stolen, ana, bruno, heard) for heard in before)


def test_what_comes_after_both_have_answered_is_not_opened_by_an_older_copy(pair: tuple[Person, Person]) -> None:
    """Healing: whoever copied the state and only listens is left behind by the next keys that both agree on."""
    ana, bruno = pair
    turns(ana, bruno, 3, "before")
    stolen = bruno.record(ana.remote)
    first, *later = turns(ana, bruno, 12, "after")
    assert opens(stolen, ana, bruno, first), "the copy is a good one"
    assert not any(opens(stolen, ana, bruno, heard) for heard in later[1:])


def test_a_skipped_message_stays_readable_to_the_thief_and_nothing_else_does(pair: tuple[Person, Person]) -> None:
    """Keys that are kept for what is still on its way are in the copy: that is what keeping them means."""
    ana, bruno = pair
    late = Heard(b"late", ana.encrypt(bruno.remote, b"late"))
    read = Heard(b"read", ana.encrypt(bruno.remote, b"read"))
    assert bruno.decrypt(ana.remote, read.sealed) == b"read"
    stolen = bruno.record(ana.remote)
    assert opens(stolen, ana, bruno, late)
    assert not opens(stolen, ana, bruno, read)
