"""One furnished house for all stories of a run."""

from pathlib import Path

import pytest

from tests.scenarios.household import furnish


@pytest.fixture(scope="session")
def two_friends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two_friends")
    furnish(folder)
    return folder


@pytest.fixture(scope="session")
def two_strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two_strangers")
    furnish(folder, friends=False)
    return folder
