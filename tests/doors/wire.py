"""Our own bytes: links, mailboxes, cards, contents, signals, presence, STUN, documents, profiles, codes."""

from fuzz import content, home, link, presence, stun
from mepassa.crypto.safety_number import combine
from mepassa.identity import HomeKeyPair
from mepassa.model.errors import MalformedError, TooLargeError
from mepassa.model.ids import Timestamp
from mepassa.model.profile import Profile
from mepassa.model.secret import SecretBytes
from mepassa.server.home import sign_well_known
from mepassa.wire import mailbox
from mepassa.wire.base64url import decode_base64url, encode_base64url
from mepassa.wire.card import decode_card, decode_link
from mepassa.wire.codec import Codec
from mepassa.wire.content import decode_content
from mepassa.wire.link import MAX_RECORD_BYTES, RecordDecoder, decode_record
from mepassa.wire.presence import decode_presence_body, decode_presence_record, decode_stored_presence
from mepassa.wire.profile import decode_profile, encode_profile
from mepassa.wire.safety_code import decode_safety_code, encode_safety_code
from mepassa.wire.signal import decode_signal
from mepassa.wire.stun import Message, StreamFramer, decode_channel_data, decode_message, encode_channel_data
from mepassa.wire.wellknown import (
    RegistrationPolicy,
    WellKnown,
    decode_signed_well_known,
    decode_well_known,
    encode_well_known,
)
from mepassa.wire.work import WorkPurpose, search_work, verify_work
from tests.doors.door import Outcome, door, text

FORM, FORM_AND_SIZE = (MalformedError,), (MalformedError, TooLargeError)
HUGE = bytes(300_000)
"""Longer than any form may be: refused before it is looked at."""

HOME_KEY = HomeKeyPair(SecretBytes(bytes(range(32))))
DOCUMENT = WellKnown(
    home_key=HOME_KEY.public,
    issued_at_ms=Timestamp(1),
    versions=(1,),
    mailbox=True,
    registration=RegistrationPolicy.OPEN,
    register_work_bits=0,
    request_work_bits=18,
)
CODE = encode_safety_code(combine(bytes(64), b"\x01" * 64).scannable).encode()
NONCE, SUBJECT = bytes(32), bytes(32)
SOLUTION = search_work(NONCE, WorkPurpose.FETCH, SUBJECT, 4, range(10_000)) or 0


def judged(good: bool) -> Outcome:
    return Outcome("verifies" if good else "does not verify")


def records(data: bytes) -> Outcome:
    decoder = RecordDecoder()
    decoder.receive(data)
    count = 0
    while decoder.next_record() is not None:
        count += 1
    return Outcome("records" if count else "waits for more")


def frames(data: bytes) -> Outcome:
    framer = StreamFramer()
    framer.receive_data(data)
    count = 0
    while framer.next_frame() is not None:
        count += 1
    return Outcome("records" if count else "waits for more")


WIRE = [
    door(decode_card, seeds=[*content.SEEDS, HUGE], errors=FORM_AND_SIZE),
    door(
        decode_link,
        feed=lambda data: decode_link(text(data)),
        seeds=[*content.SEEDS, b"x" * 5000],
        errors=FORM_AND_SIZE,
    ),
    door(decode_content, seeds=[*content.SEEDS, HUGE], errors=FORM_AND_SIZE),
    door(decode_signal, seeds=[*content.SEEDS, HUGE], errors=FORM_AND_SIZE),
    door(
        Codec.decode,
        feed=Codec[list[int]](list[int], limit_bytes=100).decode,
        seeds=[bytes.fromhex("9201930102cd0300"), HUGE],
        errors=FORM_AND_SIZE,
    ),
    door(
        decode_record,
        feed=lambda data: decode_record(data[4:]),
        seeds=[*link.SEEDS, bytes(MAX_RECORD_BYTES + 5)],
        errors=FORM_AND_SIZE,
    ),
    door(RecordDecoder.receive, feed=records, seeds=[*link.SEEDS, b"\xff" * 9], errors=FORM_AND_SIZE),
    door(mailbox.decode_mailbox_to_home, seeds=[*home.SEEDS, HUGE], errors=FORM_AND_SIZE),
    door(mailbox.decode_mailbox_to_device, seeds=[*home.SEEDS, HUGE], errors=FORM_AND_SIZE),
    door(mailbox.decode_deposit_to_home, seeds=[*home.SEEDS, HUGE], errors=FORM_AND_SIZE),
    door(mailbox.decode_deposit_to_client, seeds=[*home.SEEDS, HUGE], errors=FORM_AND_SIZE),
    door(decode_presence_body, seeds=[*presence.SEEDS, HUGE], errors=FORM_AND_SIZE),
    door(decode_presence_record, seeds=[*presence.SEEDS, HUGE], errors=FORM_AND_SIZE),
    door(decode_stored_presence, seeds=[*presence.SEEDS, HUGE], errors=FORM_AND_SIZE),
    door(decode_profile, seeds=[encode_profile(Profile("Ana")), HUGE], errors=FORM_AND_SIZE),
    door(
        decode_base64url,
        feed=lambda data: judged(decode_base64url(text(data)) is not None),
        seeds=[encode_base64url(bytes(range(20))).encode(), b"AB=="],
        errors=(),
    ),
    door(decode_safety_code, feed=lambda data: decode_safety_code(text(data)), seeds=[CODE], errors=FORM),
    door(decode_well_known, seeds=[encode_well_known(DOCUMENT), HUGE], errors=FORM_AND_SIZE),
    door(decode_signed_well_known, seeds=[sign_well_known(HOME_KEY, DOCUMENT), HUGE], errors=FORM_AND_SIZE),
    door(
        verify_work,
        feed=lambda data: judged(
            verify_work(NONCE, WorkPurpose.FETCH, SUBJECT, 4, int.from_bytes(data[:8].rjust(8, b"\0")) >> 1)
        ),
        seeds=[(SOLUTION << 1).to_bytes(8)],
        errors=(),
    ),
    door(
        decode_message,
        *(
            f"mepassa.wire.stun.attributes.{kind}.decode_value"
            for kind in ("Attribute", "EvenPort", "ErrorCode", "UnknownAttributes")
        ),
        seeds=stun.SEEDS,
        errors=FORM,
        inputs=600,
    ),
    door(
        Message.verify_integrity,
        feed=lambda data: judged(decode_message(data).verify_integrity(b"VOkJxbRl1RmTxUk/WvJxBt")),
        seeds=[stun.REQUEST, *stun.PLAIN],
        errors=FORM,
    ),
    door(decode_channel_data, seeds=[encode_channel_data(0x4001, b"five!", padded=True)], errors=FORM),
    door(StreamFramer.receive_data, feed=frames, seeds=stun.SEEDS, errors=FORM),
]
