"""Writing, receiving, and what happens when the node or the world does not play along."""

import re
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from web.dev.scenarios import STORED, made_id

OpenPage = Callable[..., Page]

BIA = made_id("chat", "Bia")
ZE = made_id("chat", "Tio Zé")


def open_chat(page: Page, name: str) -> None:
    page.locator("a.row", has_text=name).first.click()
    expect(page.locator("header .title")).to_contain_text(name)


def write(page: Page, text: str) -> None:
    page.get_by_label("Mensagem para").fill(text)
    page.keyboard.press("Enter")


def incoming(chat_id: str, name: str, text: str, seq: int) -> dict[str, Any]:
    return {
        "id": made_id("incoming", chat_id, text),
        "chat_id": chat_id,
        "sender": made_id(name),
        "sent_at_ms": time.time_ns() // 1_000_000,
        "sender_seq": seq,
        "content": {"kind": "text", "text": text},
        "status": "delivered",
        "route": {"kind": "relayed", "transport": "quic", "via": "relay.exemplo.org:3478", "rtt_ms": 40},
    }


def test_an_own_message_appears_at_once_and_its_ticks_rise(open_page: OpenPage) -> None:
    page = open_page()
    open_chat(page, "Bia")
    write(page, "Fechado!")
    mine = page.locator(".bubble.mine", has_text="Fechado!")
    expect(mine).to_have_count(1)
    expect(mine.locator("[data-journey]")).to_have_attribute("aria-label", re.compile("direta, entregue"))
    expect(page.get_by_label("Mensagem para")).to_have_value("")
    expect(page.get_by_label("Mensagem para")).to_be_focused()


def test_shift_enter_makes_a_line_and_a_draft_stays_with_its_chat(open_page: OpenPage) -> None:
    page = open_page()
    open_chat(page, "Bia")
    field = page.get_by_label("Mensagem para")
    field.type("uma linha")
    page.keyboard.press("Shift+Enter")
    field.type("outra")
    expect(field).to_have_value("uma linha\noutra")
    open_chat(page, "Caio")
    expect(page.get_by_label("Mensagem para")).to_have_value("")
    expect(page.locator("a.row", has_text="Bia")).to_contain_text("Rascunho: uma linha outra")
    page.reload()
    open_chat(page, "Bia")
    expect(page.get_by_label("Mensagem para")).to_have_value("uma linha\noutra")


def test_a_node_that_went_away_gets_the_message_once_when_it_is_back(open_page: OpenPage, recorded: Any) -> None:
    page = open_page()
    open_chat(page, "Bia")
    recorded.ask("/dev/drop", {"away": True})
    expect(page.get_by_text("parou de responder")).to_be_visible()
    write(page, "Ainda aí?")
    expect(page.locator(".bubble", has_text="Ainda aí?").get_by_text("saindo")).to_be_attached()
    recorded.ask("/dev/drop", {"away": False})
    page.get_by_role("button", name="Tentar agora").click()
    expect(page.locator(".bubble.mine", has_text="Ainda aí?").locator("[data-journey]")).to_have_attribute(
        "aria-label", re.compile("entregue")
    )
    expect(page.locator(".bubble", has_text="Ainda aí?")).to_have_count(1)
    expect(page.get_by_text("parou de responder")).to_have_count(0)


def test_a_refused_message_says_why_and_can_be_tried_again_or_edited(open_page: OpenPage, recorded: Any) -> None:
    page = open_page()
    open_chat(page, "Bia")
    recorded.ask("/dev/fail", {"method": "POST", "code": "DiskFullError", "status": 507, "times": 2})
    write(page, "Sem espaço")
    expect(page.get_by_text("O disco está cheio")).to_be_visible()
    page.get_by_role("button", name="Tentar de novo").click()
    expect(page.get_by_text("O disco está cheio")).to_be_visible()
    page.get_by_role("button", name="Editar o texto").click()
    expect(page.get_by_label("Mensagem para")).to_have_value("Sem espaço")
    expect(page.locator(".bubble", has_text="Sem espaço")).to_have_count(0)


