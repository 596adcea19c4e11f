"""Links in memory under virtual time: what the simulator and other rooms' tests stand on."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mepassa.model.errors import LinkLostError, PathRefusedError
from mepassa.model.ids import Address
from mepassa.testing import Life, VirtualLoop, World
from mepassa.transports.loopback import PIPE_BYTES, LoopbackNetwork, LoopbackTransport, stream_pair
from tests.transports.link_peers import Person, Recorder, envelope, two_friends


def play(scenario: Callable[[], Awaitable[None]], *, seed: int | None = None) -> None:
    async def main() -> None:
        await scenario()

    VirtualLoop(seed).run(main())


@pytest.mark.parametrize("seed", range(5))
def test_two_devices_dial_and_exchange_envelopes(seed: int) -> None:
    async def scenario() -> None:
        ana, bruno = two_friends()
        network, recorder = LoopbackNetwork(latency_s=0.02), Recorder()
        transport = network.register(ana, Recorder())
        other = network.register(bruno, recorder)
        link = await transport.dial(bruno.own)
        await asyncio.gather(*(link.send(envelope(number)) for number in range(20)))
        assert len(recorder.received) == 20
        await transport.stop()
        await other.stop()
        with pytest.raises(LinkLostError):
            await transport.dial(bruno.own)

    play(scenario, seed=seed)


def test_a_cut_silences_links_and_forbids_new_ones_until_it_is_mended() -> None:
    async def scenario() -> None:
        ana, bruno = two_friends()
        network = LoopbackNetwork(latency_s=0.02)
        transport, other = network.register(ana, Recorder()), network.register(bruno, Recorder())
        link = await transport.dial(bruno.own)
        network.cut(ana.own, bruno.own)
        with pytest.raises(LinkLostError):
            await link.send(envelope(1))
        with pytest.raises(LinkLostError):
            await transport.dial(bruno.own)
        network.mend(ana.own, bruno.own)
        await (await transport.dial(bruno.own)).send(envelope(1))
        other.direct = False
        with pytest.raises(LinkLostError):  # nobody answers
            await transport.dial(bruno.own)
        transport.direct = False
        with pytest.raises(PathRefusedError):
            await transport.dial(bruno.own)
        await transport.stop()
        await other.stop()

    play(scenario)


@pytest.mark.parametrize("step", range(1, 60, 7))
def test_a_device_that_loses_its_power_is_noticed_and_can_come_back(step: int) -> None:
    """Its sessions live in its own context: nothing of them runs after the crash."""
    world = World(seed=step)
    ana, bruno = two_friends()
    network, recorder = LoopbackNetwork(latency_s=0.02), Recorder()
    started: dict[Address, LoopbackTransport] = {}

    async def node(me: Person, handler: Recorder) -> None:
        started[me.own] = network.register(me, handler)
        await asyncio.sleep(100_000)

    async def send_until_taken(number: int) -> None:
        for _ in range(10):
            try:
                link = await started[ana.own].dial(bruno.own)
                await link.send(envelope(number))
                return
            except (LinkLostError, PathRefusedError):
                await asyncio.sleep(1)
        pytest.fail("never taken")

    def boot(name: str, me: Person, handler: Recorder) -> Life:
        life = world.boot(name)
        life.run(node(me, handler))
        return life

    async def scenario() -> None:
        world.crash_at("bruno", step)
        lives = [boot("ana", ana, Recorder()), boot("bruno", bruno, recorder)]
        await asyncio.sleep(1)
        sending = asyncio.ensure_future(send_until_taken(1))
        await asyncio.sleep(6)
        if not world.is_alive("bruno"):
            lives.append(boot("bruno", bruno, recorder))
        await sending
        assert envelope(1) in recorder.received
        for life in lives:
            life.crash()

    world.run(scenario())


def test_a_writer_waits_for_its_reader_and_what_was_written_arrives_before_the_end() -> None:
    async def scenario() -> None:
        here, there = stream_pair(latency_s=0.01)
        await here.write(bytes(PIPE_BYTES))
        blocked = asyncio.ensure_future(here.write(b"last"))
        await asyncio.sleep(1)
        assert not blocked.done()
        received = 0
        while received < PIPE_BYTES:
            received += len(await there.read(65_536))
        await blocked
        await here.close()
        assert await there.read(100) == b"last"
        assert await there.read(100) == b""
        assert await here.read(100) == b""
        with pytest.raises(LinkLostError):
            await there.write(b"x")

    play(scenario)
