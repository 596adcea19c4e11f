"""docs/protocol/identity.md, "Device list": when a list is fetched, how often, and what is told when it is held back."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from mepassa.client.device_lists import (
    FETCH_EVERY_S,
    FETCHES_AT_ONCE,
    LONGEST_PAUSE_S,
    LOOKED_AT_EVERY_S,
    LOOKED_AT_FIRST_S,
)
from mepassa.client.inbox import Arrival, Inbox
from mepassa.client.link_identity import DbLinkIdentity
from mepassa.client.paths.signals import SignalBudget, SignalPost
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.errors import HomeUnreachableError, MepassaError, TokenRefusedError
from mepassa.model.ids import AccountId, Address
from mepassa.ports.mailbox import FetchedAccount
from mepassa.protocol.account import local_identity, sender_certificate
from mepassa.protocol.sealing import SignalPayload, seal_plaintext
from mepassa.testing import SeededRng
from tests.client.directory import Directory, play
from tests.protocol.device_lists import alarms, become_second_device, next_list
from tests.protocol.phones import STORED, Phone, befriend

MakePhone = Callable[[str], Phone]
HOUR_S = 3600.0


def list_of(reader: Phone, other: Phone) -> SignedDeviceList:
    known = reader.contact(other).device_list
    assert known is not None
    return known


def names_a_newer_list(phone: Phone) -> SignedDeviceList:
    """The phone's own list is a newer one from now on, and its messages say so."""
    signed = next_list(phone)
    phone.adopt(signed)
    return signed


class TokensEnded(Directory):
    """A home whose account was recovered, or has blocked us: our token is good no more, and whoever works is shown the list.

    `worked`: when that was."""

    def __init__(self) -> None:
        super().__init__()
        self.worked: list[float] = []

    async def fetch_account(
        self, account: AccountId, token: bytes | None, *, prekeys: bool = True, devices: tuple[int, ...] = ()
    ) -> FetchedAccount:
        if token is not None:
            self.fetches.append((account, asyncio.get_running_loop().time()))
            raise TokenRefusedError
        self.worked.append(asyncio.get_running_loop().time())
        return await super().fetch_account(account, token, prekeys=prekeys)


