"""A program that speaks the local API with two bare sockets: what it costs to ask and to hear is then the node's own.

aiohttp's client, in the same interpreter as the measurement, would add most of a millisecond to a message that takes six.
"""

import json
import os
import socket
from base64 import b64encode
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from devtools.programs import WITHIN_S, Json

TEXT, PING, PONG = 1, 9, 10
"""Opcodes of RFC 6455 §5.2."""
LENGTH_BYTES = {126: 2, 127: 8}
"""What stands for a payload length that follows, in so many bytes."""


class LocalCaller:
    """One connection for requests, one for events, both kept. Blocking; for one caller."""

    def __init__(self, url: str, bearer: str) -> None:
        self._host = urlsplit(url).netloc
        self._bearer = bearer
        self._asking, self._hearing = (self._connect() for _ in range(2))
        self._answers, self._events = bytearray(), bytearray()

    def __enter__(self) -> Self:
        key = b64encode(os.urandom(16)).decode()
        self._hearing.sendall(
            self._head(
                "GET",
                "/events",
                f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n",
            )
        )
        head = self._until(self._hearing, self._events, b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(head.decode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asking.close()
        self._hearing.close()

    def post(self, path: str, body: Json) -> Json:
        """The answer's JSON. Raises `ConnectionError` unless it is 200."""
        content = json.dumps(body).encode()
        head = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        self._asking.sendall(self._head("POST", path, head) + content)
        answered = self._until(self._asking, self._answers, b"\r\n\r\n").decode()
        fields = dict(line.lower().split(": ", 1) for line in answered.split("\r\n")[1:] if line)
        found = self._take(self._asking, self._answers, int(fields["content-length"]))
        if not answered.startswith("HTTP/1.1 200 "):
            raise ConnectionError(found.decode())
        return dict(json.loads(found))

    def next_event(self) -> Json:
        """Server frames are unmasked (RFC 6455 §5.1), and the node's are whole."""
        while True:
            first, size = self._take(self._hearing, self._events, 2)
            if size in LENGTH_BYTES:
                size = int.from_bytes(self._take(self._hearing, self._events, LENGTH_BYTES[size]), "big")
            content = self._take(self._hearing, self._events, size)
            opcode = first & 0x0F
            if opcode == TEXT:
                return dict(json.loads(content))
            if opcode != PING:
                raise ConnectionError(f"an event frame of kind {first:#x}")
            self._hearing.sendall(bytes((0x80 | PONG, 0x80 | len(content), 0, 0, 0, 0)) + content)

    def _connect(self) -> socket.socket:
        host, _, port = self._host.rpartition(":")
        connected = socket.create_connection((host, int(port)), timeout=WITHIN_S)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected

    def _head(self, method: str, path: str, more: str) -> bytes:
        lines = f"{method} /api/v1{path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {self._bearer}\r\n"
        return f"{lines}{more}\r\n".encode()

    @staticmethod
    def _until(connection: socket.socket, held: bytearray, mark: bytes) -> bytes:
        while (end := held.find(mark)) < 0:
            held += LocalCaller._some(connection)
        found = bytes(held[: end + len(mark)])
        del held[: end + len(mark)]
        return found

    @staticmethod
    def _take(connection: socket.socket, held: bytearray, count: int) -> bytes:
        while len(held) < count:
            held += LocalCaller._some(connection)
        found = bytes(held[:count])
        del held[:count]
        return found

    @staticmethod
    def _some(connection: socket.socket) -> bytes:
        if not (data := connection.recv(65536)):
            raise ConnectionError("the node has closed the connection")
        return data
