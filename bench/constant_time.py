"""Whether secrets show in time: fixed against random secrets, Welch's t (as dudect does it; Reparaz, Balasch, Verbauwhede).

Only our own arithmetic on secrets is asked: the split encapsulation and the blinded keys. A |t| over 4.5 that stays over
it in further runs is a finding; the control, which leaks on purpose, shows that one would be seen. No test asks this: on a
shared machine a single run proves little.
"""

import gc
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.figure import Figure
from bench.libsignal_node import one_core
from mepassa.crypto.spqr import incremental_mlkem as mlkem
from mepassa.identity.presence import BlindedKeyPair, PresenceKeyPair
from mepassa.model.secret import SecretBytes

MEASUREMENTS = 8_000
"""Of each target, half of them with the fixed secret."""
CROPPED = (1.0, 0.9, 0.5)
"""Shares of the measurements that are looked at, the slowest left out: interrupts are noise, and hide small differences."""

Work = Callable[[bytes], object]
Times = NDArray[np.float64]


def run() -> Iterator[Figure]:
    header, ek_vector = mlkem.public_parts(os.urandom(64))
    key_pair = PresenceKeyPair.generate()
    day, device, message = 20_000, 1, b"m" * 200

    def blind(seed: bytes) -> object:
        return PresenceKeyPair(SecretBytes(seed)).blinded(day, device)

    def sign(scalar: bytes) -> object:
        return BlindedKeyPair(scalar, key_pair.seed.expose()).sign(message)

    targets: dict[str, tuple[Work, Callable[[], bytes]]] = {
        "encapsulate_1": (lambda m: mlkem.encapsulate_1(header, {32: m}.__getitem__), lambda: os.urandom(32)),
        "encapsulate_2": (lambda secret: mlkem.encapsulate_2(ek_vector, secret), lambda: os.urandom(64)),
        "blind_key": (blind, lambda: os.urandom(32)),
        "blinded_signature": (sign, _scalar),
        "control_that_leaks": (_leaking, lambda: os.urandom(32)),
    }
    with one_core():
        for name, (work, secret) in targets.items():
            yield Figure(figure=f"t_{name}", value=largest_t(*_times(work, secret)), unit="|t|")


def _times(work: Work, secret: Callable[[], bytes]) -> tuple[Times, Times]:
    """Seconds with the fixed secret, and with random ones, in mixed order.

    Each input is an object of its own, the fixed ones too: otherwise the caches would tell them apart.
    """
    fixed = bytearray(secret())
    order = [place % 2 == 0 for place in range(MEASUREMENTS)]
    random.shuffle(order)
    inputs = [bytes(fixed) if is_fixed else secret() for is_fixed in order]
    for warm_up in inputs[:50]:
        work(warm_up)
    gc.disable()
    try:
        measured = np.array([_seconds(work, given) for given in inputs])
    finally:
        gc.enable()
    is_fixed = np.array(order)
    return measured[is_fixed], measured[~is_fixed]


def _seconds(work: Work, given: bytes) -> float:
    begun = time.perf_counter()
    work(given)
    return time.perf_counter() - begun


def largest_t(one: Sequence[float] | Times, other: Sequence[float] | Times) -> float:
    """The largest |t| over all croppings."""
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    limits = np.quantile(np.concatenate((a, b)), CROPPED)
    return max(welch_t(a[a <= limit], b[b <= limit]) for limit in limits)


def welch_t(a: Times, b: Times) -> float:
    """|t| of Welch's test for two means."""
    spread = math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    return abs(float(a.mean() - b.mean())) / spread


def _scalar() -> bytes:
    from nacl import bindings

    return bytes(bindings.crypto_core_ed25519_scalar_reduce(os.urandom(64)))


def _leaking(secret: bytes) -> int:
    """Takes a little longer for each bit that is set: 128 ± 8 of them at random, always the same number if fixed."""
    found = 0
    for byte in secret:
        while byte:
            found += byte & 1
            byte >>= 1
    return found
