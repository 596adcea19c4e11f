"""Three devices on one clock."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mepassa.ports.mailbox import HomeAddress
from mepassa.testing import ManualClock
from tests.protocol.phones import HOME, Phone


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def make_phone(tmp_path: Path, clock: ManualClock) -> Iterator[Callable[..., Phone]]:
    made: list[Phone] = []

    def make(name: str, home: HomeAddress = HOME) -> Phone:
        made.append(Phone(name, tmp_path / f"{name}.db", clock, home))
        return made[-1]

    yield make
    for phone in made:
        phone.db.close()


@pytest.fixture
def ana(make_phone: Callable[..., Phone]) -> Phone:
    return make_phone("ana")


@pytest.fixture
def beto(make_phone: Callable[..., Phone]) -> Phone:
    return make_phone("beto")


@pytest.fixture
def caio(make_phone: Callable[..., Phone]) -> Phone:
    return make_phone("caio")
