"""docs/protocol/session.md and sealed-sender.md, checked against the official library: one side is always the oracle."""

import random

import pytest

from mepassa.crypto.budget import WorkBudget
from mepassa.crypto.certificates import SenderVerdict, decode_sender_certificate, verify_chain
from mepassa.crypto.errors import SpqrError
from mepassa.crypto.messages import (
    DecryptionErrorMessage,
    MessageType,
    PlaintextContent,
    decode_signal_message,
    encode_plaintext_content,
)
from mepassa.crypto.safety_number import safety_number
from mepassa.identity import trust_root, verify_xeddsa
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import SignatureError
from mepassa.model.ids import EnvelopeId
from mepassa.model.keys import IdentityKey
from mepassa.protocol import session
from mepassa.protocol.sealing import (
    ResendRequest,
    SignalPayload,
    open_sealed,
    read_plaintext,
    seal,
    seal_plaintext,
    validate_sender,
)
from mepassa.protocol.session import SignalCiphertext
from tests.crypto.people import DAY_MS, NOW_MS, Person
from tests.oracle.official import OfficialError, OfficialPerson, Oracle, unpack
from tests.oracle.travelling import Travelling, start

ROLES = pytest.mark.parametrize("we_initiate", [True, False], ids=["we initiate", "they initiate"])


@pytest.fixture
def ours(seed: int) -> Person:
    from mepassa.testing.chance import SeededRng

    return Person("ours", rng=SeededRng(seed))


@pytest.fixture
def theirs(oracle: Oracle, ours: Person) -> OfficialPerson:
    return oracle.person(ours.rng.token(16))


@ROLES
@pytest.mark.parametrize("one_time", [True, False], ids=["with one-time prekey", "without"])
def test_a_session_starts_in_both_roles(
    ours: Person, theirs: OfficialPerson, *, we_initiate: bool, one_time: bool
) -> None:
    start(ours, theirs, we_initiate=we_initiate, one_time=one_time)
    for number in range(10):
        text = b"%d" % number
        assert theirs.decrypt(ours.own.address, ours.encrypt(theirs.remote, text)) == text
        assert ours.decrypt(theirs.remote, theirs.encrypt(ours.own.address, text)) == text


@ROLES
def test_a_thousand_messages_survive_loss_disorder_damage_and_restarts(
    ours: Person, theirs: OfficialPerson, seed: int, *, we_initiate: bool
) -> None:
    """Two roles make over two thousand; at least three SPQR epochs go each way."""
    start(ours, theirs, we_initiate=we_initiate)
    road = Travelling(ours, theirs, random.Random(seed))
    assert road.go(until_opened=1050) >= 7
    for what in ("lost", "tampered", "repeated", "restarted"):
        assert road.counts[what] >= 5


@ROLES
def test_a_long_silence_of_one_side_costs_nothing_but_chunks(
    ours: Person, theirs: OfficialPerson, *, we_initiate: bool
) -> None:
    """Only parity chunks arrive: the erasure code is really used, in both directions."""
    start(ours, theirs, we_initiate=we_initiate)
    for _ in range(6):
        lost_ours = [ours.encrypt(theirs.remote, b"lost") for _ in range(40)]
        assert theirs.decrypt(ours.own.address, ours.encrypt(theirs.remote, b"a")) == b"a"
        for _ in range(40):
            theirs.encrypt(ours.own.address, b"lost")
        assert ours.decrypt(theirs.remote, theirs.encrypt(ours.own.address, b"b")) == b"b"
        assert theirs.decrypt(ours.own.address, lost_ours[20]) == b"lost"


def test_sessions_that_cross_settle_on_one(ours: Person, theirs: OfficialPerson) -> None:
    ours.initiate(theirs.remote, theirs.bundle())
    theirs.initiate(ours.own.address, ours.bundle())
    from_us, from_them = ours.encrypt(theirs.remote, b"x"), theirs.encrypt(ours.own.address, b"y")
    assert theirs.decrypt(ours.own.address, from_us) == b"x"
    assert ours.decrypt(theirs.remote, from_them) == b"y"
    for number in range(30):
        text = b"%d" % number
        assert theirs.decrypt(ours.own.address, ours.encrypt(theirs.remote, text)) == text
        assert ours.decrypt(theirs.remote, theirs.encrypt(ours.own.address, text)) == text
    assert ours.encrypt(theirs.remote, b"z").type is MessageType.SIGNAL
    assert theirs.encrypt(ours.own.address, b"z").type is MessageType.SIGNAL


