"""The thin shell around `Home`: two WebSockets, the signed document, the invite page (aiohttp)."""

import errno
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Protocol

import aiohttp
from aiohttp import web

from mepassa.model.errors import InvalidInputError, LinkLostError, MalformedError, PortTakenError
from mepassa.ports.frames import FrameStream
from mepassa.server.home import Home
from mepassa.server.page import INVITE_HEADERS, INVITE_PAGE
from mepassa.wire.mailbox import MAX_FRAME_BYTES
from mepassa.wire.wellknown import DEPOSIT_PATH, MAILBOX_PATH, WELL_KNOWN_PATH

HEARTBEAT_S = 60.0
"""Seconds of silence before a WebSocket ping; no answer in half of it ends the connection."""
BACKLOG = 1024
"""Connections that may wait to be accepted: a whole home comes back at once after a restart."""
CLOSE_DEADLINE_S = 1.0
"""How long a peer may take to answer our close."""
SHUTDOWN_DEADLINE_S = 2.0
REQUEST_DEADLINE_S = 15.0
"""From an open connection (or the last answer on it) to a whole request: who drips headers holds no socket for long."""

WELL_KNOWN_HEADERS = {"Content-Type": "application/octet-stream", "Cache-Control": "max-age=60"}


def _without_addresses(record: logging.LogRecord) -> bool:
    """aiohttp names the peer's address where a request fails; our logs name events only."""
    record.msg, record.args = "http.request_failed", ()
    return True


_LOG = logging.getLogger(__name__)
_LOG.addFilter(_without_addresses)


class WebSocketFrames:
    """`ports.frames.FrameStream` over aiohttp's server WebSocket; its twin is in `transports/mailbox/sockets.py` (docs/decisions/0035)."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def send(self, frame: bytes) -> None:
        try:
            await self._socket.send_bytes(frame)
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise LinkLostError from error

    async def receive(self) -> bytes | None:
        message = await self._socket.receive()
        match message.type:
            case aiohttp.WSMsgType.BINARY:
                return bytes(message.data)
            case aiohttp.WSMsgType.CLOSE | aiohttp.WSMsgType.CLOSING | aiohttp.WSMsgType.CLOSED:
                return None
            case aiohttp.WSMsgType.ERROR if not isinstance(message.data, aiohttp.WebSocketError):
                return None  # the network's doing
            case _:
                raise MalformedError

    async def close(self) -> None:
        await self._socket.close()


def make_app(home: Home | None, well_known: Callable[[], bytes]) -> web.Application:
    """`home` None: no mailbox role here, only the document. `well_known` gives its signed bytes."""

    async def document(_request: web.Request) -> web.Response:
        return web.Response(body=well_known(), headers=WELL_KNOWN_HEADERS)

    async def invite(_request: web.Request) -> web.Response:
        return web.Response(text=INVITE_PAGE, content_type="text/html", headers=INVITE_HEADERS)

    async def root(_request: web.Request) -> web.Response:
        return web.Response(text="This is a MePassa server.\nEste é um servidor do MePassa.\n")

    app = web.Application(client_max_size=1024)
    app.router.add_get(WELL_KNOWN_PATH, document)
    app.router.add_get("/i", invite)
    app.router.add_get("/", root)
    if home is not None:
        app.router.add_get(MAILBOX_PATH, _socket_handler(home.serve_mailbox))
        app.router.add_get(DEPOSIT_PATH, _socket_handler(home.serve_deposit))
    app.on_response_prepare.append(_say_little)
    return app


async def _say_little(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "mepassa"


class _Serve(Protocol):
    async def __call__(self, stream: FrameStream, *, remote: str, host: str) -> None: ...


def _socket_handler(serve: _Serve) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            max_msg_size=MAX_FRAME_BYTES + 1, heartbeat=HEARTBEAT_S, compress=False, timeout=CLOSE_DEADLINE_S
        )
        await socket.prepare(request)
        await serve(WebSocketFrames(socket), remote=request.remote or "", host=request.host)
        return socket

    return handler


class HttpServer:
    """One listening port. `start` gives the URL."""

    def __init__(self, app: web.Application, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_LOG,
            handle_signals=False,
            shutdown_timeout=SHUTDOWN_DEADLINE_S,
            keepalive_timeout=REQUEST_DEADLINE_S,
        )
        self._host, self._port, self._tls = host, port, tls

    async def start(self) -> int:
        """The port it listens on. Raises `PortTakenError` or `InvalidInputError`."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, backlog=BACKLOG, ssl_context=self._tls)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                raise PortTakenError(self._port) from error
            raise InvalidInputError("The server cannot listen at that address.", field="listen") from error
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()


def url_of(scheme: str, host: str, port: int) -> str:
    """`scheme://host:port`, IPv6 in brackets."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
