"""The address of a home: how it is written, and what it tells of where the home is (docs/protocol/contacts.md, "Card")."""

from typing import NamedTuple
from urllib.parse import urlsplit

from mepassa.model.addresses import IpAddress, is_public, parse_ip
from mepassa.model.errors import MalformedError

MAX_URL_CHARS = 200
"""As in cards and device lists."""
_HOST_SIGNS = "-.:_"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class ParsedHomeUrl(NamedTuple):
    """`str()` of it is the one way in which cards, lists and the database write that home."""

    scheme: str
    host: str
    """A name or a literal address, in lower case, without brackets."""
    port: int | None

    @property
    def netloc(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def authority(self) -> str:
        """Without the scheme's own port, as HTTP sends it and a home signs it in its hello."""
        return (self if self.port != _DEFAULT_PORTS[self.scheme] else self._replace(port=None)).netloc

    @property
    def literal(self) -> IpAddress | None:
        """None for a name."""
        try:
            return parse_ip(self.host)
        except MalformedError:
            return None

    @property
    def is_loopback(self) -> bool:
        """This machine. Longer names under .localhost are no proof: some systems ask the network for them."""
        literal = self.literal
        return self.host == "localhost" if literal is None else literal.is_loopback

    @property
    def is_inside(self) -> bool:
        """At an address of a private network, of this machine, or at one that is never dialled; other names are not."""
        literal = self.literal
        if literal is None:
            return self.host == "localhost" or self.host.endswith(".localhost")
        return not is_public(literal)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


def parse_home_url(text: str) -> ParsedHomeUrl:
    """As a person may type it: letter case and a slash at the end do not matter. Raises `MalformedError`."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _malformed() from None
    extra = "@" in parts.netloc or parts.query or parts.fragment or parts.path not in {"", "/"}
    plain = bool(host) and host.isascii() and all(letter.isalnum() or letter in _HOST_SIGNS for letter in host)
    url = ParsedHomeUrl(parts.scheme, host, port)
    if parts.scheme not in _DEFAULT_PORTS or not plain or extra or port == 0 or len(str(url)) > MAX_URL_CHARS:
        raise _malformed()
    return url


def check_home_url(url: str) -> str:
    """`url`, if it is written in the one way. Raises `MalformedError`."""
    if str(parse_home_url(url)) != url:
        raise _malformed()
    return url


def _malformed() -> MalformedError:
    return MalformedError("A server's address is https://HOST or https://HOST:PORT.")
