"""Every door: random and mutated bytes give a value or a documented error, and never anything else; both are counted."""

from pathlib import Path
from random import Random

import pytest

from mepassa.model.errors import MalformedError
from tests.doors.door import Door, Feed, door, what_came
from tests.doors.every import DOORS


@pytest.mark.parametrize("each", DOORS, ids=lambda each: each.name)
def test_only_values_and_documented_errors_come_of_it(each: Door, seed: int, tmp_path: Path) -> None:
    counted = what_came(each.feed(Random(f"{seed} {each.name}"), tmp_path))
    print(each.name, dict(counted))
    assert len(counted) >= 2, f"both kinds of outcome have to come, else the seeds or the errors are wrong: {counted}"
    came = [kind for kind in kinds_of(each.errors) if kind.__name__ in counted]
    assert set(counted) - {kind.__name__ for kind in came}, f"nothing is ever taken: {counted}"
    never = [error.__name__ for error in each.errors if not any(issubclass(kind, error) for kind in came)]
    assert not never, f"documented, and never seen: {never} in {counted}"


def kinds_of(errors: tuple[type[Exception], ...]) -> set[type[Exception]]:
    """These classes and all below them."""
    return set(errors).union(*(kinds_of(tuple(error.__subclasses__())) for error in errors))


def test_a_planted_mistake_is_told_with_the_input_that_shows_it(tmp_path: Path) -> None:
    def careless(data: bytes) -> bytes:
        if not data:
            raise MalformedError
        return data[data[0] :][:1] or data[len(data) :][0].to_bytes()

    planted = door(careless, seeds=[b"\x01a"], errors=(MalformedError,))
    with pytest.raises(AssertionError, match="IndexError"):
        what_came(planted.feed(Random(1), tmp_path))


def refuses(data: bytes) -> None:
    raise MalformedError


@pytest.mark.parametrize("feed", [refuses, bytes])
def test_a_door_that_only_refuses_or_only_takes_is_no_test(feed: Feed, tmp_path: Path) -> None:
    onesided = door("planted", feed=feed, seeds=[b"x"], errors=(MalformedError,))
    with pytest.raises(AssertionError, match="both kinds"):
        test_only_values_and_documented_errors_come_of_it(onesided, 1, tmp_path)


def test_an_error_that_never_comes_is_none_to_document(tmp_path: Path) -> None:
    generous = door("planted", feed=lambda data: data.decode(), seeds=[b"x"], errors=(UnicodeDecodeError, KeyError))
    with pytest.raises(AssertionError, match=r"never seen: .'KeyError'"):
        test_only_values_and_documented_errors_come_of_it(generous, 1, tmp_path)
