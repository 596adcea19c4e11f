"""CONTRIBUTING.md, "Style": a secret does not print, is not pickled, and is compared in constant time."""

import copy
import dataclasses
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from hmac import compare_digest
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.secret import HandedOver, SecretBytes, silent

RAW = b"correct horse battery staple!!!!"
SECRET = SecretBytes(RAW)
SHOWN_AS = "<secret, 32 bytes>"


def gives_away(text: object) -> bool:
    """In any spelling in which bytes are shown."""
    shown = str(text)
    return any(
        spelt in shown
        for spelt in (RAW.decode(), RAW.hex(), RAW.hex(" "), RAW.hex(":"), str(list(RAW)), "Y29ycmVjdCBob3Jz")
    )


@dataclasses.dataclass(frozen=True)
class Holder:
    name: str
    key: SecretBytes


class Struct(msgspec.Struct):
    key: SecretBytes


PRINTED: list[Callable[[], object]] = [
    lambda: repr(SECRET),
    lambda: str(SECRET),
    lambda: f"{SECRET}",
    lambda: f"{SECRET!r}",
    lambda: f"{SECRET!s:>40}",
    lambda: "%s and %r" % (SECRET, SECRET),  # noqa: UP031 - that form, too
    lambda: "{} {!r} {!a}".format(SECRET, SECRET, SECRET),  # noqa: UP032 - that form, too
    lambda: ascii(SECRET),
    lambda: repr([SECRET, {"key": SECRET}, (SECRET,)]),
    lambda: repr(Holder("ana", SECRET)),
    lambda: repr(Struct(SECRET)),
    lambda: repr(ValueError(SECRET)),
    lambda: str(ValueError("no", SECRET)),
]


@pytest.mark.parametrize("printed", PRINTED)
def test_no_way_of_printing_shows_it(printed: Callable[[], object]) -> None:
    assert not gives_away(printed())


def test_what_is_shown_says_what_it_is_and_how_long() -> None:
    assert repr(SECRET) == str(SECRET) == f"{SECRET}" == SHOWN_AS
    assert repr(Holder("ana", SECRET)) == f"Holder(name='ana', key={SHOWN_AS})"


def test_a_log_line_does_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").warning("key %s", SECRET, extra={"key": SECRET})
        logging.getLogger("test").warning("holder %r", Holder("ana", SECRET))
    assert SHOWN_AS in caplog.text
    assert not gives_away(caplog.text)


def test_a_traceback_with_all_local_names_does_not_show_it() -> None:
    """As a debugging tool or a crash reporter prints it."""

    def fails(key: SecretBytes, holder: Holder) -> None:
        kept = [key, holder]
        raise LookupError(kept)

    with pytest.raises(LookupError) as caught:
        fails(SECRET, Holder("ana", SECRET))
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert SHOWN_AS in shown
    assert "kept = [" in shown
    assert not gives_away(shown)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_not_pickled_alone_or_inside_something(protocol: int) -> None:
    for value in (SECRET, Holder("ana", SECRET), [SECRET], {"key": SECRET}):
        with pytest.raises(TypeError):
            pickle.dumps(value, protocol)


@pytest.mark.parametrize(
    "write", [json.dumps, msgspec.json.encode, msgspec.msgpack.encode, bytes, bytearray, list, iter, dict, vars, hash]
)
def test_nothing_turns_it_into_something_else_by_accident(write: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError):
        write(SECRET)


def test_a_copy_is_not_made_behind_the_back() -> None:
    for copied in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            copied(SECRET)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_equal_means_the_same_bytes(one: bytes, two: bytes) -> None:
    assert (SecretBytes(one) == SecretBytes(two)) is (one == two)
    assert SecretBytes(one) != one
    assert len(SecretBytes(one)) == len(one)
    assert SecretBytes(one).expose() == one


def test_every_comparison_goes_through_the_one_that_takes_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same call whether the first byte differs, the last, or none: how long `compare_digest` takes says nothing."""
    calls: list[tuple[bytes, bytes]] = []

    def counted(one: bytes, two: bytes) -> bool:
        calls.append((one, two))
        return compare_digest(one, two)

    monkeypatch.setattr("mepassa.model.secret.compare_digest", counted)
    for other in (RAW, b"X" + RAW[1:], RAW[:-1] + b"X", RAW[:5]):
        assert (SecretBytes(other) == SECRET) is (other == RAW)
        assert (SecretBytes(other) != SECRET) is (other != RAW)
    assert len(calls) == 8
    assert Holder("ana", SECRET) == Holder("ana", SecretBytes(RAW))
    assert len(calls) == 9, "inside something larger as well"


def test_what_it_was_made_from_does_not_change_it() -> None:
    raw = bytearray(RAW)
    made = SecretBytes(bytes(raw))
    raw[:] = bytes(32)
    assert made == SECRET


def test_a_secret_that_is_handed_over_is_there_once() -> None:
    holder = HandedOver(SECRET)
    assert not gives_away(repr(holder))
    assert holder.take() == SECRET
    assert holder.take() is None
    assert HandedOver().take() is None


def test_a_silent_repr_names_the_class_alone() -> None:
    class Card(msgspec.Struct):
        token: bytes
        __repr__ = silent

    assert repr(Card(RAW)) == "<Card>"
    assert not gives_away(f"{Card(RAW)} {[Card(RAW)]}")
