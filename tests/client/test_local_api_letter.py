"""The local API to the letter: a real home, real nodes, every endpoint asked as a program outside would.

Ana and Beto are contacts of one home; Caio lives at another. Every answer is also validated against the node's own
OpenAPI document.
"""

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import pytest_asyncio

from devtools.programs import Answer, HomeProgram, Json, NodeProgram, Query, household
from mepassa.cli.demo.stage import until
from mepassa.client.api.types import DEFAULT_PAGE
from mepassa.model.content import MAX_REQUEST_TEXT_BYTES, MAX_TEXT_BYTES

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

NOBODY = "ab" * 16
MESSAGE_FIELDS = {"id", "chat_id", "sender", "sent_at_ms", "sender_seq", "content", "status", "route"}
CHAT_FIELDS = {
    "id", "name", "account_id", "state", "unread", "path", "policy", "verification", "verified_at_ms",
}  # fmt: skip
ROUTE_FIELDS = {"kind", "transport", "via", "address_class", "found_by", "rtt_ms"}
HEX16 = re.compile(r"[0-9a-f]{32}")


@dataclass
class Checked:
    """A node whose every answer is validated against what it says of itself."""

    node: NodeProgram
    document: Json = field(default_factory=dict)

    async def ask(
        self, method: str, path: str, body: object = None, *, data: bytes | None = None, query: Query | None = None
    ) -> Answer:
        if not self.document:
            self.document = await self.node.get("/openapi.json")
        answer = await self.node.ask(method, path, body, data=data, query=query)
        self.validate(method, path, answer)
        return answer

    async def get(self, path: str, **query: str | int) -> Any:
        answer = await self.ask("GET", path, query=query)
        assert answer.status == 200, answer
        return answer.body

    async def post(self, path: str, body: object = None) -> Any:
        answer = await self.ask("POST", path, {} if body is None else body)
        assert answer.status in {200, 204}, answer
        return answer.body

    def operation(self, method: str, path: str) -> Json | None:
        for template, operations in self.document["paths"].items():
            if re.fullmatch(re.sub(r"\{[a-z_]+\}", "[^/]+", template), path) and method.lower() in operations:
                return dict(operations[method.lower()])
        return None

    def validate(self, method: str, path: str, answer: Answer) -> None:
        operation = self.operation(method, path)
        if operation is None:
            assert answer.status in {404, 405}, f"{method} {path} answers, but the document does not know it"
            return
        responses = operation["responses"]
        response = responses.get(str(answer.status)) or responses[f"{answer.status // 100}XX"]
        if "content" not in response:
            assert answer.body is None
            return
        self.validate_as(response["content"]["application/json"]["schema"], answer.body)

    def validate_as(self, schema: Json, value: object) -> None:
        whole = {**schema, "components": self.document["components"]}
        jsonschema.Draft202012Validator(whole).validate(value)


@dataclass
class World:
    home: HomeProgram
    ana: Checked
    beto: Checked
    caio: Checked

    @property
    def chat(self) -> str:
        """Ana's chat with Beto."""
        return f"/chats/{self.beto.node.account_id}"

    @property
    def back(self) -> str:
        """Beto's chat with Ana."""
        return f"/chats/{self.ana.node.account_id}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder: Path = tmp_path_factory.mktemp("letter")
    elsewhere = HomeProgram(folder / "elsewhere", roles=("mailbox",))
    caio = NodeProgram("Caio", folder / "caio")
    async with household(folder) as (home, ana, beto):
        try:
            await elsewhere.start()
            await caio.init(elsewhere.url)
            await caio.start()
            yield World(home, Checked(ana), Checked(beto), Checked(caio))
        finally:
            await asyncio.gather(caio.stop(), elsewhere.program.stop())


def text(body: str, client_id: str | None = None) -> Json:
    return {"client_id": client_id or secrets.token_hex(16), "text": body}


# --- this node -----------------------------------------------------------------------------------------------------------


