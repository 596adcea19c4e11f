"""Opening a UDP socket so that being cancelled meanwhile leaves none behind."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

P = TypeVar("P", bound=asyncio.DatagramProtocol)


async def open_udp(
    protocol_factory: Callable[[], P],
    *,
    local_addr: tuple[str, int] | None = None,
    remote_addr: tuple[str, int] | None = None,
) -> tuple[asyncio.DatagramTransport, P]:
    """As `loop.create_datagram_endpoint`, which under uvloop forgets its socket when cancelled while it opens.

    Addresses are literals, so this waits for nothing outside. Raises `OSError`.
    """
    loop = asyncio.get_running_loop()
    opening = asyncio.ensure_future(
        loop.create_datagram_endpoint(protocol_factory, local_addr=local_addr, remote_addr=remote_addr)
    )
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait({opening})
        if not opening.cancelled() and opening.exception() is None:
            opening.result()[0].close()
        raise
