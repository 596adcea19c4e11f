"""Collects the tests once, then forks for each mutant: the child takes the broken code and runs the tests that reach it.

Code inside a function is exchanged in the function object itself, so everybody who holds it has the broken one. What runs
on import is imported anew in the child, with all of ours that was built upon it.
"""

import gc
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import re
import resource
import shutil
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from fuzz.mutants.sites import mutated

CPU_S, WALL_S = 40, 150
"""What one mutant may take before it counts as a hang, which a test run would notice."""
TEST_S = 60
"""The same for one test, by pytest-timeout."""
TESTS_S = 6.0
"""CPU seconds of tests, as measured on whole code, that one mutant may get where no other figure is asked for: fastest first,
so often all of them. In rooms whose tests are slow what lived is tried again with more."""
FRESH_TESTS = 60
"""Test files are imported anew for what runs on import: this many tests at most."""


@dataclass(frozen=True, slots=True)
class Mutant:
    area: str
    path: str
    """From the root of the tree."""
    number: int
    """Of the site in its module."""
    all_numbers: bool
    kind: str
    line: int
    scope: str
    name: str
    what: str


@dataclass(frozen=True, slots=True)
class Plan:
    root: Path
    tests: Sequence[str]
    mutants: Sequence[Mutant]
    out: Path
    """Where results go, one JSON object a line."""
    processes: int
    minutes: float
    seed: int
    tests_s: float
    """CPU seconds of tests that one mutant may get."""
    map: Path
    """Which test reaches which function, and how long it takes: what is not in it is measured and added."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        saved = json.loads(text)
        paths = {name: Path(saved[name]) for name in ("root", "out", "map")}
        return cls(**{**saved, **paths, "mutants": [Mutant(**mutant) for mutant in saved["mutants"]]})


Reached = dict[str, tuple[float, list[str]]]
"""By test: CPU seconds, and the functions as `path::Class.name`."""


# --- tests -------------------------------------------------------------------------------------------------------------


class Settings:
    """Hypothesis: the same few examples for each mutant, no search for the smallest failure."""

    def pytest_sessionstart(self) -> None:
        import hypothesis  # only here: pytest wants to be first to import its plugins

        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile(
            "mutants", max_examples=25, deadline=None, derandomize=True, database=None, phases=phases,
            suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip
        hypothesis.settings.load_profile("mutants")


class Loop(Settings):
    """In the place of pytest's own loop over the tests."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._src = str(plan.root / "src") + os.sep
        self._items: dict[str, pytest.Item] = {}
        self._reached: Reached = {}
        self._fresh: set[str] = set()
        """What the map did not know: in a run on what lived, the tests that were written for it."""
        self._functions: dict[str, list[FunctionType]] = defaultdict(list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("some test could not be collected")
        self._items = {item.nodeid: item for item in session.items}
        for found in gc.get_objects():
            if isinstance(found, FunctionType) and found.__code__.co_filename.startswith(self._src):
                self._functions[self._key(found.__code__)].append(found)
        gc.freeze()
        self._reached = self._measured()
        results = _Results(self._plan.out)
        until = time.monotonic() + 60 * self._plan.minutes
        waiting = iter(self._plan.mutants)
        forks = _Forks(self._plan.processes, self._plan.root.parent / "mutants", more=self._plan.tests_s / TESTS_S)
        while (mutant := next(waiting, None)) is not None and time.monotonic() < until:
            tests = self._tests_of(mutant)
            if not tests:
                results.add(mutant, ("survived", "no test reaches it"), 0.0)
                continue
            forks.start(partial(self._try, mutant, tests), partial(results.add, mutant))
        forks.finish()
        return True

    def _key(self, code: CodeType) -> str:
        return f"src/{code.co_filename.removeprefix(self._src)}::{code.co_qualname.partition('.<locals>')[0]}"

    # --- which test reaches what --------------------------------------------------------------------------------------

    def _measured(self) -> Reached:
        """Whole code, for the tests that the map does not know yet."""
        known: Reached = json.loads(self._plan.map.read_text()) if self._plan.map.exists() else {}
        fresh = [item for test, item in self._items.items() if test not in known]
        self._fresh = {item.nodeid for item in fresh}
        known.update(self._measure(fresh))
        self._plan.map.write_text(json.dumps(known))
        return {test: found for test, found in known.items() if test in self._items}

    def _measure(self, fresh: Sequence[pytest.Item]) -> Reached:
        by_file: dict[str, list[pytest.Item]] = defaultdict(list)
        for item in fresh:
            by_file[str(item.path)].append(item)
        parts: list[list[pytest.Item]] = [[] for _ in range(self._plan.processes)]
        for place, items in enumerate(by_file.values()):
            parts[place % len(parts)] += items
        reached: Reached = {}
        failed: list[str] = []

        def told(said: Any, _seconds: float) -> None:
            if said[0] == "killed":
                raise RuntimeError(f"the tests of whole code ended early: {said[1]}")
            reached.update(said[0])
            failed.extend(said[1])

        forks = _Forks(self._plan.processes, self._plan.root.parent / "measured", more=0)
        for part in filter(None, parts):
            forks.start(partial(self._reach, part), told)
        forks.finish()
        for test in failed:
            print(f"left out, since it fails on whole code: {test}", flush=True)
        return reached

    def _reach(self, items: list[pytest.Item]) -> tuple[Reached, list[str]]:
        reached, failed = Reached(), []
        codes: set[CodeType] = set()

        def trace(frame: FrameType, _event: str, _argument: object) -> None:
            codes.add(frame.f_code)

        for item, after in zip(items, [*items[1:], None], strict=True):
            codes.clear()
            begun = time.process_time()
            threading.settrace(trace)
            sys.settrace(trace)
            reports = runtestprotocol(item, nextitem=after, log=False)
            sys.settrace(None)
            if any(report.failed for report in reports):
                failed.append(item.nodeid)
            elif not any(report.skipped for report in reports):
                ours = {self._key(code) for code in codes if code.co_filename.startswith(self._src)}
                reached[item.nodeid] = time.process_time() - begun, sorted(ours)
        return reached, failed

    def _tests_of(self, mutant: Mutant) -> list[str]:
        if mutant.scope:
            wanted, named = {f"{mutant.path}::{mutant.scope}"}, set[str]()
        else:
            wanted = self._users(mutant.name)
            named = {
                test for test in self._reached if _mentions(mutant.name, self._plan.root / test.partition("::")[0])
            }
        usual = f"test_{Path(mutant.path).stem}."
        found = [
            (test not in named and usual not in test, seconds, test)
            for test, (seconds, functions) in self._reached.items()
            if test in named or not wanted.isdisjoint(functions)
        ]
        chosen: list[str] = []
        spent = 0.0
        # First what names a constant in its own id, then what names it at all; then what is new; else only speed counts.
        names_it = [mutant.scope or mutant.name not in test for _, _, test in found]
        ranked = sorted(
            (bool(far), other and not mutant.scope, t not in self._fresh, s, t)
            for far, (other, s, t) in zip(names_it, found, strict=True)
        )
        for *_, seconds, test in ranked:
            spent += seconds
            if chosen and spent > self._plan.tests_s:
                break
            chosen.append(test)
        return chosen if mutant.scope else chosen[:FRESH_TESTS]

    def _users(self, name: str) -> set[str]:
        return {
            key
            for key, functions in self._functions.items()
            if any(name in _names_in(function.__code__) for function in functions)
        }

    # --- one mutant ---------------------------------------------------------------------------------------------------

    def _try(self, mutant: Mutant, tests: Sequence[str]) -> tuple[str, str]:
        """In the child: (verdict, what killed it)."""
        path = self._plan.root / mutant.path
        tree = mutated(path.read_text(), mutant.number, all_numbers=mutant.all_numbers)
        code = compile(tree, str(path), "exec")
        if not mutant.scope:
            return self._try_anew(mutant.path, code, tests)
        broken = {self._key(inner): inner for inner in _functions_in(code)}[f"{mutant.path}::{mutant.scope}"]
        for function in self._functions[f"{mutant.path}::{mutant.scope}"]:
            if function.__code__.co_firstlineno == broken.co_firstlineno:
                function.__code__ = broken
        for test, after in zip(tests, [*tests[1:], None], strict=True):
            following = None if after is None else self._items[after]
            if any(report.failed for report in runtestprotocol(self._items[test], nextitem=following, log=False)):
                return "killed", test
        return "survived", f"{len(tests)} tests"

    def _try_anew(self, path: str, code: CodeType, tests: Sequence[str]) -> tuple[str, str]:
        for name in [n for n in sys.modules if n.partition(".")[0] in {"mepassa", "tests"}]:
            del sys.modules[name]
        name = path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        sys.meta_path.insert(0, _Broken(name, code))
        listener = _FirstFailure()
        code_of_run = pytest.main([*_options(self._plan.seed), "-x", *tests], plugins=[Settings(), listener])
        if listener.failed:
            return "killed", listener.failed
        return "survived" if code_of_run == pytest.ExitCode.OK else "error", f"{len(tests)} tests, {code_of_run!r}"


class _FirstFailure:
    failed = ""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid or "an import"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_internalerror(self) -> None:
        self.failed = self.failed or "an import"


class _Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, name: str, code: CodeType) -> None:
        self._name, self._code = name, code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        is_package = self._code.co_filename.endswith("__init__.py")
        return importlib.util.spec_from_file_location(
            fullname,
            self._code.co_filename,
            loader=self,
            submodule_search_locations=[str(Path(self._code.co_filename).parent)] if is_package else None,
        )

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)  # noqa: S102 - our own source, one site changed