async def test_me_and_health_name_the_account_and_the_home(world: World) -> None:
    me = await world.ana.get("/me")
    assert set(me) == {"account_id", "device_id", "name", "home"}
    assert (me["account_id"], me["device_id"], me["name"]) == (world.ana.node.account_id, 1, "Ana")
    assert me["home"] == {"url": world.home.url, "connected": True, "error": None}
    health = await world.ana.get("/health")
    assert set(health) == {"ok", "home", "problems", "waiting"}
    assert health["ok"] is True
    assert health["problems"] == []


async def test_what_is_not_built_yet_says_so(world: World) -> None:
    for method, path, body, at in (
        ("GET", "/exposure", None, None),
        ("POST", "/contacts", {"username": "beto@example.org"}, "username"),
    ):
        answer = await world.ana.ask(method, path, body)
        assert (answer.status, answer.code) == (400, "UnsupportedError")
        assert answer.body["error"]["field"] == at


async def test_paths_are_switched_one_by_one_and_both_back_on(world: World) -> None:
    answers = [
        await world.ana.ask("PUT", "/paths", body)
        for body in ({"direct": False}, {"relay": False, "how": "silence"}, {}, {"direct": True, "relay": True})
    ]
    assert [answer.body for answer in answers] == [
        {"direct": False, "relay": True},
        {"direct": False, "relay": False},
        {"direct": False, "relay": False},
        {"direct": True, "relay": True},
    ]
    wrong: object
    for wrong in ({"direct": "false"}, {"relay": 1}, {"how": "gently"}, {"direkt": False}, []):
        answer = await world.ana.ask("PUT", "/paths", wrong)
        assert (answer.status, answer.code) == (400, "InvalidInputError"), wrong
    assert (await world.ana.ask("PUT", "/paths", {})).body == {"direct": True, "relay": True}


async def test_the_document_describes_every_endpoint_of_the_contract(world: World) -> None:
    await world.ana.get("/me")
    described = {(method.upper(), path) for path, methods in world.ana.document["paths"].items() for method in methods}
    contract = {
        "GET /me", "GET /health", "GET /exposure", "GET /openapi.json", "POST /invites", "DELETE /invites/{invite_id}",
        "POST /contacts", "GET /chats", "GET /chats/{chat_id}", "GET /chats/{chat_id}/messages",
        "GET /chats/{chat_id}/safety_number", "GET /chats/{chat_id}/safety_code", "POST /chats/{chat_id}/safety_code",
        "PUT /chats/{chat_id}/verification", "POST /chats/{chat_id}/messages", "POST /chats/{chat_id}/accept",
        "POST /chats/{chat_id}/block", "POST /chats/{chat_id}/read", "PUT /chats/{chat_id}/policy",
        "GET /messages/{message_id}", "POST /messages/{message_id}/send_by_server", "PUT /paths", "GET /events",
    }  # fmt: skip
    assert contract <= {f"{method} {path}" for method, path in described}


# --- who may ask ---------------------------------------------------------------------------------------------------------


async def test_only_this_persons_programs_and_page_may_ask(world: World) -> None:
    node = world.ana.node
    own = node.url.removeprefix("http://")
    for headers, status, code in (
        ({}, 401, "UnauthorizedError"),
        ({"Authorization": "Bearer " + "0" * 64}, 401, "UnauthorizedError"),
        ({**node.bearer, "Host": "mepassa.example"}, 403, "ForbiddenHostError"),
        ({**node.bearer, "Origin": "https://mepassa.example"}, 403, "ForbiddenOriginError"),
    ):
        for path in ("/me", "/openapi.json", "/events"):
            async with node.http.get(f"{node.url}/api/v1{path}", headers=headers) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (status, code)
    async with node.http.get(f"{node.url}/api/v1/me", headers={**node.bearer, "Origin": f"http://{own}"}) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Security-Policy"] == "default-src 'self'; frame-ancestors 'none'"


