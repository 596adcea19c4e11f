"""How the address of a home is written: one way in what is signed and kept, a few more from a person's keyboard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.errors import MalformedError
from mepassa.model.home_url import check_home_url, parse_home_url


@pytest.mark.parametrize(
    "url", ["https://home.test", "http://127.0.0.1:8080", "https://[::1]:8443", "https://a_b-c.home.test:443"]
)
def test_the_one_way_is_left_as_it_is(url: str) -> None:
    assert check_home_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "ftp://home.test",
        "https://home.test/",
        "https://home.test/path",
        "https://ana@home.test",
        "https://HOME.test",
        "https://home.test:99999",
        "https://home.test:",
        "https://hóme.test",
        "https://home.test?x",
        "https://",
        "https://[::1",
        "https://ho me.test",
        "https://home.test:0",
        "https://" + "a" * 200,
        "https://home.test\n",
    ],
)
def test_a_home_address_is_host_and_port_and_nothing_more(url: str) -> None:
    with pytest.raises(MalformedError):
        check_home_url(url)


def test_what_a_person_types_is_written_the_one_way() -> None:
    """Else nobody could open the cards of whoever typed a capital letter."""
    assert str(parse_home_url("HTTPS://Home.Test/")) == "https://home.test"
    assert str(parse_home_url("http://[::1]:8080/")) == "http://[::1]:8080"


def test_the_authority_that_is_signed_leaves_out_the_schemes_own_port() -> None:
    assert parse_home_url("https://Home.Test:443/").authority == "home.test"
    assert parse_home_url("https://home.test:8443").authority == "home.test:8443"
    assert parse_home_url("http://127.0.0.1:80").authority == "127.0.0.1"
    assert parse_home_url("http://[::1]:80").authority == "[::1]"
    assert parse_home_url("http://home.test:443").authority == "home.test:443"


@pytest.mark.parametrize(
    ("url", "inside"),
    [
        ("http://localhost:1", True),
        ("https://page.localhost", True),
        ("https://192.168.1.1", True),
        ("https://127.9.9.9", True),
        ("https://[fe80::1]", True),
        ("https://[::ffff:10.0.0.1]", True),
        ("https://[64:ff9b::a00:1]", True),
        ("https://1.1.1.1", False),
        ("https://home.test", False),
        ("https://localhost.test", False),
    ],
)
def test_a_literal_address_inside_a_network_is_seen(url: str, inside: bool) -> None:
    assert parse_home_url(url).is_inside is inside


@given(st.text() | st.from_regex(r"https?://[a-zA-Z0-9.:@\[\]_/-]{0,30}", fullmatch=True))
def test_any_text_is_an_address_of_a_home_or_malformed(text: str) -> None:
    try:
        url = parse_home_url(text)
    except MalformedError:
        return
    assert parse_home_url(str(url)) == url
    assert check_home_url(str(url)) == str(url)
