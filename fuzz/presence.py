"""What strangers store in the DHT, and what a contact seals into it; and the addresses that it names."""

from fuzz.engine import read_by
from mepassa.model.errors import RemoteError
from mepassa.p2p.addresses import parse_multiaddr
from mepassa.p2p.presence import check_stored_presence, slot_key
from mepassa.wire.presence import (
    PresenceBody,
    PresenceRecord,
    StoredPresence,
    decode_presence_body,
    decode_presence_record,
    decode_stored_presence,
    encode_presence_body,
    encode_presence_record,
    encode_stored_presence,
)

_BODY = encode_presence_body(
    PresenceBody("12D3KooWCSL1nq98jKeC1VUmcrXY6RbraubQcaMpFz3R2nj8Df73", ("/ip4/192.0.2.7/tcp/4001",))
)
SEEDS = [
    _BODY,
    encode_presence_record(PresenceRecord(_BODY, bytes(64))),
    encode_stored_presence(StoredPresence(1_790_000_000_000, bytes(512), bytes(64))),
    b"/ip4/192.0.2.7/tcp/4001/p2p/12D3KooWCSL1nq98jKeC1VUmcrXY6RbraubQcaMpFz3R2nj8Df73",
    b"/ip6/2001:db8::7/tcp/4001",
]
target = read_by(
    decode_presence_body,
    decode_presence_record,
    decode_stored_presence,
    lambda data: check_stored_presence(slot_key(bytes(32)), data, 1_790_000_000_000),
    lambda data: parse_multiaddr(data.decode("utf-8", "replace")),
    errors=RemoteError,
)
