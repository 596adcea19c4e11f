"""The demo's own small web server: the page that frames both nodes, its state, its switches."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

import mepassa.cli.demo
from mepassa.cli.demo.show import Show
from mepassa.model.errors import ConflictError, InvalidInputError, MepassaError, PortTakenError

WEB_DIST = Path(mepassa.cli.demo.__file__).parents[2] / "client" / "web_dist"
CONTENT_SECURITY = "default-src 'self'; frame-src http://127.0.0.1:*; frame-ancestors 'none'"

Json = dict[str, Any]


@asynccontextmanager
async def serving(show: Show, port: int) -> AsyncIterator[str]:
    """Listen on 127.0.0.1 while the context is open; gives the origin. Raises `PortTakenError`."""
    page = DemoPage(show)
    app = web.Application(middlewares=[page.gate], client_max_size=4096)
    page.add_routes(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            raise PortTakenError(port) from error
        page.port = int(runner.addresses[0][1])
        yield f"http://127.0.0.1:{page.port}"
    finally:
        await runner.cleanup()


class DemoPage:
    """Files and four calls. Only this machine's own page may call: Host and Origin are checked as at a node."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self.port = 0

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/", self._file("demo.html"))
        for name in ("theme.js", "icon.svg"):
            app.router.add_get(f"/{name}", self._file(name))
        app.router.add_get("/assets/{name:[A-Za-z0-9_.-]+}", self._asset)
        app.router.add_get("/api/demo/state", self._state)
        app.router.add_get("/api/demo/events", self._events)
        app.router.add_post("/api/demo/switch", self._call(self._switch))
        app.router.add_post("/api/demo/tour", self._call(self._tour))
        app.router.add_post("/api/demo/open", self._call(self._open))

    @web.middleware
    async def gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        host = f"127.0.0.1:{self.port}"
        origin = request.headers.get("Origin", f"http://{host}")
        if request.host != host or origin != f"http://{host}":
            return web.Response(status=HTTPStatus.FORBIDDEN)
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = CONTENT_SECURITY
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers["Cache-Control"] = "no-store"
        return response

    def _file(self, name: str) -> Handler:
        async def serve(_request: web.Request) -> web.StreamResponse:
            return web.FileResponse(WEB_DIST / name)

        return serve

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(WEB_DIST / "assets" / request.match_info["name"])

    async def _state(self, _request: web.Request) -> web.Response:
        return web.json_response(self._show.state())

    async def _events(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(heartbeat=20, max_msg_size=1024)
        await socket.prepare(request)
        sending = asyncio.create_task(self._send_events(socket))
        try:
            async for _message in socket:
                pass
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return socket

    async def _send_events(self, socket: web.WebSocketResponse) -> None:
        with suppress(ConnectionError):
            async for event in self._show.watch():
                await socket.send_json(event)

    def _call(self, work: Callable[[Json], Awaitable[Json]]) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            try:
                body = await request.json()
                return web.json_response(await work(body if isinstance(body, dict) else {}))
            except json.JSONDecodeError:
                return refusal(InvalidInputError(), HTTPStatus.BAD_REQUEST)
            except InvalidInputError as error:
                return refusal(error, HTTPStatus.BAD_REQUEST)
            except MepassaError as error:
                return refusal(error, HTTPStatus.CONFLICT)

        return answer

    async def _switch(self, body: Json) -> Json:
        what, on = body.get("what"), body.get("on")
        if not isinstance(on, bool) or what not in ("direct", "relay", "recipient", "server"):
            raise InvalidInputError("A switch is direct, relay, recipient or server, and is on or off.", field="what")
        if self._show.touring:
            raise ConflictError("The tour is running; the switches are its own until it ends.")
        return await self._show.switch(what, on=on)

    async def _tour(self, _body: Json) -> Json:
        return self._show.begin_tour()

    async def _open(self, body: Json) -> Json:
        if body.get("who") not in ("a", "b"):
            raise InvalidInputError("Either a or b.", field="who")
        return {"url": await self._show.page_address(str(body["who"]))}


def refusal(error: MepassaError, status: HTTPStatus) -> web.Response:
    body = {"error": {"code": error.code, "message": error.message, "field": error.field}}
    return web.json_response(body, status=status)
