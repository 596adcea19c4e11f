"""Devices under one hand-turned clock, for tests of the services around them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mepassa.testing import ManualClock
from tests.protocol.phones import Phone, befriend

MakePhone = Callable[[str], Phone]


@pytest.fixture
def make_phone(tmp_path: Path) -> Iterator[MakePhone]:
    clock, made = ManualClock(), list[Phone]()

    def make(name: str) -> Phone:
        made.append(Phone(name, tmp_path / f"{name}.db", clock))
        return made[-1]

    yield make
    for phone in made:
        phone.db.close()


@pytest.fixture
def pair(make_phone: MakePhone) -> tuple[Phone, Phone]:
    ana, beto = make_phone("ana"), make_phone("beto")
    befriend(ana, beto)
    return ana, beto
