"""Every state that the pages can be in, and how one gets there: what `web.dev.shots` takes pictures of.

The list follows docs/guides/interface.md and the words' keys: empty, first run, loading, offline, refused, very long,
right-to-left; each dialog, each answer of the node that a person sees.
"""

import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page

from web.dev.scenarios import made_id

SETTLED_MS = 350
"""Longer than any motion of the page."""
BIA, ZE = made_id("chat", "Bia"), made_id("chat", "Tio Zé")
CLICKED = "nav button >> nth=1"


@dataclass(frozen=True)
class Scene:
    """A page, and the doors of the recorded server behind it."""

    page: Page
    url: str

    def ask(self, door: str, **value: object) -> None:
        data = json.dumps(value).encode()
        request = urllib.request.Request(f"{self.url}/dev/{door}", data, {"Content-Type": "application/json"})
        urllib.request.urlopen(request).close()


Act = Callable[[Scene], None]


@dataclass(frozen=True)
class State:
    """Where it begins, and what is done one after the other. `scenario` "demo" is the demo's page."""

    scenario: str
    acts: tuple[Act, ...] = ()


def state(scenario: str, *acts: Act) -> State:
    return State(scenario, acts)


def opened(name: str) -> Act:
    """The conversation (or request) in whose row this stands."""

    def act(scene: Scene) -> None:
        scene.page.locator("a.row", has_text=name).first.click()
        scene.page.wait_for_timeout(SETTLED_MS)

    return act


def clicked(selector: str) -> Act:
    def act(scene: Scene) -> None:
        scene.page.locator(selector).first.click()
        scene.page.wait_for_timeout(SETTLED_MS)

    return act


def badge(at: int) -> Act:
    """How message number `at` travelled."""

    def act(scene: Scene) -> None:
        scene.page.locator("[data-journey]").nth(at).click()
        scene.page.wait_for_timeout(SETTLED_MS)

    return act


def written(text: str, *, sent: bool = False, field: str = "form textarea") -> Act:
    def act(scene: Scene) -> None:
        scene.page.locator(field).first.fill(text)
        if sent:
            scene.page.keyboard.press("Enter")
        scene.page.wait_for_timeout(SETTLED_MS)

    return act


def told(door: str, **value: object) -> Act:
    """Steers the recorded server."""

    def act(scene: Scene) -> None:
        scene.ask(door, **value)
        scene.page.wait_for_timeout(SETTLED_MS)

    return act


def waited(ms: int) -> Act:
    return lambda scene: scene.page.wait_for_timeout(ms)


def ran(script: str) -> Act:
    def act(scene: Scene) -> None:
        scene.page.evaluate(script)
        scene.page.wait_for_timeout(SETTLED_MS)

    return act


def pressed(key: str) -> Act:
    def act(scene: Scene) -> None:
        scene.page.keyboard.press(key)
        scene.page.wait_for_timeout(SETTLED_MS)

    return act


def reloaded(scene: Scene) -> None:
    scene.page.reload()
    scene.page.wait_for_timeout(900)


def back(scene: Scene) -> None:
    scene.page.go_back()
    scene.page.wait_for_timeout(SETTLED_MS)


def switched(at: int) -> Act:
    """A switch of the demo's page."""

    def act(scene: Scene) -> None:
        scene.page.locator("[role=switch]").nth(at).click()
        scene.page.wait_for_timeout(1_000)

    return act


DETAILS = "header > button[aria-expanded]"
UNREAD = {"id": ZE, "name": "Tio Zé", "account_id": made_id("Tio Zé"), "state": "accepted", "unread": 128, "path": None}
WITHDRAWN = {
    "id": BIA,
    "name": "Bia",
    "account_id": made_id("Bia"),
    "state": "accepted",
    "unread": 0,
    "path": None,
    "policy": "auto",
    "verification": "withdrawn",
}
SCROLLED = "document.querySelector('.messages').scrollTop -= 1400"

