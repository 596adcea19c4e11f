"""The lab for tests, one a module: skipped with the reason where it cannot come up (in CI a skip is a failure)."""

from collections.abc import Iterator

import pytest

from mepassa.testing.natlab import NatLab, probe_natlab


@pytest.fixture(scope="module")
def lab() -> Iterator[NatLab]:
    if reason := probe_natlab():
        pytest.skip(reason)
    with NatLab.up() as lab:
        yield lab
