"""RFC 8656 without sockets: time is turned by hand, every datagram is looked at."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.addresses import IpAddress
from mepassa.model.ids import Timestamp
from mepassa.server.relay.allocation import FiveTuple
from mepassa.server.relay.config import RelayConfig
from mepassa.server.relay.counters import RelayCounters
from mepassa.server.relay.credentials import key_of
from mepassa.server.relay.machine import TurnServer
from mepassa.server.relay.nonces import Nonces
from mepassa.server.relay.outputs import CloseRelay, OpenRelay, Output, ToClient, ToPeer
from mepassa.server.relay.peers import PeerRules
from mepassa.testing import VirtualClock
from mepassa.wire.stun import (
    Attribute,
    ChannelNumber,
    Data,
    EvenPort,
    Lifetime,
    Message,
    MessageClass,
    Method,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
    UnknownAttributes,
    XorMappedAddress,
    XorPeerAddress,
    XorRelayedAddress,
    decode_channel_data,
    decode_message,
    encode_channel_data,
    encode_message,
)
from tests.server.relay.turn_client import SECRET, UDP, Dialogue, code_of

RELAY = "203.0.113.9"
SERVER = (RELAY, 3478)
PEER = ("198.51.100.7", 4000)
PEER_AT = XorPeerAddress((ip_address(PEER[0]), PEER[1]))


class Lab:
    """One relay and its clients; `said` are the outputs of the last step."""

    def __init__(self, *, of_this_host: frozenset[str] = frozenset(), address: str = RELAY, **changes: object) -> None:
        self.clock = VirtualClock()
        self.clock.advance(5)
        self.config = RelayConfig(**changes)  # type: ignore[arg-type]  # its own fields
        self.counters = RelayCounters()
        self.said: list[Output] = []
        self.ports = iter(range(50_000, 60_000))
        self.server = TurnServer(
            self.config,
            relayed_address=ip_address(address),
            key_of=lambda user: key_of(SECRET, user, self.config.realm, self.clock.now_ms()),
            nonces=Nonces(b"n" * 32, self.config.nonce_s),
            peers=PeerRules(
                frozenset({address}),
                allow_private=self.config.allow_private_peers,
                is_of_this_host=lambda a: str(a) in of_this_host,
            ),
            counters=self.counters,
        )

    def client(self, port: int = 1000, *, name: str = "ana", transport: str = "udp") -> "Client":
        return Client(self, FiveTuple(transport, ("192.0.2.77", port), SERVER), name)

    def advance(self, seconds: float) -> list[Output]:
        self.clock.advance(seconds)
        return self.server.handle_timeout(self.clock.monotonic())


class Client:
    def __init__(self, lab: Lab, five_tuple: FiveTuple, name: str) -> None:
        self.lab, self.five_tuple = lab, five_tuple
        self.talk = Dialogue.with_credentials(lab.clock.now_ms(), name=name)

    def put(self, data: bytes) -> list[Output]:
        now = self.lab.clock.monotonic()
        outputs = self.lab.server.receive_datagram(data, self.five_tuple, now)
        for wanted in [each for each in outputs if isinstance(each, OpenRelay)]:
            outputs.remove(wanted)
            port = next(p for p in self.lab.ports if p % 2 == 0 or not wanted.even)
            outputs += self.lab.server.relay_opened(wanted.five_tuple, port, now)
        return outputs

    def ask(self, method: Method, *attributes: Attribute, signed: bool = True) -> Message:
        outputs = self.put(self.talk.request(method, *attributes, signed=signed))
        answers = [each for each in outputs if isinstance(each, ToClient)]
        assert [each.five_tuple for each in answers] == [self.five_tuple]
        return self.talk.receive(answers[0].data)

    def allocate(self, *attributes: Attribute) -> Message:
        assert code_of(self.ask(Method.ALLOCATE, UDP)) == 401
        return self.ask(Method.ALLOCATE, UDP, *attributes)

    def relayed_port(self) -> int:
        relayed = self.allocate().first(XorRelayedAddress)
        assert relayed is not None
        return relayed.endpoint[1]

    def permit(self, *peers: XorPeerAddress) -> int:
        return code_of(self.ask(Method.CREATE_PERMISSION, *peers))

    def bind(self, number: int, peer: XorPeerAddress = PEER_AT) -> int:
        return code_of(self.ask(Method.CHANNEL_BIND, ChannelNumber(number), peer))

    def hear_peer(self, data: bytes, peer: tuple[str, int] = PEER) -> list[Output]:
        return self.lab.server.receive_from_peer(data, self.five_tuple, peer, self.lab.clock.monotonic())

    def send(self, data: bytes, peer: XorPeerAddress = PEER_AT) -> list[Output]:
        message = Message(Method.SEND, MessageClass.INDICATION, bytes(12), (peer, Data(data)))
        return self.put(encode_message(message))


def at(host: str, port: int = 4000) -> XorPeerAddress:
    return XorPeerAddress((ip_address(host), port))


class TestAllocations:
    def test_binding_needs_no_credentials_and_shows_the_mapped_address(self) -> None:
        answer = Lab().client(port=1234).ask(Method.BINDING)
        assert answer.first(XorMappedAddress) == XorMappedAddress((IPv4Address("192.0.2.77"), 1234))

    def test_allocate_gives_an_address_a_lifetime_and_a_signed_answer(self) -> None:
        client = Lab().client()
        answer = client.allocate()
        assert answer.first(XorRelayedAddress) == XorRelayedAddress((IPv4Address(RELAY), 50_000))
        assert answer.first(Lifetime) == Lifetime(600)
        assert answer.has_integrity

    @pytest.mark.parametrize("wished, given_s", [(10, 600), (1200, 1200), (999_999, 3600)])
    def test_lifetimes_are_kept_between_ten_minutes_and_an_hour(self, wished: int, given_s: int) -> None:
        assert Lab().client().allocate(Lifetime(wished)).first(Lifetime) == Lifetime(given_s)

    def test_a_retransmitted_allocate_gets_the_same_answer_and_no_second_socket(self) -> None:
        lab = Lab()
        client = lab.client()
        first = client.allocate()
        client.talk.count -= 1
        again = client.ask(Method.ALLOCATE, UDP)
        assert again.first(XorRelayedAddress) == first.first(XorRelayedAddress)
        assert lab.counters.allocations_total == 1

    def test_an_allocation_ends_at_its_time_and_not_before(self) -> None:
        lab = Lab()
        client = lab.client()
        client.allocate()
        assert lab.advance(599) == []
        assert lab.advance(1) == [CloseRelay(client.five_tuple)]
        assert lab.counters.allocations_live == 0
        assert lab.server.next_timeout() is None
        assert code_of(client.ask(Method.REFRESH)) == 437

    def test_refresh_prolongs_and_lifetime_zero_ends(self) -> None:
        lab = Lab()
        client = lab.client()
        client.allocate()
        lab.clock.advance(500)
        assert client.ask(Method.REFRESH, Lifetime(700)).first(Lifetime) == Lifetime(700)
        assert lab.advance(600) == []
        client.ask(Method.REFRESH)  # a stale nonce by now
        outputs = client.put(client.talk.request(Method.REFRESH, Lifetime(0)))
        assert CloseRelay(client.five_tuple) in outputs
        assert code_of(client.ask(Method.REFRESH)) == 437

    def test_a_lost_tcp_connection_takes_its_allocation_with_it(self) -> None:
        lab = Lab(user_quota=1)
        client = lab.client(transport="tcp")
        client.allocate()
        assert lab.server.connection_lost(client.five_tuple) == [CloseRelay(client.five_tuple)]
        assert code_of(lab.client(port=1001).allocate()) == 0

    def test_even_port_is_given_and_a_reservation_refused(self) -> None:
        lab = Lab()
        next(lab.ports)  # the next free one is odd
        answer = lab.client().allocate(EvenPort(reserve_next=False))
        relayed = answer.first(XorRelayedAddress)
        assert relayed is not None
        assert relayed.endpoint[1] % 2 == 0
        assert code_of(lab.client(port=1001).allocate(EvenPort(reserve_next=True))) == 508
        assert code_of(lab.client(port=1002).allocate(ReservationToken(b"t" * 8))) == 508

    def test_no_free_port_is_508_and_gives_the_quota_back(self) -> None:
        lab = Lab(user_quota=1)
        client = lab.client()
        client.ask(Method.ALLOCATE, UDP)
        request = client.talk.request(Method.ALLOCATE, UDP)
        now = lab.clock.monotonic()
        assert lab.server.receive_datagram(request, client.five_tuple, now) == [OpenRelay(client.five_tuple, False)]
        (answer,) = lab.server.relay_failed(client.five_tuple)
        assert isinstance(answer, ToClient)
        assert code_of(decode_message(answer.data)) == 508
        assert code_of(client.ask(Method.ALLOCATE, UDP)) == 0

    def test_what_has_ended_is_closed_even_when_the_request_that_found_it_is_refused(self) -> None:
        lab = Lab(nonce_s=6000)
        ana, bruno = lab.client(), lab.client(port=1001, name="bruno")
        ana.allocate()
        bruno.allocate()
        lab.clock.advance(601)  # past the lifetime, before the timer
        outputs = ana.put(ana.talk.request(Method.ALLOCATE, RequestedTransport(6)))
        closed = {each.five_tuple for each in outputs if isinstance(each, CloseRelay)}
        assert closed == {ana.five_tuple, bruno.five_tuple}
        (answer,) = [each for each in outputs if isinstance(each, ToClient)]
        assert code_of(ana.talk.receive(answer.data)) == 442
        assert lab.counters.allocations_live == 0

    def test_deleted_allocations_leave_no_timers_behind(self) -> None:
        lab = Lab()
        for port in range(1000, 1300):
            client = lab.client(port=port)
            client.allocate()
            client.ask(Method.REFRESH, Lifetime(0))
        assert len(lab.server._table._expiries) < 100


class TestRefusals:
    def test_401_for_wrong_password_wrong_form_and_expired_credentials(self) -> None:
        lab = Lab()
        for field, value in (
            ("password", "wrong"),
            ("username", "ana"),
            ("username", "99999999999:someone-else"),
            ("username", ""),
        ):
            client = lab.client()
            client.ask(Method.ALLOCATE, UDP)
            setattr(client.talk, field, value)
            assert code_of(client.ask(Method.ALLOCATE, UDP)) == 401
        late = lab.client()
        late.ask(Method.ALLOCATE, UDP)
        lab.clock.jump_wall(3_600_000)
        assert code_of(late.ask(Method.ALLOCATE, UDP)) == 401

    def test_400_for_integrity_without_a_user_and_for_no_transport(self) -> None:
        lab = Lab()
        client = lab.client()
        client.ask(Method.ALLOCATE, UDP)
        (answer,) = client.put(encode_message(Message(Method.REFRESH, MessageClass.REQUEST, bytes(12)), key=b"k"))
        assert isinstance(answer, ToClient)
        assert code_of(decode_message(answer.data)) == 400
        assert code_of(client.ask(Method.ALLOCATE)) == 400

    def test_438_gives_a_nonce_that_works(self) -> None:
        lab = Lab(nonce_s=60)
        client = lab.client()
        client.allocate()
        lab.clock.advance(61)
        assert code_of(client.ask(Method.REFRESH)) == 438
        assert code_of(client.ask(Method.REFRESH)) == 0

    def test_438_for_the_nonce_of_another_client(self) -> None:
        lab = Lab()
        one, other = lab.client(port=1), lab.client(port=2)
        one.allocate()
        other.talk.realm, other.talk.nonce = one.talk.realm, one.talk.nonce
        assert code_of(other.ask(Method.ALLOCATE, UDP)) == 438

    def test_420_names_the_attributes_that_were_not_understood(self) -> None:
        lab = Lab()
        client = lab.client()
        client.allocate()

        class DontFragment(Data):
            TYPE = 0x001A

        answer = client.ask(Method.REFRESH, DontFragment(b""))
        assert code_of(answer) == 420
        assert answer.first(UnknownAttributes) == UnknownAttributes((0x001A,))
        assert code_of(client.ask(Method.BINDING, DontFragment(b""), signed=False)) == 420

    @pytest.mark.parametrize(
        "code, attributes",
        [
            (442, (RequestedTransport(6),)),
            (440, (UDP, RequestedAddressFamily(2))),
            (440, (UDP, RequestedAddressFamily(9))),
        ],
    )
    def test_what_cannot_be_allocated_is_refused(self, code: int, attributes: tuple[Attribute, ...]) -> None:
        client = Lab().client()
        client.ask(Method.ALLOCATE, UDP)
        assert code_of(client.ask(Method.ALLOCATE, *attributes)) == code

    def test_437_for_a_second_allocation_on_the_same_five_tuple(self) -> None:
        client = Lab().client()
        client.allocate()
        assert code_of(client.ask(Method.ALLOCATE, UDP)) == 437

    def test_441_for_other_credentials_on_the_same_allocation(self) -> None:
        lab = Lab()
        client = lab.client()
        client.allocate()
        other = Dialogue.with_credentials(lab.clock.now_ms(), name="bruno")
        client.talk.username, client.talk.password = other.username, other.password
        assert code_of(client.ask(Method.REFRESH)) == 441

    def test_486_per_credential_and_508_in_all(self) -> None:
        lab = Lab(user_quota=2, total_quota=3)
        assert [code_of(lab.client(port=port).allocate()) for port in (1, 2, 3)] == [0, 0, 486]
        assert code_of(lab.client(port=4, name="bruno").allocate()) == 0
        assert code_of(lab.client(port=5, name="carla").allocate()) == 508
        assert lab.counters.refusals[486] == 1

    @pytest.mark.parametrize(
        "host",
        ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "169.254.1.1", "224.0.0.1", "0.0.0.0"],
    )
    def test_403_for_peers_inside_private_networks(self, host: str) -> None:
        client = Lab().client()
        client.allocate()
        assert client.permit(at(host)) == 403
        assert client.bind(0x4000, at(host)) == 403
        assert client.permit(PEER_AT, at(host)) == 403, "all of the addresses or none"
        assert client.send(b"x") == []

    def test_private_peers_are_allowed_where_the_host_says_so(self) -> None:
        client = Lab(allow_private_peers=True).client()
        client.allocate()
        assert client.permit(at("192.168.1.1"), at("127.0.0.2")) == 0
        assert client.permit(at("169.254.1.1")) == 403

    def test_403_for_other_addresses_of_the_relays_own_host(self) -> None:
        client = Lab(of_this_host=frozenset({"198.51.100.200"})).client()
        client.allocate()
        assert client.permit(at("198.51.100.200")) == 403

    @pytest.mark.parametrize("host", ["::ffff:10.0.0.5", "::ffff:169.254.169.254", "::ffff:198.51.100.7"])
    def test_443_for_ipv4_dressed_as_ipv6_which_a_dual_stack_socket_would_reach(self, host: str) -> None:
        client = Lab(address="2001:db8::9").client()
        client.allocate(RequestedAddressFamily(0x02))
        assert client.permit(at(host)) == 443
        assert client.bind(0x4000, at(host)) == 443
        assert client.send(b"GET", at(host)) == []

    @pytest.mark.parametrize("host", ["64:ff9b::10.0.0.5", "2002:a00:5::1", "::10.0.0.5"])
    def test_403_for_an_inner_address_behind_a_translator(self, host: str) -> None:
        client = Lab(address="2001:db8::9").client()
        client.allocate(RequestedAddressFamily(0x02))
        assert client.permit(at(host)) == 403

    def test_443_for_a_peer_of_the_other_family(self) -> None:
        client = Lab().client()
        client.allocate()
        assert client.permit(at("2001:db8::1")) == 443

    def test_an_ipv6_relay_gives_ipv6_only_when_asked(self) -> None:
        client = Lab(address="2001:db8::9").client()
        client.ask(Method.ALLOCATE, UDP)
        assert code_of(client.ask(Method.ALLOCATE, UDP)) == 440
        answer = client.ask(Method.ALLOCATE, UDP, RequestedAddressFamily(2))
        assert answer.first(XorRelayedAddress) == XorRelayedAddress((IPv6Address("2001:db8::9"), 50_000))
        assert client.permit(at("fd00::1")) == 403
        assert client.permit(at("2001:db8::1")) == 0

    def test_permissions_and_channels_are_bounded_until_they_lapse(self) -> None:
        lab = Lab(max_permissions=3, max_channels=2, nonce_s=6000)
        client = lab.client()
        client.allocate(Lifetime(3600))
        assert [client.permit(at(f"198.51.100.{n}")) for n in range(1, 5)] == [0, 0, 0, 508]
        lab.clock.advance(301)
        assert [client.bind(0x4000 + n, at("198.51.100.9", 1 + n)) for n in range(3)] == [0, 0, 508]
        assert client.bind(0x4000, at("198.51.100.9", 1)) == 0, "what is there may be prolonged"
        assert client.permit(at("198.51.100.1"), at("198.51.100.2")) == 0
        lab.clock.advance(200)
        assert client.permit(at("198.51.100.1"), at("198.51.100.9")) == 0
        lab.clock.advance(100)
        assert client.permit(at("198.51.100.3")) == 0, "one has lapsed, so that it is the third"
        lab.clock.advance(600)
        assert client.bind(0x4009, at("198.51.100.9", 9)) == 0, "the bindings have lapsed"

    def test_a_binding_that_is_refused_for_its_permission_leaves_no_channel(self) -> None:
        client = Lab(max_permissions=1).client()
        client.allocate()
        assert client.permit(PEER_AT) == 0
        assert client.bind(0x4000, at("198.51.100.8")) == 508
        assert client.bind(0x4000) == 0

    @pytest.mark.parametrize("attributes", [(PEER_AT,), (ChannelNumber(0x4000),), (ChannelNumber(0x3FFF), PEER_AT)])
    def test_400_for_a_binding_without_its_channel_or_peer(self, attributes: tuple[Attribute, ...]) -> None:
        client = Lab().client()
        client.allocate()
        assert code_of(client.ask(Method.CHANNEL_BIND, *attributes)) == 400


class TestData:
    def test_nothing_passes_without_a_permission_either_way(self) -> None:
        lab = Lab()
        client = lab.client()
        client.allocate()
        assert client.send(b"x") == []
        assert client.hear_peer(b"x") == []
        assert lab.counters.datagrams_dropped == 2

    def test_what_is_no_whole_indication_is_dropped(self) -> None:
        class DontFragment(Data):
            TYPE = 0x001A

        lab = Lab()
        client = lab.client()
        client.allocate()
        assert client.permit(PEER_AT) == 0
        for attributes in ((PEER_AT,), (Data(b"x"),), (PEER_AT, Data(b"x"), DontFragment(b""))):
            message = Message(Method.SEND, MessageClass.INDICATION, bytes(12), attributes)
            assert client.put(encode_message(message)) == []
        assert client.send(b"x", at(PEER[0], 0)) == []
        assert client.hear_peer(bytes(65_535)) == [], "it does not fit an indication"
        assert lab.counters.datagrams_dropped == 5
        assert client.send(b"x", at(PEER[0], 1)) != []

    def test_indications_carry_data_both_ways_while_the_permission_lasts(self) -> None:
        lab = Lab()
        client = lab.client()
        client.allocate()
        assert client.permit(PEER_AT) == 0
        assert client.send(b"to peer") == [ToPeer(client.five_tuple, b"to peer", PEER)]
        (heard,) = client.hear_peer(b"to client")
        assert isinstance(heard, ToClient)
        message = decode_message(heard.data)
        assert (message.method, message.message_class) == (Method.DATA, MessageClass.INDICATION)
        assert message.attributes == (PEER_AT, Data(b"to client"))
        assert client.hear_peer(b"other port, same address", (PEER[0], 9)) != []
        lab.clock.advance(300)
        assert client.send(b"x") == []
        assert client.hear_peer(b"x") == []
        assert (lab.counters.bytes_to_peers, lab.counters.bytes_to_clients) == (7, 9 + 24)

    def test_a_channel_carries_data_both_ways_for_ten_minutes(self) -> None:
        lab = Lab()
        client = lab.client()
        client.allocate(Lifetime(3600))
        assert client.bind(0x4001) == 0
        frame = encode_channel_data(0x4001, b"abc")
        assert client.put(frame) == [ToPeer(client.five_tuple, b"abc", PEER)]
        assert client.hear_peer(b"xyz") == [ToClient(client.five_tuple, encode_channel_data(0x4001, b"xyz"))]
        lab.clock.advance(299)
        assert client.permit(PEER_AT) == 0
        lab.clock.advance(299)
        assert client.put(frame) != []
        assert client.permit(PEER_AT) == 0
        lab.clock.advance(2)
        assert client.put(frame) == [], "the binding is over, the permission is not"
        assert isinstance(client.hear_peer(b"xyz")[0], ToClient)
        assert client.bind(0x4002) == 0, "the peer may have another number now"

    def test_a_channel_and_a_peer_belong_together(self) -> None:
        client = Lab().client()
        client.allocate()
        assert client.bind(0x4001) == 0
        assert client.bind(0x4001) == 0
        assert client.bind(0x4001, at("198.51.100.8")) == 400
        assert client.bind(0x4002) == 400
        assert client.bind(0x3FFF) == 400
        assert client.bind(0x8000) == 400

    def test_over_tcp_channel_data_is_padded(self) -> None:
        client = Lab().client(transport="tcp")
        client.allocate()
        client.bind(0x4001)
        (heard,) = client.hear_peer(b"abcde")
        assert isinstance(heard, ToClient)
        assert len(heard.data) == 12
        assert decode_channel_data(heard.data).data == b"abcde"

    def test_two_allocations_of_one_relay_talk_without_leaving_it(self) -> None:
        lab = Lab()
        ana, bruno = lab.client(port=1, name="ana"), lab.client(port=2, name="bruno")
        ports = ana.relayed_port(), bruno.relayed_port()
        assert ana.permit(at(RELAY)) == 0
        assert bruno.bind(0x4000, at(RELAY, ports[0])) == 0
        (heard,) = ana.send(b"oi", at(RELAY, ports[1]))
        assert heard == ToClient(bruno.five_tuple, encode_channel_data(0x4000, b"oi"))

    def test_the_relays_own_address_is_reachable_only_at_live_allocations(self) -> None:
        lab = Lab(allow_private_peers=True)
        ana, bruno = lab.client(port=1, name="ana"), lab.client(port=2, name="bruno")
        ana.allocate()
        port = bruno.relayed_port()
        bruno.permit(at(RELAY))
        assert ana.permit(at(RELAY)) == 0
        assert ana.bind(0x4000, at(RELAY, 22)) == 403
        assert ana.send(b"ssh?", at(RELAY, 22)) == []
        assert ana.send(b"turn?", at(RELAY, 3478)) == []
        assert ana.send(b"oi", at(RELAY, port)) != []
        bruno.ask(Method.REFRESH, Lifetime(0))
        assert ana.send(b"oi", at(RELAY, port)) == []

    def test_an_allocation_is_reached_from_the_next_until_the_moment_of_its_end(self) -> None:
        lab = Lab(nonce_s=6000)
        ana, bruno = lab.client(port=1, name="ana"), lab.client(port=2, name="bruno")
        ana.allocate(Lifetime(3600))
        port = bruno.relayed_port()
        lab.clock.advance(400)
        assert (ana.permit(at(RELAY)), bruno.permit(at(RELAY))) == (0, 0)
        lab.clock.advance(199)
        assert ana.send(b"oi", at(RELAY, port)) != []
        lab.clock.advance(1)
        assert ana.send(b"oi", at(RELAY, port)) == []


class TestRobustness:
    @given(st.lists(st.binary(max_size=120), max_size=10))
    def test_random_datagrams_change_nothing(self, datagrams: list[bytes]) -> None:
        lab = Lab()
        client = lab.client()
        for data in datagrams:
            assert all(isinstance(each, ToClient) for each in client.put(data))
        assert lab.counters.allocations_total == 0
        assert lab.server.next_timeout() is None

    @given(st.data())
    def test_mutated_requests_of_a_live_client_never_raise(self, data: st.DataObject) -> None:
        lab = Lab()
        client = lab.client()
        client.allocate()
        client.bind(0x4000)
        for _ in range(5):
            request = bytearray(
                client.talk.request(
                    data.draw(st.sampled_from(Method)), UDP, Lifetime(0), ChannelNumber(0x4000), PEER_AT, Data(b"d")
                )
            )
            for at_byte in data.draw(st.lists(st.integers(0, len(request) - 1), max_size=3)):
                request[at_byte] = data.draw(st.integers(0, 255))
            assert isinstance(client.put(bytes(request)), list)

    def test_answers_to_strangers_stay_short(self) -> None:
        """A relay must be no amplifier: what an unsigned request gets back, in multiples of its own size."""
        client = Lab().client()
        request = client.talk.request(Method.ALLOCATE, UDP)
        (answer,) = client.put(request)
        assert isinstance(answer, ToClient)
        assert len(answer.data) <= 4 * len(request)


def test_wall_clock_jumps_do_not_touch_allocations() -> None:
    lab = Lab()
    client = lab.client()
    client.allocate()
    lab.clock.jump_wall(-86_400_000)
    assert lab.advance(599) == []
    assert isinstance(lab.clock.now_ms(), int)
    assert Timestamp(0) < lab.clock.now_ms()


def test_addresses_are_told_apart_by_the_words_of_the_model() -> None:
    rules = PeerRules(frozenset({RELAY}))
    cases: dict[IpAddress, bool] = {
        ip_address(RELAY): False,
        ip_address("203.0.113.77"): False,
        ip_address("10.0.0.1"): True,
        ip_address("::1"): True,
    }
    assert {address: rules.refuses(address) for address in cases} == cases