STATES: dict[str, State] = {
    # nobody yet, and while things come
    "first-run": state("first"),
    "loading": state("slow", waited(900)),
    "closed": state("closed"),
    "unreachable": state("daily", told("drop", away=True), reloaded),
    # the list
    "list": state("daily"),
    "list-selected": state("daily", opened("Rafael"), back),
    "list-draft": state("daily", opened("Caio"), written("Já te ligo, estou no ônibus e"), back),
    "list-many": state("many"),
    "list-unread": state("daily", told("event", type="chat", chat={**UNREAD, "policy": "auto"})),
    "found": state("daily", written("ma", field="#find")),
    "found-none": state("daily", written("Zuleide", field="#find")),
    "unread-only": state("daily", clicked(".chips button >> nth=1")),
    "blocked-list": state("daily", clicked("summary"), ran("document.querySelector('.rows').scrollTop = 9999")),
    # a conversation
    "chat": state("daily", opened("Bia")),
    "relayed": state("daily", opened("Caio")),
    "stored": state("daily", opened("Dona Lúcia")),
    "requested": state("daily", opened("Marina")),
    "blocked": state("daily", clicked("summary"), opened("Promoções")),
    "long-name": state("daily", opened("João")),
    "many": state("many", opened("Bia")),
    "scrolled": state("many", opened("Bia"), ran(SCROLLED)),
    "focus": state("daily", opened("Bia"), pressed("Shift+Tab")),
    # writing
    "sent": state("daily", opened("Bia"), written("Fechado!\nAté sábado", sent=True)),
    "grown": state("daily", opened("Bia"), written("Lista:\n– bolo\n– pratinhos\n– velas\n– bexigas\n– refrigerante")),
    "nearly-too-long": state("daily", opened("Marina"), written("Oi! " * 480)),
    "too-long": state("daily", opened("Marina"), written("Oi! " * 700)),
    "refused": state(
        "daily",
        opened("Bia"),
        told("fail", method="POST", code="DiskFullError", status=500, times=9),
        written("Isso não coube no disco", sent=True),
    ),
    "waiting": state(
        "daily", opened("Bia"), told("drop", away=True), written("Você me ouve?", sent=True), waited(1_500)
    ),
    # how a message travelled
    "journey-direct": state("daily", opened("Bia"), badge(-2)),
    "journey-relayed": state("daily", opened("Caio"), badge(0)),
    "journey-stored": state("daily", opened("Zé"), badge(1)),
    "journey-exact": state("daily", opened("Caio"), badge(-1), clicked("[popover] summary")),
    "journey-waiting": state("trouble", opened("Nina"), badge(-1)),
    # details
    "details": state("daily", opened("Bia"), clicked(DETAILS)),
    "details-number": state("daily", opened("Bia"), clicked(DETAILS), clicked("button[aria-controls]")),
    "details-code": state(
        "daily", opened("Bia"), clicked(DETAILS), clicked("button[aria-controls]"), clicked(".details details summary")
    ),
    "verified": state(
        "daily",
        opened("Bia"),
        clicked(DETAILS),
        clicked("button[aria-controls]"),
        clicked(".details section .button.main"),
    ),
    "withdrawn": state("daily", told("event", type="chat", chat=WITHDRAWN), opened("Bia"), clicked(DETAILS)),
    "details-block": state("daily", opened("Caio"), clicked(DETAILS), clicked(".details .danger.wide")),
    "policy-saved": state("daily", opened("Caio"), clicked(DETAILS), clicked(".details label >> nth=1")),
    # requests
    "requests": state("daily", clicked(CLICKED)),
    "requests-none": state("first", clicked(CLICKED)),
    "request": state("daily", clicked(CLICKED), opened("Tomás")),
    "request-number": state("daily", clicked(CLICKED), opened("Tomás"), clicked("button[aria-controls]")),
    "request-refused": state("daily", clicked(CLICKED), opened("Tomás"), clicked(".buttons .danger")),
    # meeting
    "add": state("daily", clicked("header button >> nth=1")),
    "add-wrong": state(
        "daily", clicked("header button >> nth=1"), written("https://exemplo.org/"), clicked("dialog form > button")
    ),
    "add-refused": state(
        "daily",
        clicked("header button >> nth=1"),
        written("https://casa.exemplo.org/i#velho"),
        clicked("dialog form > button"),
    ),
    "link": state("daily", clicked("header button >> nth=0"), clicked("dialog .panel button.main")),
    "link-before": state("daily", clicked("header button >> nth=0")),
    "link-cancelled": state(
        "daily",
        clicked("header button >> nth=0"),
        clicked("dialog .panel button.main"),
        clicked("dialog .panel button.danger"),
    ),
    "qr": state(
        "daily",
        clicked("header button >> nth=0"),
        clicked("dialog [role=tab] >> nth=1"),
        clicked("dialog .panel button.main"),
    ),
    "qr-over": state(
        "daily",
        clicked("header button >> nth=0"),
        clicked("dialog [role=tab] >> nth=1"),
        clicked("dialog .panel button.main"),
        ran("(now => { Date.now = () => now() + 660_000 })(Date.now.bind(Date))"),
        waited(1_100),
    ),
    # settings
    "settings": state("trouble", clicked("nav button >> nth=2")),
    "keys": state("daily", clicked("nav button >> nth=2"), clicked("dialog .wide")),
    # what does not work
    "home-away": state("trouble", opened("Bia")),
    "down": state("daily", opened("Bia"), told("drop", away=True), waited(1_800)),
    "alarm": state("daily", opened("Bia"), told("event", type="alarm", chat_id=BIA, note="DeviceListForkError")),
    "waits-direct": state("trouble", opened("Nina")),
    "failed": state("trouble", opened("Otto")),
    # names and texts that try to break out
    "odd": state("odd", clicked("a.row >> nth=0")),
    "odd-top": state("odd", clicked("a.row >> nth=1"), ran("document.querySelector('.messages').scrollTop = 0")),
    "odd-list": state("odd"),
    "odd-request": state("odd", clicked(CLICKED), clicked("a.row >> nth=0")),
    "odd-details": state("odd", opened("Maximiliana"), clicked(DETAILS)),
    "odd-journey": state("odd", opened("gnp.exe"), badge(-1)),
    # the demo's page
    "demo": state("demo"),
    "demo-cut": state("demo", switched(0)),
    "demo-off": state("demo", switched(2)),
    "demo-server-off": state("demo", switched(3)),
    "demo-touring": state("demo", clicked("footer .start button"), waited(5_200)),
    "demo-done": state("demo", clicked("footer .start button"), waited(12_500)),
    "demo-evidence": state(
        "demo", clicked("footer .start button"), waited(12_500), clicked("footer li button >> nth=1")
    ),
}
