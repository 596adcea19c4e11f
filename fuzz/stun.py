"""What clients send to a relay: STUN and TURN messages, ChannelData, and the same as one stream."""

from mepassa.model.errors import MalformedError
from mepassa.wire.stun import (
    Message,
    StreamFramer,
    decode_channel_data,
    decode_message,
    encode_channel_data,
    encode_message,
    is_channel_data,
)

REQUEST = bytes.fromhex("""
    000100582112a442b7e7a701bc34d686fa87dfae 802200105354554e207465737420636c69656e74 002400046e0001ff
    80290008932ff9b151263b36 0006000965 76746a3a68367659202020
    000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004e57a3bcf""")
RESPONSE = bytes.fromhex("""
    010100482112a442b7e7a701bc34d686fa87dfae 8022000b7465737420766563746f7220
    002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9
    00080014a382954e4be67bf11784c97c8292c275bfe3ed41 80280004c8fb0b4c""")
CHANNEL_DATA = encode_channel_data(0x4001, b"five!", padded=True)
READ = [decode_message(REQUEST), decode_message(RESPONSE)]
PLAIN = [encode_message(Message(m.method, m.message_class, m.transaction_id, m.attributes)) for m in READ]
"""Without fingerprint, or every mutation would stop there."""
SEEDS = [REQUEST, RESPONSE, CHANNEL_DATA, REQUEST + CHANNEL_DATA + RESPONSE, *PLAIN]


def target(data: bytes) -> str:
    """Also: what was read can be written, and a stream gives the same frames however it is cut."""
    framer, whole = StreamFramer(), StreamFramer()
    whole.receive_data(data)
    try:
        frames = []
        for at in range(0, len(data), 3):
            framer.receive_data(data[at : at + 3])
            while (frame := framer.next_frame()) is not None:
                frames.append(frame)
        for frame in frames:
            assert whole.next_frame() == frame
        if is_channel_data(data):
            return f"channel data of {len(decode_channel_data(data).data) // 100} hundred bytes"
        message = decode_message(data)
    except MalformedError:
        return "malformed"
    again = decode_message(encode_message(message))
    assert again.attributes == message.attributes
    return f"message of {len(message.attributes)} attributes"