def test_a_home_that_freezes_the_list_is_asked_ever_less_often_and_told_once(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    directory = Directory()
    directory.lists[beto.account] = list_of(ana, beto)
    newer = names_a_newer_list(beto)

    async def story(inbox: Inbox) -> None:
        for hour in range(24):
            for _ in range(10):
                beto.write(ana, "tenho outra lista")
                for envelope in beto.post(ana):
                    await inbox.receive(envelope, Arrival(STORED))
                await asyncio.sleep(HOUR_S / 10)
            if hour == 0:
                assert alarms(ana) == ["list_withheld"]
        directory.lists[beto.account] = newer
        await asyncio.sleep(LONGEST_PAUSE_S)

    play(ana, directory, story)
    moments = [when for _, when in directory.fetches]
    pauses = [round(later - earlier) for earlier, later in pairwise(moments)]
    assert pauses[:7] == [60, 120, 240, 480, 960, 1920, 3600]
    assert set(pauses[6:]) == {LONGEST_PAUSE_S}
    assert alarms(ana) == ["list_withheld"]
    assert ana.contact(beto).device_list == newer


@pytest.mark.parametrize(
    ("answer", "told", "asked"),
    [(TokenRefusedError(), ["list_withheld"], 4), (HomeUnreachableError(), [], 9)],
    ids=["refuses", "away"],
)
def test_a_home_that_refuses_withholds_and_one_that_is_away_does_not(
    pair: tuple[Phone, Phone], answer: MepassaError, told: list[str], asked: int
) -> None:
    ana, beto = pair
    directory = Directory()
    directory.lists[beto.account] = answer
    newer = names_a_newer_list(beto)
    beto.write(ana, "tenho outra lista")
    (envelope,) = beto.post(ana)

    async def story(inbox: Inbox) -> None:
        await inbox.receive(envelope, Arrival(STORED))
        await asyncio.sleep(HOUR_S * 2.5)
        assert alarms(ana) == told
        directory.lists[beto.account] = newer
        await asyncio.sleep(HOUR_S)

    play(ana, directory, story)
    assert ana.contact(beto).device_list == newer
    until_it_came = {when for _, when in directory.fetches if when <= directory.came_at}
    assert len(until_it_came) == asked, (
        "where the token is refused, as anybody in the same moment; that is work, so once an hour"
    )


def test_messages_that_name_newer_lists_cannot_make_us_work(pair: tuple[Phone, Phone]) -> None:
    """Our token is refused, so that the list is asked for by work, and each message names a newer one."""
    ana, beto = pair
    directory = TokensEnded()

    async def story(inbox: Inbox) -> None:
        for _ in range(60 * 6):
            beto.clock.advance(60)
            directory.lists[beto.account] = names_a_newer_list(beto)
            beto.write(ana, "tenho outra lista")
            for envelope in beto.post(ana):
                await inbox.receive(envelope, Arrival(STORED))
            await asyncio.sleep(60)

    play(ana, directory, story)
    assert len(directory.worked) <= 8, "once an hour, and the look of the day"


def test_whoever_has_blocked_us_is_not_said_to_be_held_back(pair: tuple[Phone, Phone]) -> None:
    """The token is refused, but the list is there for anybody: the home withholds nothing."""
    ana, beto = pair
    directory = TokensEnded()
    newer = names_a_newer_list(beto)
    beto.write(ana, "adeus")
    (envelope,) = beto.post(ana)
    directory.lists[beto.account] = newer

    async def story(inbox: Inbox) -> None:
        await inbox.receive(envelope, Arrival(STORED))
        await asyncio.sleep(HOUR_S * 12)

    play(ana, directory, story)
    assert ana.contact(beto).device_list == newer
    assert alarms(ana) == []


def test_where_our_token_is_good_no_more_the_list_is_asked_for_as_anybody_does(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    directory = TokensEnded()
    directory.lists[beto.account] = newer = next_list(beto)

    async def story(inbox: Inbox) -> None:
        for _ in range(5):
            inbox.lists.token_refused(beto.account)
            await asyncio.sleep(HOUR_S / 10)
        assert ana.contact(beto).device_list == newer

    play(ana, directory, story)
    moments = sorted({when for _, when in directory.fetches})
    assert len(moments) <= 2, "once an hour for that, and the look within an hour of the start"


def test_a_contact_is_looked_at_once_a_day_without_any_reason(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    directory = Directory()
    directory.lists[beto.account] = list_of(ana, beto)

    async def story(inbox: Inbox) -> None:
        await asyncio.sleep(LOOKED_AT_FIRST_S)
        assert len(directory.fetches) == 1
        await asyncio.sleep(4 * LOOKED_AT_EVERY_S)
        assert 4 <= len(directory.fetches) - 1 <= 8
        directory.lists[beto.account] = HomeUnreachableError()
        before = len(directory.fetches)
        await asyncio.sleep(4 * LOOKED_AT_EVERY_S)
        assert 4 <= len(directory.fetches) - before <= 8, "nobody waits for it: it is not asked for more often"
        directory.lists[beto.account] = next_list(beto)
        await asyncio.sleep(LOOKED_AT_EVERY_S)

    play(ana, directory, story)
    assert ana.contact(beto).device_list == next_list(beto)
    assert alarms(ana) == []


def test_the_daily_look_does_not_keep_a_named_list_waiting(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    directory = Directory()
    directory.lists[beto.account] = list_of(ana, beto)

    async def story(inbox: Inbox) -> None:
        await asyncio.sleep(LOOKED_AT_FIRST_S + FETCH_EVERY_S)
        directory.lists[beto.account] = newer = names_a_newer_list(beto)
        beto.write(ana, "tenho outra lista")
        for envelope in beto.post(ana):
            await inbox.receive(envelope, Arrival(STORED))
        await asyncio.sleep(1)
        assert ana.contact(beto).device_list == newer

    play(ana, directory, story)


def test_a_list_that_is_held_back_is_told_once_whatever_is_named_and_however_often_we_start(
    pair: tuple[Phone, Phone],
) -> None:
    ana, beto = pair
    directory = Directory()
    directory.lists[beto.account] = list_of(ana, beto)

    async def story(inbox: Inbox) -> None:
        beto.clock.advance(1)
        names_a_newer_list(beto)
        beto.write(ana, "tenho outra lista")
        for envelope in beto.post(ana):
            await inbox.receive(envelope, Arrival(STORED))
        await asyncio.sleep(HOUR_S)
        ana.write(beto, "enquanto isso")

    for _ in range(3):
        play(ana, directory, story)
    assert alarms(ana) == ["list_withheld"]


def test_another_list_that_a_device_names_is_asked_for_before_anything_is_said(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    directory = Directory()
    known = list_of(ana, beto)
    beto.adopt(next_list(beto, version=ana.contact(beto).list_version, home_url="https://fork.test"))
    beto.write(ana, "bifurcada")
    (envelope,) = beto.post(ana)

    async def story(inbox: Inbox) -> None:
        await inbox.receive(envelope, Arrival(STORED))
        await asyncio.sleep(FETCH_EVERY_S / 2)
        assert len(directory.fetches) == 1
        assert alarms(ana) == [], "their home is away, and has not been asked"
        directory.lists[beto.account] = known
        await asyncio.sleep(FETCH_EVERY_S)

    play(ana, directory, story)
    assert alarms(ana) == ["DeviceListForkError"]


def test_what_a_message_has_named_is_asked_for_again_after_a_start(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    directory = Directory()
    newer = names_a_newer_list(beto)
    beto.write(ana, "tenho outra lista")
    for envelope in beto.post(ana):
        ana.take(envelope)

    async def start(_inbox: Inbox) -> None:
        await asyncio.sleep(1)

    play(ana, directory, start)
    directory.lists[beto.account] = newer
    play(ana, directory, start)
    assert ana.contact(beto).device_list == newer
    play(ana, directory, start)
    assert len(directory.fetches) == 2


def test_one_slow_home_does_not_keep_the_others_lists_and_the_homes_asked_at_once_are_few(
    make_phone: MakePhone,
) -> None:
    ana = make_phone("ana")
    others = [make_phone(f"amigo-{number}") for number in range(FETCHES_AT_ONCE + 4)]
    directory = Directory()
    directory.slow_s = 20.0
    envelopes = []
    for other in others:
        befriend(ana, other)
        directory.lists[other.account] = names_a_newer_list(other)
        other.write(ana, "tenho outra lista")
        envelopes += other.post(ana)

    async def story(inbox: Inbox) -> None:
        for envelope in envelopes:
            await inbox.receive(envelope, Arrival(STORED))
        await asyncio.sleep(2 * directory.slow_s + 1)

    play(ana, directory, story)
    assert directory.most_at_once == FETCHES_AT_ONCE
    assert [list_of(ana, other) for other in others] == [directory.lists[other.account] for other in others]


def test_an_unlisted_devices_hello_is_followed_by_one_fetch_at_a_random_moment_of_a_minute(
    pair: tuple[Phone, Phone], make_phone: MakePhone
) -> None:
    ana, beto = pair
    stranger, hidden = make_phone("estranho"), make_phone("escondida")
    ana.add(hidden.invite(), hidden, direct=False)
    directory = Directory()
    directory.lists[beto.account] = list_of(ana, beto)
    moments = []

    async def story(inbox: Inbox) -> None:
        identity = DbLinkIdentity(ana.db, ana.own)
        identity.on_unlisted = inbox.lists.unlisted_hello
        await identity.refresh()
        for identity_of_transport in (identity.for_direct_links(), identity):
            for _ in range(50):
                for account in (stranger.account, hidden.account, beto.account):
                    identity_of_transport.unlisted_hello(Address(account, 9))
            begun = asyncio.get_running_loop().time()
            await asyncio.sleep(FETCH_EVERY_S + 1)
            moments.append(directory.fetches[-1][1] - begun)
            await asyncio.sleep(FETCH_EVERY_S)

    play(ana, directory, story)
    assert [account for account, _ in directory.fetches] == [beto.account] * 2
    assert all(0 < moment <= FETCH_EVERY_S for moment in moments)
    assert moments[0] != moments[1]


def test_a_contact_from_whom_we_hide_is_a_stranger_to_direct_links_only(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    heard: list[AccountId] = []

    async def story(_inbox: Inbox) -> None:
        identity = DbLinkIdentity(ana.db, ana.own)
        identity.on_unlisted = heard.append
        ana.hide_from(beto)
        await identity.refresh()
        identity.for_direct_links().unlisted_hello(Address(beto.account, 9))
        assert heard == []
        identity.unlisted_hello(Address(beto.account, 9))
        assert heard == [beto.account]

    play(ana, Directory(), story)


def test_a_signal_of_an_unlisted_device_is_not_taken_and_makes_the_list_be_fetched(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    directory = Directory()
    newer = become_second_device(beto)
    directory.lists[beto.account] = newer
    certificate = beto.db.run_now(lambda tx: sender_certificate(tx, beto.own, beto.now))
    sealed = seal_plaintext(
        local_identity(beto.own), certificate, ana.own.identity_key, SignalPayload(b"x"), rng=beto.rng
    )

    async def story(inbox: Inbox) -> None:
        post = SignalPost(ana.db, directory, ana.clock, SeededRng(2), SignalBudget(ana.clock))
        post.on_unlisted = inbox.lists.unlisted_sender
        assert await post.open(sealed) is None
        await asyncio.sleep(1)

    play(ana, directory, story)
    assert list_of(ana, beto) == newer