async def test_a_one_time_code_becomes_a_cookie_that_opens_the_api_and_the_events(world: World) -> None:
    node = world.ana.node
    code = (await world.ana.post("/codes"))["code"]
    async with node.http.get(f"{node.url}/open", params={"code": code}, allow_redirects=False) as answer:
        assert answer.status == 303
        cookie = answer.headers["Set-Cookie"]
    port = node.url.rpartition(":")[2]
    assert cookie.startswith(f"mepassa_{port}=")
    assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
    assert node.token not in cookie
    shown = {"Cookie": cookie.partition(";")[0]}
    async with node.http.get(f"{node.url}/api/v1/me", headers=shown) as answer:
        assert answer.status == 200
    async with node.http.ws_connect(f"{node.url}/api/v1/events", headers={**shown, "Origin": node.url}) as socket:
        assert not socket.closed
    async with node.http.get(f"{node.url}/open", params={"code": code}, allow_redirects=False) as answer:
        assert answer.status == 403


# --- invites and contacts ------------------------------------------------------------------------------------------------


async def test_an_invite_is_a_link_in_three_forms_and_ends_when_it_is_deleted(world: World) -> None:
    for kind, life_ms in (("link", 30 * 86_400_000), ("qr", 600_000)):
        made = await world.beto.post("/invites", {"kind": kind})
        assert set(made) == {"id", "link", "scheme_link", "qr_svg", "expires_at_ms"}
        assert HEX16.fullmatch(made["id"])
        assert made["link"].startswith(f"{world.home.url}/i#")
        assert made["scheme_link"] == "mepassa://add/" + made["link"].partition("#")[2]
        assert made["qr_svg"].startswith("<svg ")
        sent_at_ms = (await world.beto.node.say(world.ana.node, "agora"))["sent_at_ms"]
        assert abs(made["expires_at_ms"] - sent_at_ms - life_ms) < 60_000
        gone = await world.beto.ask("DELETE", f"/invites/{made['id']}")
        assert (gone.status, gone.body) == (204, None)
        refused = await world.caio.ask("POST", "/contacts", {"link": made["link"]})
        assert (refused.status, refused.code) == (403, "TokenRefusedError")
    for path, status, code in (
        (f"/invites/{NOBODY}", 404, "NotFoundError"),
        ("/invites/abc", 400, "InvalidInputError"),
    ):
        answer = await world.beto.ask("DELETE", path)
        assert (answer.status, answer.code) == (status, code)
    answer = await world.beto.ask("POST", "/invites", {"kind": "fax"})
    assert (answer.status, answer.code) == (400, "InvalidInputError")


async def test_a_link_that_is_none_of_ours_is_told_apart(world: World) -> None:
    own = (await world.ana.post("/invites", {"kind": "link"}))["link"]
    for body in (
        {}, {"link": ""}, {"link": "mepassa://add/AAAA"}, {"link": "x" * 5000}, {"link": own},
        {"link": own, "username": "ana"}, {"link": own, "direct": "no"}, {"link": own, "dirict": False},
    ):  # fmt: skip
        answer = await world.ana.ask("POST", "/contacts", body)
        assert (answer.status, answer.code) == (400, "InvalidInputError"), body


