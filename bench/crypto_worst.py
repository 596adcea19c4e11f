"""The worst that one envelope can cost: a search over what an accepted contact may send, against records it has filled.

Sealed properly, from a validated device: nothing before the ratchet refuses it. What is measured is what one envelope
causes: unsealing, loading the record, opening or refusing, and saving where it opened.
"""

import dataclasses
import itertools
import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from bench.crypto_people import NOW_MS, RNG, Device, acquainted
from bench.figure import Figure
from mepassa.crypto.double_ratchet import MAX_RECEIVING_CHAINS, MAX_SKIPPED, RatchetState, ReceivingChain
from mepassa.crypto.kept_keys import KeptKeys
from mepassa.crypto.keys import EcKeyPair
from mepassa.crypto.messages import (
    PrekeySignalMessage,
    decode_prekey_signal_message,
    encode_addresses,
    encode_prekey_signal_message,
    encode_signal_body,
)
from mepassa.crypto.spqr.chain import KEPT_KEYS, KeyEpoch
from mepassa.crypto.spqr.message import MessageType as SpqrType
from mepassa.crypto.spqr.message import SpqrMessage, encode_spqr_message
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import DecryptionError
from mepassa.protocol import session
from mepassa.protocol.sealing import open_sealed, seal
from mepassa.protocol.session import MessageType, SessionRecord
from mepassa.protocol.session_record import MAX_ARCHIVED, SessionState
from tests.crypto.people import skip

JUMPS = (0, 1_999, 24_999)
"""Messages passed over, in either ratchet."""
SUSPECTS = 5
"""The dearest of a quick look are measured again, and the best of those times counts."""


@dataclass(frozen=True, slots=True)
class Candidate:
    name: str
    record: bytes
    envelope: SealedEnvelope


def run() -> Iterator[Figure]:
    found = Search()
    candidates = list(found.candidates())
    dearest = sorted(candidates, key=lambda one: _cost_s(found.victim, one), reverse=True)[:SUSPECTS]
    costs = {one.name: min(_cost_s(found.victim, one) for _ in range(3)) for one in dearest}
    worst = max(costs, key=lambda name: costs[name])
    print(f"the dearest of {len(candidates)} envelopes: {worst}", file=sys.stderr)
    yield Figure(figure="worst_envelope", value=1000 * costs[worst], unit="ms")
    largest = max(candidates, key=lambda one: _peak_bytes(found.victim, one) if "24999" in one.name else 0)
    print(f"the largest: {largest.name}", file=sys.stderr)
    yield Figure(figure="worst_envelope_memory", value=_peak_bytes(found.victim, largest) / 2**20, unit="MiB")
    yield Figure(figure="worst_record", value=max(len(one.record) for one in candidates) / 2**20, unit="MiB")


def _open(victim: Device, candidate: Candidate) -> None:
    unsealed = open_sealed(victim.own, candidate.envelope)
    record = SessionRecord.from_bytes(candidate.record)
    try:
        opened = session.decrypt(
            record, victim.own, unsealed.remote, unsealed.type, unsealed.body, prekeys=victim, now_ms=NOW_MS, rng=RNG
        )
    except DecryptionError:
        return
    opened.record.to_bytes()


def _cost_s(victim: Device, candidate: Candidate) -> float:
    begun = time.process_time()
    _open(victim, candidate)
    return time.process_time() - begun


