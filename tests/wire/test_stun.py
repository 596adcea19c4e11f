"""RFC 8489, RFC 8656 §12 and the test vectors of RFC 5769."""

from contextlib import nullcontext
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.errors import MalformedError
from mepassa.wire.stun import (
    Attribute,
    ChannelData,
    ChannelNumber,
    Data,
    ErrorCode,
    EvenPort,
    IceControlled,
    IceControlling,
    Lifetime,
    MappedAddress,
    Message,
    MessageClass,
    Method,
    Nonce,
    Priority,
    Realm,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
    Software,
    StreamFramer,
    UnknownAttributes,
    UseCandidate,
    Userhash,
    Username,
    XorMappedAddress,
    XorPeerAddress,
    XorRelayedAddress,
    decode_channel_data,
    decode_message,
    encode_channel_data,
    encode_message,
    is_channel_data,
    long_term_key,
)

TID = bytes.fromhex("b7e7a701bc34d686fa87dfae")
PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"

REQUEST = bytes.fromhex("""
    000100582112a442b7e7a701bc34d686fa87dfae 802200105354554e207465737420636c69656e74 002400046e0001ff
    80290008932ff9b151263b36 0006000965 76746a3a68367659202020
    000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004e57a3bcf""")
RESPONSE_IPV4 = bytes.fromhex("""
    0101003c2112a442b7e7a701bc34d686fa87dfae 8022000b7465737420766563746f7220 002000080001a147e112a643
    000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004c07d4c96""")
RESPONSE_IPV6 = bytes.fromhex("""
    010100482112a442b7e7a701bc34d686fa87dfae 8022000b7465737420766563746f7220
    002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9
    00080014a382954e4be67bf11784c97c8292c275bfe3ed41 80280004c8fb0b4c""")
LONG_TERM_REQUEST = bytes.fromhex("""
    000100602112a44278ad3433c6ad72c029da412e 00060012e3839ee38388e383aae38383e382afe382b90000
    0015001c662f2f3439396b39353464364f4c33346f4c39465354767936347341 0014000b6578616d706c652e6f726700
    00080014f67024656dd64a3e02b8e0712e85c9a28ca89666""")
VECTORS = [REQUEST, RESPONSE_IPV4, RESPONSE_IPV6, LONG_TERM_REQUEST]


class TestVectorsOfRfc5769:
    def test_sample_request_is_read_and_its_integrity_holds(self) -> None:
        message = decode_message(REQUEST)
        assert message == Message(
            Method.BINDING,
            MessageClass.REQUEST,
            TID,
            (
                Software("STUN test client"),
                Priority(0x6E0001FF),
                IceControlled(0x932FF9B151263B36),
                Username("evtj:h6vY"),
            ),
        )
        assert message.verify_integrity(PASSWORD)
        assert not message.verify_integrity(PASSWORD + b"x")

    @pytest.mark.parametrize(
        "data, address",
        [
            (RESPONSE_IPV4, IPv4Address("192.0.2.1")),
            (RESPONSE_IPV6, IPv6Address("2001:db8:1234:5678:11:2233:4455:6677")),
        ],
    )
    def test_sample_responses_name_the_mapped_address(self, data: bytes, address: IPv4Address | IPv6Address) -> None:
        message = decode_message(data)
        assert message.first(XorMappedAddress) == XorMappedAddress((address, 32853))
        assert message.message_class is MessageClass.SUCCESS
        assert message.verify_integrity(PASSWORD)

    def test_long_term_request_verifies_under_the_md5_key(self) -> None:
        message = decode_message(LONG_TERM_REQUEST)
        user, realm = message.first(Username), message.first(Realm)
        assert (user, realm) == (Username("マトリックス"), Realm("example.org"))
        assert message.first(Nonce) == Nonce(b"f//499k954d6OL34oL9FSTvy64sA")
        assert message.verify_integrity(long_term_key("マトリックス", "example.org", "TheMatrIX"))

    def test_own_encoding_differs_from_the_sample_only_in_its_padding(self) -> None:
        """RFC 5769 pads with spaces, RFC 8489 §14 asks for zeros; both ends accept both."""
        message = decode_message(LONG_TERM_REQUEST)
        key = long_term_key("マトリックス", "example.org", "TheMatrIX")
        assert encode_message(message, key=key) == LONG_TERM_REQUEST