@ROLES
def test_a_new_session_replaces_an_archived_one_and_late_messages_still_open(
    ours: Person, theirs: OfficialPerson, *, we_initiate: bool
) -> None:
    start(ours, theirs, we_initiate=we_initiate)
    late_from_us, late_from_them = ours.encrypt(theirs.remote, b"late"), theirs.encrypt(ours.own.address, b"late")
    ours.records[theirs.address] = session.archive(ours.record(theirs.remote))
    theirs.ask("archive", peer=ours.own.address)
    start(ours, theirs, we_initiate=not we_initiate)
    assert theirs.decrypt(ours.own.address, late_from_us) == b"late"
    assert ours.decrypt(theirs.remote, late_from_them) == b"late"
    # The session that opened last is the current one on both sides again.
    assert theirs.decrypt(ours.own.address, ours.encrypt(theirs.remote, b"x")) == b"x"


def test_we_refuse_what_would_lead_down_from_spqr(ours: Person, theirs: OfficialPerson) -> None:
    start(ours, theirs, we_initiate=False)
    current = ours.record(theirs.remote).current
    assert current is not None
    message = decode_signal_message(theirs.encrypt(ours.own.address, b"x").body)
    for field5 in (b"", b"\x00", b"\x02" + message.spqr[1:], b"\x01\x01\x00\x00"):
        with pytest.raises(SpqrError):
            current.ratchet.spqr.receive(field5, WorkBudget(100))


# --- sealed sender -----------------------------------------------------------------------------------------------------


def official_root(theirs: OfficialPerson) -> IdentityKey:
    return IdentityKey(theirs.root)


@ROLES
def test_sealed_messages_open_both_ways_with_certificates_from_our_own_root(
    ours: Person, theirs: OfficialPerson, *, we_initiate: bool
) -> None:
    start(ours, theirs, we_initiate=we_initiate)
    certificate = unpack(theirs.ask("certificate", expires=NOW_MS + DAY_MS)["certificate"])
    root = trust_root(ours.root.public).raw
    for number in range(25):
        text = b"%d" % number
        ciphertext = ours.encrypt(theirs.remote, text)
        sealed = seal(ours.own, ours.certificate, theirs.identity_key, ciphertext.type, ciphertext.body, rng=ours.rng)
        opened = theirs.ask("open", sealed=sealed.raw, root=root, now=NOW_MS)
        assert unpack(opened["plaintext"]) == text
        assert (opened["sender"], opened["device"]) == (str(ours.own.address.account.uuid), 1)

        answer = theirs.ask("seal", peer=ours.own.address, plaintext=text, certificate=certificate)
        unsealed = open_sealed(ours.own, SealedEnvelope(unpack(answer["sealed"])))
        assert unsealed.sender == theirs.address
        assert verify_chain(unsealed.certificate, official_root(theirs))
        assert ours.decrypt(unsealed.remote, SignalCiphertext(unsealed.type, unsealed.body, b"")) == text


def test_the_official_validation_accepts_our_chain_until_it_expires_and_under_our_root_only(
    ours: Person, theirs: OfficialPerson
) -> None:
    root = trust_root(ours.root.public).raw
    expires = NOW_MS + 60 * DAY_MS
    for at, by, expected in (
        (NOW_MS, root, True),
        (expires, root, True),
        (expires + 1, root, False),
        (NOW_MS, theirs.root, False),
        (NOW_MS, ours.own.key.public.raw, False),
    ):
        assert theirs.oracle.ask("validate", certificate=ours.certificate, root=by, now=at)["yes"] is expected


def test_we_accept_the_official_chain_of_shape_b_for_its_own_account_only(theirs: OfficialPerson) -> None:
    raw = unpack(theirs.ask("certificate", expires=NOW_MS + DAY_MS)["certificate"])
    certificate = decode_sender_certificate(raw)
    assert verify_chain(certificate, official_root(theirs))
    assert not verify_chain(certificate, theirs.identity_key)
    assert certificate.sender == theirs.address
    assert certificate.signer.key == certificate.identity_key == theirs.identity_key


# --- resend requests and signals ---------------------------------------------------------------------------------------


def test_resend_requests_are_read_both_ways_and_name_the_current_ratchet_key(
    ours: Person, theirs: OfficialPerson
) -> None:
    start(ours, theirs, we_initiate=True)
    certificate = unpack(theirs.ask("certificate", expires=NOW_MS + DAY_MS)["certificate"])

    failed = ours.encrypt(theirs.remote, b"lost")
    answer = theirs.ask(
        "seal_error",
        peer=ours.own.address,
        type=int(failed.type),
        body=failed.body,
        timestamp=NOW_MS,
        device=ours.own.address.device,
        certificate=certificate,
    )
    request = read_plaintext(open_sealed(ours.own, SealedEnvelope(unpack(answer["sealed"]))))
    assert request == ResendRequest(None, failed.ratchet_key, NOW_MS, 1)
    assert session.must_archive(ours.record(theirs.remote), ratchet_key=request.ratchet_key, sent_at_ms=0)

    unopened = theirs.encrypt(ours.own.address, b"lost too")
    ratchet_key = session.failed_ratchet_key(unopened.type, unopened.body)
    assert ratchet_key is not None
    asked = ResendRequest(EnvelopeId(bytes(16)), ratchet_key, NOW_MS, theirs.address.device)
    sealed = seal_plaintext(ours.own, ours.certificate, theirs.identity_key, asked, rng=ours.rng)
    unsealed = theirs.ask("unseal", sealed=sealed.raw)
    assert unsealed["type"] == MessageType.PLAINTEXT
    read = theirs.oracle.ask("read_error", content=unpack(unsealed["body"]))
    assert (read["timestamp"], read["device"], unpack(read["ratchet_key"])) == (NOW_MS, 1, ratchet_key)
    assert theirs.ask("current_key_is", peer=ours.own.address, key=ratchet_key)["yes"]


