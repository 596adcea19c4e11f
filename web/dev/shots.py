"""Pictures of every state, to be looked at: three widths, two themes.

python -m web.dev.shots FOLDER [NAME…]      (NAME picks states; `--quick` takes 360 dark and 1280 light only)
"""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from web.dev.chromium import CHROMIUM_FLAGS

WIDTHS = {360: 740, 768: 1024, 1280: 820}


def nothing(_page: Page) -> None:
    pass


def open_chat(name: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.locator("a.row", has_text=name).first.click()
        page.wait_for_timeout(350)

    return act


def then(*acts: Callable[[Page], None]) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        for one in acts:
            one(page)

    return act


def click(selector: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.locator(selector).first.click()
        page.wait_for_timeout(250)

    return act


def badge(at: int) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.locator("[data-journey]").nth(at).click()
        page.wait_for_timeout(250)

    return act


def write(text: str, *, send: bool = False) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.locator("form textarea").first.fill(text)
        if send:
            page.keyboard.press("Enter")
        page.wait_for_timeout(400)

    return act


STATES: dict[str, tuple[str, Callable[[Page], None]]] = {
    "first-run": ("first", nothing),
    "list": ("daily", nothing),
    "chat": ("daily", open_chat("Bia")),
    "relayed": ("daily", open_chat("Caio")),
    "requested": ("daily", open_chat("Marina")),
    "long-name": ("daily", open_chat("João")),
    "journey-direct": ("daily", then(open_chat("Bia"), badge(-2))),
    "journey-relayed": ("daily", then(open_chat("Caio"), badge(0))),
    "journey-stored": ("daily", then(open_chat("Zé"), badge(1))),
    "details": ("daily", then(open_chat("Bia"), click("header button[aria-expanded]"), click("button[aria-controls]"))),
    "requests": ("daily", click("nav button >> nth=1")),
    "request": ("daily", then(click("nav button >> nth=1"), open_chat("Tomás"))),
    "add": (
        "daily",
        then(click("header button >> nth=1"), write("https://exemplo.org/"), click("dialog form > button")),
    ),
    "link": ("daily", then(click("header button >> nth=0"), click("dialog .panel button.main"))),
    "qr": (
        "daily",
        then(click("header button >> nth=0"), click("dialog [role=tab] >> nth=1"), click("dialog .panel button.main")),
    ),
    "settings": ("trouble", click("nav button >> nth=2")),
    "keys": ("daily", then(click("nav button >> nth=2"), click("dialog .wide"))),
    "sent": ("daily", then(open_chat("Bia"), write("Fechado!\nAté sábado", send=True))),
    "too-long": ("daily", then(open_chat("Marina"), write("Oi! " * 700))),
    "home-away": ("trouble", open_chat("Bia")),
    "waits-direct": ("trouble", open_chat("Nina")),
    "failed": ("trouble", open_chat("Otto")),
    "odd": ("odd", click("a.row >> nth=0")),
    "odd-list": ("odd", nothing),
    "odd-request": ("odd", then(click("nav button >> nth=1"), click("a.row >> nth=0"))),
    "many": ("many", open_chat("Bia")),
    "closed": ("closed", nothing),
    "loading": ("slow", lambda page: page.wait_for_timeout(900)),
}


def main(folder: Path, names: list[str], *, is_quick: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "web.dev.recorded", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        assert server.stdout
        url = json.loads(server.stdout.readline())["url"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS)
        for name, (scenario, act) in STATES.items():
            if names and name not in names:
                continue
            for width, height in WIDTHS.items():
                for theme in ("light", "dark"):
                    if is_quick and (width, theme) not in {(360, "dark"), (1280, "light")}:
                        continue
                    data = json.dumps({"name": scenario}).encode()
                    asked = urllib.request.Request(f"{url}/dev/scenario", data, {"Content-Type": "application/json"})
                    urllib.request.urlopen(asked).close()
                    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
                    page.goto(url)
                    if scenario not in {"slow", "closed"}:
                        page.wait_for_selector("section[aria-label]:not([aria-busy])")
                    page.wait_for_timeout(150)
                    try:
                        act(page)
                    except Exception as error:  # noqa: BLE001 - one broken state must not hide the others
                        print(f"{name} {width} {theme}: {str(error).splitlines()[0]}")
                    page.screenshot(path=folder / f"{name}-{width}-{theme}.png")
                    page.close()
        browser.close()
        server.terminate()


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--quick"]
    main(Path(arguments[0]), arguments[1:], is_quick="--quick" in sys.argv)
