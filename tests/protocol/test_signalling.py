"""docs/protocol/signal.md: only accepted contacts are heard, only now, and only as themselves."""

from dataclasses import replace

import pytest

from mepassa.identity import RootKey
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import ConflictError, DecryptionError, UnlistedDeviceError
from mepassa.model.ids import Address, AttemptId, Timestamp
from mepassa.model.route import NatKind
from mepassa.model.secret import SecretBytes
from mepassa.model.signal import Signal, SignalKind
from mepassa.ports.stores import Tx
from mepassa.protocol.account import local_identity, sender_certificate
from mepassa.protocol.inbound import Fate
from mepassa.protocol.sealing import ResendRequest, seal_plaintext
from mepassa.protocol.signalling import (
    MAX_CLOCK_DIFFERENCE_MS,
    SignalStaleError,
    UnlistedSignallerError,
    open_signal,
    seal_signal,
)
from mepassa.protocol.tokens import signal_token_for
from tests.protocol.device_lists import become_second_device
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


def test_a_signal_of_just_ten_minutes_is_heard(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    signal = offer(Timestamp(ana.now - MAX_CLOCK_DIFFERENCE_MS))
    sealed, _ = ana.db.run_now(lambda tx: seal_signal(tx, beto.address, signal, ana.now, ana.rng))
    assert beto.db.run_now(lambda tx: open_signal(tx, sealed, beto.now)) == (ana.address, signal)


def test_a_device_that_no_list_names_or_that_another_root_certifies_is_not_heard(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)

    def heard() -> object:
        sealed, _ = ana.db.run_now(lambda tx: seal_signal(tx, beto.address, offer(ana.now), ana.now, ana.rng))
        return beto.db.run_now(lambda tx: open_signal(tx, sealed, beto.now))

    pinned, other = beto.contact(ana), RootKey(SecretBytes(b"o" * 32)).public
    beto.db.run_now(lambda tx: tx.put_contact(replace(pinned, root_key=other)))
    with pytest.raises(DecryptionError):
        heard()
    beto.db.run_now(lambda tx: tx.put_contact(pinned))
    assert heard() == (ana.address, offer(ana.now))
    become_second_device(ana)
    with pytest.raises(UnlistedSignallerError):
        heard()


def test_a_resend_request_is_no_signal(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)

    def work(tx: Tx) -> SealedEnvelope:
        certificate, request = sender_certificate(tx, ana.own, ana.now), ResendRequest(None, None, ana.now, 1)
        return seal_plaintext(local_identity(ana.own), certificate, beto.own.identity_key, request, rng=ana.rng)

    sealed = ana.db.run_now(work)
    with pytest.raises(DecryptionError):
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
