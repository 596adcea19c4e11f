"""docs/protocol/threat-model.md: each thing that an adversary cannot do names the tests that show it, and they are there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = (ROOT / "docs" / "protocol" / "threat-model.md").read_text()
ADVERSARIES = (
    "The network", "A home", "A relay", "A DHT node", "A stranger with a link", "A contact", "A group member",
    "A thief of the unlocked device", "A thief of the locked device", "The holder of one removed device",
)  # fmt: skip
REFERENCE = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def chapter(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", MODEL, re.DOTALL | re.MULTILINE)
    assert found, f"{title} has no chapter"
    return found[1]


def rows(text: str) -> list[tuple[str, str]]:
    """What cannot be done, and what is said to show it."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    assert cells[:2] == [["cannot", "shown by"], ["---", "---"]]
    assert all(len(row) == 2 for row in cells)
    return [(row[0], row[1]) for row in cells[2:]]


@cache
def functions_of(path: Path) -> frozenset[str]:
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("title", ADVERSARIES)
def test_an_adversary_has_a_can_and_each_cannot_names_its_tests(title: str) -> None:
    text = chapter(title)
    assert re.search(r"^Can: ", text, re.MULTILINE)
    shown = rows(text)
    assert shown
    for cannot, shown_by in shown:
        assert REFERENCE.search(shown_by), f"{title}: “{cannot}” names no test"
        assert not REFERENCE.sub("", shown_by).strip(" ·"), f"{title}: “{cannot}”: {shown_by}"


def test_every_test_that_is_named_is_there() -> None:
    named = REFERENCE.findall(MODEL)
    assert len(named) > 60
    missing = [
        f"{file}::{name}" for file, name in named if not (ROOT / file).exists() or name not in functions_of(ROOT / file)
    ]
    assert not missing, "\n".join(missing)


def test_it_says_what_python_cannot_promise_and_that_nobody_has_audited() -> None:
    assert "**No outside audit has happened.**" in MODEL
    python = chapter("What Python cannot promise")
    for word in ("overwritten", "constant time", "unlocked"):
        assert word in python.lower()
    for document in ("README.md", "SECURITY.md"):
        assert re.search(r"no (outside )?audit", (ROOT / document).read_text(), re.IGNORECASE)


def test_the_look_sees_a_row_without_a_test() -> None:
    assert rows("| cannot | shown by |\n|---|---|\n| fly | nothing |") == [("fly", "nothing")]
    assert not REFERENCE.search("nothing")
    assert REFERENCE.findall("`tests/house/test_threat_model.py::test_x`") == [
        ("tests/house/test_threat_model.py", "test_x")
    ]
