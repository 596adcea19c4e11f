"""The same formats against an older official version, 0.90.0, as the responder; as the initiator we refuse it.

It offers SPQR and does without where the other side does not insist, so it also shows that we do insist.
"""

import os
import random

import pytest

from mepassa.crypto import double_ratchet
from mepassa.crypto.budget import WorkBudget
from mepassa.crypto.certificates import verify_chain
from mepassa.crypto.errors import AuthenticationError, SpqrError
from mepassa.crypto.messages import decode_prekey_signal_message, decode_signal_message
from mepassa.crypto.spqr.message import decode_spqr_message
from mepassa.identity import trust_root
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.keys import IdentityKey
from mepassa.protocol import session
from mepassa.protocol.parties import parties
from mepassa.protocol.sealing import open_sealed, seal
from mepassa.protocol.session import MessageType, SessionRecord, SignalCiphertext
from mepassa.testing.chance import SeededRng
from tests.crypto.people import DAY_MS, NOW_MS, Person
from tests.oracle.official import OfficialPerson, Oracle, unpack
from tests.oracle.travelling import Travelling, start


@pytest.fixture
def ours(seed: int) -> Person:
    return Person("ours", rng=SeededRng(seed))


@pytest.fixture
def theirs(older_oracle: Oracle, ours: Person) -> OfficialPerson:
    return older_oracle.person(ours.rng.token(16))


@pytest.mark.parametrize("one_time", [True, False], ids=["with one-time prekey", "without"])
def test_it_answers_a_session_that_we_begin(ours: Person, theirs: OfficialPerson, seed: int, *, one_time: bool) -> None:
    start(ours, theirs, we_initiate=True, one_time=one_time)
    road = Travelling(ours, theirs, random.Random(seed))
    assert road.go(until_opened=300) >= 2


def test_sealed_messages_open_both_ways(ours: Person, theirs: OfficialPerson) -> None:
    start(ours, theirs, we_initiate=True)
    certificate = unpack(theirs.ask("certificate", expires=NOW_MS + DAY_MS)["certificate"])
    for number in range(10):
        text = b"%d" % number
        made = ours.encrypt(theirs.remote, text)
        sealed = seal(ours.own, ours.certificate, theirs.identity_key, made.type, made.body, rng=ours.rng)
        opened = theirs.ask("open", sealed=sealed.raw, root=trust_root(ours.root.public).raw, now=NOW_MS)
        assert unpack(opened["plaintext"]) == text

        answer = theirs.ask("seal", peer=ours.own.address, plaintext=text, certificate=certificate)
        unsealed = open_sealed(ours.own, SealedEnvelope(unpack(answer["sealed"])))
        assert unsealed.sender == theirs.address
        assert verify_chain(unsealed.certificate, IdentityKey(theirs.root))
        assert ours.decrypt(unsealed.remote, SignalCiphertext(unsealed.type, unsealed.body, b"")) == text


def test_a_session_that_it_begins_is_refused_and_spends_nothing(ours: Person, theirs: OfficialPerson) -> None:
    """Its first messages carry index 0, so no post-quantum key, and no addresses: each alone is reason enough."""
    theirs.initiate(ours.own.address, ours.bundle())
    first = theirs.encrypt(ours.own.address, b"first")
    outer = decode_prekey_signal_message(first.body)
    inner = decode_signal_message(outer.message)
    assert first.type is MessageType.PREKEY
    assert inner.spqr[:3] == b"\x01\x01\x00"  # version 1, epoch 1, index 0
    before = (dict(ours.prekeys.one_times), dict(ours.prekeys.kybers))
    with pytest.raises(AuthenticationError):
        ours.decrypt(theirs.remote, first)
    with pytest.raises(SpqrError):
        decode_spqr_message(inner.spqr)
    ratchet, _ = session._respond(ours.own, outer, ours.prekeys)
    with pytest.raises(SpqrError):
        double_ratchet.decrypt(ratchet, parties(ours.own, theirs.remote), inner, WorkBudget(100), os.urandom)
    assert ours.record(theirs.remote) == SessionRecord.EMPTY
    assert (ours.prekeys.one_times, ours.prekeys.kybers) == before
