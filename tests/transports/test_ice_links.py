"""docs/protocol/ice.md: from two signals to a link, with real keys, on loopback."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
import pytest
import uvloop

from mepassa.model.errors import LinkLostError, MalformedError, PathRefusedError
from mepassa.model.route import AddressClass, RouteKind, RouteTransport
from mepassa.model.signal import Signal
from mepassa.testing import SeededRng
from mepassa.testing.clock import START_MS
from mepassa.transports.ice import IceAttempt, IceTransport, QuicCertificate
from mepassa.transports.link import CloseCause, HelloRefusedError, LinkSession
from tests.transports.ice_peers import config, signal_of
from tests.transports.link_peers import Person, Recorder, envelope, two_friends


@dataclass
class Node:
    """One device's transport, and the attempt that it is about to make."""

    me: Person
    recorder: Recorder = field(default_factory=Recorder)
    certificate: QuicCertificate = field(default_factory=lambda: QuicCertificate.make(START_MS))

    def __post_init__(self) -> None:
        self.transport = IceTransport(identity=self.me, handler=self.recorder, certificate=self.certificate)

    async def gather(self, number: int) -> tuple[IceAttempt, Signal]:
        attempt = await IceAttempt.gather(config(), rng=SeededRng(number))
        return attempt, signal_of(attempt, self.certificate, number=number)


@asynccontextmanager
async def two_nodes() -> AsyncIterator[tuple[Node, Node]]:
    ana, bruno = map(Node, two_friends())
    try:
        yield ana, bruno
    finally:
        await ana.transport.stop()
        await bruno.transport.stop()
        gc.collect()
        assert len(asyncio.all_tasks()) == 1


async def meet(
    ana: Node, bruno: Node, *, changed: dict[str, object] | None = None
) -> tuple[LinkSession | BaseException, LinkSession | BaseException]:
    """`changed`: what Bruno receives instead of what Ana signalled."""
    (one, from_ana), (other, from_bruno) = await asyncio.gather(ana.gather(1), bruno.gather(2))
    received = msgspec.structs.replace(from_ana, **(changed or {}))
    made = await asyncio.gather(
        ana.transport.connect(one, own=from_ana, remote=from_bruno, peer=bruno.me.own, deadline_s=3),
        bruno.transport.connect(other, own=from_bruno, remote=received, peer=ana.me.own, deadline_s=3),
        return_exceptions=True,
    )
    return made[0], made[1]


async def links_of(ana: Node, bruno: Node) -> tuple[LinkSession, LinkSession]:
    one, other = await meet(ana, bruno)
    assert isinstance(one, LinkSession), one
    assert isinstance(other, LinkSession), other
    return one, other


async def test_two_signals_become_a_link_that_carries_envelopes_both_ways() -> None:
    async with two_nodes() as (ana, bruno):
        one, other = await links_of(ana, bruno)
        assert (one.peer, other.peer) == (bruno.me.own, ana.me.own)
        for link in (one, other):
            facts = link.facts
            assert (facts.kind, facts.transport) == (RouteKind.DIRECT, RouteTransport.QUIC)
            assert facts.address_class is AddressClass.LOOPBACK
        await asyncio.gather(*(one.send(envelope(n, 30_000)) for n in range(40)), other.send(envelope(99)))
        assert bruno.recorder.received == [envelope(n, 30_000) for n in range(40)]
        assert ana.recorder.received == [envelope(99)]
        assert one.srtt_s is not None


def test_a_link_opens_on_uvloop_too() -> None:
    """Nodes run on it where there is one; its sockets and its clock differ in small ways."""

    async def meet_and_send() -> None:
        async with two_nodes() as (ana, bruno):
            one, other = await links_of(ana, bruno)
            await asyncio.gather(one.send(envelope(1, 36_000)), other.send(envelope(2)))
            assert ana.recorder.received + bruno.recorder.received == [envelope(2), envelope(1, 36_000)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(meet_and_send())


async def test_a_bye_reaches_the_other_side_and_nothing_stays_open() -> None:
    async with two_nodes() as (ana, bruno):
        one, other = await links_of(ana, bruno)
        await one.close()
        async with asyncio.timeout(5):
            await other.wait_closed()
        assert other.cause is CloseCause.BYE
        assert bruno.recorder.closed == [other]


async def test_a_changed_path_secret_breaks_the_binding_and_no_link_opens() -> None:
    """Whoever could read one signal and write another, yet has not the device's key, gets no further than this."""
    async with two_nodes() as (ana, bruno):
        one, other = await meet(ana, bruno, changed={"path_secret": bytes(32)})
        assert isinstance(other, HelloRefusedError)
        assert isinstance(one, PathRefusedError | LinkLostError)
        assert not ana.recorder.opened + bruno.recorder.opened


async def test_a_stranger_with_a_good_signal_is_not_let_in() -> None:
    async with two_nodes() as (ana, bruno):
        ana.me.listed.clear()
        one, other = await meet(ana, bruno)
        assert isinstance(one, HelloRefusedError)
        assert not ana.recorder.opened
        assert isinstance(other, LinkSession | LinkLostError | PathRefusedError)


async def test_a_malformed_signal_closes_the_attempt() -> None:
    async with two_nodes() as (ana, bruno):
        attempt, own = await ana.gather(1)
        remote = msgspec.structs.replace(own, ice_password="not ice chars, but long enough")
        with pytest.raises(MalformedError):
            await ana.transport.connect(attempt, own=own, remote=remote, peer=bruno.me.own)


async def test_a_cancelled_connect_closes_everything() -> None:
    async with two_nodes() as (ana, bruno):
        attempt, own = await ana.gather(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await ana.transport.connect(attempt, own=own, remote=own, peer=bruno.me.own)


async def test_silenced_direct_paths_take_envelopes_and_never_acknowledge_them() -> None:
    async with two_nodes() as (ana, bruno):
        one, other = await links_of(ana, bruno)
        await bruno.transport.end_paths(RouteKind.RELAYED, "silence")
        await one.send(envelope(1))
        await bruno.transport.end_paths(RouteKind.DIRECT, "silence")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await one.send(envelope(2))
        assert one.is_open
        assert other.is_open
        assert bruno.recorder.received == [envelope(1)]


async def test_closed_direct_paths_are_gone_at_both_ends() -> None:
    async with two_nodes() as (ana, bruno):
        one, _ = await links_of(ana, bruno)
        await bruno.transport.end_paths(RouteKind.DIRECT, "close")
        assert bruno.transport.links.live() == ()
        async with asyncio.timeout(5):
            await one.wait_closed()


@pytest.mark.slow
async def test_a_silent_peer_is_noticed_with_an_envelope_in_flight() -> None:
    async with two_nodes() as (ana, bruno):
        one, _ = await links_of(ana, bruno)
        await bruno.transport.end_paths(RouteKind.DIRECT, "silence")
        begun = asyncio.get_running_loop().time()
        with pytest.raises(LinkLostError):
            await one.send(envelope(1))
        assert asyncio.get_running_loop().time() - begun < 4
