"""`mepassa init` that comes to nothing leaves nothing: not in the folder, and not in the system's keyring."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import keyring
import pytest
import pytest_asyncio
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

from devtools.programs import HomeProgram
from mepassa.client.init import DRAFT_NAME, InitConfig, create
from mepassa.model.errors import ConflictError, MepassaError
from mepassa.storage import load_key, make_key
from mepassa.testing import SeededRng

pytestmark = pytest.mark.slow


class Kept(KeyringBackend):
    """A keyring in memory, behind the real package."""

    priority = 1
    ever = 0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the package types most of itself, not this
        self.entries: dict[str, str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[username] = password
        self.ever += 1

    def delete_password(self, service: str, username: str) -> None:
        if self.entries.pop(username, None) is None:
            raise PasswordDeleteError


@pytest.fixture
def kept() -> Iterator[Kept]:
    before, made = keyring.get_keyring(), Kept()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


@pytest_asyncio.fixture
async def by_invite(tmp_path: Path) -> AsyncIterator[HomeProgram]:
    home = HomeProgram(tmp_path / "home", roles=())
    await home.start(registration="invite")
    yield home
    await home.program.stop()


def config(folder: Path, home: HomeProgram, invite: str | None) -> InitConfig:
    return InitConfig(folder, home.url, "Ana", invite)


async def test_a_try_that_failed_takes_its_keys_out_of_the_keyring(
    by_invite: HomeProgram, kept: Kept, tmp_path: Path
) -> None:
    folder = tmp_path / "ana"
    with pytest.raises(MepassaError):
        await create(config(folder, by_invite, "nobodys"))
    assert kept.ever == 1, "it had got as far as that"
    assert not kept.entries
    assert not folder.exists()
    await create(config(folder, by_invite, by_invite.program.ready["invite"]))
    assert len(kept.entries) == 2, "the database's key and the account's"


async def test_what_a_killed_try_left_in_the_keyring_goes_with_the_next_one(
    by_invite: HomeProgram, kept: Kept, tmp_path: Path
) -> None:
    folder = tmp_path / "ana"
    folder.mkdir()
    (folder / DRAFT_NAME).touch()
    make_key(folder, SeededRng(1), keyring=kept)
    (old,) = kept.entries
    await create(config(folder, by_invite, by_invite.program.ready["invite"]))
    assert old not in kept.entries


async def test_a_key_whose_database_is_elsewhere_is_not_taken_for_a_failed_try(
    by_invite: HomeProgram, kept: Kept, tmp_path: Path
) -> None:
    folder = tmp_path / "ana"
    folder.mkdir()
    key = make_key(folder, SeededRng(1), keyring=kept)
    with pytest.raises(ConflictError):
        await create(config(folder, by_invite, by_invite.program.ready["invite"]))
    assert load_key(folder, keyring=kept) == key