async def test_a_request_across_homes_from_the_first_word_to_the_block(world: World) -> None:
    ana, caio = world.ana, world.caio
    invite = await ana.post("/invites", {"kind": "link"})
    hidden = await caio.ask("POST", "/contacts", {"link": invite["link"], "direct": False})
    assert (hidden.status, hidden.code) == (400, "UnsupportedError")
    chat = await caio.post("/contacts", {"link": invite["link"]})
    assert set(chat) == CHAT_FIELDS
    assert (chat["id"], chat["name"], chat["state"]) == (ana.node.account_id, "Ana", "requested")
    assert (chat["unread"], chat["path"], chat["policy"]) == (0, None, "auto")
    again = await caio.post("/contacts", {"link": invite["scheme_link"]})
    assert again["id"] == chat["id"]

    to_ana = f"/chats/{chat['id']}"
    for size in (0, MAX_REQUEST_TEXT_BYTES + 1):
        answer = await caio.ask("POST", f"{to_ana}/messages", text("x" * size))
        assert (answer.status, answer.code, answer.body["error"]["field"]) == (400, "TextTooLongError", "text")
    first = await caio.post(f"{to_ana}/messages", text("x" * MAX_REQUEST_TEXT_BYTES))
    to_caio = f"/chats/{caio.node.account_id}"

    async def asked() -> Json | None:
        answer = await ana.ask("GET", to_caio)
        return answer.body if answer.status == 200 and answer.body["unread"] == 1 else None

    request = await until("the request", asked, within_s=60)
    assert request["state"] == "request"
    stored = await caio.node.settled(first, "stored")
    assert stored["route"]["kind"] == "stored"
    assert stored["route"]["transport"] == "mailbox"
    assert stored["route"]["via"] == world.home.url.removeprefix("http://")
    early = await ana.ask("POST", f"{to_caio}/messages", text("not yet"))
    assert (early.status, early.code) == (409, "ConflictError")

    hidden = await ana.ask("POST", f"{to_caio}/accept", {"direct": False})
    assert (hidden.status, hidden.code) == (400, "UnsupportedError")
    accepted = await ana.post(f"{to_caio}/accept", {"direct": True})
    assert accepted["state"] == "accepted"
    assert (await ana.post(f"{to_caio}/accept"))["state"] == "accepted"
    assert (await caio.node.settled(first, "delivered"))["route"]["kind"] == "stored"
    hidden = await ana.ask("PUT", f"{to_caio}/policy", {"route": "hide_my_ip"})
    assert (hidden.status, hidden.code) == (400, "UnsupportedError")

    blocked = await ana.post(f"{to_caio}/block")
    assert blocked["state"] == "blocked"
    assert (await ana.post(f"{to_caio}/block"))["state"] == "blocked"
    mute = await ana.ask("POST", f"{to_caio}/messages", text("no"))
    assert (mute.status, mute.code) == (409, "ConflictError")
    states = {one["account_id"]: one["state"] for one in await ana.get("/chats")}
    assert states == {caio.node.account_id: "blocked", world.beto.node.account_id: "accepted"}


async def test_chats_that_do_not_exist_are_not_found_under_any_verb(world: World) -> None:
    for method, path, body in (
        ("GET", f"/chats/{NOBODY}", None),
        ("GET", f"/chats/{NOBODY}/messages", None),
        ("GET", f"/chats/{NOBODY}/safety_number", None),
        ("GET", f"/chats/{NOBODY}/safety_code", None),
        ("POST", f"/chats/{NOBODY}/safety_code", {"code": "x"}),
        ("PUT", f"/chats/{NOBODY}/verification", {"verified": False}),
        ("POST", f"/chats/{NOBODY}/messages", text("hello?")),
        ("POST", f"/chats/{NOBODY}/accept", {}),
        ("POST", f"/chats/{NOBODY}/block", None),
        ("POST", f"/chats/{NOBODY}/read", {"up_to": NOBODY}),
        ("PUT", f"/chats/{NOBODY}/policy", {"route": "auto"}),
        ("GET", f"/messages/{NOBODY}", None),
        ("POST", f"/messages/{NOBODY}/send_by_server", None),
        ("GET", "/nothing", None),
    ):
        answer = await world.ana.ask(method, path, body)
        assert (answer.status, answer.code) == (404, "NotFoundError"), path
    for path in ("/chats/XYZ", "/chats/" + NOBODY.upper(), "/messages/00", "/chats/00/messages"):
        answer = await world.ana.ask("GET", path)
        assert (answer.status, answer.code) == (400, "InvalidInputError"), path
    assert (await world.ana.ask("DELETE", "/me")).status == 405


async def test_policies_are_kept_and_a_wrong_one_is_refused(world: World) -> None:
    for route in ("direct_only", "data_saver", "hide_my_ip", "auto"):
        answer = await world.ana.ask("PUT", f"{world.chat}/policy", {"route": route})
        assert (answer.status, answer.body["policy"]) == (200, route)
        assert (await world.ana.get(world.chat))["policy"] == route
    answer = await world.ana.ask("PUT", f"{world.chat}/policy", {"route": "teleport"})
    assert (answer.status, answer.code, answer.body["error"]["field"]) == (400, "InvalidInputError", "route")


async def test_the_safety_number_is_the_same_on_both_sides(world: World) -> None:
    ours = await world.ana.get(f"{world.chat}/safety_number")
    theirs = await world.beto.get(f"{world.back}/safety_number")
    assert ours == theirs
    assert re.fullmatch(r"[0-9]{60}", ours["safety_number"])


