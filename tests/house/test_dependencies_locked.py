"""Whatever is locked installs without a compiler, and may be given to others together with MePassa."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

import pytest

LOCK: dict[str, dict[str, Any]] = {
    package["name"]: package
    for package in tomllib.loads((Path(__file__).parents[2] / "uv.lock").read_text())["package"]
}

SOURCE_ONLY = {
    ("python-baseconv", "1.2.2"): "one pure Python file, comes with libp2p's multibase; setuptools builds it alone",
    ("varint", "1.0.2"): "one pure Python file, comes with libp2p's multiformats; setuptools builds it alone",
}
"""Reviewed: they have no wheel, and need no compiler either. By version, so that a new one is looked at again."""

ACCEPTED = re.compile(
    r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|0BSD|CC0|Zlib|Unlicense|MPL|Mozilla Public|LGPL", re.IGNORECASE
)
"""Permissive, or copyleft that ends at the file or the library (MPL, LGPL: unmodified, replaceable, imported)."""
REFUSED = re.compile(r"(?<!L)(?<!Lesser )\bA?GPL|Affero|SSPL|BUSL|Commons Clause|proprietary", re.IGNORECASE)

REVIEWED = {
    "sqlcipher3": "names no licence in its metadata; its LICENSE file is the zlib licence, and SQLCipher inside is BSD-3-Clause",
}


def locked_for_running() -> list[str]:
    """What people install: the dependencies of mepassa with both extras, and theirs."""
    root = LOCK["mepassa"]
    waiting = [edge["name"] for edge in root["dependencies"]]
    waiting += [edge["name"] for extra in root["optional-dependencies"].values() for edge in extra]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [edge["name"] for edge in LOCK[name].get("dependencies", [])]
    return sorted(found)


def licence(name: str) -> str:
    """As the package itself says it: the expression, else the classifiers, else the first line of the old field."""
    said = metadata(name).json
    classifiers = [line for line in said.get("classifier", []) if line.startswith("License ::")]
    return str(said.get("license_expression") or " ".join(classifiers) or said.get("license", "")).partition("\n")[0]


@pytest.mark.parametrize("name", [name for name in LOCK if name != "mepassa"])
def test_every_locked_package_has_a_wheel_for_linux(name: str) -> None:
    package = LOCK[name]
    if (name, package["version"]) in SOURCE_ONLY:
        return
    files = [wheel["url"].rpartition("/")[2] for wheel in package.get("wheels", [])]
    fits = [file for file in files if file.endswith("-any.whl") or ("linux" in file and "x86_64" in file)]
    windows_only = files and all("-win" in file for file in files)
    assert fits or windows_only, f"{name} {package['version']} would need a compiler: {files or 'no wheel at all'}"


@pytest.mark.parametrize("name", locked_for_running())
def test_every_dependency_may_be_given_away_with_us(name: str) -> None:
    try:
        said = licence(name)
    except PackageNotFoundError:  # for another operating system
        return
    assert name in REVIEWED or (ACCEPTED.search(said) and not REFUSED.search(said)), f"{name}: {said or 'says nothing'}"


def test_reviewed_exceptions_are_still_needed() -> None:
    assert {(name, LOCK[name]["version"]) for name, _ in SOURCE_ONLY if name in LOCK} == set(SOURCE_ONLY)
    assert REVIEWED.keys() <= set(locked_for_running())


@pytest.mark.parametrize("text", ["GPL-3.0-only", "AGPL-3.0-or-later", "GNU Affero General Public License", "SSPL-1.0"])
def test_strong_copyleft_would_be_refused(text: str) -> None:
    assert REFUSED.search(text)


@pytest.mark.parametrize("text", ["LGPL-2.1-or-later", "MPL-2.0", "Apache-2.0 OR MIT"])
def test_weak_copyleft_is_accepted(text: str) -> None:
    assert ACCEPTED.search(text)
    assert not REFUSED.search(text)
