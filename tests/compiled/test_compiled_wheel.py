"""The wheel that releases are made of, with `crypto/` as machine code: built here, and held to the tests of the source."""

import subprocess
import sys
from pathlib import Path

import pytest

from devtools import compiled

ROOT = Path(__file__).resolve().parents[2]
HELD_TO = ("tests/crypto", "tests/protocol", "tests/doors")
INTERPRETED_STILL = {"__init__.py", "incremental_mlkem.py"}


def compiled_environment() -> dict[str, str]:
    """Of a process that runs the compiled form; in CI a machine without a compiler is a failure."""
    try:
        return compiled.environment()
    except compiled.NoCompilerError as error:
        pytest.skip(f"{error}: apt-get install gcc libc6-dev python3-dev")


def run(env: dict[str, str], *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *command], env=env, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_release_wheel_is_machine_code_and_passes_the_tests_of_the_source() -> None:
    env = compiled_environment()
    _is_machine_code(env)
    chosen = ["-m", "not interpreted", "-n0", "-q", "-p", "no:cacheprovider"]
    done = run(env, "-m", "pytest", *HELD_TO, *chosen)
    assert done.returncode == 0, done.stdout[-10_000:]
    assert " passed" in done.stdout


def _is_machine_code(env: dict[str, str]) -> None:
    """Every module of the encryption, as Python finds it in the wheel."""
    source = ROOT / "src" / "mepassa"
    paths = [*(source / "crypto").rglob("*.py"), source / "protocol" / "session.py"]
    modules = [
        ".".join(path.relative_to(source.parent).with_suffix("").parts)
        for path in paths
        if path.name not in INTERPRETED_STILL
    ]
    files = run(env, "-c", f"import importlib\nfor name in {modules}: print(importlib.import_module(name).__file__)")
    assert files.returncode == 0, files.stderr
    found = [Path(line) for line in files.stdout.splitlines()]
    assert len(found) == len(modules)
    assert {path.suffix for path in found} <= {".so", ".pyd"}
    assert all(path.is_relative_to(compiled.FOLDER) for path in found)
