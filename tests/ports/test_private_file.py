"""Secrets in files: for the owner only, whole or not at all."""

import os
from pathlib import Path

import pytest

from mepassa.ports.private_file import is_open_to_others, write_private


def test_the_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "key", b"secret")
    finally:
        os.umask(before)
    assert (tmp_path / "key").read_bytes() == b"secret"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_wider_file_is_replaced_not_written_into(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"old")
    path.chmod(0o644)
    with path.open("rb") as reader:
        write_private(path, b"new")
        assert reader.read() == b"old"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_draft_that_somebody_left_or_laid_out_is_not_used(tmp_path: Path) -> None:
    trap = tmp_path / "readable-by-all"
    trap.write_bytes(b"")
    (tmp_path / "key.new").symlink_to(trap)
    write_private(tmp_path / "key", b"secret")
    assert trap.read_bytes() == b""
    assert not (tmp_path / "key").is_symlink()


def test_the_old_file_stands_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    write_private(tmp_path / "key", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_private(tmp_path / "key", b"new")
    assert (tmp_path / "key").read_bytes() == b"old"


def test_a_folder_in_which_others_may_do_anything_is_open_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    for mode in (0o700, 0o500):
        folder.chmod(mode)
        assert not is_open_to_others(folder)
    for mode in (0o755, 0o750, 0o710, 0o701, 0o702, 0o777):
        folder.chmod(mode)
        assert is_open_to_others(folder)
