"""Sizes are reported, not gated: this checks the report, and prints it into the log (`pytest -rP`)."""

from pathlib import Path

from devtools.sizes import report


def test_the_report_names_what_has_grown(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("def grown():\n" + "    pass\n" * 50 + "x = 1\n" * 400)
    (tmp_path / "short.py").write_text("def small(): ...\n")
    assert report(tmp_path).splitlines() == [
        "files over 400 lines: 1",
        "   451  long.py",
        "functions over 40 lines: 1",
        "    51  long.py:1 grown",
    ]


def test_the_house_is_measured() -> None:
    print(report())
