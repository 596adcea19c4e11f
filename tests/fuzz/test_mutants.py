"""`./dev fuzz mutants`: a weak test lets a mistake live, a strong one does not; the list of guards names what is there."""

import ast
from dataclasses import asdict
from pathlib import Path
from textwrap import dedent

import pytest

from fuzz.mutants.command import ROOT, guard_mutants, report, run_plan, sample_mutants, untried
from fuzz.mutants.command import read_results as results_in
from fuzz.mutants.guards import GUARDS, Area, Guard
from fuzz.mutants.sites import mutated, sites
from fuzz.mutants.worker import TESTS_S, Plan

DOOR = """
MOST = 3

class Door:
    def open(self, token: str, known: str, inside: int) -> bool:
        if token != known:
            raise PermissionError
        return inside < MOST
"""
WEAK = """
from mepassa.weak import Door

def test_it_opens() -> None:
    assert Door().open("a", "a", 0)
"""
STRONG = """
import pytest
from mepassa.strong import Door

def test_it_opens_to_the_token_and_to_so_many() -> None:
    with pytest.raises(PermissionError):
        Door().open("b", "a", 0)
    assert Door().open("a", "a", 2)
    assert not Door().open("a", "a", 3)
"""
OPTIONS = """
def pytest_addoption(parser):
    parser.addoption("--seed", type=int)
"""
SETTINGS = """
[tool.pytest.ini_options]
markers = ["slow", "alone"]
asyncio_default_fixture_loop_scope = "function"
"""


def tree_with(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def broken(source: str) -> dict[str, str]:
    """By what is said of it: the source with that site broken."""
    source = dedent(source)
    found = sites(ast.parse(source), all_numbers=True)
    return {site.what: ast.unparse(mutated(source, n, all_numbers=True)) for n, site in enumerate(found)}


@pytest.mark.slow
def test_a_weak_test_lets_a_mutant_survive_and_a_strong_one_kills_it(tmp_path: Path) -> None:
    tree = tree_with(
        tmp_path / "tree",
        {
            "src/mepassa/__init__.py": "",
            "src/mepassa/weak.py": DOOR,
            "src/mepassa/strong.py": DOOR,
            "tests/conftest.py": OPTIONS,
            "pyproject.toml": SETTINGS,
            "tests/test_weak.py": WEAK,
            "tests/test_strong.py": STRONG,
        },
    )
    guards = [Guard(Area.ACCESS, name, ("Door.open", "MOST"), "planted") for name in ("weak", "strong")]
    mutants = guard_mutants(tree, guards)
    plan = Plan(tree, ["tests"], mutants, tmp_path / "results", 2, 5.0, 1, TESTS_S, tmp_path / "map")
    assert run_plan(plan) == 0
    results = results_in(plan.out)
    assert len(results) == len(mutants) == 12
    survived = [(Path(found["path"]).stem, found["what"]) for found in results if found["verdict"] == "survived"]
    assert sorted(survived) == [
        ("weak", "2 for 3"),
        ("weak", "4 for 3"),
        ("weak", "`inside < MOST` with LtE for Lt"),
        ("weak", "without `raise PermissionError`"),
    ]
    assert untried(mutants, results) == []
    said = report(mutants, results)
    assert "access checks: 12 of 12 tried, 8 killed (66.7 %)" in said
    assert "survived: weak.py:7 Door.open: without `raise PermissionError`" in said


def test_a_run_goes_on_where_the_results_of_an_earlier_one_end() -> None:
    mutants = guard_mutants(ROOT, GUARDS[:3])
    results = [{**asdict(mutant), "verdict": "killed"} for mutant in mutants]
    moved = [{**result, "what": "another mistake, since the code has changed"} for result in results]
    assert untried(mutants, []) == untried(mutants, moved) == mutants
    assert untried(mutants, [*moved[:3], *results[3:]]) == mutants[:3]


def test_the_guards_are_where_the_list_says_they_are() -> None:
    mutants = guard_mutants(ROOT, GUARDS)
    guarded = {(mutant.path, mutant.scope or mutant.name) for mutant in mutants}
    toothless = [
        (g.path, g.names) for g in GUARDS if not any((f"src/mepassa/{g.path}.py", n) in guarded for n in g.names)
    ]
    assert not toothless


def test_a_guard_that_has_gone_is_told() -> None:
    with pytest.raises(ValueError, match="no_such_guard"):
        guard_mutants(ROOT, [Guard(Area.PROOF, "crypto/keys", ("no_such_guard",), "planted")])


def test_the_sample_is_the_seeds_and_never_a_guards() -> None:
    sample = sample_mutants(ROOT, 300, 7, GUARDS)
    assert len({(mutant.path, mutant.number) for mutant in sample}) == 300
    assert sample == sample_mutants(ROOT, 300, 7, GUARDS)
    assert sample != sample_mutants(ROOT, 300, 8, GUARDS)
    guarded = {(f"src/mepassa/{guard.path}.py", name) for guard in GUARDS for name in guard.names}
    assert not guarded & {(mutant.path, mutant.scope or mutant.name) for mutant in sample}


@pytest.mark.parametrize(
    ("statement", "what", "after"),
    [
        ("return a == b", "`a == b` with NotEq for Eq", "return a != b"),
        ("return a < b", "`a < b` with LtE for Lt", "return a <= b"),
        ("return a and b", "`a and b` with Or", "return a or b"),
        ("return not a", "`not a` without not", "return not not a"),
        ("return a > 4", "5 for 4", "return a > 5"),
        ("return [x for x in a if x]", "`if x` negated", "return [x for x in a if not x]"),
        ("return equal(a, b)", "not `equal(a, b)`", "return (lambda: not equal(a, b))()"),
        ("a.put(b)", "without `a.put(b)`", "pass"),
        ("await a.put(b)", "without `await a.put(b)`", "pass"),
    ],
)
def test_each_kind_of_mistake_is_made(statement: str, what: str, after: str) -> None:
    before = f"async def f(a, b):\n    {statement}\n"
    assert broken(before)[what] == f"async def f(a, b):\n    {after}"


def test_a_guard_is_dropped_turned_round_and_a_commit_comes_late() -> None:
    source = """
    def f(tx, ok):
        if not ok:
            raise KeyError
        tx.put(ok)
        tell(ok)
    """
    found = broken(source)
    assert "pass" in found["without `raise KeyError`"]
    assert "if not not ok" in found["if not (not ok)"]
    assert found["`tx.put(ok)` after `tell(ok)`"].endswith("tell(ok)\n    tx.put(ok)")


def test_what_is_said_to_a_log_is_left_alone() -> None:
    assert not broken("def f():\n    log.warning('x')\n    '''words'''\n")
