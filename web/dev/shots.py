"""Pictures of every state, to be looked at: three widths, two themes.

python -m web.dev.shots FOLDER [NAME…]      (NAME picks states, `demo*` all that begin so; `--quick` takes 360 dark and
                                             1280 light only; `--english` speaks English)
"""

import fnmatch
import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

from web.dev.chromium import CHROMIUM_FLAGS
from web.dev.states import STATES, Scene, State

WIDTHS = {360: 740, 768: 1024, 1280: 820}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
QUICK = {(360, "dark"), (1280, "light")}


def served(module: str, stack: ExitStack) -> str:
    """Starts a recorded server; returns its address."""
    command = [sys.executable, "-m", module, "--port", "0"]
    server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    stack.callback(server.terminate)
    assert server.stdout
    url: str = json.loads(server.stdout.readline())["url"]
    return url


@dataclass(frozen=True)
class Look:
    """How a page is looked at."""

    width: int
    theme: Literal["light", "dark"]
    language: str


def take(browser: Browser, url: str, state: State, look: Look, path: Path) -> None:
    context = browser.new_context(
        viewport={"width": look.width, "height": WIDTHS[look.width]},
        color_scheme=look.theme,
        locale=look.language,
        has_touch=look.width < 760,
    )
    page = context.new_page()
    scene = Scene(page, url)
    scene.ask("reset") if state.scenario == "demo" else scene.ask("scenario", name=state.scenario)
    page.goto(url)
    if state.scenario == "demo":
        page.frame_locator("iframe >> nth=1").locator("textarea").wait_for()
    elif state.scenario not in {"slow", "closed"}:
        page.wait_for_selector("section[aria-label]:not([aria-busy])")
    page.wait_for_timeout(150)
    try:
        for act in state.acts:
            act(scene)
    except Exception as error:  # noqa: BLE001 - one broken state must not hide the others
        print(f"{path.stem}: {str(error).splitlines()[0]}", flush=True)
    page.screenshot(path=path)
    context.close()


def main(folder: Path, names: list[str], *, is_quick: bool, language: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        urls = {module: served(f"web.dev.{module}", stack) for module in ("recorded", "demo")}
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS
        )
        for name, state in STATES.items():
            if names and not any(fnmatch.fnmatchcase(name, wanted) for wanted in names):
                continue
            url = urls["demo" if state.scenario == "demo" else "recorded"]
            for look in (Look(width, theme, language) for width in WIDTHS for theme in THEMES):
                if not is_quick or (look.width, look.theme) in QUICK:
                    take(browser, url, state, look, folder / f"{name}-{look.width}-{look.theme}.png")
        browser.close()


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    main(
        Path(arguments[0]),
        arguments[1:],
        is_quick="--quick" in sys.argv,
        language="en-US" if "--english" in sys.argv else "pt-BR",
    )
