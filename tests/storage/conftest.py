"""A real SQLCipher file for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mepassa.model.secret import SecretBytes
from mepassa.storage import InlineDb


@pytest.fixture
def key() -> SecretBytes:
    return SecretBytes(b"\x11" * 32)


@pytest.fixture
def db(tmp_path: Path, key: SecretBytes) -> Iterator[InlineDb]:
    database = InlineDb(tmp_path / "messages.db", key, create=True)
    yield database
    database.close()
