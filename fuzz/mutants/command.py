"""`./dev fuzz mutants [--guards | --sample N] [--seed N] [--minutes M]`: what is broken, and what came of it.

Everything runs on a copy of the tree in a temporary folder: editing goes on meanwhile, and nothing is left behind.
"""

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

from fuzz.mutants.guards import GUARDS, Area, Guard
from fuzz.mutants.sites import Site, sites
from fuzz.mutants.worker import TESTS_S, Mutant, Plan

ROOT = Path(__file__).parents[2]
ELSEWHERE = "elsewhere in crypto/"
TESTS = {
    "crypto": ("tests/crypto", "tests/protocol/test_sealing.py", "tests/protocol/test_session.py"),
    "identity": ("tests/identity", "tests/crypto"),
    "model": ("tests/model", "tests/identity", "tests/wire", "tests/protocol", "tests/server/relay"),
    "wire": ("tests/wire", "tests/server", "tests/transports/test_link_machine.py", "tests/transports/test_work.py"),
    "protocol": ("tests/protocol", "tests/storage", "tests/crypto/test_saved_sessions.py"),
    "client": ("tests/client",),
    "server": ("tests/server",),
    "p2p": ("tests/p2p/test_presence_rules.py",),
    "transports": (
        "tests/transports/test_link_loopback.py",
        "tests/transports/test_link_machine.py",
        "tests/transports/test_link_session.py",
        "tests/transports/test_ice_quic.py",
        "tests/transports/test_mailbox_sockets.py",
        "tests/transports/test_work.py",
        "tests/server",
    ),
}
"""By the room that is broken: where its quick tests are. Whole programs and simulated weeks would see more, in hours."""


# --- which mutants -----------------------------------------------------------------------------------------------------


def guard_mutants(root: Path, guards: Iterable[Guard]) -> list[Mutant]:
    """Every site of every guard, once. Raises `ValueError` where a guard names what is not there (any more)."""
    mutants: dict[tuple[str, int], Mutant] = {}
    for guard in guards:
        path = f"src/mepassa/{guard.path}.py"
        found = sites(ast.parse((root / path).read_text()))
        known = _defined(ast.parse((root / path).read_text()))
        if missing := set(guard.names) - known:
            raise ValueError(f"guards.py: {path} has no {', '.join(sorted(missing))}")
        for number, site in enumerate(found):
            if (site.scope or site.name) in guard.names:
                mutants.setdefault((path, number), _mutant(guard.area, path, number, site, all_numbers=False))
    return list(mutants.values())


def sample_mutants(root: Path, count: int, seed: int, guards: Iterable[Guard]) -> list[Mutant]:
    """`count` sites of crypto/ that are no guard's, by the seed; numbers everywhere among them."""
    guarded = {(f"src/mepassa/{guard.path}.py", name) for guard in guards for name in guard.names}
    others = []
    for file in sorted((root / "src/mepassa/crypto").rglob("*.py")):
        path = file.relative_to(root).as_posix()
        for number, site in enumerate(sites(ast.parse(file.read_text()), all_numbers=True)):
            if (path, site.scope or site.name) not in guarded:
                others.append(_mutant(ELSEWHERE, path, number, site, all_numbers=True))
    return Random(seed).sample(others, min(count, len(others)))


def _mutant(area: str, path: str, number: int, site: Site, *, all_numbers: bool) -> Mutant:
    return Mutant(area, path, number, all_numbers, site.kind, site.line, site.scope, site.name, site.what)


