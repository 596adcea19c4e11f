"""The official library in two versions, each once per test process."""

import os
from collections.abc import Iterator

import pytest

from tests.oracle.official import OLDER, NpmFailed, Oracle, install, running


def _installed() -> None:
    """On first use (280 MB). Without network it is skipped with the reason; in CI that is a failure."""
    try:
        install()
    except NpmFailed as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"needs the official library from npm: {error}")


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    _installed()
    with running() as started:
        yield started


@pytest.fixture(scope="session")
def older_oracle() -> Iterator[Oracle]:
    _installed()
    with running(OLDER) as started:
        yield started
