"""The private port: counters and invites. No call here can read or forge a message (docs/guides/hosting.md)."""

from collections.abc import Callable, Mapping

from aiohttp import web

from mepassa.model.addresses import parse_ip
from mepassa.model.errors import MalformedError
from mepassa.server.home import Home
from mepassa.server.mailbox_socket import host_of

INVITE_USES = 1
"""Accounts that an invite made here lets in."""


def make_admin_app(home: Home | None, relay_counters: Callable[[], Mapping[str, int] | None]) -> web.Application:
    """`GET /metrics`: one JSON object of numbers. `POST /invites`: `{"invite": CODE}`."""

    async def metrics(request: web.Request) -> web.Response:
        _check_host(request)
        figures: dict[str, object] = {}
        if home is not None:
            figures |= home.counters.snapshot()
            figures["envelopes_delivered"] = home.mailboxes.delivered()
            figures["envelopes_waiting"] = await home.mailboxes.count_waiting()
            figures["accounts"] = await home.directory.count()
        figures["relay"] = relay_counters()
        return web.json_response(figures)

    async def invites(request: web.Request) -> web.Response:
        _check_host(request)
        if home is None:
            raise web.HTTPNotFound
        return web.json_response({"invite": await home.invites.make(INVITE_USES)})

    app = web.Application(client_max_size=1024)
    app.router.add_get("/metrics", metrics)
    app.router.add_post("/invites", invites)
    return app


def _check_host(request: web.Request) -> None:
    """Asked by address or as localhost: a web page whose name was rebound to this machine is not answered."""
    host = host_of(request.host)
    try:
        known = host == "localhost" or bool(parse_ip(host))
    except MalformedError:
        known = False
    if not known or "Origin" in request.headers:
        raise web.HTTPForbidden
