"""UDP without a queue: what the kernel does not take at once is dropped, as the network would (bounded by construction)."""

import asyncio
import socket
from collections.abc import Callable

from mepassa.server.relay.allocation import Sockaddr

MAX_DATAGRAM_BYTES = 65_535
RECEIVE_BUFFER_BYTES = 1 << 20
"""A burst of some 700 full datagrams waits in the kernel while others are relayed."""


def bound_socket(host: str, port: int) -> socket.socket:
    """A non-blocking UDP socket. Raises `OSError` when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


class UdpPort:
    """Reads until the kernel has no more (at most `batch` a turn, so that nobody starves) and calls `receive`."""

    def __init__(
        self, sock: socket.socket, receive: Callable[[bytes, Sockaddr], None], *, batch: int, large_buffer: bool = False
    ) -> None:
        self._sock, self._receive, self._batch = sock, receive, batch
        if large_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        name = sock.getsockname()
        self.address: Sockaddr = (name[0], name[1])
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._readable)

    def send(self, data: bytes, to: Sockaddr) -> bool:
        """Whether the kernel took it. Errors of UDP (unreachable, too long, full buffer) lose one datagram, no more."""
        try:
            self._sock.sendto(data, to)
        except OSError:
            return False
        return True

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def _readable(self) -> None:
        for _ in range(self._batch):
            try:
                data, source = self._sock.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error for an earlier datagram: says nothing about this socket
                continue
            self._receive(data, (source[0], source[1]))
            if self._sock.fileno() < 0:  # closed by what it received
                return
