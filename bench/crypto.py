"""What the encryption costs on one core, beside the official library in the same run (`bench.libsignal_node`).

One way, turn by turn, a new session, a record on disk, sealing, long gaps, groups, and the worst envelope that was found.
Measured is what people install, machine code (docs/decisions/0168), and of the source as it runs here one figure; without
a C compiler the source is all there is, which is said.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from bench import crypto_groups, crypto_worst, libsignal_node
from bench.crypto_people import NOW_MS, RNG, Device, acquainted
from bench.figure import Figure
from devtools import compiled
from mepassa.crypto import double_ratchet
from mepassa.model.envelope import SealedEnvelope
from mepassa.protocol import session
from mepassa.protocol.sealing import open_sealed, seal
from mepassa.protocol.session import SessionRecord

ROUNDS = 2_000
PARTS = 40
"""The best of so many parts counts: on a shared machine the others measure the neighbours."""
THE_COMPILED = "MEPASSA_BENCH_COMPILED"
"""Set for the process that measures machine code."""
TAKES = 5
"""Of the figure that has a goal as a ratio: a machine has slow spells of a second or two, which would hit one side."""


def _rate(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Calls a second of processor time, in the best part; the first part only warms up."""
    best = 0.0
    for _ in range(min(rounds // PARTS, 100)):
        work()
    part = max(1, rounds // PARTS)
    for _ in range(rounds // part):
        begun = time.process_time()
        for _ in range(part):
            work()
        best = max(best, part / (time.process_time() - begun))
    return best


def run() -> Iterator[Figure]:
    if Path(double_ratchet.__file__).suffix != ".py":
        yield from libsignal_node.beside(_figures())
        return
    try:
        env = compiled.environment()
    except compiled.NotCompiledError as error:
        print(f"the source as it stands is measured: {error}", file=sys.stderr)
        yield from libsignal_node.beside(_figures())
        return
    if THE_COMPILED in os.environ:
        raise RuntimeError("the compiled form is not machine code: remove build/compiled")
    yield from libsignal_node.beside(_pairs("pairs_interpreted", *acquainted()))
    yield from _measured_with(env)


def _measured_with(env: dict[str, str]) -> Iterator[Figure]:
    """This bench once more, in a process with those variables."""
    env = {**env, THE_COMPILED: "1"}
    command = [sys.executable, "-m", "bench", "crypto", "--json"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield msgspec.json.decode(line, type=Figure)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def _pairs(name: str, ana: Device, bruno: Device) -> Iterator[Figure]:
    for _ in range(TAKES):
        yield Figure(figure=name, value=_rate(lambda: bruno.decrypt(ana, ana.encrypt(bruno))), unit="pairs/s")


def _figures() -> Iterator[Figure]:
    ana, bruno = acquainted()
    yield from _pairs("pairs", ana, bruno)

    def turn() -> None:
        bruno.decrypt(ana, ana.encrypt(bruno))
        ana.decrypt(bruno, bruno.encrypt(ana))

    yield Figure(figure="ping_pong", value=2 * _rate(turn, ROUNDS // 2), unit="pairs/s")
    yield from _records(ana, bruno)
    yield from _setup(ana, bruno)
    yield from _sealing(ana, bruno)
    yield from _jumps()
    yield from crypto_groups.run()
    yield from crypto_worst.run()


def _setup(ana: Device, bruno: Device) -> Iterator[Figure]:
    bundle = bruno.bundle()

    def begin() -> None:
        """A bundle is checked, a session begun, its first message opened at the other side."""
        ana.record = session.initiate(SessionRecord.EMPTY, ana.own, bruno.remote, bundle, now_ms=NOW_MS, rng=RNG)
        bruno.record = SessionRecord.EMPTY
        bruno.decrypt(ana, ana.encrypt(bruno))

    yield Figure(figure="setup", value=_rate(begin, 200), unit="1/s")
    yield Figure(figure="bundle", value=1e6 / _rate(bruno.bundle, 200), unit="us")


def _records(ana: Device, bruno: Device) -> Iterator[Figure]:
    """Over whole SPQR epochs, since a record breathes with them."""
    sizes = []
    for _ in range(200):
        bruno.decrypt(ana, ana.encrypt(bruno))
        ana.decrypt(bruno, bruno.encrypt(ana))
        sizes.append(len(ana.record.to_bytes()))
    yield Figure(figure="record_bytes", value=statistics.median(sizes), unit="bytes")
    yield Figure(figure="record_bytes_max", value=max(sizes), unit="bytes")
    saved = ana.record.to_bytes()
    cost = 1e6 / _rate(lambda: _save_and_load(saved))
    yield Figure(figure="record_load_and_save", value=cost, unit="us")


def _save_and_load(saved: bytes) -> None:
    SessionRecord.from_bytes(saved).to_bytes()


def _sealing(ana: Device, bruno: Device) -> Iterator[Figure]:
    made = ana.encrypt(bruno)

    def sealed() -> SealedEnvelope:
        return seal(ana.own, ana.certificate, bruno.own.key.public, made.type, made.body, rng=RNG)

    envelope = sealed()
    yield Figure(figure="seal", value=1e6 / _rate(sealed, 500), unit="us")
    yield Figure(figure="open_sealed", value=1e6 / _rate(lambda: open_sealed(bruno.own, envelope), 500), unit="us")


def _jumps() -> Iterator[Figure]:
    """Opening one message after so many lost ones, both ratchets together."""
    ana, bruno = acquainted()
    lost = 0
    for name, gap in (("jump_2000", 2_000), ("jump_25000", 24_999)):
        while lost < gap:
            ana.encrypt(bruno)
            lost += 1
        late = ana.encrypt(bruno)
        lost += 1
        yield Figure(figure=name, value=1000 / _rate(partial(bruno.open, ana, late), 5), unit="ms")