def _peak_bytes(victim: Device, candidate: Candidate) -> int:
    tracemalloc.start()
    try:
        _open(victim, candidate)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class Search:
    """`victim` has begun with `hostile`; its record comes in three conditions, each asked by every kind of envelope."""

    def __init__(self) -> None:
        self.hostile, self.victim = acquainted()
        self.hostile.record = _passing_over(self.hostile.record, MAX_SKIPPED)
        self.victim.decrypt(self.hostile, self.hostile.encrypt(self.victim))  # the newest chain is full already
        current = self.victim.record.current
        assert current is not None
        self.current = current
        self.proper = {passed: self._proper(passed) for passed in JUMPS}
        self.bundle = self.victim.bundle()
        other = replace(current, base_key=os.urandom(33), ratchet=_another(current.ratchet))
        full = replace(current, ratchet=_filled(current.ratchet))
        other_full = replace(other, ratchet=_filled(other.ratchet))
        self.records = {
            "one session": SessionRecord(current),
            "40 archived": _archiving(current, [other] * MAX_ARCHIVED),
            "40 archived, all full": _archiving(full, [other_full] * MAX_ARCHIVED),
        }

    def candidates(self) -> Iterator[Candidate]:
        for (condition, record), (numbers, indices) in itertools.product(
            self.records.items(), itertools.product(JUMPS, JUMPS)
        ):
            saved = record.to_bytes()
            for way, made in self._ways(numbers, indices).items():
                kind, body = made()
                envelope = seal(
                    self.hostile.own, self.hostile.certificate, self.victim.own.key.public, kind, body, rng=RNG
                )
                yield Candidate(f"{way}, {numbers} and {indices} passed over, {condition}", saved, envelope)

    def _ways(self, numbers: int, indices: int) -> dict[str, Callable[[], tuple[MessageType, bytes]]]:
        known, new = self.current.ratchet.receiving[0], EcKeyPair.generate(RNG.token).public
        newest = self.current.ratchet.spqr.chain.epochs[-1].receive_counter

        def forged(ratchet_key: bytes, first: int, seen: int) -> bytes:
            spqr = encode_spqr_message(SpqrMessage(1, seen + indices + 1, SpqrType.NONE, None))
            body = encode_signal_body(
                ratchet_key=ratchet_key,
                number=first + numbers,
                previous_chain_length=0,
                ciphertext=bytes(30 * 1024),  # nearly all that an envelope takes
                spqr=spqr,
                addresses=encode_addresses(self.hostile.own.address, self.victim.own.address),
            )
            return body + bytes(8)

        ways: dict[str, Callable[[], tuple[MessageType, bytes]]] = {
            "forged, new ratchet key": lambda: (MessageType.SIGNAL, forged(new, 0, newest)),
            "forged, known ratchet key": lambda: (
                MessageType.SIGNAL,
                forged(known.ratchet_key, known.next_number, newest),
            ),
            "forged, new session": lambda: (MessageType.PREKEY, self._begun(forged(new, 0, 0))),
            "forged, repeated base key": lambda: (
                MessageType.PREKEY,
                self._begun(forged(new, 0, newest), base_key=self.current.base_key),
            ),
        }
        if numbers == indices:
            ways["proper"] = lambda: (MessageType.SIGNAL, self.proper[numbers])
        return ways

    def _begun(self, message: bytes, base_key: bytes | None = None) -> bytes:
        """A PreKey message around `message`, with prekeys that are there."""
        begun = session.initiate(
            SessionRecord.EMPTY, self.hostile.own, self.victim.remote, self.bundle, now_ms=NOW_MS, rng=RNG
        )
        _, made = session.encrypt(begun, self.hostile.own, self.victim.remote, b"", now_ms=NOW_MS, rng=RNG)
        outer: PrekeySignalMessage = decode_prekey_signal_message(made.body)
        return encode_prekey_signal_message(
            dataclasses.replace(outer, message=message, base_key=base_key or outer.base_key)
        )

    def _proper(self, passed: int) -> bytes:
        """What really opens."""
        record = _passing_over(self.hostile.record, passed)
        _, made = session.encrypt(record, self.hostile.own, self.victim.remote, b"", now_ms=NOW_MS, rng=RNG)
        return made.body


def _passing_over(record: SessionRecord, count: int) -> SessionRecord:
    assert record.current is not None
    return record.with_current(replace(record.current, ratchet=skip(record.current.ratchet, count)))


def _another(ratchet: RatchetState) -> RatchetState:
    """Of another session: it does not know the ratchet keys of this one."""
    chains = tuple(replace(chain, ratchet_key=b"\x05" + os.urandom(31) + b"\x00") for chain in ratchet.receiving)
    return replace(ratchet, receiving=chains)


def _filled(ratchet: RatchetState) -> RatchetState:
    """With all that can be kept for messages that never came, in every chain and in every key epoch."""
    newest = ratchet.receiving[0]
    seeds = KeptKeys().followed_by((number, os.urandom(32)) for number in range(MAX_SKIPPED))
    others = [
        ReceivingChain(b"\x05" + os.urandom(31) + b"\x00", os.urandom(32), MAX_SKIPPED + 1, seeds)
        for _ in range(MAX_RECEIVING_CHAINS - 1)
    ]
    chain = ratchet.spqr.chain
    keys = KeptKeys().followed_by((index, os.urandom(32)) for index in range(1, KEPT_KEYS + 1))
    old = KeyEpoch(None, 0, os.urandom(32), KEPT_KEYS + 1, keys)
    spqr = replace(ratchet.spqr, chain=replace(chain, epochs=(old, old, chain.epochs[-1])))
    return replace(ratchet, receiving=(newest, *others), spqr=spqr)


def _archiving(current: SessionState, archived: list[SessionState]) -> SessionRecord:
    """As it comes about: each was the current one once."""
    record = SessionRecord(None)
    for state in archived:
        record = record.with_new(state)
    return record.with_new(current)