def test_a_text_over_the_limit_is_told_in_words_and_not_sent(open_page: OpenPage) -> None:
    page = open_page()
    open_chat(page, "Bia")
    field = page.get_by_label("Mensagem para")
    field.fill("é" * 8_193)
    expect(page.get_by_text("tire cerca de 2 letras")).to_be_visible()
    expect(page.get_by_role("button", name="Enviar", exact=True)).to_be_disabled()
    field.fill("é" * 8_192)
    expect(page.get_by_role("button", name="Enviar", exact=True)).to_be_enabled()
    open_chat(page, "Marina")
    page.get_by_label("Mensagem para").fill("a" * 2_049)
    expect(page.get_by_text("Comprida demais por uma letra.")).to_be_visible()


def test_a_dropped_socket_resumes_where_it_was(open_page: OpenPage, recorded: Any) -> None:
    page = open_page()
    open_chat(page, "Bia")
    write(page, "primeira")
    expect(page.locator(".bubble.mine", has_text="primeira").locator("[data-journey]")).to_have_attribute(
        "aria-label", re.compile("entregue")
    )
    before = len(recorded.ask("/dev/requests"))
    recorded.ask("/dev/drop", {})
    recorded.ask("/dev/event", {"type": "message", "message": incoming(BIA, "Bia", "enquanto você caía", 99)})
    expect(page.locator(".bubble", has_text="enquanto você caía")).to_have_count(1)
    later = [
        request for request in recorded.ask("/dev/requests")[before:] if "events" in request or "/chats" in request
    ]
    assert later[0].startswith("GET /api/v1/events?after="), later
    assert not [request for request in later if request.startswith("GET /api/v1/chats")], later


def test_after_a_reset_everything_is_read_anew(open_page: OpenPage, recorded: Any) -> None:
    page = open_page()
    open_chat(page, "Bia")
    recorded.ask(
        "/dev/event", {"type": "home", "home": {"url": "https://casa.exemplo.org", "connected": True, "error": None}}
    )
    recorded.ask("/dev/scenario", {"name": "many"})
    expect(page.locator("a.row", has_text="Contato 00")).to_be_visible()
    expect(page.locator("a.row", has_text="Caio")).to_have_count(0)


def test_an_incoming_message_is_counted_shown_and_read_when_looked_at(open_page: OpenPage, recorded: Any) -> None:
    page = open_page()
    open_chat(page, "Bia")
    chat = {
        "id": ZE,
        "name": "Tio Zé",
        "account_id": made_id("Tio Zé"),
        "state": "accepted",
        "unread": 4,
        "path": None,
        "policy": "auto",
    }
    recorded.ask("/dev/event", {"type": "message", "message": incoming(ZE, "Tio Zé", "Opa, de novo", 99)})
    recorded.ask("/dev/event", {"type": "chat", "chat": chat})
    row = page.locator("a.row", has_text="Tio Zé")
    expect(row).to_contain_text("Opa, de novo")
    expect(row).to_contain_text("4 mensagens não lidas")
    open_chat(page, "Tio Zé")
    expect(page.locator(".new")).to_have_text("4 mensagens novas")
    expect(row.locator(".badge")).to_have_count(0)
    assert any(request.startswith(f"POST /api/v1/chats/{ZE}/read") for request in recorded.ask("/dev/requests"))


