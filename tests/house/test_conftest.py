"""tests/conftest.py itself: a skip fails in CI, a missing tool names its package, a seed is printed, nothing is left running."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each test starts a pytest of its own

CONFTEST = Path(__file__).parents[1] / "conftest.py"


SKIPS = {
    "test_body.py": "import pytest\ndef test_a():\n    pytest.skip('no luck')\n",
    "test_marker.py": "import pytest\n@pytest.mark.skip(reason='no luck')\ndef test_a(): ...\n",
    "test_module.py": "import pytest\npytest.skip('no luck', allow_module_level=True)\n",
    "test_tool.py": "import pytest\n@pytest.mark.needs('no luck', 'package-x')\ndef test_a(): ...\n",
    "test_fixture.py": (
        "import pytest\n@pytest.fixture(scope='session')\ndef tool(needs): return needs('no luck', 'package-y')\n"
        "def test_a(tool): ...\n"
    ),
}
"""Every way in which a test can skip."""

GOOD = {
    "test_gap.py": "import pytest\n@pytest.mark.xfail(reason='known')\ndef test_a(): assert 0\n",
    "test_present.py": "import pytest\n@pytest.mark.needs('sh', 'dash')\ndef test_a(): ...\n",
}
"""A known gap is a test marked with its reason, and a tool that is there lets the test run: neither is a skip."""

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Writes a small suite with our conftest beside it; a pytest of its own runs it. Returns exit code and output."""

    def run_suite(files: dict[str, str], *options: str, ci: bool = False) -> tuple[int, str]:
        ini = "[pytest]\nmarkers = needs: -\naddopts = -p no:cacheprovider -ra --continue-on-collection-errors\n"
        for name, text in {**files, "conftest.py": CONFTEST.read_text(), "pytest.ini": ini}.items():
            (tmp_path / name).write_text(text)
        env = {k: v for k, v in os.environ.items() if k != "CI" and not k.startswith("PYTEST")}
        command = [sys.executable, "-m", "pytest", *options]
        if ci:
            env["CI"] = "true"
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run_suite


@pytest.mark.parametrize("workers", ["0", "2"])
def test_every_kind_of_skip_fails_in_ci_and_is_listed(run: Run, workers: str) -> None:
    code, output = run(SKIPS, "-n", workers, ci=True)
    listed = output.partition("skipped, and CI=true")[2].partition("short test summary")[0]
    assert code != 0, output
    for name in SKIPS:
        assert name in listed, output


def test_every_kind_of_skip_is_a_skip_on_a_developers_machine(run: Run) -> None:
    code, output = run(SKIPS)
    assert code == 0, output
    assert f"{len(SKIPS)} skipped" in output
    assert "needs no luck: apt-get install package-x" in output
    assert "needs no luck: apt-get install package-y" in output


def test_neither_a_known_gap_nor_a_present_tool_is_a_skip(run: Run) -> None:
    code, output = run(GOOD, ci=True)
    assert code == 0, output


def test_the_seed_of_a_failure_is_printed_and_repeats_it(run: Run) -> None:
    suite = {"test_seed.py": "def test_a(seed):\n    assert seed == -1\n"}
    _, output = run(suite)
    assert "repeat with: --seed " in output
    _, output = run(suite, "--seed", "12345")
    assert "assert 12345 == -1" in output


def test_a_process_left_behind_is_an_error(run: Run) -> None:
    source = "import subprocess\ndef test_a():\n    globals()['kept'] = subprocess.Popen(['sleep', '5'])\n"
    code, output = run({"test_left.py": source}, "-n", "1")
    assert code != 0, output
    assert "tests left processes behind" in output
