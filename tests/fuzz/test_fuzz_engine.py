"""`./dev fuzz`: finds a planted crash, counts outcomes, keeps what crashed."""

import types
from pathlib import Path
from random import Random

import pytest

import fuzz.__main__ as runner
from fuzz.engine import Findings, fuzz, keep_crashes, mutate, read_corpus

SEED = b"\x02hello"


def target(data: bytes) -> str:
    """A parser with a planted mistake: it trusts the first byte."""
    if not data:
        return "MalformedError"
    return "value" if data[data[0]] >= 0 else "never"


def rounds(count: int, seed: int = 1) -> Findings:
    left = iter(range(count))
    return fuzz(target, [SEED], Random(seed), lambda: next(left, None) is not None)


def test_it_finds_a_planted_crash_and_says_where() -> None:
    found = rounds(500)
    assert found.runs == 500
    assert found.outcomes["value"] > 0
    assert [name for name in found.crashes if name.startswith("CRASH IndexError at test_fuzz_engine.py:")]


def test_the_same_seed_repeats_a_run() -> None:
    assert rounds(200).outcomes == rounds(200).outcomes
    assert rounds(200).crashes == rounds(200).crashes


def test_mutation_changes_and_never_fails_on_any_length() -> None:
    rng = Random(3)
    assert all(isinstance(mutate(bytes(size), rng), bytes) for size in range(40) for _ in range(50))
    assert any(mutate(SEED, rng) != SEED for _ in range(5))


def test_crashes_join_the_corpus_and_are_tried_first(tmp_path: Path) -> None:
    found = rounds(500)
    assert keep_crashes(tmp_path / "x", found.crashes)
    again = read_corpus(tmp_path / "x")
    assert set(again) == set(found.crashes.values())


def test_the_command_exits_with_1_and_keeps_the_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("fuzz.planted")
    monkeypatch.setattr(module, "target", target, raising=False)
    monkeypatch.setattr(module, "SEEDS", [SEED], raising=False)
    monkeypatch.setitem(__import__("sys").modules, "fuzz.planted", module)
    monkeypatch.setattr(runner, "names", lambda: ["planted"])
    monkeypatch.setattr(runner, "CORPUS", tmp_path)
    assert runner.main(["planted", "--seconds", "0.2", "--seed", "1"]) == 1
    assert list((tmp_path / "planted").glob("*.bin"))


def test_an_unknown_target_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["no-such-target"]) == 2
    assert "There is no target named no-such-target" in capsys.readouterr().err
