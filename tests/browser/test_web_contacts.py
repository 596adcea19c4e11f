"""Contacts: links, codes, requests, policies, blocking."""

import re
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from web.dev.scenarios import made_id

OpenPage = Callable[..., Page]


def wave_away(page: Page, text: str) -> None:
    """Closes a notice: what it says is done now."""
    page.locator(".notice", has_text=text).get_by_role("button", name="Fechar").click()


def state_of(recorded: Any, name: str) -> str:
    return str(next(chat for chat in recorded.ask("/api/v1/chats") if chat["name"] == name)["state"])


def until(holds: Callable[[], bool]) -> None:
    """Waits for the recorded node to have heard."""
    for _ in range(100):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("the node has not heard of it")


def test_the_first_run_offers_the_two_ways_to_meet(open_page: OpenPage) -> None:
    page = open_page("first")
    expect(page.get_by_role("heading", name="Oi, Ana! Com quem você quer falar?")).to_be_visible()
    page.get_by_role("main").get_by_role("button", name="Convidar alguém").click()
    expect(page.get_by_role("dialog", name="Convidar alguém")).to_be_visible()


def test_a_link_is_made_copied_and_cancelled_even_after_a_reload(open_page: OpenPage, recorded: Any) -> None:
    page = open_page("first")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Convidar alguém").first.click()
    page.get_by_role("button", name="Criar link").click()
    link = page.get_by_label("Seu link").input_value()
    assert "/i#" in link
    expect(page.get_by_text("Vale por 30 dias")).to_be_visible()
    page.get_by_role("button", name="Copiar").click()
    expect(page.get_by_text("Copiado")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == link
    page.reload()
    page.get_by_role("button", name="Convidar alguém").first.click()
    expect(page.get_by_text("Links criados antes")).to_be_visible()
    assert link not in page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
    page.get_by_role("button", name="Cancelar este link").click()
    expect(page.get_by_text("Links criados antes")).to_have_count(0)
    page.get_by_role("button", name="Desfazer").click()
    expect(page.get_by_text("Links criados antes")).to_be_visible()
    assert not [one for one in recorded.ask("/dev/requests") if one.startswith("DELETE")]
    page.get_by_role("button", name="Cancelar este link").click()
    wave_away(page, "Link cancelado")
    expect(page.get_by_text("Links criados antes")).to_have_count(0)
    until(lambda: recorded.ask("/dev/requests")[-1].startswith("DELETE /api/v1/invites/"))


def test_a_code_on_the_screen_is_drawn_and_counts_down(open_page: OpenPage) -> None:
    page = open_page("first")
    page.get_by_role("button", name="Convidar alguém").first.click()
    page.get_by_role("tab", name="Código na tela").click()
    page.get_by_role("button", name="Mostrar o código").click()
    code = page.get_by_role("img", name="Código QR do seu convite")
    expect(code).to_be_visible()
    box = code.bounding_box()
    assert box
    assert box["width"] == box["height"] > 200
    expect(page.get_by_text(re.compile(r"Serve uma vez, por (10 min 00|9 min 5\d) s"))).to_be_visible()


def test_adding_by_link_asks_how_to_talk_and_says_what_is_wrong(open_page: OpenPage, recorded: Any) -> None:
    page = open_page("first")
    page.get_by_role("button", name="Usar um link").first.click()
    field = page.get_by_label("Link do MePassa")
    expect(field).to_be_focused()
    field.fill("casa.exemplo.org")
    field.press("Enter")
    expect(page.get_by_text("não parece um link")).to_be_visible()
    field.fill("https://casa.exemplo.org/i#velho")
    field.press("Enter")
    expect(page.get_by_text("O convite não vale mais")).to_be_visible()
    field.fill(" https://casa.exemplo.org/i#novo ")
    page.get_by_label("Só por servidores").check()
    page.get_by_role("button", name="Adicionar").click()
    expect(page.get_by_text("ela vai junto com o pedido, e Beto decide")).to_be_visible()
    page.get_by_label("Mensagem para Beto").fill("Oi!")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Quando Beto aceitar")).to_be_visible()
    chat = next(iter(recorded.ask("/api/v1/chats")))
    assert (chat["state"], chat["policy"]) == ("requested", "hide_my_ip")


def test_a_request_shows_name_text_and_number_and_is_accepted_through_servers(
    open_page: OpenPage, recorded: Any
) -> None:
    page = open_page()
    page.get_by_role("button", name=re.compile("^Pedidos")).click()
    page.locator("a.row", has_text="Tomás Lima").click()
    request = page.get_by_role("article")
    expect(request).to_contain_text("Peguei seu link com a Bia")
    request.get_by_role("button", name="Mostrar o número").click()
    expect(request.get_by_role("list", name="Número de segurança").get_by_role("listitem")).to_have_count(12)
    request.get_by_label("Só por servidores").check()
    request.get_by_role("button", name="Aceitar").click()
    expect(page.get_by_label("Mensagem para Tomás Lima")).to_be_visible()
    tomas = next(chat for chat in recorded.ask("/api/v1/chats") if chat["name"] == "Tomás Lima")
    assert (tomas["state"], tomas["policy"]) == ("accepted", "hide_my_ip")


def test_a_refused_request_goes_away_quietly(open_page: OpenPage, recorded: Any) -> None:
    page = open_page()
    page.get_by_role("button", name=re.compile("^Pedidos")).click()
    page.locator("a.row", has_text="Tomás Lima").click()
    page.get_by_role("button", name="Recusar").click()
    expect(page.get_by_text("Nenhum pedido agora.").first).to_be_visible()
    wave_away(page, "Pedido recusado")
    until(lambda: state_of(recorded, "Tomás Lima") == "blocked")


def test_a_refusal_can_be_taken_back_for_a_moment(open_page: OpenPage, recorded: Any) -> None:
    page = open_page()
    page.get_by_role("button", name=re.compile("^Pedidos")).click()
    page.locator("a.row", has_text="Tomás Lima").click()
    page.get_by_role("button", name="Recusar").click()
    expect(page.locator("a.row")).to_have_count(0)
    page.get_by_role("button", name="Desfazer").click()
    expect(page.get_by_role("button", name="Aceitar")).to_be_visible()
    assert state_of(recorded, "Tomás Lima") == "request"
    assert not [one for one in recorded.ask("/dev/requests") if one.endswith("/block")]

    page.get_by_role("button", name="Recusar").click()
    page.keyboard.press("Control+Z")
    expect(page.get_by_role("button", name="Aceitar")).to_be_visible()
    assert state_of(recorded, "Tomás Lima") == "request"


def test_what_was_decided_is_done_when_the_page_goes(open_page: OpenPage, recorded: Any) -> None:
    page = open_page()
    page.get_by_role("button", name=re.compile("^Pedidos")).click()
    page.locator("a.row", has_text="Tomás Lima").click()
    page.get_by_role("button", name="Recusar").click()
    expect(page.get_by_text("Pedido recusado.")).to_be_visible()
    page.goto("about:blank")
    until(lambda: state_of(recorded, "Tomás Lima") == "blocked")


def test_a_block_that_the_node_refuses_is_taken_back_and_said(open_page: OpenPage, recorded: Any) -> None:
    page = open_page()
    page.locator("a.row", has_text="Caio").click()
    page.get_by_role("button", name="Detalhes da conversa", exact=True).click()
    page.get_by_role("button", name="Bloquear Caio Mendes").click()
    expect(page.get_by_role("button", name="Cancelar")).to_be_focused()
    page.get_by_role("button", name="Bloquear", exact=True).click()
    recorded.ask("/dev/fail", {"method": "POST", "code": "DiskFullError", "status": 507})
    # News about the person in the meantime does not show them again.
    recorded.ask("/dev/event", {"type": "path", "chat_id": made_id("chat", "Caio Mendes"), "path": None})
    expect(page.get_by_label("Mensagem para")).to_have_count(0)
    wave_away(page, "Pessoa bloqueada")
    expect(page.get_by_text("O disco está cheio")).to_be_visible()
    expect(page.get_by_label("Mensagem para Caio")).to_be_visible()


def test_a_policy_is_chosen_in_words_and_goes_back_when_it_is_refused(open_page: OpenPage, recorded: Any) -> None:
    page = open_page()
    page.locator("a.row", has_text="Bia").click()
    page.get_by_role("button", name="Detalhes da conversa", exact=True).click()
    page.get_by_label("Só direto").check()
    expect(page.get_by_text("vale a partir da próxima mensagem")).to_be_visible()
    recorded.ask("/dev/fail", {"method": "PUT", "code": "UnsupportedError", "status": 400})
    page.get_by_label("Esconder meu endereço").click()
    expect(page.get_by_text("quando os dois usam o mesmo servidor")).to_be_visible()
    expect(page.get_by_label("Só direto")).to_be_checked()


def test_a_contact_is_verified_by_the_number_or_by_the_code_and_the_badge_says_so(
    open_page: OpenPage, recorded: Any
) -> None:
    page = open_page()
    page.locator("a.row", has_text="Bia").click()
    header = page.get_by_role("main").locator("header")
    page.get_by_role("button", name="Detalhes da conversa", exact=True).click()
    page.get_by_role("button", name="Mostrar o número").click()
    expect(page.get_by_text("Ainda não verificado.")).to_be_visible()
    page.get_by_text("Comparar por código").click()
    expect(page.get_by_role("img", name="Seu código, para Bia ler ou colar")).to_be_visible()
    own = page.get_by_label("Seu código, para Bia ler ou colar").last.input_value()
    theirs = page.get_by_label("O código na tela de Bia")
    for code, said in (
        ("olá", "Isto não é um código de segurança."),
        (own, "Este é o seu próprio código."),
        ("mepassa://verify/AAAA", "Não confere."),
    ):
        theirs.fill(code)
        theirs.press("Enter")
        expect(page.get_by_role("status").filter(has_text=said)).to_be_visible()
    expect(header.get_by_text("Verificado")).to_have_count(0)
    theirs.fill(" mepassa://verify/CAISIgogQmlhIHNlZXMgdGhpcyBjb2RlIG9uIGhlciBvd24gc2NyZWVu\n")
    page.get_by_role("button", name="Comparar").click()
    expect(page.get_by_role("status").filter(has_text="Confere: ninguém está no meio.")).to_be_visible()
    expect(header.get_by_text("Verificado")).to_have_count(1)
    expect(page.get_by_text("Verificado por você: hoje.")).to_be_visible()
    page.get_by_role("button", name="Tirar a marca").click()
    expect(header.get_by_text("Verificado")).to_have_count(0)
    page.get_by_role("button", name="São iguais").click()
    expect(header.get_by_text("Verificado")).to_have_count(1)
    bia = next(chat for chat in recorded.ask("/api/v1/chats") if chat["name"] == "Bia")
    recorded.ask("/dev/event", {"type": "chat", "chat": {**bia, "verification": "withdrawn"}})
    expect(header.get_by_text("Verificação retirada")).to_have_count(1)
    expect(page.get_by_text("A verificação foi retirada: a chave da conta de Bia")).to_be_visible()


def test_blocking_asks_first_and_ends_the_conversation(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("a.row", has_text="Caio").click()
    page.get_by_role("button", name="Detalhes da conversa", exact=True).click()
    page.get_by_role("button", name="Bloquear Caio Mendes").click()
    page.get_by_role("button", name="Bloquear", exact=True).click()
    expect(page.get_by_text("Você bloqueou esta pessoa.")).to_be_visible()
    expect(page.get_by_label("Mensagem para")).to_have_count(0)


def test_the_list_is_found_by_name_without_accents_and_filtered(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_label("Buscar pelo nome").fill("joao antonio")
    expect(page.locator("a.row")).to_have_count(1)
    page.get_by_label("Buscar pelo nome").fill("ninguém assim")
    expect(page.get_by_text("Ninguém com esse nome.")).to_be_visible()
    page.get_by_role("button", name="Limpar a busca").click()
    page.get_by_role("button", name="Não lidas", exact=True).click()
    expect(page.locator("a.row")).to_have_count(2)


def test_a_page_without_log_in_says_how_to_open_it(open_page: OpenPage) -> None:
    page = open_page("closed")
    expect(page.get_by_text("mepassa open")).to_be_visible()
