"""Names and texts from outside are shown inert: no markup, no turned lines, nothing unseen."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from web.dev.scenarios import HOSTILE_NAMES, HOSTILE_TEXTS

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


def test_bidi_and_zero_width_characters_are_marks_that_can_be_seen(open_page: OpenPage) -> None:
    page = open_page("odd")
    page.locator("a.row").first.click()
    shown = page.locator("body").inner_text()
    assert not re.search("[\u200b\u202a-\u202e\u2060-\u2069\ufeff]", shown)
    assert "U+202E" in shown
    expect(page.locator("a.row", has_text="gnp.exe")).to_contain_text("AnaU+202Egnp.exe")
    for attribute in ("aria-label", "title", "placeholder"):
        values = page.locator(f"[{attribute}]").evaluate_all(f"all => all.map(one => one.getAttribute('{attribute}'))")
        assert not re.search("[\u200b\u202a-\u202e\u2060-\u2069\ufeff]", "".join(values))


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
