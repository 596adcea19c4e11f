"""One device in the lab, as a process: `python -m tests.natlab.ice_peer NUMBER FRIEND`, JSON lines in and out.

in   {"gather": {"turn": [...], "stun": [...], "user", "password", "direct", "relay", "relay_only"}}
out  {"event": "gathered", "signal": hex, "nat_kind", "candidates", "seconds"}
in   {"remote": hex}
out  {"event": "open", "kind", "address_class", "via", "seconds"} or {"event": "failed", "error", "seconds"}
in   {"send": N, "size_bytes"}
out  {"event": "acknowledged" | "lost", "number": N, "seconds"}; the other side says {"event": "received", "number": N}
in   {"hang_up": true}
out  {"event": "hung_up"}; then another attempt may begin. A link that ends otherwise: {"event": "closed"}
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from msgspec.structs import replace

from mepassa.model.addresses import IpAddress, is_never_dialled, is_private
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import MepassaError
from mepassa.model.ids import Timestamp
from mepassa.model.secret import SecretBytes
from mepassa.model.signal import Signal
from mepassa.ports.mailbox import TurnCredentials
from mepassa.ports.transport import Link
from mepassa.testing import START_MS, SeededRng
from mepassa.transports.ice import IceAttempt, IceConfig, IceTransport, QuicCertificate, ServerRules
from mepassa.wire.signal import decode_signal, encode_signal
from tests.transports.ice_peers import signal_of
from tests.transports.link_peers import Person


def say(**event: object) -> None:
    print(json.dumps(event), flush=True)


SERVERS = ServerRules("relay.lab.example", inside=False, loopback=False)
"""The lab's relay is named by its address."""


def admit(address: IpAddress) -> bool:
    """As routing: nothing private but in a prefix of an own interface, and the lab's clients share none."""
    return not is_never_dialled(address) and not is_private(address)


class Handler:
    async def link_opened(self, link: Link) -> None:
        pass

    async def envelope_received(self, link: Link, envelope: SealedEnvelope) -> bool:
        say(event="received", number=int.from_bytes(envelope.raw[:4], "big"))
        return True

    async def link_closed(self, link: Link) -> None:
        say(event="closed")


async def lines() -> AsyncIterator[dict[str, Any]]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


class Device:
    def __init__(self, number: int, friend: int) -> None:
        self._me, self._friend = Person(number), Person(friend)
        self._me.befriend(self._friend)
        self._rng, self._certificate = SeededRng(number), QuicCertificate.make(START_MS)
        self._transport = self._new_transport()
        self._attempt: IceAttempt | None = None
        self._signal: Signal | None = None

    def _new_transport(self) -> IceTransport:
        return IceTransport(identity=self._me, handler=Handler(), certificate=self._certificate)

    async def gather(self, order: dict[str, Any]) -> None:
        begun = asyncio.get_running_loop().time()
        servers = TurnCredentials(
            servers=tuple(order["turn"]),
            stun_servers=tuple(order["stun"]),
            username=order["user"],
            password=SecretBytes(order["password"].encode()),
            expires_at_ms=Timestamp(2**50),
        )
        config = IceConfig(servers, SERVERS, admit, order["direct"], order["relay"], order["relay_only"])
        self._attempt = await IceAttempt.gather(config, rng=self._rng)
        self._signal = replace(signal_of(self._attempt, self._certificate), path_secret=self._rng.token(32))
        say(
            event="gathered",
            signal=encode_signal(self._signal).hex(),
            nat_kind=self._signal.nat_kind,
            candidates=self._signal.candidates,
            seconds=asyncio.get_running_loop().time() - begun,
        )

    async def connect(self, remote: Signal) -> None:
        begun = asyncio.get_running_loop().time()
        assert self._attempt is not None
        assert self._signal is not None
        try:
            link = await self._transport.connect(self._attempt, own=self._signal, remote=remote, peer=self._friend.own)
        except MepassaError as error:
            say(event="failed", error=error.code, seconds=asyncio.get_running_loop().time() - begun)
            return
        say(
            event="open",
            kind=link.facts.kind,
            address_class=link.facts.address_class,
            via=link.facts.via,
            seconds=asyncio.get_running_loop().time() - begun,
        )

    async def send(self, number: int, size_bytes: int) -> None:
        begun = asyncio.get_running_loop().time()
        try:
            (link,) = self._transport.links.live()
            await link.send(SealedEnvelope(number.to_bytes(4, "big").ljust(size_bytes, b"e")))
            event = "acknowledged"
        except (MepassaError, ValueError):
            event = "lost"
        say(event=event, number=number, seconds=asyncio.get_running_loop().time() - begun)

    async def hang_up(self) -> None:
        await self._transport.stop()
        self._transport = self._new_transport()
        if self._attempt is not None:
            await self._attempt.close()
        say(event="hung_up")


async def main(number: int, friend: int) -> None:
    device = Device(number, friend)
    async for order in lines():
        match order:
            case {"gather": config}:
                await device.gather(config)
            case {"remote": signal}:
                await device.connect(decode_signal(bytes.fromhex(signal)))
            case {"send": envelope}:
                await device.send(envelope, order.get("size_bytes", 400))
            case {"hang_up": _}:
                await device.hang_up()
    await device.hang_up()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
