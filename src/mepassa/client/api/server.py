"""The local API as a listening server on loopback."""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from mepassa.client.api.events import EventFeed
from mepassa.client.api.gate import Gate
from mepassa.client.api.openapi import openapi
from mepassa.client.api.pages import add_pages
from mepassa.client.api.router import MAX_BODY_BYTES, add_routes, endpoints_of
from mepassa.client.api.service import LocalApiService
from mepassa.model.errors import InvalidInputError, PortTakenError

PREFIX = "/api/v1"
SHUTDOWN_S = 1.0
"""Open WebSockets get this long to hear that the node stops."""
REQUEST_DEADLINE_S = 60.0
"""From an open connection (or the last answer on it) to a whole request: nobody holds our sockets by saying nothing."""


@asynccontextmanager
async def serving(
    service: LocalApiService, events: EventFeed, gate: Gate, *, host: str, port: int, version: str
) -> AsyncIterator[str]:
    """Listen while the context is open; gives the URL. Raises `PortTakenError`."""
    app = web.Application(middlewares=[gate.middleware], client_max_size=MAX_BODY_BYTES)
    endpoints = list(endpoints_of(service))
    document = openapi(endpoints, version=version, prefix=PREFIX)

    async def openapi_json(_request: web.Request) -> web.Response:
        return web.json_response(document)

    add_routes(app, PREFIX, endpoints)
    app.router.add_get(f"{PREFIX}/openapi.json", openapi_json)
    app.router.add_get(f"{PREFIX}/events", events.handle)
    add_pages(app, gate)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S, keepalive_timeout=REQUEST_DEADLINE_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise _cannot_listen(error, host, port) from error
        gate.port = int(runner.addresses[0][1])
        yield f"http://{host}:{gate.port}"
    finally:
        await runner.cleanup()


def _cannot_listen(error: OSError, host: str, port: int) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return PortTakenError(port)
    return InvalidInputError(f"{host}:{port} cannot be listened on: {error.strerror}.", field="api")