def _defined(owner: ast.Module | ast.ClassDef, prefix: str = "") -> set[str]:
    names: set[str] = set()
    for statement in owner.body:
        match statement:
            case ast.ClassDef(name=name):
                names |= _defined(statement, f"{prefix}{name}.")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(f"{prefix}{name}")
            case ast.Assign(targets=targets):
                names |= {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return names


def tests_of(mutants: Iterable[Mutant]) -> list[str]:
    """Those of the rooms that are broken, and the one that holds the figures of all rooms."""
    rooms = {mutant.path.split("/")[2] for mutant in mutants}
    found = {test for room in rooms for test in TESTS[room]} | {"tests/house/test_limits_as_written.py"}
    return sorted(test for test in found if not any(test != other and test.startswith(f"{other}/") for other in found))


# --- the run -----------------------------------------------------------------------------------------------------------


def copy_tree(root: Path, to: Path) -> None:
    """What git knows, as it is now, and what it would know once it is added."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)


def run_plan(plan: Plan) -> int:
    """The exit code of the worker, which runs in the copy and imports from there."""
    saved = plan.root.parent / "plan"
    saved.write_text(plan.to_json())
    paths = os.pathsep.join(str(path) for path in (plan.root / "src", plan.root, ROOT))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "0"}
    command = [
        sys.executable,
        "-c",
        f"import sys; from fuzz.mutants import worker; sys.exit(worker.work({str(saved)!r}))",
    ]
    return subprocess.run(command, cwd=plan.root, env=environment, check=False).returncode


def untried(mutants: Iterable[Mutant], results: Iterable[dict[str, Any]]) -> list[Mutant]:
    """What an earlier run of the same code did not come to."""
    done = {(result["path"], result["number"], result["what"]) for result in results}
    return [mutant for mutant in mutants if (mutant.path, mutant.number, mutant.what) not in done]


def read_results(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def report(mutants: Sequence[Mutant], results: Sequence[dict[str, Any]]) -> str:
    planned = Counter(mutant.area for mutant in mutants)
    tried = Counter(result["area"] for result in results)
    killed = Counter(result["area"] for result in results if result["verdict"] == "killed")
    lines = [
        f"{area}: {tried[area]} of {count} tried, {killed[area]} killed"
        + (f" ({100 * killed[area] / tried[area]:.1f} %)" if tried[area] else "")
        for area, count in planned.items()
    ]
    for result in results:
        if result["verdict"] != "killed":
            where = (
                f"{result['path'].removeprefix('src/mepassa/')}:{result['line']} {result['scope'] or result['name']}"
            )
            lines.append(f"  {result['verdict']}: {where}: {result['what']} [{result['kind']}; {result['by']}]")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """1 where less than nine in ten mutants of the guards were killed."""
    parser = argparse.ArgumentParser(prog="./dev fuzz mutants", description="Breaks our own code; do the tests notice?")
    parser.add_argument("--guards", action="store_true", help="only MAC and signature checks, limits, order, access")
    parser.add_argument("--sample", type=int, help="only so many elsewhere in crypto/ (default: 300, after the guards)")
    parser.add_argument("--only", default="", help="only modules whose path has this in it")
    parser.add_argument("--again", type=Path, help="only what lived in the results that --out has kept there")
    parser.add_argument("--seed", type=int, help="repeat a sample")
    parser.add_argument("--minutes", type=float, default=60.0, help="then stop and say what was left (default 60)")
    parser.add_argument(
        "--tests-seconds", type=float, default=TESTS_S, help="CPU seconds of tests a mutant (default 6)"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="keep the results, a JSON object a line; go on where they end")
    parser.add_argument("--map", type=Path, help="keep, or take, what reaches what: spares the measuring run")
    options = parser.parse_args(arguments)
    seed = SystemRandom().getrandbits(32) if options.seed is None else options.seed
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        root, out = Path(folder) / "tree", Path(folder) / "results"
        copy_tree(ROOT, root)
        mutants = _asked_for(root, options, seed)
        tried = [] if options.again or options.out is None else read_results(options.out)
        left = untried(mutants, tried)
        print(f"{len(left)} mutants, seed {seed}", flush=True)
        known = options.map.resolve() if options.map else Path(folder) / "map"
        plan = Plan(
            root, tests_of(left), left, out, options.processes, options.minutes, seed, options.tests_seconds, known
        )
        code = run_plan(plan) if left else 0
        results = tried + read_results(out)
        if options.out:
            options.out.write_text("".join(f"{json.dumps(result)}\n" for result in results))
    print(report(mutants, results))
    print(f"{time.monotonic() - begun:.0f} seconds")
    return code or _verdict(results)


def _asked_for(root: Path, options: argparse.Namespace, seed: int) -> list[Mutant]:
    mutants = [] if options.sample is not None else guard_mutants(root, GUARDS)
    Random(seed).shuffle(mutants)  # where time ends a run, what was tried is a fair part of the whole
    if not options.guards:
        mutants += sample_mutants(root, 300 if options.sample is None else options.sample, seed, GUARDS)
    mutants = [mutant for mutant in mutants if options.only in mutant.path]
    if options.again:
        lived = {_told(found) for found in read_results(options.again) if found["verdict"] != "killed"}
        mutants = [mutant for mutant in mutants if _told(asdict(mutant)) in lived]
    return mutants


def _told(found: dict[str, Any]) -> tuple[str, str, str]:
    """What tells a mutant from the others while lines move."""
    return found["path"], found["scope"] or found["name"], found["what"]


def _verdict(results: Sequence[dict[str, Any]]) -> int:
    tried = [result["verdict"] for result in results if result["area"] in set(Area)]
    return 1 if tried.count("killed") < 0.9 * len(tried) else 0
