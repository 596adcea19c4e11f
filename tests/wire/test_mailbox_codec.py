"""docs/protocol/home.md, "Frames": every record there and back, and nothing but a value or a documented error."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.device_list import SignedDeviceList
from mepassa.model.errors import MalformedError, TooLargeError
from mepassa.model.ids import AccountId, Address, EnvelopeId, RunId, Timestamp
from mepassa.model.keys import HomeKey, IdentityKey, RootPublicKey
from mepassa.model.prekeys import KyberPrekey, OneTimePrekey, PrekeyBundle, PrekeyUpload, SignedPrekey
from mepassa.wire import mailbox as wire
from mepassa.wire.wellknown import (
    RegistrationPolicy,
    SignedWellKnown,
    WellKnown,
    decode_signed_well_known,
    decode_well_known,
    encode_signed_well_known,
    encode_well_known,
)
from mepassa.wire.work import WorkPurpose, search_work, verify_work, work_subject

ADDRESS = Address(AccountId(bytes(range(16))), 3)
LIST = SignedDeviceList(b"list", bytes(64))
EC = b"\x05" + bytes(32)
KYBER = KyberPrekey(7, b"\x08" + bytes(1568), bytes(64))
SIGNED = SignedPrekey(1, EC, bytes(64))
TURN = wire.Turn(("turn:h:1?transport=udp",), ("stun:h:1",), "1:ab", b"password", Timestamp(9))
BUNDLE = PrekeyBundle(3, 5, IdentityKey(EC), SIGNED, KYBER, OneTimePrekey(9, EC))

Records = list[Any]
CODECS: dict[str, tuple[Callable[[Any], bytes], Callable[[bytes], Sequence[object]], Records]] = {
    "mailbox to home": (
        wire.encode_mailbox_to_home,
        wire.decode_mailbox_to_home,
        [
            wire.Hello(bytes(32)),
            wire.Bye(wire.ByeReason.STOPPING),
            wire.Register(1, RootPublicKey(bytes(32)), LIST, "CODE", 5),
            wire.Auth(ADDRESS, 3, RunId(bytes(16)), bytes(64)),
            wire.RunRisen(4),
            wire.Acknowledge((EnvelopeId(bytes(16)),)),
            wire.Credit(100),
            wire.PutTokens(2, (wire.TokenEntry(bytes(32), wire.TokenRight.INVITE, Timestamp(7)),), (bytes(32),)),
            wire.PutDeviceList(3, LIST),
            wire.PutPrekeys(4, PrekeyUpload(SIGNED, KYBER, (OneTimePrekey(1, EC),), (KYBER,), True)),
            wire.AskTurn(5),
            wire.Recover(6, RootPublicKey(bytes(32)), bytes(64)),
        ],
    ),
    "mailbox to device": (
        wire.encode_mailbox_to_device,
        wire.decode_mailbox_to_device,
        [
            wire.HomeHello(bytes(32), "home.test", Timestamp(1), bytes(64), 18, 0),
            wire.Bye(wire.ByeReason.REPLACED),
            wire.Refused(1, wire.Refusal.BUSY, 2.5),
            wire.Done(1),
            wire.LoggedIn(100, 99, TURN),
            wire.RolledBack(12),
            wire.Deliver(b"sealed"),
            wire.DeliverSignal(b"signal"),
            wire.PrekeysLow(24, 3),
            wire.TurnGiven(5, TURN),
            wire.Recoverable(6, LIST),
        ],
    ),
    "deposit to home": (
        wire.encode_deposit_to_home,
        wire.decode_deposit_to_home,
        [
            wire.Hello(bytes(32)),
            wire.Bye(wire.ByeReason.STOPPING),
            wire.Deposit(1, ADDRESS, b"sealed", bytes(16), None),
            wire.SendSignal(2, ADDRESS, b"sealed", bytes(16)),
            wire.FetchAccount(3, ADDRESS.account, None, True, 77, (1, 127)),
        ],
    ),
    "deposit to client": (
        wire.encode_deposit_to_client,
        wire.decode_deposit_to_client,
        [
            wire.HomeHello(bytes(32), "home.test", Timestamp(1), bytes(64), 18, 0),
            wire.Bye(wire.ByeReason.BUSY),
            wire.Refused(1, wire.Refusal.TOKEN),
            wire.Deposited(1, wire.Outcome.DELIVERED),
            wire.Signalled(2, wire.SignalFate.NO_DEVICE),
            wire.Account(3, LIST, (BUNDLE,)),
        ],
    ),
}


@pytest.mark.parametrize("name", CODECS)
def test_every_record_comes_back_as_it_went(name: str) -> None:
    encode, decode, records = CODECS[name]
    assert list(decode(encode(records))) == records


@pytest.mark.parametrize("name", CODECS)
def test_no_record_is_larger_than_it_is_counted(name: str) -> None:
    """Frames are filled by adding up `size_of`: a record that is larger would overflow one."""
    encode, _, records = CODECS[name]
    for record in records:
        assert len(encode([record])) <= wire.size_of(record)


def test_the_largest_upload_fits_one_frame() -> None:
    ids = range(2**24 - 100, 2**24)
    upload = PrekeyUpload(
        SIGNED,
        KYBER,
        tuple(OneTimePrekey(id_, EC) for id_ in ids),
        tuple(KyberPrekey(id_, KYBER.public, bytes(64)) for id_ in ids),
    )
    assert len(wire.encode_mailbox_to_home([wire.PutPrekeys(2**53, upload)])) < wire.MAX_FRAME_BYTES


def test_what_only_the_other_end_may_say_is_refused() -> None:
    with pytest.raises(MalformedError):
        wire.decode_mailbox_to_home(wire.encode_mailbox_to_device([wire.Deliver(b"x")]))
    with pytest.raises(MalformedError):
        wire.decode_deposit_to_home(wire.encode_mailbox_to_home([wire.AskTurn(1)]))


def test_a_frame_over_256_kib_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(TooLargeError):
        wire.decode_deposit_to_home(b"\x92\x01" + bytes(wire.MAX_FRAME_BYTES))


def test_a_deposit_on_the_wire() -> None:
    """Golden bytes: changing them is a protocol decision."""
    frame = wire.encode_deposit_to_home([wire.Deposit(7, ADDRESS, b"abc", b"t" * 16, None)])
    expected = "920191961e0792c410000102030405060708090a0b0c0d0e0f03c403616263c41074747474747474747474747474747474c0"
    assert frame.hex() == expected


@pytest.mark.parametrize("name", CODECS)
@given(data=st.data())
def test_random_and_mutated_frames_give_a_value_or_malformed(name: str, data: st.DataObject) -> None:
    encode, decode, records = CODECS[name]
    frame = data.draw(st.binary(max_size=300) | st.builds(mutate, st.just(encode(records)), st.randoms()))
    try:
        decode(frame)
    except MalformedError:
        pass


def mutate(frame: bytes, dice: Any) -> bytes:
    """A few bytes changed, cut or doubled."""
    changed = bytearray(frame)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(changed))
        match dice.randrange(3):
            case 0:
                changed[at] = dice.randrange(256)
            case 1:
                del changed[at : at + dice.randint(1, 9)]
            case _:
                changed[at:at] = changed[at : at + dice.randint(1, 9)]
        if not changed:
            return b""
    return bytes(changed)


# --- well-known ---------------------------------------------------------------------------------------------------------

DOCUMENT = WellKnown(
    HomeKey(bytes(32)),
    Timestamp(5),
    (1,),
    True,
    RegistrationPolicy.OPEN,
    0,
    18,
    (3478, 3479),
    3478,
    "h",
    ("/ip4/1.2.3.4",),
)


def test_a_well_known_document_comes_back_as_it_went() -> None:
    body = encode_well_known(DOCUMENT)
    assert decode_well_known(body) == DOCUMENT
    signed = SignedWellKnown(body, bytes(64))
    assert decode_signed_well_known(encode_signed_well_known(signed)) == signed


@given(data=st.data())
def test_random_and_mutated_well_known_documents_give_a_value_or_malformed(data: st.DataObject) -> None:
    body = encode_well_known(DOCUMENT)
    for decode, good in (
        (decode_well_known, body),
        (decode_signed_well_known, encode_signed_well_known(SignedWellKnown(body, bytes(64)))),
    ):
        try:
            decode(data.draw(st.binary(max_size=200) | st.builds(mutate, st.just(good), st.randoms())))
        except MalformedError:
            pass


# --- work ---------------------------------------------------------------------------------------------------------------


def test_work_is_worth_something_only_where_it_was_done_for() -> None:
    nonce, subject = bytes(32), work_subject(b"envelope")
    solution = search_work(nonce, WorkPurpose.DEPOSIT, subject, 12, range(2**16))
    assert solution is not None
    assert search_work(nonce, WorkPurpose.DEPOSIT, subject, 12, range(solution)) is None
    assert verify_work(nonce, WorkPurpose.DEPOSIT, subject, 12, solution)
    assert not verify_work(b"\x01" * 32, WorkPurpose.DEPOSIT, subject, 12, solution)
    assert not verify_work(nonce, WorkPurpose.FETCH, subject, 12, solution)
    assert not verify_work(nonce, WorkPurpose.DEPOSIT, work_subject(b"other"), 12, solution)
    assert work_subject(b"ab", b"c") != work_subject(b"a", b"bc")


def test_no_bits_ask_for_no_work() -> None:
    assert search_work(bytes(32), WorkPurpose.FETCH, bytes(32), 0, range(1)) == 0
    assert verify_work(bytes(32), WorkPurpose.FETCH, bytes(32), 0, 12345)
