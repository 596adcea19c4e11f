"""`./dev compiled CMD...`: any command with the encryption as machine code, as people's wheels have it (docs/decisions/0168).

The wheel is built from a copy of the source, with the build that releases use, and unpacked into build/compiled/. It is
built anew when the source has changed, which takes a minute.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "compiled"
BUILT_FROM = ("src", "pyproject.toml", "hatch_build.py", "LICENSE", "README.md")
"""Without web/: the page, when there is one, comes as it stands, and the one in use is not built anew."""


class NotCompiledError(Exception):
    """The build failed; the text ends with what it said."""


class NoCompilerError(NotCompiledError):
    """This machine lacks something; the text says what."""


def compiled() -> Path:
    """The folder to put first on PYTHONPATH. Raises `NotCompiledError`."""
    lacking = _lacking()
    if lacking:
        raise NoCompilerError(f"this machine has no {lacking}")
    folder = FOLDER / _digest()
    if not folder.exists():
        print("compiling the encryption (a minute, once for this source)", file=sys.stderr, flush=True)
        _build(folder)
        for older in set(FOLDER.iterdir()) - {folder}:
            shutil.rmtree(older, ignore_errors=True)
    return folder


def environment() -> dict[str, str]:
    """The variables of a process that runs the compiled form. Raises `NotCompiledError`."""
    return {**os.environ, "PYTHONPATH": str(compiled())}


def _lacking() -> str | None:
    if not shutil.which("uv"):
        return "uv on its PATH (./dev puts it there)"
    if not any(map(shutil.which, ("cc", "gcc", "clang", "cl"))):
        return "C compiler"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "C headers of this Python"
    return None


def _digest() -> str:
    """Of everything that the wheel is made of, and of the interpreter that it is made for."""
    found = hashlib.sha256(sys.version.encode())
    for name in BUILT_FROM:
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                found.update(f"{file.relative_to(ROOT)}\0".encode())
                found.update(file.read_bytes())
    return found.hexdigest()[:16]


def _build(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="mepassa-wheel-") as made:
        copy = Path(made)
        for name in BUILT_FROM:
            path = ROOT / name
            if path.is_dir():
                shutil.copytree(path, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, copy / name)
        done = subprocess.run(
            ["uv", "build", "--wheel", "--python", sys.executable, "--out-dir", str(copy / "dist"), str(copy)],
            env={**os.environ, "MEPASSA_COMPILE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NotCompiledError("\n".join(["the build failed:", *done.stdout.splitlines()[-15:]]))
        (wheel,) = (copy / "dist").glob("*.whl")
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as unpacked, zipfile.ZipFile(wheel) as packed:
            packed.extractall(whole := Path(unpacked) / "whole")
            try:
                whole.rename(folder)
            except OSError:
                if not folder.exists():  # else another run has built the same meanwhile
                    raise


def main(command: list[str]) -> int:
    try:
        env = environment()
    except NotCompiledError as error:
        print(f"dev: not compiled: {error}", file=sys.stderr)
        return 1
    if shutil.which(command[0]) is None:
        print(f"dev: there is no command {command[0]}", file=sys.stderr)
        return 127
    if os.name != "nt":
        os.execvpe(command[0], command, env)  # noqa: S606 - no shell is wanted: the same process, which every signal reaches
    return subprocess.run(command, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
