"""docs/protocol/ice.md, "Candidates": lines of a signal, the servers of a home, what the NAT allows."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.addresses import parse_ip
from mepassa.model.errors import MalformedError
from mepassa.model.ids import AccountId, Address, AttemptId, Timestamp
from mepassa.model.route import NatKind
from mepassa.model.signal import Signal, SignalKind
from mepassa.transports.ice import (
    CandidateKind,
    IceCandidate,
    RemoteSide,
    decode_candidate,
    encode_candidate,
    is_controlling,
)
from mepassa.transports.ice.nat import RELAY_HOLD_S, UNLIKELY_HOLD_S, classify_nat, relay_hold_s
from mepassa.transports.ice.servers import ServerRules, StunServer, TurnServer, decode_stun_uri, decode_turn_uri, usable

HOST = "a1 1 udp 2130706431 203.0.113.2 50000 typ host"
SRFLX = "b2 1 udp 1694498815 203.0.113.6 50001 typ srflx raddr 0.0.0.0 rport 9"
RELAY = "c3 1 udp 16777215 203.0.113.10 49152 typ relay raddr 0.0.0.0 rport 9"

addresses = st.ip_addresses().filter(lambda ip: ip.version == 4 or ip.ipv4_mapped is None)
candidates = st.builds(
    IceCandidate,
    foundation=st.text("abcXYZ019+/", min_size=1, max_size=32),
    priority=st.integers(1, 2**31 - 1),
    address=addresses,
    port=st.integers(1, 65_535),
    kind=st.sampled_from(CandidateKind),
)


def signal(**changed: object) -> Signal:
    fields: dict[str, object] = {
        "kind": SignalKind.OFFER,
        "attempt_id": AttemptId(bytes(16)),
        "sent_at_ms": Timestamp(1),
        "ice_ufrag": "ufrag",
        "ice_password": "p" * 22,
        "candidates": (HOST, SRFLX, RELAY),
        "nat_kind": NatKind.CONE,
        "quic_certificate_sha256": bytes(32),
        "path_secret": bytes(32),
    }
    return Signal(**{**fields, **changed})  # type: ignore[arg-type]  # the fields above are the Struct's


def kinds(remote: RemoteSide) -> list[str]:
    return [candidate.kind.value for candidate in remote.candidates]


@given(candidates)
def test_a_candidate_survives_its_line(candidate: IceCandidate) -> None:
    assert decode_candidate(encode_candidate(candidate)) == candidate


@given(
    st.one_of(
        st.text(max_size=400), st.lists(st.sampled_from([*RELAY.split(), "", "999999999999", "::1%eth0"])).map(" ".join)
    )
)
def test_any_line_is_a_candidate_or_malformed(line: str) -> None:
    try:
        candidate = decode_candidate(line)
    except MalformedError:
        return
    assert 1 <= candidate.port <= 65_535


@given(st.data())
def test_a_mutated_line_is_a_candidate_or_malformed(data: st.DataObject) -> None:
    line = data.draw(st.sampled_from([HOST, SRFLX, RELAY]))
    at = data.draw(st.integers(0, len(line) - 1))
    mutated = line[:at] + data.draw(st.characters()) + line[at + data.draw(st.integers(0, 3)) :]
    try:
        decode_candidate(mutated)
    except MalformedError:
        return


@pytest.mark.parametrize(
    "line",
    [
        HOST.replace("udp", "tcp"),
        HOST.replace(" 1 udp", " 2 udp"),
        HOST.replace("203.0.113.2", "a4f1.local"),
        HOST.replace("50000", "0"),
        HOST.replace("50000", "65536"),
        HOST.replace("host", "prflx"),
        HOST.replace("2130706431", "2147483648"),
        HOST.replace("2130706431", "٣"),
        HOST + " x" * 200,
        "candidate:" + HOST,
    ],
)
def test_a_line_outside_the_rules_is_malformed(line: str) -> None:
    with pytest.raises(MalformedError):
        decode_candidate(line)


def test_our_lines_name_no_related_address() -> None:
    """Under hide_my_ip the related address of a relay candidate would give away what is hidden."""
    line = encode_candidate(decode_candidate("c3 1 udp 16777215 203.0.113.10 49152 typ relay raddr 10.1.0.2 rport 7"))
    assert line == RELAY


def test_lines_that_cannot_be_used_are_dropped_and_doubles_too() -> None:
    remote = RemoteSide.from_signal(signal(candidates=("junk", HOST, HOST, HOST.replace("udp", "tcp"), RELAY)))
    assert kinds(remote) == ["host", "relay"]


def test_a_signal_without_direct_gives_relay_candidates_only() -> None:
    assert kinds(RemoteSide.from_signal(signal(relay_only=True))) == ["relay"]
    assert kinds(RemoteSide.from_signal(signal(direct=False))) == ["relay"]
    assert not RemoteSide.from_signal(signal(relay_only=True)).direct


def test_a_signal_without_relay_gives_direct_candidates_only() -> None:
    assert kinds(RemoteSide.from_signal(signal(relay=False))) == ["host", "srflx"]


@pytest.mark.parametrize("changed", [{"ice_ufrag": "a:b:"}, {"ice_ufrag": "é" * 4}, {"ice_password": "p" * 21 + " "}])
def test_credentials_that_are_no_ice_chars_are_malformed(changed: dict[str, str]) -> None:
    with pytest.raises(MalformedError):
        RemoteSide.from_signal(signal(**changed))


@given(st.text(min_size=4, max_size=32), st.text(min_size=22, max_size=64), st.lists(st.text(max_size=60), max_size=16))
def test_any_signal_gives_a_remote_side_or_malformed(ufrag: str, password: str, lines: list[str]) -> None:
    try:
        remote = RemoteSide.from_signal(signal(ice_ufrag=ufrag, ice_password=password, candidates=tuple(lines)))
    except MalformedError:
        return
    assert remote.ufrag == ufrag


def test_the_smaller_address_is_controlling() -> None:
    low, high = Address(AccountId(bytes(16)), 2), Address(AccountId(b"\1" * 16), 1)
    assert is_controlling(low, high)
    assert not is_controlling(high, low)
    assert is_controlling(Address(low.account, 1), low)


@pytest.mark.parametrize(
    "uri, server",
    [
        ("turn:relay.example:3478?transport=udp", TurnServer("relay.example", 3478, "udp")),
        ("turn:203.0.113.10:443?transport=tcp", TurnServer("203.0.113.10", 443, "tcp")),
        ("turn:[2001:db8::1]", TurnServer("2001:db8::1", 3478, "udp")),
    ],
)
def test_a_turn_address_is_read(uri: str, server: TurnServer) -> None:
    """RFC 7065 §3.1."""
    assert decode_turn_uri(uri) == server


@pytest.mark.parametrize("uri", ["turns:a:1", "turn:", "turn:a:0", "turn:a:70000", "turn:a?transport=sctp", "turn:u@a"])
def test_a_turn_address_outside_the_rules_is_malformed(uri: str) -> None:
    with pytest.raises(MalformedError):
        decode_turn_uri(uri)


@given(st.text(max_size=60), st.sampled_from(["", "stun:", "turn:", "stun:[", "turn:host:"]))
def test_any_server_address_is_read_or_malformed(text: str, prefix: str) -> None:
    for decode in (decode_stun_uri, decode_turn_uri):
        try:
            server = decode(prefix + text)
        except MalformedError:
            continue
        assert isinstance(server, StunServer | TurnServer)


def test_server_addresses_of_a_later_kind_are_skipped() -> None:
    assert usable(decode_stun_uri, ["stuns:a:1", "stun:b:2", "?"]) == [StunServer("b", 2)]


OWN = (ip_address("10.1.0.2"), 5000)
PUBLIC = (ip_address("198.51.100.2"), 5000)
SEEN = (ip_address("203.0.113.2"), 40_000)
SEEN_TOO = (ip_address("203.0.113.2"), 40_001)


@pytest.mark.parametrize(
    "answers, kind",
    [
        ({}, NatKind.UNKNOWN),
        ({OWN: [SEEN, SEEN]}, NatKind.CONE),
        ({OWN: [SEEN, SEEN_TOO]}, NatKind.SYMMETRIC),
        ({OWN: [None, None]}, NatKind.UDP_BLOCKED),
        ({OWN: [SEEN, None]}, NatKind.UNKNOWN),
        ({PUBLIC: [PUBLIC, PUBLIC]}, NatKind.OPEN),
        ({OWN: [OWN, OWN]}, NatKind.UNKNOWN),  # the server sits inside our network
        ({OWN: [None, None], PUBLIC: [SEEN, SEEN]}, NatKind.CONE),  # one interface leads nowhere
    ],
)
def test_the_nat_kind_follows_from_what_two_ports_saw(
    answers: dict[tuple[object, int], list[object]], kind: NatKind
) -> None:
    assert classify_nat(answers) is kind  # type: ignore[arg-type]  # ip_address() is typed as either version


@pytest.mark.parametrize(
    "own, remote, direct, hold_s",
    [
        (NatKind.CONE, NatKind.CONE, True, RELAY_HOLD_S),
        (NatKind.OPEN, NatKind.SYMMETRIC, True, RELAY_HOLD_S),
        (NatKind.CONE, NatKind.SYMMETRIC, True, UNLIKELY_HOLD_S),
        (NatKind.SYMMETRIC, NatKind.SYMMETRIC, True, 0),
        (NatKind.CONE, NatKind.UDP_BLOCKED, True, 0),
        (NatKind.CONE, NatKind.CONE, False, 0),
        (NatKind.UNKNOWN, NatKind.UNKNOWN, True, RELAY_HOLD_S),
    ],
)
def test_a_relay_waits_only_where_direct_can_work(own: NatKind, remote: NatKind, direct: bool, hold_s: float) -> None:
    assert relay_hold_s(own, remote, direct=direct) == hold_s
    assert relay_hold_s(remote, own, direct=direct) == hold_s


AT_NAME = ServerRules.of("https://Casa.Example:8443", inside=False)
AT_LAN = ServerRules.of("http://192.168.1.9:8080", inside=True)
AT_LAN_BY_NAME = ServerRules.of("https://casa.example", inside=True)
HERE = ServerRules.of("http://127.0.0.1:8080", inside=True)


@pytest.mark.parametrize(
    ("rules", "name", "admitted"),
    [(AT_NAME, "casa.example", True), (AT_NAME, "CASA.example", True), (AT_NAME, "router.casa.example", False),
     (AT_NAME, "stun.example", False), (AT_LAN, "casa.example", False), (HERE, "localhost", False)],
)  # fmt: skip
def test_a_home_names_its_own_host_and_no_other(rules: ServerRules, name: str, admitted: bool) -> None:
    assert rules.admits_name(name) is admitted


@pytest.mark.parametrize(
    ("address", "admitting"),
    [
        ("203.0.113.9", {AT_NAME, AT_LAN, AT_LAN_BY_NAME, HERE}),
        ("2001:db8::9", {AT_NAME, AT_LAN, AT_LAN_BY_NAME, HERE}),
        ("192.168.1.9", {AT_LAN, AT_LAN_BY_NAME, HERE}),
        ("100.64.0.1", {AT_LAN, AT_LAN_BY_NAME, HERE}),
        ("127.0.0.1", {HERE}),
        ("::1", {HERE}),
        ("169.254.169.254", set()),
        ("224.0.0.1", set()),
        ("0.0.0.0", set()),
        ("fe80::1", set()),
        ("::ffff:169.254.169.254", set()),
        ("64:ff9b::c0a8:109", set()),
    ],
)
def test_a_home_sends_nobody_into_a_network_that_it_is_not_in(address: str, admitting: set[ServerRules]) -> None:
    assert {rules for rules in (AT_NAME, AT_LAN, AT_LAN_BY_NAME, HERE) if rules.admits(parse_ip(address))} == admitting
