"""Names and texts from outside are shown inert: no markup, no turned lines, nothing unseen."""

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from web.dev.scenarios import HOSTILE_NAMES, HOSTILE_TEXTS, made_id

OpenPage = Callable[..., Page]


def test_markup_in_names_and_texts_is_text(open_page: OpenPage) -> None:
    page = open_page("odd")
    page.locator("a.row", has_text="<script>").first.click()
    expect(page.locator("header .title")).to_have_text(HOSTILE_NAMES[1])
    expect(page.locator(".bubble", has_text="<img src=x onerror=")).to_be_visible()
    assert page.locator("#app img, #app script, #app .text b").count() == 0
    assert "owned" not in page.title()


def test_only_plain_web_addresses_become_links(open_page: OpenPage) -> None:
    page = open_page("odd")
    page.locator("a.row").first.click()
    links = page.locator(".bubble a")
    hrefs = links.evaluate_all("all => all.map(one => one.href)")
    assert hrefs
    assert all(re.match(r"https://exemplo\.org/", href) for href in hrefs), hrefs
    assert links.first.get_attribute("rel") == "noopener noreferrer nofollow"


UNSEEN = re.compile("[\u200b\u202a-\u202e\u2060-\u2069\ufeff]")


def assert_nothing_unseen(page: Page, where: str) -> None:
    """Not in a text, not in an attribute, not in the window's title."""
    found = UNSEEN.search(page.content() + page.title())
    assert not found, f"{where}: U+{ord(found[0]):04X} in {page.content()[found.start() - 80 : found.end() + 40]!r}"


def test_bidi_and_zero_width_characters_are_marks_that_can_be_seen(open_page: OpenPage) -> None:
    page = open_page("odd")
    page.locator("a.row").first.click()
    assert_nothing_unseen(page, "a conversation")
    expect(page.locator("a.row", has_text="gnp.exe")).to_contain_text("AnaU+202Egnp.exe")
    expect(page.locator(".bubble", has_text="pague")).to_contain_text("U+202E")


def test_a_name_is_inert_wherever_it_stands(open_page: OpenPage, recorded: Any) -> None:
    """List, header, window title, details, the question before blocking, record, alarm, request, settings, notices."""
    page = open_page("odd")
    expect(page).to_have_title(re.compile("^\\(1\\) Ana\ufffd+<i> · MePassa$"))
    page.locator("a.row", has_text="gnp.exe").click()
    name = "AnaU+202Egnp.exe"
    expect(page.locator("header .title")).to_have_text(name)
    expect(page.get_by_label("Mensagem para Ana\ufffdgnp.exe")).to_be_visible()
    recorded.ask("/dev/event", {"type": "alarm", "chat_id": made_id("chat", HOSTILE_NAMES[0]), "note": "new_device"})
    expect(page.get_by_role("alert").get_by_text("Ana\ufffdgnp.exe usa um aparelho novo")).to_be_visible()
    page.get_by_role("alert").get_by_role("button", name="Ver").click()
    panel = page.get_by_role("complementary", name="Detalhes da conversa")
    expect(panel.locator(".name")).to_have_text(name)
    panel.get_by_role("button", name="Bloquear Ana\ufffdgnp.exe").click()
    assert_nothing_unseen(page, "details and alarm")
    panel.get_by_role("button", name="Cancelar").click()

    page.locator("[data-journey]").first.click()
    record = page.get_by_role("dialog", name="Como esta mensagem viajou")
    record.get_by_text("Termos exatos").click()
    expect(record).to_contain_text("relayU+202E.exemplo.org:3478")
    assert_nothing_unseen(page, "the record")
    page.keyboard.press("Escape")

    page.get_by_role("button", name=re.compile("^Ajustes")).click()
    expect(page.get_by_role("dialog", name="Ajustes")).to_contain_text("casaU+202E.exemplo.org")
    assert_nothing_unseen(page, "settings")
    page.keyboard.press("Escape")

    page.get_by_role("button", name=re.compile("^Pedidos")).click()
    page.locator("a.row").first.click()
    expect(page.locator("article .title")).to_contain_text("U+2067Suporte do MePassaU+2069")
    assert_nothing_unseen(page, "a request")
    page.get_by_role("button", name="Recusar").click()
    expect(page.get_by_text("Pedido recusado.")).to_be_visible()
    assert_nothing_unseen(page, "a notice")
    assert page.locator("#app i:not(:empty)").count() == 0, "markup of a name"


def test_each_text_has_its_own_direction(open_page: OpenPage) -> None:
    page = open_page("odd")
    page.locator("a.row").first.click()
    arabic = page.locator(".bubble .text", has_text="مرحبا")
    assert arabic.evaluate("one => getComputedStyle(one).direction") == "rtl"
    latin = page.locator(".bubble .text", has_text="pague")
    assert latin.evaluate("one => getComputedStyle(one).direction") == "ltr"


def test_long_words_and_names_stay_inside_at_every_width(open_page: OpenPage) -> None:
    for width in (320, 768):
        page = open_page("odd", width=width, height=740)
        overflow = "document.documentElement.scrollWidth > innerWidth"
        assert not page.evaluate(overflow), width
        page.locator("a.row", has_text="Maximiliana").click()
        expect(page.locator(".bubble").first).to_be_attached()
        assert not page.evaluate(overflow), width
        region = page.get_by_role("region", name=re.compile("Mensagens com"))
        assert region.evaluate("one => one.scrollWidth <= one.clientWidth"), width


def test_every_hostile_text_is_shown(open_page: OpenPage) -> None:
    page = open_page("odd")
    page.locator("a.row").first.click()
    expect(page.locator(".bubble")).to_have_count(len(HOSTILE_TEXTS))