def test_a_chat_opened_by_its_address_begins_at_the_new_messages(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate(f"history.replaceState(null, '', '#/chats/{ZE}')")
    page.reload()
    expect(page.locator(".new")).to_have_text("3 mensagens novas")
    expect(page.locator(".new")).to_be_in_viewport()


def test_the_path_pill_follows_the_live_path(open_page: OpenPage, recorded: Any) -> None:
    page = open_page()
    open_chat(page, "Bia")
    pill = page.get_by_role("button", name=re.compile("Abrir detalhes"))
    expect(pill).to_have_text("Caminho direto· 11 ms")
    recorded.ask("/dev/event", {"type": "path", "chat_id": BIA, "path": {"kind": "relayed", "rtt_ms": 80.4}})
    expect(pill).to_have_text("Pela ponte· 80 ms")
    recorded.ask("/dev/event", {"type": "path", "chat_id": BIA, "path": None})
    expect(pill).to_have_text("Sem caminho agora")


def test_the_route_record_tells_how_a_message_travelled_and_who_saw_it(open_page: OpenPage) -> None:
    page = open_page()
    for name, at, words, exact in (
        ("Bia", -1, "Nenhum servidor viu esta mensagem.", "libp2p"),
        ("Caio", 0, "nunca o texto", "relay.exemplo.org:3478"),
        ("Dona Lúcia", -1, "o apaga ao entregar", STORED.via or ""),
    ):
        open_chat(page, name)
        badge = page.locator("[data-journey]").nth(at)
        badge.click()
        record = page.get_by_role("dialog", name="Como esta mensagem viajou")
        expect(record).to_contain_text(words)
        record.get_by_text("Termos exatos").click()
        expect(record).to_contain_text(exact)
        page.keyboard.press("Escape")
        expect(record).to_have_count(0)
        expect(badge).to_be_focused()


def test_waiting_failed_and_unreadable_messages_say_what_to_do(open_page: OpenPage) -> None:
    page = open_page("trouble")
    expect(page.get_by_text("Sem contato com seu servidor")).to_be_visible()
    open_chat(page, "Nina")
    expect(page.get_by_text("Esperando um caminho direto até Nina.")).to_be_visible()
    page.get_by_role("button", name="Enviar pelo servidor").click()
    expect(page.locator("[data-journey]").last).to_have_attribute("aria-label", re.compile("guardada no servidor"))
    open_chat(page, "Otto")
    expect(page.locator(".bubble", has_text="Não foi possível abrir esta mensagem.")).to_be_visible()
    expect(page.get_by_text("precisa de uma versão mais nova")).to_be_visible()
    page.get_by_role("button", name="Enviar de novo").click()
    expect(page.get_by_text("Não chegou em 14 dias.")).to_have_count(0)


def test_older_messages_come_as_one_scrolls_and_the_view_stays_still(open_page: OpenPage) -> None:
    page = open_page("many")
    open_chat(page, "Bia")
    messages = page.get_by_role("region", name="Mensagens com Bia")
    expect(page.locator(".bubble", has_text="Mensagem número 399")).to_be_in_viewport()
    bubbles = page.locator(".bubble")
    for read in range(50, 400, 50):
        first = bubbles.first.inner_text()
        messages.evaluate("element => { element.scrollTop = 0 }")
        expect(bubbles).to_have_count(read + 50)
        assert messages.evaluate("element => element.scrollTop") > 400, f"{first} jumped away"
    expect(bubbles.first).to_contain_text("Mensagem número 0")
    messages.evaluate("element => { element.scrollTop = 0 }")
    expect(page.get_by_text("Aqui começa a conversa com Bia.")).to_be_attached()
    page.get_by_role("button", name="Ir para o fim").click()
    expect(page.locator(".bubble", has_text="Mensagem número 399")).to_be_in_viewport()


def test_an_alarm_stays_until_it_is_waved_away(open_page: OpenPage, recorded: Any) -> None:
    page = open_page()
    open_chat(page, "Bia")
    recorded.ask("/dev/event", {"type": "alarm", "chat_id": BIA, "note": "DeviceListForkError"})
    alarm = page.get_by_text("duas listas de aparelhos diferentes de Bia")
    expect(alarm).to_be_visible()
    page.get_by_role("alert").get_by_role("button", name="Fechar").click()
    expect(alarm).to_have_count(0)


def test_a_record_that_is_left_for_another_chat_is_gone_without_a_trace(open_page: OpenPage) -> None:
    """The press that closes it leads on: it is away before it hears of that."""
    page = open_page()
    open_chat(page, "Bia")
    record = page.get_by_role("dialog", name="Como esta mensagem viajou")
    for name in ("Caio", "Bia", "Caio"):
        page.locator("[data-journey]").last.click()
        expect(record).to_be_visible()
        open_chat(page, name)
        expect(record).to_have_count(0)
