"""docs/protocol/encoding.md, "Content": what is inside the encryption, in bytes, and what hostile bytes do to it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.card import Card
from mepassa.model.content import (
    MAX_TEXT_BYTES,
    AccountCopy,
    Body,
    ContactAccepted,
    ContactCopy,
    Content,
    Hello,
    Introduction,
    PresenceKey,
    ProfileKey,
    Receipt,
    ReceiptEntry,
    ReceiptKind,
    SenderKeyDistribution,
    Text,
    UnknownBody,
)
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.errors import MalformedError, TooLargeError
from mepassa.model.ids import AccountId, EnvelopeId, MessageId, Timestamp
from mepassa.model.keys import HomeKey, PresencePublicKey, RootPublicKey
from mepassa.model.route import AddressClass, Policy, Route, RouteKind, RouteTransport
from mepassa.model.status import ChatState
from mepassa.wire import content as module
from mepassa.wire.content import MAX_CONTENT_BYTES, decode_content, encode_content

message_ids = st.binary(min_size=16, max_size=16).map(MessageId)
keys = st.binary(min_size=32, max_size=32)
routes = st.builds(
    Route,
    kind=st.sampled_from(RouteKind),
    transport=st.sampled_from(RouteTransport),
    via=st.none() | st.text(max_size=40),
    address_class=st.none() | st.sampled_from(AddressClass),
    rtt_ms=st.none() | st.floats(min_value=0, max_value=600_000),
)
bodies = st.one_of(
    st.builds(Text, text=st.text(min_size=1, max_size=200), reply_to=st.none() | message_ids),
    st.builds(
        Receipt,
        kind=st.sampled_from(ReceiptKind),
        entries=st.lists(
            st.builds(ReceiptEntry, message_id=message_ids, route=st.none() | routes), min_size=1, max_size=4
        ).map(tuple),
    ),
    st.builds(ContactAccepted, profile_key=keys, presence_key=st.none() | keys.map(PresencePublicKey)),
    st.builds(ProfileKey, profile_key=keys),
    st.builds(PresenceKey, presence_key=keys.map(PresencePublicKey)),
    st.just(Hello()),
    st.builds(SenderKeyDistribution, message=st.binary(min_size=1, max_size=256)),
    st.builds(
        ContactCopy,
        root_key=keys.map(RootPublicKey),
        name=st.text(min_size=1, max_size=64),
        state=st.sampled_from(ChatState),
        policy=st.sampled_from(Policy),
        changed_ms=st.integers(0, 2**53).map(Timestamp),
        home_url=st.just("https://home.test"),
        home_key=keys.map(HomeKey),
        last_sender_seq=st.integers(0, 2**53),
        profile_key=st.none() | keys,
        presence_key=st.none() | keys.map(PresencePublicKey),
        invite_token=st.none() | st.binary(min_size=16, max_size=16),
    ),
    st.builds(
        AccountCopy,
        device_list=st.builds(
            SignedDeviceList, body=st.binary(max_size=300), signature=st.binary(min_size=64, max_size=64)
        ),
        profile_key=keys,
        presence_seed=keys,
        keys_ms=st.integers(0, 2**53).map(Timestamp),
    ),
)
introductions = st.builds(
    Introduction,
    card=st.builds(
        Card,
        home_url=st.just("https://home.test"),
        home_key=keys.map(HomeKey),
        root_key=keys.map(RootPublicKey),
        name=st.text(min_size=1, max_size=64),
        invite_token=st.none() | st.binary(min_size=16, max_size=16),
    ),
    device_list=st.builds(
        SignedDeviceList, body=st.binary(max_size=300), signature=st.binary(min_size=64, max_size=64)
    ),
    profile_key=keys,
    invite_token=st.none() | st.binary(min_size=16, max_size=16),
)
contents = st.builds(
    Content,
    message_id=message_ids,
    sender_seq=st.integers(0, 2**53),
    sent_at_ms=st.integers(0, 2**53).map(Timestamp),
    list_version=st.integers(1, 2**53),
    list_hash=keys,
    body=bodies,
    introduction=st.none() | introductions,
    resend_of=st.none() | st.binary(min_size=16, max_size=16).map(EnvelopeId),
    chat=st.none() | st.binary(min_size=16, max_size=16).map(AccountId),
)


def of(body: Body) -> Content:
    return Content(MessageId(bytes(16)), 1, Timestamp(1_700_000_000_000), 7, bytes(32), body)


@given(contents)
def test_content_comes_back_as_it_went(content: Content) -> None:
    assert decode_content(encode_content(content)) == content


@given(st.binary(max_size=400))
def test_random_bytes_are_a_content_or_malformed(data: bytes) -> None:
    try:
        decode_content(data)
    except MalformedError:
        pass


@given(contents, st.data())
def test_mutated_contents_are_a_content_or_malformed(content: Content, data: st.DataObject) -> None:
    raw = bytearray(encode_content(content))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for candidate in (bytes(raw), bytes(raw[:cut])):
        try:
            decode_content(candidate)
        except MalformedError:
            pass


def test_a_text_on_the_wire() -> None:
    """Golden bytes: changing them is a protocol decision."""
    assert encode_content(of(Text("oi"))).hex() == (
        "920199c410" + "00" * 16 + "01" + "cf0000018bcfe56800" + "07" + "c420" + "00" * 32 + "9301a26f69c0" + "c0c0c0"
    )


@pytest.mark.parametrize("tag", [10, 11, 100, 127])
def test_a_body_of_a_later_version_is_kept_as_its_tag(tag: int) -> None:
    known = encode_content(of(Text("oi")))
    later = known.replace(bytes.fromhex("9301a26f69c0"), bytes([0x93, tag]) + bytes.fromhex("a26f69c0"))
    assert decode_content(later) == of(UnknownBody(tag))


@pytest.mark.parametrize("size", [0, 257])
def test_a_distribution_of_another_size_is_refused(size: int) -> None:
    encode_content(of(SenderKeyDistribution(bytes(256))))
    known = encode_content(of(SenderKeyDistribution(b"x")))
    other = known.replace(bytes.fromhex("9207c40178"), b"\x92\x07\xc5" + size.to_bytes(2, "big") + bytes(size))
    assert other != known
    with pytest.raises(MalformedError):
        decode_content(other)


def test_fields_of_a_later_version_are_ignored() -> None:
    raw = encode_content(of(Text("oi")))
    longer = raw.replace(b"\x92\x01\x99", b"\x92\x01\x9a", 1) + b"\xa5later"
    assert decode_content(longer) == of(Text("oi"))


def test_a_text_is_measured_in_bytes_not_in_letters() -> None:
    assert decode_content(encode_content(of(Text("x" * MAX_TEXT_BYTES)))).body == Text("x" * MAX_TEXT_BYTES)
    with pytest.raises(TooLargeError):
        decode_content(encode_content(of(Text("é" * (MAX_TEXT_BYTES // 2 + 1)))))


def test_nothing_over_the_limit_is_looked_at() -> None:
    with pytest.raises(TooLargeError):
        decode_content(b"\x92\x01" + bytes(MAX_CONTENT_BYTES))


def test_the_shell_has_the_fields_of_content() -> None:
    assert [field.name for field in msgspec.structs.fields(module._Shell)] == [
        field.name for field in msgspec.structs.fields(Content)
    ]
