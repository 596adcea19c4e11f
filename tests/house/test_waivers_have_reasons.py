"""CONTRIBUTING.md, "Style": whoever tells a tool to look away says why, beside it (`noqa`, `type: ignore`, `svelte-ignore`)."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "tests", "bench", "fuzz", "devtools", "web/dev")
PYTHON = sorted(
    [*(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")), ROOT / "dev", ROOT / "hatch_build.py"]
)
PAGE = sorted(
    [*(ROOT / "web/src").rglob("*.svelte"), *(ROOT / "web/src").rglob("*.ts"), *(ROOT / "web/tests").rglob("*.ts")]
)

WAIVER = re.compile(
    r"(?:ruff: *)?noqa\b(?::\s*[A-Z]+[0-9]+(?:\s*,\s*[A-Z]+[0-9]+)*)?"
    r"|(?:type|mypy|pyright): *ignore(?:\[[^\]]*\])?(?:-errors)?"
    r"|pragma: *no cover|nosec\b"
)
"""What tells ruff, mypy and their like to look away, with its codes. (`fmt: skip` only keeps a table's shape.)"""
PAGE_WAIVER = re.compile(
    r"(?:svelte-ignore|eslint-disable(?:-next-line|-line)?|@?ts-(?:ignore|expect-error|nocheck))\b"
)
WORD = re.compile(r"[^\W\d_]{2,}")
FEWEST_WORDS = 2
""" "as above" is one, where the line above says it."""


def waivers_without_reason(source: str) -> Iterator[tuple[int, str]]:
    """(line, comment) of each that says no more than what it waives."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and WAIVER.search(token.string):
            said = WORD.findall(WAIVER.sub(" ", token.string))
            if len(said) < FEWEST_WORDS:
                yield token.start[0], token.string


def page_waivers_without_reason(source: str) -> Iterator[tuple[int, str]]:
    """The reason stands in the same comment, or in one on the line before: svelte reads the rest of its own as codes."""
    lines = source.splitlines()
    for number, line in enumerate(lines, 1):
        found = PAGE_WAIVER.search(line)
        if found is None:
            continue
        before = lines[number - 2].strip() if number > 1 else ""
        rest = line[found.end() :].replace("-->", "") if "svelte" not in found[0] else ""
        reason = before if before.startswith(("//", "<!--", "/*", "*")) and not PAGE_WAIVER.search(before) else rest
        if len(WORD.findall(reason)) < FEWEST_WORDS:
            yield number, line.strip()


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_waiver_says_why(path: Path) -> None:
    assert list(waivers_without_reason(path.read_text())) == []


@pytest.mark.parametrize("path", PAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_waiver_of_the_page_says_why(path: Path) -> None:
    assert list(page_waivers_without_reason(path.read_text())) == []


def test_a_rule_that_is_off_says_why() -> None:
    """pyproject.toml: each line of ruff's `ignore` and each folder's, or the line that holds them, ends in a reason."""
    text = (ROOT / "pyproject.toml").read_text()
    section = text[text.index("\nignore = [") : text.index("[tool.ruff.lint.flake8-tidy-imports]")]
    rules = [line for line in section.splitlines() if re.search(r'"[A-Z]+[0-9]+"', line)]
    assert len(rules) > 30
    assert [line for line in rules if len(WORD.findall(line.partition("#")[2])) < FEWEST_WORDS] == []


@pytest.mark.parametrize(
    "line",
    ["x = 1  # noqa: S105", "x = 1  # type: ignore[misc]", "x = 1  # type: ignore[a,b]  # noqa: B023, S101", "# ruff: noqa: SLF001",
     "# mypy: ignore-errors", "x = 1  # noqa: S105 - sic"],
)  # fmt: skip
def test_a_planted_waiver_without_a_reason_is_found(line: str) -> None:
    assert [number for number, _ in waivers_without_reason(f"y = 2\n{line}\n")] == [2]


@pytest.mark.parametrize(
    "line",
    ["x = 1  # noqa: S105 - a file's name", "x = 1  # type: ignore[misc]  # as above", "x = '# noqa: S105'", "x = 1  # plain",
     "x = 1  # fmt: skip"],
)  # fmt: skip
def test_what_has_a_reason_or_is_no_waiver_passes(line: str) -> None:
    assert list(waivers_without_reason(f"{line}\n")) == []


def test_the_pages_own_waivers_are_found() -> None:
    assert [n for n, _ in page_waivers_without_reason("<p>\n<!-- svelte-ignore a11y_autofocus -->")] == [2]
    assert (
        list(page_waivers_without_reason("<!-- the one field of a dialog -->\n<!-- svelte-ignore a11y_autofocus -->"))
        == []
    )
    assert [n for n, _ in page_waivers_without_reason("// @ts-expect-error")] == [1]
    assert list(page_waivers_without_reason("// @ts-expect-error the library's types are wrong")) == []
