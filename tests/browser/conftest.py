"""The built page in Debian's Chromium, against the recorded node of `web/dev`. Whatever the console calls an error fails the test."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from mepassa import client
from web.dev.chromium import CHROMIUM_FLAGS

Needs = Callable[[str, str], Path]

EXPECTED_NOISE = ("Failed to load resource", "WebSocket connection to")
"""Chromium reports refused requests and lost sockets as errors; the tests that provoke them look at the page instead."""


@dataclass(frozen=True, slots=True)
class Steered:
    """A recorded server and its steering doors."""

    url: str

    def ask(self, path: str, value: object = None) -> Any:
        data = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"})  # noqa: S310 - our own loopback server
        with closing(urllib.request.urlopen(request, timeout=20)) as response:  # noqa: S310 - the same
            return json.load(response)


def started(module: str) -> Iterator[Steered]:
    dist = Path(client.__file__).parent / "web_dist" / "index.html"
    assert dist.exists(), f"the page is not built: {dist} (npm ci && npm run build in web/)"
    command = [sys.executable, "-m", module, "--port", "0"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield Steered(json.loads(server.stdout.readline())["url"])
        finally:
            server.terminate()
            server.wait(10)


@pytest.fixture(scope="session")
def recorded() -> Iterator[Steered]:
    yield from started("web.dev.recorded")


@pytest.fixture(scope="session")
def demo_server() -> Iterator[Steered]:
    yield from started("web.dev.demo")


@pytest.fixture
def recorded_demo(demo_server: Steered) -> Steered:
    """The recorded demo as it begins: everything on, nothing said."""
    demo_server.ask("/dev/reset", {})
    return demo_server


@pytest.fixture(scope="module")
def chromium(needs: Needs) -> Iterator[Browser]:
    """One browser a file: while Playwright runs, its event loop has the thread, and no asynchronous test could run."""
    executable = needs("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


OpenPage = Callable[..., Page]


@pytest.fixture
def open_url(chromium: Browser) -> Iterator[OpenPage]:
    """Opens a page at any address; the console is watched."""
    contexts = []
    troubles: list[str] = []

    def watch(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(EXPECTED_NOISE):
            troubles.append(message.text)

    def open_at(url: str, *, width: int = 1280, height: int = 820, theme: Any = "light", **options: Any) -> Page:
        options.setdefault("locale", "pt-BR")
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=theme, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", watch)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(url)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert not troubles, troubles


@pytest.fixture
def open_page(open_url: OpenPage, recorded: Steered) -> OpenPage:
    """Opens the node's page on a scenario of `web/dev/scenarios.py`."""

    def open_at(scenario: str = "daily", **options: Any) -> Page:
        recorded.ask("/dev/scenario", {"name": scenario})
        page = open_url(recorded.url, **options)
        if scenario != "closed":
            page.wait_for_selector("section[aria-label]:not([aria-busy])")
        return page

    return open_at
