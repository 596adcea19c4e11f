"""Where the database key lies: keyring, passphrase, or a plain 0600 file."""

import json
from pathlib import Path
from typing import Any

import pytest

from mepassa.model.errors import ConflictError, NotInitialisedError, WrongPassphraseError
from mepassa.model.secret import SecretBytes
from mepassa.storage import (
    KeyFile,
    KeyPlace,
    StorageError,
    database_key_file,
    key_place,
    load_key,
    make_key,
    root_key_file,
)


class Dice:
    """Counts instead of rolling."""

    def __init__(self) -> None:
        self._next = 0

    def token(self, size_bytes: int) -> bytes:
        self._next += 1
        return bytes([self._next]) * size_bytes

    def uniform(self, low: float, high: float) -> float:
        return low

    def below(self, limit: int) -> int:
        return 0


class MemoryKeyring:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service_name: str, username: str) -> str | None:
        return self.kept.get((service_name, username))

    def set_password(self, service_name: str, username: str, password: str) -> None:
        self.kept[service_name, username] = password

    def delete_password(self, service_name: str, username: str) -> None:
        del self.kept[service_name, username]


def test_a_passphrase_wraps_the_key_and_the_wrong_one_changes_nothing(tmp_path: Path) -> None:
    right = SecretBytes(b"correta cavalo")
    key = make_key(tmp_path, Dice(), passphrase=right)
    before = (tmp_path / "database-key").read_bytes()
    assert key.expose() not in before
    assert key_place(tmp_path) is KeyPlace.PASSPHRASE
    for wrong in (None, SecretBytes(b"Correta cavalo"), SecretBytes(b"")):
        with pytest.raises(WrongPassphraseError):
            load_key(tmp_path, passphrase=wrong)
    assert load_key(tmp_path, passphrase=right) == key
    assert (tmp_path / "database-key").read_bytes() == before


def test_the_keyring_keeps_it_and_the_file_only_says_so(tmp_path: Path) -> None:
    keyring = MemoryKeyring()
    key = make_key(tmp_path, Dice(), keyring=keyring)
    assert load_key(tmp_path, keyring=keyring) == key
    assert key.expose() not in (tmp_path / "database-key").read_bytes()
    assert key_place(tmp_path) is KeyPlace.KEYRING
    for other in (None, MemoryKeyring()):
        with pytest.raises(WrongPassphraseError):
            load_key(tmp_path, keyring=other)


def test_a_key_that_is_forgotten_leaves_the_keyring_too_and_no_other_key_does(tmp_path: Path) -> None:
    keyring, dice = MemoryKeyring(), Dice()
    make_key(tmp_path, dice, keyring=keyring)
    before = dict(keyring.kept)
    root_key_file(tmp_path).keep(SEED, dice, keyring=keyring)
    root_key_file(tmp_path).forget(lambda: keyring)
    assert keyring.kept == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["database-key"]
    root_key_file(tmp_path).forget(lambda: keyring)  # and again: nothing is there


def test_a_keyring_that_refuses_a_key_leaves_nothing_in_it_that_no_file_names(tmp_path: Path) -> None:
    class TakesAndFails(MemoryKeyring):
        def set_password(self, service_name: str, username: str, password: str) -> None:
            super().set_password(service_name, username, password)
            raise PermissionError

    keyring = TakesAndFails()
    with pytest.raises(PermissionError):
        make_key(tmp_path, Dice(), keyring=keyring)
    database_key_file(tmp_path).forget(lambda: keyring)
    assert not keyring.kept


def test_without_either_it_lies_in_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    key = make_key(tmp_path, Dice())
    assert key_place(tmp_path) is KeyPlace.PLAIN_FILE
    assert load_key(tmp_path) == key
    assert (tmp_path / "database-key").stat().st_mode & 0o777 == 0o600


def test_a_second_key_never_replaces_the_first(tmp_path: Path) -> None:
    make_key(tmp_path, Dice())
    with pytest.raises(ConflictError):
        make_key(tmp_path, Dice())


@pytest.mark.parametrize("damaged", [b"", b"plain\n" + bytes(31), b"passphrase\n", b"other\n" + bytes(32)])
def test_a_damaged_file_is_said_not_guessed(tmp_path: Path, damaged: bytes) -> None:
    with pytest.raises(NotInitialisedError):
        load_key(tmp_path)
    (tmp_path / "database-key").write_bytes(damaged)
    with pytest.raises(StorageError):
        load_key(tmp_path, passphrase=SecretBytes(b"x"))


# --- the root key, in a file of its own ----------------------------------------------------------------------------------

SEED = SecretBytes(b"\x5a" * 32)


def test_the_root_key_is_kept_where_the_database_key_is_but_apart(tmp_path: Path) -> None:
    keyring, passphrase = MemoryKeyring(), SecretBytes(b"correta cavalo")
    for offered, place in (
        ({"passphrase": passphrase}, KeyPlace.PASSPHRASE),
        ({"keyring": keyring}, KeyPlace.KEYRING),
        ({}, KeyPlace.PLAIN_FILE),
    ):
        file = root_key_file(tmp_path)
        file.keep(SEED, Dice(), **offered)
        assert (file.path.name, file.place()) == ("root-key", place)
        assert file.path.stat().st_mode & 0o777 == 0o600
        assert file.load(passphrase=passphrase, keyring=keyring) == SEED
        assert (SEED.expose() in file.path.read_bytes()) is (place is KeyPlace.PLAIN_FILE)


def test_neither_sealed_file_stands_in_for_the_other_though_one_passphrase_opens_both(tmp_path: Path) -> None:
    passphrase = SecretBytes(b"correta cavalo")
    make_key(tmp_path, Dice(), passphrase=passphrase)
    root_key_file(tmp_path).keep(SEED, Dice(), passphrase=passphrase)
    (tmp_path / "database-key").write_bytes((tmp_path / "root-key").read_bytes())
    with pytest.raises(WrongPassphraseError):
        load_key(tmp_path, passphrase=passphrase)


def test_where_it_is_on_paper_only_there_is_no_file(tmp_path: Path) -> None:
    make_key(tmp_path, Dice())
    with pytest.raises(NotInitialisedError):
        root_key_file(tmp_path).load()


def test_a_wrong_passphrase_does_not_open_the_root_key(tmp_path: Path) -> None:
    root_key_file(tmp_path).keep(SEED, Dice(), passphrase=SecretBytes(b"correta cavalo"))
    for wrong in (None, SecretBytes(b"Correta cavalo")):
        with pytest.raises(WrongPassphraseError):
            root_key_file(tmp_path).load(passphrase=wrong)


GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "key-files.json").read_text())


@pytest.mark.parametrize("kept", GOLDEN["files"], ids=lambda kept: f"{kept['file']} {kept['place']}")
def test_a_key_that_was_put_away_by_any_version_opens(tmp_path: Path, kept: dict[str, Any]) -> None:
    """Golden: the first version's `database-key`, and `root-key` since there is one. No parameter may ever change."""
    (tmp_path / kept["file"]).write_bytes(bytes.fromhex(kept["bytes"]))
    keyring = MemoryKeyring()
    keyring.kept = {("mepassa", entry): key for entry, key in kept["keyring"].items()}
    file = root_key_file(tmp_path) if kept["file"] == "root-key" else KeyFile(tmp_path / kept["file"])
    passphrase = SecretBytes(GOLDEN["passphrase"].encode())
    assert file.place() is KeyPlace(kept["place"])
    assert file.load(passphrase=passphrase, keyring=keyring).expose().hex() == kept["key"]
