"""docs/protocol/routing.md §6: which addresses of a contact are dialled."""

from ipaddress import IPv4Network, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.addresses import parse_ip
from mepassa.routing import AddressRules, admit_candidates, admit_ip, admit_multiaddrs

OUTSIDE = AddressRules()
AT_HOME = AddressRules(
    own_networks=(IPv4Network("192.168.1.0/24"), IPv6Network("fd00:1::/64")),
    never=frozenset({ip_address("192.168.1.1")}),
)
DEMO = AddressRules(allow_loopback=True)


@pytest.mark.parametrize(
    "text, rules, expected",
    [
        ("198.51.100.7", OUTSIDE, True),
        ("203.0.113.9", OUTSIDE, True),  # documentation ranges are not private: the NAT lab lives there
        ("2001:db8::1", OUTSIDE, True),
        ("192.168.1.20", OUTSIDE, False),
        ("192.168.1.20", AT_HOME, True),
        ("192.168.2.20", AT_HOME, False),
        ("192.168.1.1", AT_HOME, False),  # the gateway
        ("10.0.0.1", AT_HOME, False),
        ("100.64.0.1", AT_HOME, False),
        ("fd00:1::5", AT_HOME, True),
        ("fd00:2::5", AT_HOME, False),
        ("127.0.0.1", OUTSIDE, False),
        ("127.0.0.1", DEMO, True),
        ("::1", OUTSIDE, False),
        ("::1", DEMO, True),
        ("169.254.1.1", DEMO, False),
        ("fe80::1", DEMO, False),
        ("224.0.0.1", DEMO, False),
        ("ff02::1", DEMO, False),
        ("0.0.0.0", DEMO, False),
        ("255.255.255.255", DEMO, False),
        ("::ffff:127.0.0.1", OUTSIDE, False),
        ("::ffff:192.168.1.20", OUTSIDE, False),
    ],
)
def test_an_address_is_admitted_or_not(text: str, rules: AddressRules, expected: bool) -> None:
    assert admit_ip(parse_ip(text), rules) is expected


class TestMultiaddrs:
    @pytest.mark.parametrize(
        "line",
        [
            "/ip4/198.51.100.7/tcp/4001",
            "/ip4/198.51.100.7/tcp/443/p2p/12D3KooWA",
            "/ip6/2001:db8::1/udp/4001/quic-v1",
            "/ip4/198.51.100.7/tcp/4001/ws",
        ],
    )
    def test_literals_with_a_port_are_admitted(self, line: str) -> None:
        assert admit_multiaddrs([line], OUTSIDE) == (line,)

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "/dns4/example.org/tcp/4001",
            "/dnsaddr/example.org",
            "/ip4/example.org/tcp/4001",
            "/ip4/2001:db8::1/tcp/4001",
            "/ip6/::ffff:198.51.100.7/tcp/4001",
            "/ip6/fe80::1%eth0/tcp/4001",
            "/ip4/198.51.100.7/tcp/0",
            "/ip4/198.51.100.7/tcp/65536",
            "/ip4/198.51.100.7/tcp/-1",
            "/ip4/198.51.100.7/tcp/４００１",
            "/ip4/198.51.100.7/sctp/4001",
            "/ip4/198.51.100.7",
            "ip4/198.51.100.7/tcp/4001",
            "/ip4/198.51.100.7/tcp/4001/p2p/12D3KooWA/p2p-circuit",
            "/ip4/198.51.100.7/tcp/4001/ip4/127.0.0.1/tcp/22",
            "/unix/tmp/socket",
            "/ip4/198.51.100.7/tcp/4001" + "/ws" * 200,
        ],
    )
    def test_names_zones_tricks_and_hidden_second_addresses_are_not(self, line: str) -> None:
        assert admit_multiaddrs([line], OUTSIDE) == ()

    def test_sixteen_are_looked_at_in_order_and_each_is_kept_once(self) -> None:
        lines = [f"/ip4/198.51.100.{n // 2}/tcp/1" for n in range(100)]
        assert admit_multiaddrs(lines, OUTSIDE) == tuple(f"/ip4/198.51.100.{n}/tcp/1" for n in range(8))


class TestCandidates:
    def test_the_connection_address_decides(self) -> None:
        srflx = "a1 1 udp 1694498815 198.51.100.7 5000 typ srflx raddr 192.168.9.9 rport 5000"
        host = "b2 1 udp 2130706431 192.168.9.9 5000 typ host"
        mdns = "c3 1 udp 2130706431 0f5e2c1a.local 5000 typ host"
        assert admit_candidates([srflx, host, mdns, "nonsense", ""], OUTSIDE) == (srflx,)
        rules = AddressRules(own_networks=(IPv4Network("192.168.9.0/24"),))
        assert admit_candidates([srflx, host], rules) == (srflx, host)


@given(st.lists(st.text(max_size=60) | st.text("/ip46tcudpqws:.0123456789", max_size=60), max_size=20))
def test_random_lines_are_filtered_and_never_raise(lines: list[str]) -> None:
    assert set(admit_multiaddrs(lines, DEMO)) <= set(lines)
    assert set(admit_candidates(lines, DEMO)) <= set(lines)


@given(st.ip_addresses(), st.integers(1, 65_535))
def test_what_is_admitted_is_what_the_rule_for_addresses_says(address: object, port: int) -> None:
    parsed = parse_ip(str(address))
    kind = "ip4" if parsed.version == 4 else "ip6"
    line = f"/{kind}/{parsed}/tcp/{port}"
    assert (admit_multiaddrs([line], OUTSIDE) == (line,)) is admit_ip(parsed, OUTSIDE)
