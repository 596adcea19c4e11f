"""docs/protocol/signal.md: only accepted contacts are heard, only now, and only as themselves."""

import pytest

from mepassa.model.errors import ConflictError, DecryptionError, UnlistedDeviceError
from mepassa.model.ids import Address, AttemptId, Timestamp
from mepassa.model.route import NatKind
from mepassa.model.signal import Signal, SignalKind
from mepassa.protocol.inbound import Fate
from mepassa.protocol.signalling import SignalStaleError, open_signal, seal_signal
from mepassa.protocol.tokens import signal_token_for
from tests.protocol.phones import Phone, befriend


def offer(at: Timestamp) -> Signal:
    return Signal(
        kind=SignalKind.OFFER,
        attempt_id=AttemptId(b"a" * 16),
        sent_at_ms=at,
        ice_ufrag="ufrag",
        ice_password="p" * 22,
        candidates=("1 1 udp 1 198.51.100.1 9 typ host",),
        nat_kind=NatKind.CONE,
        quic_certificate_sha256=bytes(32),
        path_secret=bytes(32),
    )


def test_a_signal_comes_from_whom_it_says(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    signal = offer(ana.now)
    sealed, token = ana.db.run_now(lambda tx: seal_signal(tx, beto.address, signal, ana.now, ana.rng))
    assert token == signal_token_for(ana.contact(beto))
    assert beto.db.run_now(lambda tx: open_signal(tx, sealed, beto.now)) == (ana.address, signal)
    assert beto.take(sealed).fate is Fate.DROPPED, "as an envelope it is nothing"


def test_a_signal_is_for_one_device(ana: Phone, beto: Phone, caio: Phone) -> None:
    befriend(ana, beto)
    befriend(ana, caio)
    sealed, _ = ana.db.run_now(lambda tx: seal_signal(tx, beto.address, offer(ana.now), ana.now, ana.rng))
    with pytest.raises(DecryptionError):
        caio.db.run_now(lambda tx: open_signal(tx, sealed, caio.now))
    with pytest.raises(UnlistedDeviceError):
        ana.db.run_now(lambda tx: seal_signal(tx, Address(beto.account, 9), offer(ana.now), ana.now, ana.rng))


@pytest.mark.parametrize("minutes", [-11, 11])
def test_an_old_signal_is_refused(ana: Phone, beto: Phone, minutes: int) -> None:
    befriend(ana, beto)
    signal = offer(Timestamp(ana.now + minutes * 60_000))
    sealed, _ = ana.db.run_now(lambda tx: seal_signal(tx, beto.address, signal, ana.now, ana.rng))
    with pytest.raises(SignalStaleError):
        beto.db.run_now(lambda tx: open_signal(tx, sealed, beto.now))


def test_strangers_and_the_blocked_are_neither_signalled_nor_heard(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    with pytest.raises(ConflictError):
        ana.db.run_now(lambda tx: seal_signal(tx, beto.address, offer(ana.now), ana.now, ana.rng))
    befriend(beto, ana)
    sealed, _ = ana.db.run_now(lambda tx: seal_signal(tx, beto.address, offer(ana.now), ana.now, ana.rng))
    beto.block(ana)
    with pytest.raises(DecryptionError):
        beto.db.run_now(lambda tx: open_signal(tx, sealed, beto.now))


def test_an_ordinary_envelope_is_no_signal(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    ana.write(beto, "não sou sinal")
    (envelope,) = ana.post(beto)
    with pytest.raises(DecryptionError):
        beto.db.run_now(lambda tx: open_signal(tx, envelope, beto.now))
