"""docs/protocol/relay.md §5: to whom the relay sends."""

from ipaddress import ip_address

import pytest

from mepassa.server.relay.peers import PeerRules, is_address_of_this_host, own_address_check

OPEN = PeerRules(frozenset({"203.0.113.9"}), is_of_this_host=lambda address: str(address) == "198.51.100.99")
PRIVATE = PeerRules(frozenset({"127.0.0.1"}), allow_private=True, is_of_this_host=lambda _address: True)


@pytest.mark.parametrize(
    "host, refused, refused_with_flag",
    [
        ("203.0.113.77", False, False),
        ("2001:db8::7", False, False),
        ("10.0.0.1", True, False),
        ("172.31.0.1", True, False),
        ("192.168.0.1", True, False),
        ("100.127.0.1", True, False),
        ("fc00::1", True, False),
        ("127.0.0.2", True, False),
        ("::1", True, False),
        ("169.254.169.254", True, True),
        ("fe80::1", True, True),
        ("224.0.0.251", True, True),
        ("0.0.0.0", True, True),
        ("240.0.0.1", True, True),
        ("198.51.100.99", True, False),
    ],
)
def test_a_peer_is_refused_by_where_it_is(host: str, refused: bool, refused_with_flag: bool) -> None:
    assert OPEN.refuses(ip_address(host)) is refused
    assert PRIVATE.refuses(ip_address(host)) is refused_with_flag


def test_the_relays_own_address_is_permitted_and_judged_by_port_later() -> None:
    assert not OPEN.refuses(ip_address("203.0.113.9"))
    assert OPEN.is_own("203.0.113.9")
    assert not PRIVATE.refuses(ip_address("127.0.0.1"))
    at_home = PeerRules(frozenset({"192.168.0.9"}), is_of_this_host=lambda address: str(address) == "192.168.0.9")
    assert not at_home.refuses(ip_address("192.168.0.9")), "though it is private, and one of its host's"


def test_the_host_knows_its_own_addresses_without_a_list_of_interfaces() -> None:
    assert is_address_of_this_host(ip_address("127.0.0.1"))
    assert not is_address_of_this_host(ip_address("203.0.113.99"))
    assert own_address_check()(ip_address("127.0.0.1"))