ENDPOINTS = st.tuples(st.ip_addresses(), st.integers(0, 0xFFFF))
TEXTS = st.text(max_size=40)
ATTRIBUTES: st.SearchStrategy[Attribute] = st.one_of(
    *(st.builds(kind, ENDPOINTS) for kind in (MappedAddress, XorMappedAddress, XorPeerAddress, XorRelayedAddress)),
    *(st.builds(kind, TEXTS) for kind in (Username, Realm, Software)),
    st.builds(Nonce, st.binary(max_size=64)),
    st.builds(Data, st.binary(max_size=300)),
    st.builds(Userhash, st.binary(min_size=32, max_size=32)),
    st.builds(ReservationToken, st.binary(min_size=8, max_size=8)),
    st.just(UseCandidate(b"")),
    st.builds(Lifetime, st.integers(0, 2**32 - 1)),
    st.builds(Priority, st.integers(0, 2**32 - 1)),
    st.builds(IceControlled, st.integers(0, 2**64 - 1)),
    st.builds(IceControlling, st.integers(0, 2**64 - 1)),
    st.builds(RequestedTransport, st.integers(0, 255)),
    st.builds(RequestedAddressFamily, st.integers(0, 255)),
    st.builds(ChannelNumber, st.integers(0, 0xFFFF)),
    st.builds(EvenPort, st.booleans()),
    st.builds(ErrorCode, st.integers(300, 699), TEXTS),
    st.builds(UnknownAttributes, st.lists(st.integers(0, 0xFFFF), max_size=8).map(tuple)),
)
MESSAGES = st.builds(
    Message,
    st.one_of(st.sampled_from(Method), st.integers(0x00A, 0xFFF)),
    st.sampled_from(MessageClass),
    st.binary(min_size=12, max_size=12),
    st.lists(ATTRIBUTES, max_size=8).map(tuple),
)


class TestMessages:
    @given(MESSAGES, st.none() | st.binary(min_size=16, max_size=16), st.booleans())
    def test_every_message_survives_the_wire(self, message: Message, key: bytes | None, fingerprint: bool) -> None:
        decoded = decode_message(encode_message(message, key=key, fingerprint=fingerprint))
        assert decoded == message
        assert decoded.has_integrity == (key is not None)
        assert key is None or decoded.verify_integrity(key)

    @given(MESSAGES, st.integers(0), st.integers(1, 255))
    def test_any_changed_byte_before_it_breaks_integrity(self, message: Message, at: int, flip: int) -> None:
        data = bytearray(encode_message(message, key=b"k" * 16))
        data[at % (len(data) - 24)] ^= flip
        try:
            changed = decode_message(bytes(data))
        except MalformedError:
            return
        assert not changed.verify_integrity(b"k" * 16)

    @given(st.binary(max_size=600))
    def test_random_bytes_give_a_message_or_malformed(self, data: bytes) -> None:
        with_header = b"\x00\x01" + (len(data) - len(data) % 4).to_bytes(2) + b"\x21\x12\xa4\x42" + TID + data
        for candidate in (data, with_header, with_header[: len(with_header) - len(data) % 4]):
            try:
                assert isinstance(decode_message(candidate), Message)
            except MalformedError:
                continue

    @given(
        st.sampled_from(VECTORS) | MESSAGES.map(lambda m: encode_message(m, key=b"key", fingerprint=True)),
        st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4),
        st.integers(-8, 8),
    )
    def test_mutated_messages_give_a_message_or_malformed(
        self, data: bytes, changes: list[tuple[int, int]], longer: int
    ) -> None:
        mutated = bytearray(data)
        for at, value in changes:
            mutated[at % len(mutated)] = value
        mutated = mutated + bytes(longer) if longer >= 0 else mutated[:longer]
        try:
            assert isinstance(decode_message(bytes(mutated)), Message)
        except MalformedError:
            pass

    def test_unknown_comprehension_required_attributes_are_reported_not_dropped(self) -> None:
        body = bytes.fromhex("7fff000401020304 80000000 0031000161000000")
        message = decode_message(b"\x00\x01" + len(body).to_bytes(2) + b"\x21\x12\xa4\x42" + TID + body)
        assert message.unknown_required == (0x7FFF, 0x0031)

    def test_attributes_after_integrity_are_ignored(self) -> None:
        """RFC 8489 §14.5: nobody vouches for them."""
        signed = encode_message(Message(Method.REFRESH, MessageClass.REQUEST, TID, (Lifetime(60),)), key=b"key")
        extra = bytes.fromhex("000d000400000e10")
        data = signed[:2] + (len(signed) - 20 + len(extra)).to_bytes(2) + signed[4:] + extra
        message = decode_message(data)
        assert message.every(Lifetime) == (Lifetime(60),)
        assert message.verify_integrity(b"key")

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            REQUEST[:19],
            REQUEST[:-1],
            REQUEST + b"\x00",
            b"\x40" + REQUEST[1:],
            REQUEST[:4] + b"\x21\x12\xa4\x43" + REQUEST[8:],
            REQUEST[:-1] + b"\x00",  # fingerprint
            b"\x40\x01\x00\x00\x21\x12\xa4\x42" + TID,
            b"\x00\x01\x00\x14\x21\x12\xa4\x42" + TID + b"\x00\x08\x00\x10" + bytes(16),  # MESSAGE-INTEGRITY
            b"\x00\x01\x00\x04\x21\x12\xa4\x42" + TID + b"\x00\x06\x00\x05",
        ],
    )
    def test_what_is_no_message_is_malformed(self, data: bytes) -> None:
        with pytest.raises(MalformedError):
            decode_message(data)

    @pytest.mark.parametrize("count, is_taken", [(64, True), (65, False), (1000, False)])
    def test_a_message_of_more_than_64_attributes_is_refused(self, count: int, is_taken: bool) -> None:
        body = bytes.fromhex("ff010000") * count
        with nullcontext() if is_taken else pytest.raises(MalformedError):
            decode_message(b"\x00\x01" + len(body).to_bytes(2) + b"\x21\x12\xa4\x42" + TID + body)

    def test_integrity_that_is_not_there_does_not_hold(self) -> None:
        assert not decode_message(encode_message(Message(Method.REFRESH, MessageClass.REQUEST, TID))).verify_integrity(
            b"k"
        )

    def test_golden_bytes_of_a_channel_bind_request(self) -> None:
        message = Message(
            Method.CHANNEL_BIND,
            MessageClass.REQUEST,
            TID,
            (ChannelNumber(0x4001), XorPeerAddress((IPv4Address("192.0.2.1"), 32853))),
        )
        assert encode_message(message).hex() == (
            "000900142112a442b7e7a701bc34d686fa87dfae000c000440010000001200080001a147e112a643"
        )


