"""The demo page against a recorded demo: switches, tour, frames, both themes."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

OpenPage = Callable[..., Page]


def test_a_message_written_in_one_frame_shows_in_the_other(open_url: OpenPage, recorded_demo: Any) -> None:
    page = open_url(recorded_demo.url)
    ana = page.frame_locator("iframe[title='Aparelho de Ana']")
    beto = page.frame_locator("iframe[title='Aparelho de Beto']")
    beto.get_by_label("Mensagem para Ana").wait_for()  # two pages load at once
    ana.get_by_label("Mensagem para Beto").fill("Você me ouve?")
    ana.get_by_label("Mensagem para Beto").press("Enter")
    expect(beto.locator(".bubble", has_text="Você me ouve?")).to_be_visible()
    expect(page.locator(".way.live[data-kind=direct]")).to_have_count(1)


def test_switches_cut_and_the_drawing_says_so(open_url: OpenPage, recorded_demo: Any) -> None:
    page = open_url(recorded_demo.url)
    direct = page.get_by_role("switch", name="Caminho direto")
    expect(direct).to_be_checked()
    direct.click()
    expect(direct).not_to_be_checked()
    expect(page.get_by_text("direto: cortado")).to_be_visible()
    expect(page.locator(".way.live[data-kind=relayed]")).to_have_count(1)
    page.get_by_role("switch", name="Beto na rede").click()
    expect(page.get_by_text("O aparelho de Beto está desligado.")).to_be_visible()
    page.get_by_role("switch", name="Beto na rede").click()
    expect(page.locator("iframe[title='Aparelho de Beto']")).to_be_visible()


def test_theme_and_language_reach_the_frames(open_url: OpenPage, recorded_demo: Any) -> None:
    page = open_url(recorded_demo.url)
    ana = page.frame_locator("iframe[title='Aparelho de Ana']")
    expect(ana.get_by_label("Mensagem para Beto")).to_be_visible()
    page.get_by_label("Idioma").select_option("en")
    page.get_by_label("Appearance").select_option("dark")
    frame = page.frame_locator("iframe[title='Ana’s device']")
    expect(frame.get_by_label("Message to Beto")).to_be_visible()
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")


@pytest.mark.slow
def test_the_tour_runs_to_its_end_step_by_step(open_url: OpenPage, recorded_demo: Any) -> None:
    page = open_url(recorded_demo.url)
    page.get_by_role("button", name="Começar a visita").click()
    expect(page.locator("[aria-current=step]")).to_have_count(1)
    expect(page.get_by_text("Tudo certo. Agora é com você")).to_be_visible(timeout=30_000)
    expect(page.locator(".step.ok")).to_have_count(13)
    page.get_by_role("button", name="Entregue sem servidor").click()
    expect(page.get_by_role("dialog")).to_contain_text("server_deposits")


@pytest.mark.slow
@pytest.mark.parametrize("width, theme", [(360, "dark"), (768, "light"), (1280, "dark")])
def test_axe_finds_nothing_on_the_demo_page(open_url: OpenPage, recorded_demo: Any, width: int, theme: str) -> None:
    page = open_url(recorded_demo.url, width=width, height=820, theme=theme)
    page.frame_locator("iframe[title='Aparelho de Beto']").get_by_label("Mensagem para Ana").wait_for()
    page.evaluate("Promise.all(document.getAnimations().map(one => one.finished.catch(() => null)))")
    result = Axe().run(page).response
    found = [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:160]}"
        for one in result["violations"]
        for node in one["nodes"]
    ]
    assert not found, "\n".join(found)
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_a_demo_that_stopped_says_so(open_url: OpenPage, recorded_demo: Any) -> None:
    page = open_url(recorded_demo.url)
    expect(page.get_by_role("switch", name="Ponte")).to_be_enabled()
    page.route(
        re.compile("/api/demo/switch"),
        lambda route: route.fulfill(
            status=409, json={"error": {"code": "ConflictError", "message": "", "field": None}}
        ),
    )
    page.get_by_role("switch", name="Ponte").click()
    expect(page.get_by_role("alert")).to_contain_text("não combina")
