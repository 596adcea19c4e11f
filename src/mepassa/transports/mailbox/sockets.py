"""Homes over the real network: one WebSocket a connection, and the signed document (aiohttp)."""

import asyncio
import socket
import ssl
from typing import Any, Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from mepassa.model.addresses import is_public, parse_ip
from mepassa.model.errors import HomeUnreachableError, InvalidInputError, LinkLostError, MalformedError, TooLargeError
from mepassa.model.home_url import ParsedHomeUrl, parse_home_url
from mepassa.ports.frames import FrameStream
from mepassa.transports.mailbox.channel import CONNECT_DEADLINE_S
from mepassa.wire.mailbox import MAX_FRAME_BYTES
from mepassa.wire.wellknown import MAX_WELL_KNOWN_BYTES

HEARTBEAT_S = 30.0
"""Seconds of silence before a WebSocket ping; no answer in half of it ends the connection."""
CLOSE_DEADLINE_S = 2.0
"""How long a home may take to say goodbye."""


class DialHome(Protocol):
    """Opens one socket of a home; a pair of streams in memory takes its place in the simulator."""

    async def __call__(self, home_url: str, path: str) -> FrameStream:
        """Raises `HomeUnreachableError`, or `InvalidInputError` for an address that may not be dialled."""
        ...


def dialled_url(home_url: str, *, insecure_home: bool) -> ParsedHomeUrl:
    """Plain http only where it is allowed (loopback, `--insecure-home`). Raises `InvalidInputError` (field "home")."""
    try:
        url = parse_home_url(home_url)
    except MalformedError as error:
        raise InvalidInputError(str(error), field="home") from None
    if url.scheme == "http" and not (insecure_home or url.is_loopback):
        raise InvalidInputError(
            "Plain http is only for a server on this machine; use https, or --insecure-home if you know why.",
            field="home",
        )
    return url


class _PublicOnly(AbstractResolver):
    """Names that resolve to private addresses are not homes of strangers: a card must not reach into our own network."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        public = [result for result in found if _is_public(result["host"])]
        if not public:
            raise OSError(None, "no public address")
        return public

    async def close(self) -> None:
        await self._inner.close()


def _is_public(literal: str) -> bool:
    try:
        address = parse_ip(literal)
    except MalformedError:
        return False
    return is_public(address)


class WebSocketDialer:
    """Dials homes. Make two: what is sealed and what is logged in share no connection.

    `private_homes`: whether homes at private or loopback addresses may be dialled, which is right only where our own
    home is at one. Close it when done.
    """

    def __init__(
        self, *, insecure_home: bool = False, private_homes: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        self._insecure_home, self._private_homes, self._tls = insecure_home, private_homes, tls
        self._session: aiohttp.ClientSession | None = None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = ThreadedResolver() if self._private_homes else _PublicOnly()
            connector = aiohttp.TCPConnector(
                resolver=resolver, limit=0, force_close=True, ssl=True if self._tls is None else self._tls
            )
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    def _checked(self, home_url: str) -> str:
        url = dialled_url(home_url, insecure_home=self._insecure_home)
        # A name is let through here: what it resolves to is looked at when it is dialled.
        if not self._private_homes and url.literal is not None and not is_public(url.literal):
            raise InvalidInputError("A server at a private address is not contacted from here.", field="home")
        return str(url)

    async def __call__(self, home_url: str, path: str) -> FrameStream:
        url = self._checked(home_url)
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                opened = await self._client().ws_connect(
                    url + path,
                    max_msg_size=MAX_FRAME_BYTES + 1,
                    heartbeat=HEARTBEAT_S,
                    compress=0,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_DEADLINE_S),
                )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise HomeUnreachableError from error
        return WebSocketFrames(opened)

    async def get(self, home_url: str, path: str) -> tuple[bytes, str | None]:
        """The body (at most 16 KiB) and the Date header. Raises `HomeUnreachableError` or `MalformedError`."""
        url = self._checked(home_url)
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                async with self._client().get(url + path, allow_redirects=False) as response:
                    body = await response.content.read(MAX_WELL_KNOWN_BYTES + 1)
                    while len(body) <= MAX_WELL_KNOWN_BYTES and (
                        more := await response.content.read(MAX_WELL_KNOWN_BYTES)
                    ):
                        body += more
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise HomeUnreachableError from error
        if response.status != 200:
            raise MalformedError("There is no MePassa server at this address.")
        if len(body) > MAX_WELL_KNOWN_BYTES:
            raise TooLargeError(len(body), MAX_WELL_KNOWN_BYTES)
        return body, response.headers.get("Date")

    async def close(self) -> None:
        """Idempotent. Open streams end."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class WebSocketFrames:
    """`ports.frames.FrameStream` over aiohttp's client WebSocket; its twin is in `server/http.py` (docs/decisions/0035)."""

    def __init__(self, opened: "aiohttp.ClientWebSocketResponse[Any]") -> None:
        self._socket = opened

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
