"""The first words on either socket: who this home is, proven (docs/protocol/home.md, "Hello")."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mepassa.identity import HomeKeyPair, hello_message
from mepassa.model.errors import MalformedError
from mepassa.ports.clock import Clock
from mepassa.ports.frames import FrameStream
from mepassa.ports.rng import Rng
from mepassa.server.limits import HomePolicy
from mepassa.wire.mailbox import Hello, HomeHello

HELLO_DEADLINE_S = 10.0
"""From the open socket to the hello; later the socket is closed."""
NONCE_BYTES = 32


@dataclass(frozen=True, slots=True)
class Greeted:
    """Both nonces of one connection: what its log-in and its work are bound to."""

    client_nonce: bytes
    home_nonce: bytes


class Greeter:
    def __init__(self, key: HomeKeyPair, clock: Clock, rng: Rng, policy: HomePolicy, register_work_bits: int) -> None:
        self._key, self._clock, self._rng, self._policy = key, clock, rng, policy
        self._register_work_bits = register_work_bits

    async def greet(
        self,
        stream: FrameStream,
        host: str,
        decode: Callable[[bytes], Sequence[object]],
        put: Callable[[HomeHello], None],
    ) -> Greeted | None:
        """Wait for the client's hello and answer it; None when it left. Raises `MalformedError` for anything else."""
        try:
            async with asyncio.timeout(HELLO_DEADLINE_S):
                frame = await stream.receive()
        except TimeoutError:
            raise MalformedError("No hello came.") from None
        if frame is None:
            return None
        records = decode(frame)
        if len(records) != 1 or not isinstance(hello := records[0], Hello):
            raise MalformedError("The first frame is not a hello.")
        nonce, now_ms, host = self._rng.token(NONCE_BYTES), self._clock.now_ms(), host.lower()[:260]
        message = hello_message(client_nonce=hello.nonce, home_nonce=nonce, host=host, time_ms=now_ms)
        answer = HomeHello(
            nonce, host, now_ms, self._key.sign(message), self._policy.request_work_bits, self._register_work_bits
        )
        put(answer)
        return Greeted(hello.nonce, nonce)
