"""The official library, once per test process."""

import os
from collections.abc import Iterator

import pytest

from tests.oracle.official import NpmFailed, Oracle, install, running


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """Installed on first use (152 MB). Without network it is skipped with the reason; in CI that is a failure."""
    try:
        install()
    except NpmFailed as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"needs the official library from npm: {error}")
    with running() as started:
        yield started
