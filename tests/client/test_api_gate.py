"""docs/guides/local-api.md: who may speak to the local API."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import aiohttp
import msgspec
import pytest
from aiohttp import web
from yarl import URL

from mepassa.client.api.gate import CODE_LIFE_S, MAX_CODES, Gate
from mepassa.client.api.openapi import openapi
from mepassa.client.api.pages import add_pages
from mepassa.client.api.router import MAX_BODY_BYTES, add_routes, endpoints_of, get, post
from mepassa.model.errors import BusyError, MailboxFullError, TextTooLongError
from mepassa.model.secret import SecretBytes
from mepassa.testing.chance import SeededRng
from mepassa.testing.clock import ManualClock

TOKEN = SecretBytes(bytes(range(32)))
BEARER = {"Authorization": f"Bearer {TOKEN.expose().hex()}"}


class Note(msgspec.Struct, frozen=True):
    text: Annotated[str, msgspec.Meta(max_length=10)]
    at_ms: int = 0


class Notes:
    """A service as small as one can be: enough to see every way in which a request can be wrong."""

    @get("/notes/{number}")
    async def note(self, number: Annotated[int, msgspec.Meta(ge=0)], limit: int = 50) -> Note:
        """One note."""
        if number == 1:
            raise MailboxFullError
        if number == 2:
            raise BusyError(7)
        if number == 3:
            raise TextTooLongError(9, 3)
        return Note(text=str(number), at_ms=limit)

    @post("/notes")
    async def add(self, body: Note) -> None:
        """Keep a note."""


@asynccontextmanager
async def serving(
    frame_ancestor: str | None = None, *, chance: int = 1
) -> AsyncIterator[tuple[str, Gate, ManualClock]]:
    clock = ManualClock()
    gate = Gate(TOKEN, clock, SeededRng(chance), frame_ancestor)
    app = web.Application(middlewares=[gate.middleware], client_max_size=MAX_BODY_BYTES)
    add_routes(app, "/api/v1", list(endpoints_of(Notes())))
    add_pages(app, gate)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gate.port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{gate.port}", gate, clock
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "headers, status, code",
    [
        ({}, 401, "UnauthorizedError"),
        ({"Authorization": "Bearer " + "00" * 32}, 401, "UnauthorizedError"),
        ({"Authorization": "Basic x"}, 401, "UnauthorizedError"),
        ({**BEARER, "Host": "evil.example:80"}, 403, "ForbiddenHostError"),
        ({**BEARER, "Origin": "http://evil.example"}, 403, "ForbiddenOriginError"),
        ({**BEARER, "Origin": "null"}, 403, "ForbiddenOriginError"),
    ],
)
async def test_a_request_without_the_right_to_ask_is_refused(headers: dict[str, str], status: int, code: str) -> None:
    async with (
        serving() as (url, _gate, _clock),
        aiohttp.ClientSession() as http,
        http.get(url + "/api/v1/notes/5", headers=headers) as answer,
    ):
        assert answer.status == status
        assert (await answer.json())["error"]["code"] == code


async def test_the_token_opens_the_api_and_every_answer_is_hardened() -> None:
    async with (
        serving() as (url, _gate, _clock),
        aiohttp.ClientSession(headers=BEARER) as http,
        http.get(url + "/api/v1/notes/5?limit=7") as answer,
    ):
        assert await answer.json() == {"text": "5", "at_ms": 7}
        assert answer.headers["Content-Security-Policy"] == "default-src 'self'; frame-ancestors 'none'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_one_time_code_becomes_a_cookie_once_and_only_for_a_minute() -> None:
    async with (
        serving("http://127.0.0.1:9") as (url, gate, clock),
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        code = gate.new_code()
        async with http.get(f"{url}/open?code={code}", allow_redirects=False) as answer:
            assert answer.status == 303
            assert answer.headers["Location"] == "/"
            cookie = answer.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert TOKEN.expose().hex() not in cookie
            assert "frame-ancestors http://127.0.0.1:9" in answer.headers["Content-Security-Policy"]
        async with http.get(url + "/api/v1/notes/5") as answer:
            assert answer.status == 200
        async with http.get(f"{url}/open?code={code}") as answer:
            assert answer.status == 403
        late = gate.new_code()
        clock.advance(CODE_LIFE_S + 1)
        async with http.get(f"{url}/open?code={late}") as answer:
            assert answer.status == 403


def test_a_code_is_good_for_a_whole_minute_and_the_newest_eight_are() -> None:
    clock = ManualClock()
    gate = Gate(TOKEN, clock, SeededRng(1), None)
    codes = [gate.new_code() for _ in range(MAX_CODES + 1)]
    clock.advance(CODE_LIFE_S)
    assert [gate.redeem(code) for code in codes] == [False] + [True] * MAX_CODES


async def test_a_cookie_that_was_seen_at_one_start_opens_nothing_at_the_next() -> None:
    """Decision 0164. The same token, and the thief has put the value under the new port's name."""
    shown: list[str] = []
    statuses: list[int] = []
    for start in (1, 2):
        async with serving(chance=start) as (url, gate, _clock), aiohttp.ClientSession() as http:
            async with http.get(f"{url}/open?code={gate.new_code()}", allow_redirects=False) as answer:
                shown.append(answer.cookies[gate.cookie_name].value)
            for value in shown:
                cookie = {"Cookie": f"{gate.cookie_name}={value}"}
                async with http.get(url + "/api/v1/notes/5", headers=cookie) as answer:
                    statuses.append(answer.status)
    assert statuses == [200, 401, 200], "the first by itself, then both at the second"


CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15"


@pytest.mark.parametrize("browser", [CHROME, FIREFOX])
async def test_a_browser_is_sent_on_to_a_name_that_only_this_node_has(browser: str) -> None:
    """docs/guides/local-api.md, "Getting in": the cookie is made there, by a second code."""
    async with serving() as (url, gate, _clock), aiohttp.ClientSession(headers={"User-Agent": browser}) as http:
        first = f"{url}/open?code={gate.new_code()}&host=own"
        async with http.get(first, allow_redirects=False) as answer:
            place = URL(answer.headers["Location"])
            assert (answer.status, "Set-Cookie" in answer.headers) == (303, False)
        assert re.fullmatch(r"[0-9a-f]{32}\.localhost", place.host or "")
        assert place.port == gate.port
        async with http.get(first, allow_redirects=False) as answer:
            assert answer.status == 403
        by_name = {"Host": f"{place.host}:{place.port}"}
        async with http.get(url + place.path_qs, headers=by_name, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
            cookie = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
        origin = {"Origin": f"http://{place.host}:{place.port}"}
        async with http.get(url + "/api/v1/notes/5", headers=by_name | origin | cookie) as answer:
            assert answer.status == 200
        for wrong in ("0" * 32 + ".localhost", f"www.{place.host}", str(place.host).removesuffix(".localhost")):
            async with http.get(url + "/", headers={"Host": f"{wrong}:{place.port}"}) as answer:
                assert answer.status == 403


@pytest.mark.parametrize("asker", [SAFARI, "curl/8.0", ""])
async def test_who_would_ask_the_network_for_that_name_stays_where_it_is(asker: str) -> None:
    async with (
        serving() as (url, gate, _clock),
        aiohttp.ClientSession(headers={"User-Agent": asker}) as http,
        http.get(f"{url}/open?code={gate.new_code()}&host=own", allow_redirects=False) as answer,
    ):
        assert (answer.headers["Location"], "Set-Cookie" in answer.headers) == ("/", True)


def test_the_own_name_follows_from_the_token_and_does_not_show_it() -> None:
    def host(token: bytes) -> str:
        return Gate(SecretBytes(token), ManualClock(), SeededRng(1), port=8).own_host

    assert host(bytes(32)) == host(bytes(32)) != host(b"\x01" * 32)
    assert TOKEN.expose().hex()[:32] not in host(TOKEN.expose())


@pytest.mark.parametrize(
    "path, status, code",
    [
        ("/notes/x", 400, "InvalidInputError"),
        ("/notes/-1", 400, "InvalidInputError"),
        ("/notes/5?limit=many", 400, "InvalidInputError"),
        ("/notes/1", 507, "MailboxFullError"),
        ("/notes/2", 429, "BusyError"),
        ("/notes/3", 400, "TextTooLongError"),
        ("/nothing", 404, "NotFoundError"),
    ],
)
async def test_every_refusal_is_the_documented_error_object(path: str, status: int, code: str) -> None:
    async with (
        serving() as (url, _gate, _clock),
        aiohttp.ClientSession(headers=BEARER) as http,
        http.get(url + "/api/v1" + path) as answer,
    ):
        assert answer.status == status
        assert (await answer.json())["error"]["code"] == code


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"text": 5}', b'{"text": "far too long a text"}', b"[" * 60_000, b'"\xff"', b" " * 200_000],
)
async def test_a_bad_body_is_told_apart_from_a_bug(body: bytes) -> None:
    async with (
        serving() as (url, _gate, _clock),
        aiohttp.ClientSession(headers=BEARER) as http,
        http.post(url + "/api/v1/notes", data=body) as answer,
    ):
        assert answer.status == 400
        assert (await answer.json())["error"]["code"] == "InvalidInputError"


def test_the_openapi_document_comes_from_the_handlers_types() -> None:
    document = openapi(list(endpoints_of(Notes())), version="1", prefix="/api/v1")
    operation = document["paths"]["/notes/{number}"]["get"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["number", "limit"]
    assert operation["responses"]["200"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Note"
    }
    assert document["paths"]["/notes"]["post"]["requestBody"]["required"] is True


async def test_a_token_that_is_no_text_is_refused_like_a_wrong_one() -> None:
    async with serving() as (url, gate, _clock):
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        head = f"GET /api/v1/notes/5 HTTP/1.1\r\nHost: 127.0.0.1:{gate.port}\r\nConnection: close\r\n".encode()
        writer.write(head + b"Authorization: Bearer \xff\xfe\r\nCookie: mepassa_1=\xff\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        writer.close()
        async with aiohttp.ClientSession() as http, http.get(f"{url}/open?code=%FF") as answer:
            assert answer.status == 403
