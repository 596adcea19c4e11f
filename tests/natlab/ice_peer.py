"""One device in the lab, as a process: `python -m tests.natlab.ice_peer`, JSON lines in and out.

in   {"number", "friend", "turn": [...], "stun": [...], "user", "password", "direct", "relay", "relay_only"}
out  {"event": "gathered", "signal": hex, "nat_kind", "candidates", "seconds"}
in   {"remote": hex}
out  {"event": "open", "kind", "address_class", "via", "rtt_s", "seconds"} or {"event": "failed", "error", "seconds"}
in   {"send": N}
out  {"event": "acknowledged" | "lost", "number": N, "seconds"}; the other side says {"event": "received", "number": N}
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from mepassa.model.addresses import IpAddress, is_never_dialled, is_private
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import MepassaError
from mepassa.model.ids import AttemptId, Timestamp
from mepassa.model.secret import SecretBytes
from mepassa.model.signal import Signal, SignalKind
from mepassa.ports.mailbox import TurnCredentials
from mepassa.ports.transport import Link
from mepassa.testing import START_MS, SeededRng
from mepassa.transports.ice import IceAttempt, IceConfig, IceTransport, QuicCertificate
from mepassa.wire.signal import decode_signal, encode_signal
from tests.transports.link_peers import Person


def say(**event: object) -> None:
    print(json.dumps(event), flush=True)


def admit(address: IpAddress) -> bool:
    """As routing: nothing private but in a prefix of an own interface, and the lab's clients share none."""
    return not is_never_dialled(address) and not is_private(address)


class Handler:
    async def link_opened(self, link: Link) -> None:
        pass

    async def envelope_received(self, link: Link, envelope: SealedEnvelope) -> None:
        say(event="received", number=int.from_bytes(envelope.raw[:4], "big"))

    async def link_closed(self, link: Link) -> None:
        say(event="closed")


async def lines() -> AsyncIterator[dict[str, Any]]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


def signal_from(attempt: IceAttempt, certificate: QuicCertificate, rng: SeededRng) -> Signal:
    local = attempt.local
    return Signal(
        kind=SignalKind.OFFER,
        attempt_id=AttemptId(bytes(16)),
        sent_at_ms=START_MS,
        ice_ufrag=local.ufrag,
        ice_password=local.password.expose().decode(),
        candidates=local.lines,
        nat_kind=local.nat_kind,
        quic_certificate_sha256=certificate.sha256,
        path_secret=rng.token(32),
        relay_only=attempt.config.relay_only,
        direct=attempt.config.direct,
        relay=attempt.config.relay,
    )


async def main() -> None:
    loop = asyncio.get_running_loop()
    orders = lines()
    start = await anext(orders)
    me, friend = Person(start["number"]), Person(start["friend"])
    me.befriend(friend)
    rng, certificate = SeededRng(start["number"]), QuicCertificate.make(START_MS)
    transport = IceTransport(identity=me, handler=Handler(), certificate=certificate)
    servers = TurnCredentials(
        servers=tuple(start["turn"]),
        stun_servers=tuple(start["stun"]),
        username=start["user"],
        password=SecretBytes(start["password"].encode()),
        expires_at_ms=Timestamp(2**50),
    )
    begun = loop.time()
    attempt = await IceAttempt.gather(
        IceConfig(servers, admit, start["direct"], start["relay"], start["relay_only"]), rng=rng
    )
    own = signal_from(attempt, certificate, rng)
    say(
        event="gathered",
        signal=encode_signal(own).hex(),
        nat_kind=own.nat_kind,
        candidates=own.candidates,
        seconds=loop.time() - begun,
    )
    remote = decode_signal(bytes.fromhex((await anext(orders))["remote"]))
    begun = loop.time()
    try:
        link = await transport.connect(attempt, own=own, remote=remote, peer=friend.own)
    except MepassaError as error:
        say(event="failed", error=error.code, seconds=loop.time() - begun)
        return
    facts = link.facts
    say(
        event="open",
        kind=facts.kind,
        address_class=facts.address_class,
        via=facts.via,
        rtt_s=link.srtt_s,
        seconds=loop.time() - begun,
    )
    async for order in orders:
        begun = loop.time()
        number = order["send"]
        try:
            await link.send(SealedEnvelope(number.to_bytes(4, "big").ljust(order.get("size_bytes", 400), b"e")))
        except MepassaError:
            say(event="lost", number=number, seconds=loop.time() - begun)
        else:
            say(event="acknowledged", number=number, seconds=loop.time() - begun)
    await transport.stop()


if __name__ == "__main__":
    asyncio.run(main())
