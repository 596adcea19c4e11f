"""The page itself: static files out of the wheel, and the door that turns a one-time code into a cookie."""

import re
from http import HTTPStatus
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from mepassa.client.api.gate import Gate
from mepassa.client.api.problems import problem

WEB_DIST = Path(__file__).parent.parent / "web_dist"

NOT_BUILT = (
    "<!doctype html><meta charset=utf-8><title>MePassa</title>"
    "<p>A página ainda não foi construída. / The page has not been built yet.<p><code>./dev run python -m build</code>"
)


NONCE = re.compile(r"[0-9a-f]{64}", re.ASCII)

ROOT_FILES = ("theme.js", "icon.svg")
"""What the page loads besides its hashed assets."""


RESOLVES_LOCALHOST = re.compile("(Chrome|Firefox)/")
"""Browsers that take every name under .localhost for this machine by themselves ("Let localhost be localhost").
Others ask the system, which may ask the network. (Both on iOS are Safari beneath, and call themselves otherwise.)"""


def _file(path: Path, cache: str) -> Handler:
    async def serve(_request: web.Request) -> web.StreamResponse:
        return web.FileResponse(path, headers={"Cache-Control": cache})

    return serve


def add_pages(app: web.Application, gate: Gate, dist: Path = WEB_DIST) -> None:
    async def index(_request: web.Request) -> web.StreamResponse:
        page = dist / "index.html"
        if not page.exists():
            return web.Response(text=NOT_BUILT, content_type="text/html", status=HTTPStatus.SERVICE_UNAVAILABLE)
        return web.FileResponse(page, headers={"Cache-Control": "no-cache"})

    async def asset(request: web.Request) -> web.StreamResponse:
        """Names hold a hash of the content, so a browser may keep them for ever."""
        found = dist / "assets" / request.match_info["name"]
        return web.FileResponse(found, headers={"Cache-Control": "public, max-age=31536000, immutable"})

    async def open_page(request: web.Request) -> web.StreamResponse:
        """One code, one cookie; the address that stays in the history is the bare page.

        `host=own`: at a name of the node's own, by a second code, where the browser knows what to make of that.
        """
        if not gate.redeem(request.query.get("code", "")):
            return problem(
                HTTPStatus.FORBIDDEN, "CodeExpiredError", "This link was used or is too old; run `mepassa open`."
            )
        if request.query.get("host") == "own" and RESOLVES_LOCALHOST.search(request.headers.get("User-Agent", "")):
            elsewhere = f"http://{gate.own_host}/open?code={gate.new_code()}"
            return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": elsewhere})
        answer = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "/"})
        answer.set_cookie(gate.cookie_name, gate.cookie_value, httponly=True, samesite="Strict", max_age=90 * 86_400)
        return answer

    async def proof(request: web.Request) -> web.StreamResponse:
        nonce = request.query.get("nonce", "")
        if NONCE.fullmatch(nonce) is None:
            return problem(HTTPStatus.BAD_REQUEST, "InvalidInputError", "nonce is 64 hex digits.", field="nonce")
        return web.Response(text=gate.proof(bytes.fromhex(nonce)))

    app.router.add_get("/", index)
    app.router.add_get("/proof", proof)
    app.router.add_get("/open", open_page)
    for name in ROOT_FILES:
        app.router.add_get(f"/{name}", _file(dist / name, "no-cache"))
    app.router.add_get("/assets/{name:[A-Za-z0-9_.-]+}", asset)
