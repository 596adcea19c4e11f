"""What comes by the network itself: addresses, presence in the DHT, links, candidates, documents, the relay's datagrams."""

from collections.abc import Callable
from pathlib import Path

from mepassa.identity import HomeKeyPair
from mepassa.model.errors import DecryptionError, MalformedError, SignatureError, TooLargeError
from mepassa.model.secret import SecretBytes
from mepassa.p2p.addresses import parse_multiaddr, parse_peer_id
from mepassa.p2p.noise import NoiseSession
from mepassa.p2p.presence import PresenceValidator, check_stored_presence, open_stored_presence, slot_of
from mepassa.p2p.yamux import INITIAL_WINDOW_BYTES, Yamux, YamuxStream
from mepassa.server.home import sign_well_known
from mepassa.server.relay.machine import TurnServer
from mepassa.transports.ice.candidates import decode_candidate
from mepassa.transports.ice.servers import decode_stun_uri, decode_turn_uri
from mepassa.transports.link.machine import LinkMachine, LinkOpened
from mepassa.transports.mailbox import verify_well_known
from mepassa.wire.presence import StoredPresence, encode_stored_presence
from mepassa.wire.stun import Lifetime, Method, encode_channel_data
from tests.doors.door import Fed, Outcome, door, text
from tests.doors.wire import DOCUMENT, HOME_KEY, HUGE
from tests.p2p.test_noise import sealed
from tests.p2p.test_presence_rules import DAY, DEVICE_KEY, NOW_MS, OWN, PRESENCE, record
from tests.p2p.told_session import frame, lone
from tests.server.relay.test_relay_machine import PEER, Lab
from tests.transports.link_peers import envelope, two_friends
from tests.transports.test_link_machine import dialler, events, listener, open_pair

PEER_ID = b"12D3KooWCSL1nq98jKeC1VUmcrXY6RbraubQcaMpFz3R2nj8Df73"
KEY, STORED = record()
FOREIGN_HOME = HomeKeyPair(SecretBytes(b"f" * 32))
UNSIGNED = encode_stored_presence(StoredPresence(NOW_MS, bytes(512), bytes(64)))
PUBLISHED = (MalformedError, SignatureError, TooLargeError)


def hellos(_folder: Path) -> Fed:
    """Before a hello: the only outcomes are a link that opens, and one that closes without a byte."""
    ana, bruno = two_friends()

    def feed(data: bytes) -> Outcome:
        machine = listener(bruno)
        machine.receive_data(data, 0.0)
        proven = any(isinstance(event, LinkOpened) for event in events(machine))
        assert proven or machine.data_to_send() == b"", "a stranger is told nothing"
        return Outcome(f"{machine.state.value}, {'proven' if proven else 'unproven'}")

    return feed, [dialler(ana, bruno.own).data_to_send()]


def records_of_a_friend(_folder: Path) -> Fed:
    pair = open_pair()
    pair.ana.send_envelope(envelope(1), 0.0)
    seed = pair.ana.data_to_send()

    def feed(data: bytes) -> Outcome:
        machine = open_pair().bruno
        machine.receive_data(data, 0.0)
        return Outcome(machine.state.value)

    return feed, [seed]


def noise_messages(_folder: Path) -> Fed:
    reader, came = sealed(b"one", b"two")

    def feed(data: bytes) -> Outcome:
        reader._sealed.clear()
        reader._noise.noise_protocol.cipher_state_decrypt.set_nonce(0)
        return Outcome("opened" if reader.receive_data(data) else "waits for more")

    return feed, [came, came[:21], came[:21] + bytes(2)]


def yamux_frames(_folder: Path) -> Fed:
    def feed(data: bytes) -> Outcome:
        conn = lone()
        conn.receive_data(frame(1, 1, 2, 0) + data)
        assert all(len(stream._held) <= INITIAL_WINDOW_BYTES for stream in conn._streams.values())
        return Outcome(f"{len(conn._streams)} streams{', over' if conn.is_closed else ''}")

    return feed, [
        frame(0, 0, 2, 3) + b"one" + frame(0, 4, 2, 3) + b"two",
        frame(1, 0, 2, 9) + frame(1, 8, 2, 0) + frame(1, 1, 4, 0),
        frame(2, 1, 0, 7) + frame(3, 0, 0, 0),
    ]


