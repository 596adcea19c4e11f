"""The home's own relay as a process: `python -m tests.natlab.relay_process HOST PORT`, `{}` when it listens.

For every line that comes in, one with fresh credentials goes out: {"turn": URIs, "stun": URIs, "user", "password"}.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator

from mepassa.model.secret import SecretBytes
from mepassa.ports.clock import SystemClock
from mepassa.ports.rng import SystemRng
from mepassa.server.relay import RelayConfig, RelayRole


async def lines() -> AsyncIterator[bytes]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line


async def main(host: str, port: int) -> None:
    relay = RelayRole(
        RelayConfig(listen_host=host, turn_port=port), SecretBytes(os.urandom(32)), SystemClock(), SystemRng()
    )
    await relay.start()
    print("{}", flush=True)
    async for _ in lines():
        credentials = relay.credentials()
        told = {
            "turn": relay.turn_urls(host),
            "stun": relay.stun_urls(host),
            "user": credentials.username,
            "password": credentials.password.expose().decode(),
        }
        print(json.dumps(told), flush=True)
    await relay.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
