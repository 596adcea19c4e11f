"""mepassa.model.addresses: literals only, and whatever is written, a value or a documented error."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.addresses import is_never_dialled, is_private, parse_ip
from mepassa.model.errors import MalformedError

ADDRESSES = st.ip_addresses()


@given(st.text(max_size=60) | st.builds(lambda a, tail: f"{a}{tail}", ADDRESSES, st.text("%./:0 é", max_size=3)))
def test_any_text_is_an_address_or_malformed(text: str) -> None:
    try:
        assert isinstance(parse_ip(text), IPv4Address | IPv6Address)
    except MalformedError:
        pass


@given(ADDRESSES)
def test_an_address_survives_being_written(address: IPv4Address | IPv6Address) -> None:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    assert parse_ip(str(address)) == (mapped or address)


@pytest.mark.parametrize("text", ["localhost", "fe80::1%eth0", "10.0.0.1/8", "", "1" * 46, "010.0.0.1"])
def test_names_scopes_and_prefixes_are_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_ip(text)


@pytest.mark.parametrize("text", ["10.1.2.3", "172.31.0.1", "192.168.0.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1"])
def test_private_is_the_list(text: str) -> None:
    assert is_private(parse_ip(text))


@pytest.mark.parametrize("text", ["203.0.113.1", "198.51.100.1", "172.32.0.1", "2001:db8::1"])
def test_documentation_ranges_are_not_private(text: str) -> None:
    assert not is_private(parse_ip(text))


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "::1", "169.254.1.1", "fe80::1", "224.0.0.1", "0.0.0.0", "::", "255.255.255.255"]
)
def test_some_addresses_are_never_dialled(text: str) -> None:
    assert is_never_dialled(parse_ip(text))


def test_loopback_is_dialled_only_where_it_is_allowed() -> None:
    assert not is_never_dialled(parse_ip("127.0.0.1"), allow_loopback=True)
    assert is_never_dialled(parse_ip("169.254.1.1"), allow_loopback=True)


@pytest.mark.parametrize(
    "text",
    [
        "::ffff:0:127.0.0.1",
        "::10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::1",
        "2002:a00:1::1",
        "2002:7f00:1::",
        "2002:c0a8:101::5",
        "fec0::1",
    ],
)
def test_an_inner_address_is_not_dialled_in_a_disguise_of_ipv6(text: str) -> None:
    assert is_never_dialled(parse_ip(text))
    assert is_never_dialled(parse_ip(text), allow_loopback=True)


@pytest.mark.parametrize("host", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1"])
def test_a_mapped_address_is_judged_by_what_it_maps_even_where_nobody_unwrapped_it(host: str) -> None:
    assert is_never_dialled(IPv6Address(f"::ffff:{host}"))


@pytest.mark.parametrize("text", ["64:ff9b::198.51.100.1", "2002:c633:6401::1", "2001:db8::1"])
def test_public_addresses_behind_a_translator_stay_reachable(text: str) -> None:
    assert not is_never_dialled(parse_ip(text))
