"""The page on real nodes, and the demo page on the real demo: no recording anywhere."""

import asyncio
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Page, expect

from mepassa.cli.demo.stage import Person, Stage

T = TypeVar("T")

OpenUrl = Callable[..., Page]

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(300)]

SLOWLY = 20_000
"""Milliseconds that real programs on a busy machine may take to do what the page waits for."""


class Elsewhere:
    """A loop in a thread of its own: Playwright's has this one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[tuple[Stage, Elsewhere]]:
    elsewhere, made = Elsewhere(), Stage(tmp_path)
    try:
        elsewhere.run(made.open())
        yield made, elsewhere
    finally:
        elsewhere.run(made.close())
        elsewhere.close()


def address_of(stage: tuple[Stage, Elsewhere], person: Person) -> str:
    """What `mepassa open` opens."""

    async def address() -> str:
        code = (await person.api.post("/codes"))["code"]
        return f"{person.api.url}/open?code={code}&host=own"

    return stage[1].run(address())


def page_of(stage: tuple[Stage, Elsewhere], person: Person, open_url: OpenUrl) -> Page:
    return open_url(address_of(stage, person), locale="pt-BR")


def test_two_people_meet_and_talk_through_their_pages(stage: tuple[Stage, Elsewhere], open_url: OpenUrl) -> None:
    ana, beto = (page_of(stage, person, open_url) for person in stage[0].people)
    assert "code=" not in ana.url

    beto.get_by_role("button", name="Convidar alguém").first.click()
    beto.get_by_role("button", name="Criar link").click()
    link = beto.get_by_label("Seu link").input_value()
    beto.keyboard.press("Escape")

    ana.get_by_role("button", name="Usar um link").first.click()
    ana.get_by_label("Link do MePassa").fill(link)
    ana.get_by_role("button", name="Adicionar").click()
    ana.get_by_label("Mensagem para Beto").fill("Oi, Beto! É a Ana. <b>ok?</b>")
    ana.keyboard.press("Enter")

    beto.get_by_role("button", name=re.compile("^Pedidos")).click(timeout=SLOWLY)
    beto.locator("a.row", has_text="Ana").click(timeout=SLOWLY)
    expect(beto.get_by_text("Oi, Beto! É a Ana. <b>ok?</b>").last).to_be_visible()
    beto.get_by_role("button", name="Aceitar").first.click()

    beto.get_by_label("Mensagem para Ana").fill("Oi, Ana!", timeout=SLOWLY)
    beto.keyboard.press("Enter")
    expect(ana.get_by_text("Oi, Ana!").last).to_be_visible(timeout=SLOWLY)
    expect(ana.get_by_role("button", name=re.compile("Caminho direto"))).to_be_visible(timeout=SLOWLY)
    ana.get_by_label("Mensagem para Beto").fill("E esta vai direto")
    ana.keyboard.press("Enter")
    expect(beto.get_by_text("E esta vai direto").last).to_be_visible(timeout=SLOWLY)


def test_a_page_that_was_open_over_a_restart_says_what_to_do_and_goes_on_once_it_is_done(
    stage: tuple[Stage, Elsewhere], open_url: OpenUrl
) -> None:
    """Decision 0164: the cookie ends with the node that gave it."""
    ana = stage[0].people[0]
    page = page_of(stage, ana, open_url)
    expect(page.get_by_role("button", name="Convidar alguém").first).to_be_visible(timeout=SLOWLY)
    stage[1].run(ana.stop())
    expect(page.get_by_text("parou de responder")).to_be_visible(timeout=SLOWLY)
    stage[1].run(ana.start(None))
    expect(page.get_by_text("cada vez que o MePassa recomeçar")).to_be_visible(timeout=SLOWLY)
    expect(page.get_by_text("mepassa open")).to_be_visible()
    page.context.new_page().goto(address_of(stage, ana))
    expect(page.get_by_role("button", name="Convidar alguém").first).to_be_visible(timeout=SLOWLY)


def test_the_demos_page_shows_the_real_tour_and_its_switches_cut_things(open_url: OpenUrl) -> None:
    command = [sys.executable, "-m", "mepassa", "demo", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        try:
            page = open_url(json.loads(demo.stdout.readline())["page"], width=1440, height=900, locale="pt-BR")
            steps: list[dict[str, Any]] = []
            while not steps or steps[-1]["step"] != "done":
                steps.append(json.loads(demo.stdout.readline()))
            assert [step for step in steps if not step["ok"]] == []
            for who in ("Ana", "Beto"):
                frame = page.frame_locator(f"iframe[title*='{who}']")
                expect(frame.get_by_text("Sem servidor nenhum, ainda chega.").last).to_be_visible(timeout=SLOWLY)
            page.get_by_role("switch", name="Servidor").click()
            expect(page.get_by_text("parado").first).to_be_visible(timeout=SLOWLY)
        finally:
            demo.terminate()
            demo.wait(60)
    assert demo.returncode == 0