class TestChannelDataAndStreams:
    @given(st.integers(0x4000, 0x7FFF), st.binary(max_size=200), st.booleans())
    def test_channel_data_survives_the_wire(self, channel: int, data: bytes, padded: bool) -> None:
        frame = encode_channel_data(channel, data, padded=padded)
        assert is_channel_data(frame)
        assert decode_channel_data(frame) == ChannelData(channel, data)

    @given(st.binary(max_size=40))
    def test_random_bytes_are_channel_data_or_malformed(self, data: bytes) -> None:
        try:
            assert decode_channel_data(data).channel in range(0x4000, 0x8000)
        except MalformedError:
            pass

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\x40\x00\x00",
            b"\x00\x00\x00\x00",
            b"\x80\x00\x00\x00",
            b"\x40\x00\x00\x01",
            b"\x40\x00\x00\x01" + bytes(5),
        ],
    )
    def test_what_is_no_channel_data_is_malformed(self, data: bytes) -> None:
        with pytest.raises(MalformedError):
            decode_channel_data(data)

    def test_half_a_length_says_nothing(self) -> None:
        framer, message = (
            StreamFramer(),
            encode_message(Message(Method.SEND, MessageClass.INDICATION, TID, (Data(bytes(300)),))),
        )
        framer.receive_data(message[:3])
        assert framer.next_frame() is None
        framer.receive_data(message[3:])
        assert framer.next_frame() == message

    @given(
        st.lists(
            MESSAGES.map(encode_message)
            | st.builds(
                lambda number, data: encode_channel_data(number, data, padded=True),
                st.integers(0x4000, 0x7FFF),
                st.binary(max_size=90),
            ),
            max_size=6,
        ),
        st.integers(1, 50),
    )
    def test_frames_come_out_whole_however_the_stream_is_cut(self, frames: list[bytes], step: int) -> None:
        stream, framer, got = b"".join(frames), StreamFramer(), []
        for at in range(0, len(stream), step):
            framer.receive_data(stream[at : at + step])
            while (frame := framer.next_frame()) is not None:
                got.append(frame)
        assert got == frames
        assert framer.is_empty

    @given(st.binary(max_size=300))
    def test_a_random_stream_gives_frames_or_malformed_and_never_hangs(self, stream: bytes) -> None:
        framer = StreamFramer()
        framer.receive_data(stream)
        try:
            while framer.next_frame() is not None:
                pass
        except MalformedError:
            pass

    @pytest.mark.parametrize(
        "start", [b"\x80\x60\x00\x01", b"\x16\x03\x01\x02\x00", b"\x00\x01\x00\x03\x21\x12\xa4\x42"]
    )
    def test_a_stream_of_another_protocol_is_refused_at_its_first_bytes(self, start: bytes) -> None:
        framer = StreamFramer()
        framer.receive_data(start)
        with pytest.raises(MalformedError):
            framer.next_frame()
