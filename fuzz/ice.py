"""`./dev fuzz ice`: candidate lines of a signal, and the relay's addresses from a home (docs/protocol/ice.md)."""

from mepassa.model.errors import MalformedError
from mepassa.transports.ice.candidates import decode_candidate, encode_candidate
from mepassa.transports.ice.servers import decode_stun_uri, decode_turn_uri

SEEDS: list[bytes] = [
    b"a1 1 udp 2130706431 203.0.113.2 50000 typ host",
    b"b2 1 udp 1694498815 203.0.113.6 50001 typ srflx raddr 0.0.0.0 rport 9",
    b"c3 1 UDP 16777215 2001:db8::1 49152 typ relay raddr :: rport 9 generation 0",
    b"turn:relay.example:3478?transport=tcp",
    b"stun:[2001:db8::1]:3479",
]


def target(data: bytes) -> str:
    """A line that is taken must survive being written and read again."""
    text = data.decode("latin-1")
    outcomes = []
    for decode in (decode_stun_uri, decode_turn_uri):
        try:
            outcomes.append(type(decode(text)).__name__)
        except MalformedError:
            continue
    try:
        candidate = decode_candidate(text)
    except MalformedError as error:
        return outcomes[0] if outcomes else type(error).__name__
    assert decode_candidate(encode_candidate(candidate)) == candidate
    return type(candidate).__name__
