"""Nothing that a home acknowledged is lost: real processes, SIGKILL, syncs counted, a disk that is full."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from devtools.home_load import OnlineDevice, Sender, envelopes_for, load, register_people
from devtools.home_process import HomeProcess, home_process
from mepassa.model.ids import EnvelopeId
from mepassa.testing import SeededRng
from mepassa.testing.people import Listener, Person
from mepassa.transports.mailbox import WebSocketDialer

SENDERS = 20
IN_FLIGHT = 32
SIZE_BYTES = 512


async def everything_waiting(
    dial: WebSocketDialer, home: HomeProcess, people: list[Person], rng: SeededRng, expected: list[set[EnvelopeId]]
) -> list[set[EnvelopeId]]:
    """What the home delivers to each, once all that is expected has come."""
    received = []
    for person, ids in zip(people, expected, strict=True):
        listener = Listener()
        async with OnlineDevice(dial, home.address, person, listener, rng):
            while not ids <= {envelope.id for envelope in listener.envelopes}:
                listener.changed.clear()
                await listener.changed.wait()
        received.append({envelope.id for envelope in listener.envelopes})
    return received


@pytest.mark.slow
@pytest.mark.parametrize("round_number", range(3))
async def test_a_home_killed_under_load_delivers_every_id_that_it_acknowledged(
    tmp_path: Path, seed: int, round_number: int
) -> None:
    dice, rng, dial = (
        Random(seed + round_number),
        SeededRng(f"{seed}/{round_number}"),
        WebSocketDialer(private_homes=True),
    )
    with home_process(tmp_path) as home:
        people = await register_people(dial, home.address, rng, 4)
        senders = [await Sender.connect(dial, home.address, people[n % 4]) for n in range(SENDERS)]
        work = [envelopes_for(n, 2_000, SIZE_BYTES) for n in range(SENDERS)]
        loading = asyncio.create_task(load(senders, work, IN_FLIGHT))
        enough = dice.randint(200, 6_000)
        while sum(len(sender.acknowledged) for sender in senders) < enough and not loading.done():
            await asyncio.sleep(0)
        home.kill()
        await loading
    acknowledged = [
        {id_ for sender in senders if sender.to is person for id_ in sender.acknowledged} for person in people
    ]
    print(f"killed after {sum(map(len, acknowledged))} acknowledgements")
    assert sum(map(len, acknowledged)) >= min(enough, 200)
    with home_process(tmp_path) as again:
        for person in people:
            person.home = again.address
        received = await everything_waiting(dial, again, people, rng, acknowledged)
    assert all(ids <= got for ids, got in zip(acknowledged, received, strict=True))
    for sender in senders:
        await sender.stream.close()
    await dial.close()


@pytest.mark.slow
@pytest.mark.needs("strace", "strace")
async def test_every_acknowledgement_has_its_sync_and_a_crowd_shares_them(tmp_path: Path) -> None:
    """kill -9 keeps the page cache, so it proves no sync: a tracer counts them."""
    log = tmp_path / "syncs"
    tracer = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        "signal=none",
        "-o",
        str(log),
    ]

    def syncs() -> int:
        return sum("sync(" in line for line in log.read_text().splitlines())

    rng, dial = SeededRng("syncs"), WebSocketDialer(private_homes=True)
    with home_process(tmp_path / "home", prefix=tracer) as home:
        (person,) = await register_people(dial, home.address, rng, 1)
        alone = await Sender.connect(dial, home.address, person)
        for envelope in envelopes_for(1000, 30, SIZE_BYTES):
            before = syncs()
            await alone.deposit([envelope], 1)
            assert syncs() > before, "answered before it was synced"
        assert len(alone.acknowledged) == 30

        senders = [await Sender.connect(dial, home.address, person) for _ in range(SENDERS)]
        before = syncs()
        await load(senders, [envelopes_for(n, 200, SIZE_BYTES) for n in range(SENDERS)], IN_FLIGHT)
        shared = syncs() - before
        deposits = sum(len(sender.acknowledged) for sender in senders)
        assert deposits == SENDERS * 200
        print(f"{SENDERS} senders x {IN_FLIGHT} in flight: {deposits} deposits, {shared} syncs")
        assert 0 < shared < deposits / 5
        for sender in [alone, *senders]:
            await sender.stream.close()
    await dial.close()


async def test_a_home_whose_disk_is_full_refuses_keeps_what_it_has_and_recovers(tmp_path: Path) -> None:
    rng, dial = SeededRng("full"), WebSocketDialer(private_homes=True)
    with home_process(tmp_path, database_limit_bytes=1024 * 1024) as home:
        (person,) = await register_people(dial, home.address, rng, 1)
        sender = await Sender.connect(dial, home.address, person)
        await sender.deposit(envelopes_for(1, 100, 30_000), 4)
        kept = set(sender.acknowledged)
        assert sender.refused
        assert kept
        await sender.stream.close()
    with home_process(tmp_path, database_limit_bytes=1024 * 1024) as home:
        person.home = home.address
        (received,) = await everything_waiting(dial, home, [person], rng, [kept])
        assert received == kept
        sender = await Sender.connect(dial, home.address, person)
        while not sender.acknowledged:  # the deletion of what was delivered is on its way to the disk
            await sender.deposit(envelopes_for(2, 1, 30_000), 1)
        await sender.stream.close()
    await dial.close()
