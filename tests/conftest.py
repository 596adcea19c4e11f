"""What every test may rely on: tools asked for by name, seeds that are printed, no skip in CI, no process left behind."""

import os
import random
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

CI = os.environ.get("CI") == "true"
SBIN = os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin"])
"""nft, ip and friends live here; an ordinary person's PATH does not name it."""

settings.register_profile("quick", max_examples=50, deadline=None, print_blob=True)
settings.register_profile(
    "ci",
    max_examples=200,
    deadline=None,  # no timing decides a test
    derandomize=False,  # a new seed each run; a failure prints the blob that repeats it
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if CI else "quick")

Needs = Callable[[str, str], Path]

SEED_KEY = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="repeat a run of a test that failed with this seed (fixture `seed`)")


# --- tools -------------------------------------------------------------------------------------------------------------


def require(tool: str, package: str) -> Path:
    """The path of a program, or a skip that names the Debian package to install (in CI a skip is a failure)."""
    found = shutil.which(tool) or shutil.which(tool, path=SBIN)
    if found is None:
        pytest.skip(f"needs {tool}: apt-get install {package}")
    return Path(found)


@pytest.fixture(scope="session")
def needs() -> Needs:
    """For fixtures: `turnserver = needs("turnserver", "coturn")`. Tests may say `@pytest.mark.needs(tool, package)`."""
    return require


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        require(*marker.args, **marker.kwargs)


# --- no skip in CI -----------------------------------------------------------------------------------------------------


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"SKIPPED IN CI, where nothing may be: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    if report.failed and (seed := item.stash.get(SEED_KEY, None)) is not None:
        report.sections.append(("seed", f"repeat with: --seed {seed}"))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [*terminalreporter.stats.get("failed", []), *terminalreporter.stats.get("error", [])]
    skipped = [report for report in reports if str(report.longrepr).startswith("SKIPPED IN CI")]
    if skipped:
        terminalreporter.section("skipped, and CI=true")
        for report in skipped:
            terminalreporter.line(f"{report.nodeid}: {report.longrepr}")


# --- chance ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A new number each run, printed when the test fails; `--seed N` repeats it."""
    chosen: int | None = request.config.getoption("--seed")
    value = random.SystemRandom().getrandbits(32) if chosen is None else chosen
    request.node.stash[SEED_KEY] = value
    return value


# --- processes ---------------------------------------------------------------------------------------------------------


def _children() -> dict[int, str]:
    """Living direct children of this process: id and command line. Empty where there is no Linux /proc."""
    found = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        for pid in listing.read_text().split():
            try:
                command = (
                    Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                )
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if state != "Z" and "multiprocessing.resource_tracker" not in command:
                found[int(pid)] = command
    return found


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left_behind() -> Iterator[None]:
    """Torn down after every other fixture: what still runs then was forgotten by some test."""
    before = _children()
    yield
    left = {pid: command for pid, command in _children().items() if pid not in before}
    assert not left, f"tests left processes behind: {left}"