def _mentions(name: str, path: Path) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", path.read_text()) is not None


def _names_in(code: CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return {*code.co_names}.union(*(_names_in(one) for one in inner))


def _functions_in(code: CodeType) -> Iterable[CodeType]:
    """Functions and methods, not what stands inside them."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & 0x2:  # CO_NEWLOCALS: a function; a class body has none
                yield constant
            else:
                yield from _functions_in(constant)


# --- children ----------------------------------------------------------------------------------------------------------

Told = Callable[[Any, float], None]


class _Forks:
    """At most so many children at once; each leaves what it found in a file.

    `more`: how often the usual limits each may use up; 0: there are none.
    """

    def __init__(self, most: int, folder: Path, *, more: float) -> None:
        self._most, self._folder = most, folder
        self._cpu_s, self._wall_s = max(CPU_S, int(CPU_S * more)), max(WALL_S, WALL_S * more)
        self._limited = more > 0
        self._running: dict[int, tuple[Path, float, Told]] = {}
        self._count = 0

    def start(self, work: Callable[[], object], told: Told) -> None:
        while len(self._running) >= self._most:
            self._wait()
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir(parents=True)
        pid = os.fork()
        if pid == 0:
            self._child(work, folder)
        self._running[pid] = folder, time.monotonic(), told

    def finish(self) -> None:
        while self._running:
            self._wait()

    def _child(self, work: Callable[[], object], folder: Path) -> None:
        code = 1
        try:
            os.setpgid(0, 0)
            quiet = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            os.environ["PYTEST_DEBUG_TEMPROOT"] = str(folder)
            if self._limited:
                resource.setrlimit(resource.RLIMIT_CPU, (self._cpu_s, self._cpu_s))
            (folder / "found").write_text(json.dumps(work()))
            code = 0
        except BaseException as error:  # noqa: BLE001 - broken code may do anything; the parent reads what
            (folder / "found").write_text(json.dumps(("killed", f"{type(error).__name__}: {error}")))
        finally:
            os._exit(code)

    def _wait(self) -> None:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in self._running:
            folder, begun, told = self._running.pop(pid)
            try:
                said = json.loads((folder / "found").read_text())
            except (OSError, ValueError):
                said = "killed", f"the process ended ({status})"
            self._remove(pid, folder)
            told(said, time.monotonic() - begun)
            return
        time.sleep(0.01)
        for child, (_folder, begun, _told) in self._running.items():
            if self._limited and time.monotonic() - begun > self._wall_s:
                os.kill(child, signal.SIGKILL)

    def _remove(self, group: int, folder: Path) -> None:
        try:
            os.killpg(group, signal.SIGKILL)  # what a test of the child has started
        except ProcessLookupError:
            pass
        if self._limited:
            shutil.rmtree(folder, ignore_errors=True)


class _Results:
    def __init__(self, out: Path) -> None:
        self._out = out

    def add(self, mutant: Mutant, said: Sequence[str], seconds: float) -> None:
        verdict, by = said
        line = json.dumps({**asdict(mutant), "verdict": verdict, "by": by, "seconds": round(seconds, 2)})
        with self._out.open("a") as out:
            out.write(line + "\n")


def _options(seed: int) -> list[str]:
    return [
        "-o", "addopts=--import-mode=importlib --strict-markers", "-p", "no:xdist", "-p", "no:cacheprovider",
        "-p", "no:faulthandler", "-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning", "-q", "-m", "not slow and not alone", "-o", f"timeout={TEST_S}", "--seed", str(seed),
    ]  # fmt: skip


def run(plan: Plan) -> int:
    return int(pytest.main([*_options(plan.seed), *plan.tests], plugins=[Loop(plan)]))


def work(saved: str) -> int:
    """`saved`: the file that holds `plan.to_json()`."""
    return run(Plan.from_json(Path(saved).read_text()))