def test_the_official_parser_finds_no_resend_request_in_a_signal(ours: Person, theirs: OfficialPerson) -> None:
    sealed = seal_plaintext(ours.own, ours.certificate, theirs.identity_key, SignalPayload(b"x" * 300), rng=ours.rng)
    body = unpack(theirs.ask("unseal", sealed=sealed.raw)["body"])
    with pytest.raises(OfficialError):
        theirs.oracle.ask("read_error", content=body)


def test_the_official_parser_reads_our_plainest_resend_request(theirs: OfficialPerson) -> None:
    content = encode_plaintext_content(PlaintextContent(DecryptionErrorMessage(None, NOW_MS, 300)))
    read = theirs.oracle.ask("read_error", content=content)
    assert read == {"timestamp": NOW_MS, "device": 300, "ratchet_key": None}


# --- keys --------------------------------------------------------------------------------------------------------------


def test_signatures_verify_both_ways(ours: Person, theirs: OfficialPerson) -> None:
    for size in (0, 33, 200):
        message = ours.rng.token(size)
        signature = ours.own.key.sign(message)
        by_us = theirs.oracle.ask("verify", key=ours.own.key.public.raw, message=message, signature=signature)
        assert by_us["yes"]
        verify_xeddsa(theirs.identity_key, message, unpack(theirs.ask("sign", message=message)["signature"]))
    with pytest.raises(SignatureError):
        verify_xeddsa(theirs.identity_key, b"x", unpack(theirs.ask("sign", message=b"y")["signature"]))


def test_safety_numbers_are_the_official_ones_over_root_keys(ours: Person, theirs: OfficialPerson) -> None:
    other = Person("other", rng=ours.rng)
    number = safety_number(ours.root.public, ours.root.account_id, other.root.public, other.root.account_id)
    official = theirs.oracle.ask(
        "fingerprint",
        iterations=5200,
        own_id=ours.root.account_id.raw,
        own_key=trust_root(ours.root.public).raw,
        other_id=other.root.account_id.raw,
        other_key=trust_root(other.root.public).raw,
    )
    assert (number.digits, number.scannable) == (official["digits"], unpack(official["scannable"]))
    mirrored = safety_number(other.root.public, other.root.account_id, ours.root.public, ours.root.account_id)
    assert mirrored.digits == number.digits
    assert number.matches(mirrored.scannable)


def test_a_stranger_account_is_an_unknown_root(ours: Person, theirs: OfficialPerson) -> None:
    start(ours, theirs, we_initiate=False)
    certificate = unpack(theirs.ask("certificate", expires=NOW_MS + DAY_MS)["certificate"])
    answer = theirs.ask("seal", peer=ours.own.address, plaintext=b"x", certificate=certificate)
    unsealed = open_sealed(ours.own, SealedEnvelope(unpack(answer["sealed"])))
    assert validate_sender(unsealed, None, None, NOW_MS) is SenderVerdict.UNKNOWN_ROOT
    assert validate_sender(unsealed, ours.root.public, None, NOW_MS) is SenderVerdict.UNKNOWN_ROOT


@ROLES
def test_a_session_unanswered_for_thirty_days_cannot_send_on_either_side(
    ours: Person, theirs: OfficialPerson, *, we_initiate: bool
) -> None:
    late, limit = NOW_MS + 30 * DAY_MS, NOW_MS + 30 * DAY_MS - 1
    if we_initiate:
        ours.initiate(theirs.remote, theirs.bundle(), NOW_MS)
        assert ours.encrypt(theirs.remote, b"x", limit).type is MessageType.PREKEY
        with pytest.raises(session.StaleSessionError):
            ours.encrypt(theirs.remote, b"x", late)
    else:
        theirs.initiate(ours.own.address, ours.bundle(), NOW_MS)
        assert theirs.encrypt(ours.own.address, b"x", limit).type is MessageType.PREKEY
        with pytest.raises(OfficialError):  # a millisecond later than we: the last one counts as young there
            theirs.encrypt(ours.own.address, b"x", late + 1)
