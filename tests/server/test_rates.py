"""What a home counts, to the exact event, byte and second (docs/protocol/home.md, "Quotas")."""

from collections.abc import Callable

import pytest

from mepassa.server.limits import HomePolicy, RateLimiter, address_group
from mepassa.server.mailbox.store import Lane, Usage
from mepassa.testing import ManualClock

POLICY = HomePolicy(mailbox_envelopes=30, mailbox_bytes=1_000, previous_share=10, request_envelopes=5, work_envelopes=3)


def test_a_window_ends_with_its_last_second() -> None:
    clock = ManualClock()
    limiter = RateLimiter(clock, 2, 60.0)
    assert [limiter.count("ana"), limiter.count("ana"), limiter.count("ana")] == [0, 0, 60]
    clock.advance(59.5)
    assert limiter.retry_after_s("ana") == limiter.count("ana") == 0.5
    clock.advance(0.5)
    assert limiter.retry_after_s("ana") == 0
    assert [limiter.count("ana"), limiter.count("ana"), limiter.count("ana")] == [0, 0, 60]
    clock.advance(60.5)
    assert limiter.retry_after_s("ana") == 0


def test_past_so_many_keys_the_longest_unseen_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mepassa.server.limits.MAX_KEYS", 2)
    limiter = RateLimiter(ManualClock(), 2, 60.0)
    for key in ("ana", "bruno", "ana"):
        limiter.count(key)
    assert limiter.retry_after_s("ana") == 60, "two keys are kept"
    limiter.count("carla")
    assert limiter.retry_after_s("ana") == 60, "bruno was seen longer ago"
    for _ in range(2):
        limiter.count("bruno")
    assert [limiter.retry_after_s(key) for key in ("ana", "bruno")] == [0, 60]


@pytest.mark.parametrize(
    ("remote", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
    ],
)
def test_an_ipv4_address_and_an_ipv6_network_count_as_one(remote: str, group: str) -> None:
    assert address_group(remote) == group


@pytest.mark.parametrize(("lane", "most"), [(Lane.CONTACT, 30), (Lane.PREVIOUS, 3), (Lane.INVITE, 5), (Lane.WORK, 3)])
def test_a_lane_is_full_with_its_last_envelope(lane: Lane, most: int) -> None:
    usage = Usage()
    assert _count(lambda: usage.takes(lane, 1, POLICY), lambda: usage.add(lane, 1)) == most


def test_requests_by_invite_and_by_work_share_a_lane() -> None:
    for lane in (Lane.INVITE, Lane.WORK):
        usage = Usage()
        for _ in range(3):
            usage.add(Lane.INVITE, 1)
        assert _count(lambda: usage.takes(lane, 1, POLICY), lambda: usage.add(lane, 1)) == 2


@pytest.mark.parametrize(("lane", "size_bytes"), [(Lane.CONTACT, 1_000), (Lane.PREVIOUS, 100)])
def test_a_lane_is_full_with_its_last_byte(lane: Lane, size_bytes: int) -> None:
    assert Usage().takes(lane, size_bytes, POLICY)
    assert not Usage().takes(lane, size_bytes + 1, POLICY)


def _count(takes: Callable[[], bool], add: Callable[[], None]) -> int:
    taken = 0
    while takes():
        add()
        taken += 1
        assert taken <= POLICY.mailbox_envelopes
    return taken