async def test_a_contact_is_verified_by_the_number_that_was_compared_or_by_the_code(world: World) -> None:
    number = (await world.ana.get(f"{world.chat}/safety_number"))["safety_number"]
    own, theirs = [
        await one.get(f"{chat}/safety_code") for one, chat in ((world.ana, world.chat), (world.beto, world.back))
    ]
    assert set(own) == {"code", "qr_svg"}
    assert own["code"].startswith("mepassa://verify/")
    assert own["qr_svg"].startswith("<svg ")
    before = await world.ana.get(world.chat)
    assert (before["verification"], before["verified_at_ms"]) == ("none", None)

    for body, status, code, at in (
        ({"verified": True}, 400, "InvalidInputError", "safety_number"),
        ({"verified": True, "safety_number": "1" * 59}, 400, "InvalidInputError", "safety_number"),
        ({"verified": "yes"}, 400, "InvalidInputError", "verified"),
        ({}, 400, "InvalidInputError", None),
        ({"verified": True, "safety_number": "0" * 60}, 409, "ConflictError", None),
    ):
        answer = await world.ana.ask("PUT", f"{world.chat}/verification", body)
        assert (answer.status, answer.code, answer.body["error"]["field"]) == (status, code, at), body
    marked = await world.ana.ask("PUT", f"{world.chat}/verification", {"verified": True, "safety_number": number})
    new = {key: marked.body[key] for key in ("verified_at_ms", "path")}  # its round trip moves by itself
    assert marked.body == {**before, "verification": "verified", **new}
    assert marked.body["verified_at_ms"] is not None
    assert (await world.beto.get(world.back))["verification"] == "none"
    gone = await world.ana.ask("PUT", f"{world.chat}/verification", {"verified": False})
    assert gone.body["verification"] == "none"

    for code, result in ((own["code"], "own_code"), ("hello", "no_code"), (theirs["code"][:-2], "no_code")):
        assert await world.ana.post(f"{world.chat}/safety_code", {"code": code}) == {"result": result}
    assert (await world.ana.get(world.chat))["verification"] == "none"
    assert await world.ana.post(f"{world.chat}/safety_code", {"code": theirs["code"]}) == {"result": "match"}
    assert (await world.ana.get(world.chat))["verification"] == "verified"
    assert await world.beto.post(f"{world.back}/safety_code", {"code": theirs["code"]}) == {"result": "own_code"}
    for wrong in ({"code": 5}, {}, {"code": "x" * 5000}):
        answer = await world.ana.ask("POST", f"{world.chat}/safety_code", wrong)
        assert (answer.status, answer.code) == (400, "InvalidInputError")
    await world.ana.ask("PUT", f"{world.chat}/verification", {"verified": False})


# --- messages ------------------------------------------------------------------------------------------------------------


