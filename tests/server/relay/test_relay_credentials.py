"""docs/protocol/relay.md §3: credentials that need no database, in the form that coturn shares."""

import pytest

from mepassa.model.ids import Timestamp
from mepassa.model.secret import SecretBytes
from mepassa.server.relay import make_credentials, password_for
from mepassa.server.relay.allocation import FiveTuple
from mepassa.server.relay.credentials import holder_of, key_of
from mepassa.server.relay.nonces import Nonces
from mepassa.testing import SeededRng
from mepassa.wire.stun import long_term_key

SECRET = SecretBytes(b"north")
NOW = Timestamp(1_790_000_000_000)


def test_the_password_is_the_base64_of_an_hmac_sha1_over_the_user_name() -> None:
    """By `printf %s 1790000000:ana | openssl dgst -binary -sha1 -hmac north | openssl base64`."""
    assert password_for(SECRET, "1790000000:ana") == SecretBytes(b"nCXPnCmztMFDQy85GumxwkCWXyU=")


def test_made_credentials_open_the_relay_until_they_expire_and_not_after() -> None:
    made = make_credentials(SECRET, now_ms=NOW, rng=SeededRng(1), lifetime_s=60)
    expected = long_term_key(made.username, "realm", made.password.expose().decode())
    assert made.expires_at_ms == NOW + 60_000
    assert key_of(SECRET, made.username, "realm", Timestamp(NOW + 59_999)) == expected
    assert key_of(SECRET, made.username, "realm", Timestamp(NOW + 60_000)) is None


def test_two_log_ins_get_two_users_and_neither_names_anybody() -> None:
    rng = SeededRng(1)
    one, other = (make_credentials(SECRET, now_ms=NOW, rng=rng) for _ in range(2))
    assert one.username != other.username
    assert one.username.startswith("1790086400:")
    assert "password" not in repr(one.password)
    assert one.password.expose().decode() not in repr(one)


@pytest.mark.parametrize(
    "username",
    ["", "ana", "1890000000", "1890000000:", ":ana", "x:ana", "1890000000:a:b", "١٨٩٠٠٠٠٠٠٠:ana", "1890000000:a\n"],
)
def test_a_user_name_of_another_form_opens_nothing(username: str) -> None:
    assert key_of(SECRET, username, "realm", NOW) is None


class TestNonces:
    ANA = FiveTuple("udp", ("192.0.2.1", 1000), ("203.0.113.9", 3478))
    OTHER = FiveTuple("udp", ("192.0.2.1", 1001), ("203.0.113.9", 3478))

    def test_a_nonce_is_good_for_its_client_and_its_time(self) -> None:
        nonces = Nonces(b"k" * 32, 600)
        nonce = nonces.make(self.ANA, 5.0)
        assert nonces.is_fresh(nonce, self.ANA, 605.0)
        assert not nonces.is_fresh(nonce, self.ANA, 606.0)
        assert not nonces.is_fresh(nonce, self.ANA, 4.0)
        assert not nonces.is_fresh(nonce, self.OTHER, 5.0)
        assert not Nonces(b"l" * 32, 600).is_fresh(nonce, self.ANA, 5.0)

    @pytest.mark.parametrize(
        "nonce", [b"", b"-", b"5", b"5-", b"-5-aa", b"x-aa", b"9" * 17 + b"-aa", b"\xff-\xff", b"\xb2-a"]
    )
    def test_what_we_never_made_is_stale(self, nonce: bytes) -> None:
        assert not Nonces(b"k" * 32, 600).is_fresh(nonce, self.ANA, 5.0)


def test_all_sets_of_one_account_share_a_holder_for_a_day_and_nobody_elses() -> None:
    def holder(who: bytes, at: int) -> str:
        rng = SeededRng(at)
        return holder_of(make_credentials(SECRET, now_ms=Timestamp(at), rng=rng, holder=who).username)

    morning = NOW - NOW % 86_400_000
    assert holder(b"ana", morning) == holder(b"ana", morning + 80_000_000)
    assert holder(b"ana", morning) != holder(b"ana", morning + 86_400_000)
    assert holder(b"ana", morning) != holder(b"beto", morning)
    made = make_credentials(SECRET, now_ms=NOW, rng=SeededRng(1), holder=b"ana")
    assert key_of(SECRET, made.username, "realm", NOW) is not None
    assert b"ana".hex() not in made.username
