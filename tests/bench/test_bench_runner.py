"""`./dev bench`: figures as the contract says, for people and for programs."""

import json
from collections.abc import Iterable

import pytest

import bench.__main__ as runner
from bench.figure import Environment, Figure, disk_sync_ms


def two_figures() -> Iterable[Figure]:
    yield Figure(figure="deposits", value=200.0, unit="1/s", rival="another server", rival_value=100.0)
    yield Figure(figure="idle", value=65.0, unit="MiB")


@pytest.fixture
def one_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "names", lambda: ["sample"])
    monkeypatch.setattr(runner, "load", lambda _name: two_figures)


@pytest.mark.usefixtures("one_bench")
def test_json_is_one_object_a_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["sample", "--json"]) == 0
    printed = capsys.readouterr()
    first, second = [json.loads(line) for line in printed.out.splitlines()]
    assert list(first) == ["figure", "value", "unit", "rival", "rival_value", "ratio"]
    assert first["ratio"] == 2.0
    assert second["ratio"] is None
    assert "one disk sync" in printed.err


@pytest.mark.usefixtures("one_bench")
def test_the_table_names_figures_and_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["sample"]) == 0
    printed = capsys.readouterr().out
    assert "deposits" in printed
    assert "2.00" in printed
    assert "one disk sync" in printed


def test_an_unknown_bench_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["no-such-bench"]) == 2
    assert "There is no bench named no-such-bench" in capsys.readouterr().err


def test_the_machine_is_measured() -> None:
    assert disk_sync_ms(samples=3) > 0
    assert Environment.here().cores >= 1