async def test_a_text_is_1_to_16384_bytes_of_utf8(world: World) -> None:
    accents = "é" * (MAX_TEXT_BYTES // 2)
    for whole in ("x", accents, "\x00", "👩🏽‍🚀\u202e<b>", "\U0010ffff" * (MAX_TEXT_BYTES // 4)):
        sent = await world.ana.post(f"{world.chat}/messages", text(whole))
        assert sent["content"] == {"kind": "text", "text": whole}
        await world.ana.node.settled(sent, "delivered", "read")
        assert (await world.beto.get(f"/messages/{sent['id']}"))["content"] == {"kind": "text", "text": whole}
    for wrong in ("", accents + "x"):
        answer = await world.ana.ask("POST", f"{world.chat}/messages", text(wrong))
        assert (answer.status, answer.code, answer.body["error"]["field"]) == (400, "TextTooLongError", "text")
    for data in (
        json.dumps(text("\ud800")).encode(),
        b'{"client_id": "' + b"0" * 32 + b'", "text": "\xff"}',
        json.dumps({"client_id": "0" * 31, "text": "x"}).encode(),
        json.dumps({"client_id": "A" * 32, "text": "x"}).encode(),
        json.dumps({"text": "x"}).encode(),
        json.dumps({**text("x"), "txt": ""}).encode(),
        json.dumps({**text("x"), "text": 5}).encode(),
        json.dumps({**text("x"), "reply_to": "?"}).encode(),
        b"", b"[]", b"{", b" " * 200_000,
    ):  # fmt: skip
        answer = await world.ana.ask("POST", f"{world.chat}/messages", data=data)
        assert (answer.status, answer.code) == (400, "InvalidInputError"), data[:80]


async def test_a_message_rises_from_queued_to_read_and_names_its_route(world: World) -> None:
    sent = await world.ana.post(f"{world.chat}/messages", text("sobe?"))
    assert set(sent) == MESSAGE_FIELDS
    assert (sent["status"], sent["route"]) == ("queued", None)
    assert (sent["chat_id"], sent["sender"]) == (world.beto.node.account_id, world.ana.node.account_id)
    assert HEX16.fullmatch(sent["id"])
    arrived = await world.ana.node.settled(sent, "delivered")
    assert set(arrived["route"]) == ROUTE_FIELDS
    assert arrived["route"]["kind"] == "direct"
    theirs = await world.beto.get(f"/messages/{sent['id']}")
    assert theirs["status"] == "delivered"
    assert theirs["route"]["kind"] == "direct"
    same = ("id", "sender", "sent_at_ms", "sender_seq", "content")
    assert [theirs[name] for name in same] == [sent[name] for name in same]
    assert theirs["chat_id"] == world.ana.node.account_id
    for wrong in ({"up_to": NOBODY}, {"up_to": "x"}, {}):
        answer = await world.beto.ask("POST", f"{world.back}/read", wrong)
        assert answer.code == ("NotFoundError" if wrong.get("up_to") == NOBODY else "InvalidInputError")
    assert (await world.beto.post(f"{world.back}/read", {"up_to": sent["id"]}))["unread"] == 0
    assert (await world.beto.get(f"/messages/{sent['id']}"))["status"] == "read"
    assert (await world.ana.node.settled(sent, "read"))["route"] == arrived["route"]
    reply = await world.beto.post(f"{world.back}/messages", {**text("subiu"), "reply_to": sent["id"]})
    await world.beto.node.settled(reply, "delivered", "read")
    stranger = await world.ana.ask("POST", f"{world.chat}/messages", {**text("?"), "reply_to": NOBODY})
    assert (stranger.status, stranger.code) == (404, "NotFoundError")


async def test_the_same_client_id_gives_the_same_message_also_when_asked_at_once(world: World) -> None:
    body = text("uma só")
    answers = await asyncio.gather(*(world.ana.post(f"{world.chat}/messages", body) for _ in range(12)))
    assert len({answer["id"] for answer in answers}) == 1
    await world.ana.node.settled(answers[0], "delivered", "read")
    again = await world.ana.post(f"{world.chat}/messages", body)
    assert again["id"] == answers[0]["id"]
    assert (await world.beto.node.texts_from(world.ana.node)).count("uma só") == 1
    other = await world.ana.ask("POST", f"{world.chat}/messages", {**body, "text": "outra"})
    assert (other.status, other.code, other.body["error"]["field"]) == (409, "ConflictError", "client_id")


async def test_pages_hold_the_newest_before_a_message_oldest_first(world: World) -> None:
    sent = [await world.ana.post(f"{world.chat}/messages", text(f"página {n}")) for n in range(DEFAULT_PAGE + 5)]
    await world.ana.node.settled(sent[-1], "delivered", "read")
    page = await world.ana.get(f"{world.chat}/messages")
    assert [one["id"] for one in page] == [one["id"] for one in sent[-DEFAULT_PAGE:]]
    before = await world.ana.get(f"{world.chat}/messages", before=sent[5]["id"], limit=3)
    assert [one["id"] for one in before] == [one["id"] for one in sent[2:5]]
    newest = await world.ana.get(f"{world.chat}/messages", limit=1)
    assert [one["id"] for one in newest] == [sent[-1]["id"]]
    theirs = await world.beto.get(f"{world.back}/messages", limit=1000)
    assert [one["id"] for one in theirs if one["content"]["text"].startswith("página")] == [one["id"] for one in sent]
    for wrong in (0, 1001, "many", -1):
        answer = await world.ana.ask("GET", f"{world.chat}/messages", query={"limit": wrong})
        assert (answer.status, answer.code, answer.body["error"]["field"]) == (400, "InvalidInputError", "limit")
    for wrong_id, status in ((NOBODY, 404), ("x", 400)):
        answer = await world.ana.ask("GET", f"{world.chat}/messages", query={"before": wrong_id})
        assert (answer.status, answer.body["error"]["field"]) == (status, "before")


async def test_send_by_server_takes_the_stored_route_for_a_message_that_waits(world: World) -> None:
    await world.ana.ask("PUT", f"{world.chat}/policy", {"route": "direct_only"})
    await world.ana.ask("PUT", "/paths", {"direct": False})
    sent = await world.ana.post(f"{world.chat}/messages", text("pelo servidor"))
    assert sent["status"] == "queued"
    answer = await world.ana.ask("POST", f"/messages/{sent['id']}/send_by_server")
    assert answer.status == 200
    arrived = await world.ana.node.settled(sent, "delivered")
    assert arrived["route"]["kind"] == "stored"
    late = await world.ana.ask("POST", f"/messages/{sent['id']}/send_by_server")
    assert (late.status, late.code) == (409, "ConflictError")
    await world.ana.ask("PUT", "/paths", {"direct": True})
    await world.ana.ask("PUT", f"{world.chat}/policy", {"route": "auto"})


# --- events --------------------------------------------------------------------------------------------------------------


async def test_events_tell_everything_once_in_order_and_resume_behind_a_number(world: World) -> None:
    ana, beto = world.ana, world.beto
    await beto.get("/me")
    seen: list[Json] = []

    async def read(socket: Any, until_true: Any) -> None:
        while not until_true():
            event = json.loads((await socket.receive(timeout=60)).data)
            beto.validate_as(beto.document["paths"]["/events"]["get"]["responses"]["101"]["content"][
                "application/json"]["schema"], event)  # fmt: skip
            seen.append(event)

    def of(kind: str) -> list[Json]:
        return [event for event in seen if event["type"] == kind]

    unread = (await beto.get(world.back))["unread"]
    async with beto.node.events() as socket:
        sent = await ana.post(f"{world.chat}/messages", text("evento"))
        await read(socket, lambda: any(event["message"]["id"] == sent["id"] for event in of("message")))
        await read(socket, lambda: any(event["chat"]["unread"] == unread + 1 for event in of("chat")))
    last = seen[-1]["seq"]
    await beto.post(f"{world.back}/read", {"up_to": sent["id"]})
    async with beto.node.events(last) as socket:
        await read(socket, lambda: any(event["message_id"] == sent["id"] for event in of("status")))
        await read(socket, lambda: of("chat")[-1]["chat"]["unread"] == 0)
        await ana.ask("PUT", "/paths", {"direct": False})
        await read(socket, lambda: bool(of("path")) and (of("path")[-1]["path"] or {}).get("kind") != "direct")
        await ana.ask("PUT", "/paths", {"direct": True})
        back = await ana.post(f"{world.chat}/messages", text("de volta"))
        await read(socket, lambda: any(event["message"]["id"] == back["id"] for event in of("message")))
    assert next(event for event in of("status") if event["message_id"] == sent["id"])["status"] == "read"
    assert [event["seq"] for event in seen] == sorted({event["seq"] for event in seen})
    for event in of("path"):
        assert event["chat_id"] == ana.node.account_id
    async with beto.node.events(0) as socket:  # everything since the account was made
        first = json.loads((await socket.receive(timeout=60)).data)
        assert first["seq"] >= 1
    async with beto.node.events(10**15) as socket:
        assert json.loads((await socket.receive(timeout=60)).data) == {"type": "reset"}
    for wrong in ("x", "-1", ""):
        async with beto.node.http.get(
            f"{beto.node.url}/api/v1/events", params={"after": wrong}, headers=beto.node.bearer
        ) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (400, "InvalidInputError")