def relayed(_folder: Path) -> Fed:
    lab = Lab()
    client, other = lab.client(port=1, name="ana"), lab.client(port=2, name="bruno")
    client.allocate()
    client.bind(0x4000)
    other.allocate()
    seeds = [
        client.talk.request(Method.BINDING),
        client.talk.request(Method.REFRESH, Lifetime(600)),
        encode_channel_data(0x4000, b"relayed"),
    ]

    def feed(data: bytes) -> Outcome:
        return Outcome(",".join(sorted({type(each).__name__ for each in client.put(data)})) or "dropped")

    return feed, seeds


def from_peers(_folder: Path) -> Fed:
    lab = Lab()
    client = lab.client()
    client.allocate()
    client.bind(0x4000)

    def feed(data: bytes) -> Outcome:
        peer = PEER if data[:1] < b"\x80" else ("192.0.2.200", 9)
        return Outcome(",".join(type(each).__name__ for each in client.hear_peer(data, peer)) or "dropped")

    return feed, [b"hello", b"\xffhello"]


def as_text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(text(data))


NETWORK = [
    door(parse_peer_id, feed=as_text(parse_peer_id), seeds=[PEER_ID], errors=(MalformedError,)),
    door(
        parse_multiaddr,
        feed=as_text(parse_multiaddr),
        seeds=[b"/ip4/192.0.2.7/tcp/4001/p2p/" + PEER_ID, b"/ip6/2001:db8::7/tcp/4001"],
        errors=(MalformedError,),
    ),
    door(slot_of, feed=as_text(slot_of), seeds=[KEY.encode()], errors=(MalformedError,)),
    door(
        check_stored_presence,
        feed=lambda data: check_stored_presence(KEY, data, NOW_MS),
        seeds=[STORED, UNSIGNED, HUGE],
        errors=PUBLISHED,
    ),
    door(
        open_stored_presence,
        feed=lambda data: open_stored_presence(
            data, PRESENCE.public, day=DAY, device=OWN, device_key=DEVICE_KEY.public, now_ms=NOW_MS
        ),
        seeds=[STORED, UNSIGNED, HUGE],
        errors=PUBLISHED,
    ),
    door(
        PresenceValidator.validate,
        feed=lambda data: PresenceValidator(lambda: NOW_MS, ()).validate(KEY, data),
        seeds=[STORED, UNSIGNED, HUGE],
        errors=PUBLISHED,
    ),
    door(
        decode_candidate,
        feed=as_text(decode_candidate),
        seeds=[b"a1 1 udp 2130706431 203.0.113.2 50000 typ host", b"x" * 1000],
        errors=(MalformedError, TooLargeError),
    ),
    door(decode_stun_uri, feed=as_text(decode_stun_uri), seeds=[b"stun:[2001:db8::1]:3479"], errors=(MalformedError,)),
    door(
        decode_turn_uri,
        feed=as_text(decode_turn_uri),
        seeds=[b"turn:relay.example:3478?transport=tcp"],
        errors=(MalformedError,),
    ),
    door(
        verify_well_known,
        feed=lambda data: verify_well_known(data, HOME_KEY.public),
        seeds=[sign_well_known(HOME_KEY, DOCUMENT), sign_well_known(FOREIGN_HOME, DOCUMENT), HUGE],
        errors=PUBLISHED,
    ),
    door(LinkMachine.receive_data, make=hellos, errors=(), inputs=200),
    door(
        "mepassa.transports.link.machine.LinkMachine.receive_data, when open",
        make=records_of_a_friend,
        errors=(),
        inputs=100,
    ),
    door(NoiseSession.receive_data, make=noise_messages, errors=(DecryptionError,)),
    door(Yamux.receive_data, YamuxStream.receive_frame, make=yamux_frames, errors=(MalformedError,)),
    door(
        TurnServer.receive_datagram,
        "mepassa.server.relay.relaying.Relaying.channel_data",
        make=relayed,
        errors=(),
    ),
    door(
        TurnServer.receive_from_peer,
        "mepassa.server.relay.relaying.Relaying.from_peer",
        make=from_peers,
        errors=(),
    ),
]
