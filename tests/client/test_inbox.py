"""docs/protocol/identity.md, "Device list": the inbox holds an unlisted device's envelopes until its list has come."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from mepassa.client.device_lists import FETCH_EVERY_S
from mepassa.client.inbox import ANSWERS_WAITED_FOR, MAX_HELD, Arrival, Inbox
from mepassa.identity import decode_device_list
from mepassa.model.errors import UnlistedDeviceError
from mepassa.model.ids import Address
from mepassa.testing import START_MS
from tests.client.directory import Directory, play
from tests.protocol.device_lists import alarms, become_second_device, next_list
from tests.protocol.phones import STORED, Phone
from tests.protocol.test_healing import lose_sessions


def test_an_unlisted_device_is_opened_once_its_list_has_come(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    directory = Directory()
    signed = become_second_device(beto)
    beto.write(ana, "do aparelho novo")
    (envelope,) = beto.post(ana)

    async def story(inbox: Inbox) -> None:
        with pytest.raises(UnlistedDeviceError):
            await inbox.receive(envelope, Arrival(STORED))
        await asyncio.sleep(10)
        assert (len(directory.fetches), directory.acknowledged) == (1, []), "away: not opened, not acknowledged"
        directory.lists[beto.account] = signed
        await asyncio.sleep(FETCH_EVERY_S)
        assert directory.acknowledged == [envelope.id]
        await inbox.receive(envelope, Arrival(STORED))  # from the next log-in: known, and acknowledged like any other

    play(ana, directory, story)
    assert alarms(ana) == ["new_device"]


def test_what_a_device_that_nobody_lists_sends_is_held_a_hundred_at_most_and_all_dropped(
    pair: tuple[Phone, Phone],
) -> None:
    """What lies unacknowledged at our home is bounded, so a contact's unlisted device does not fill the mailbox."""
    ana, beto = pair
    directory = Directory()
    become_second_device(beto)
    for number in range(MAX_HELD + 20):
        beto.write(ana, f"{number}")
    envelopes = beto.post(ana)
    listed = ana.contact(beto).device_list
    assert listed is not None

    async def story(inbox: Inbox) -> None:
        for envelope in envelopes[:MAX_HELD]:
            with pytest.raises(UnlistedDeviceError):
                await inbox.receive(envelope, Arrival(STORED))
        with pytest.raises(UnlistedDeviceError):
            await inbox.receive(envelopes[0], Arrival(STORED))  # again after a log-in: it has its place already
        for envelope in envelopes[MAX_HELD:]:
            await inbox.receive(envelope, Arrival(STORED))  # returns: to be acknowledged
        assert directory.acknowledged == []
        directory.lists[beto.account] = listed
        await asyncio.sleep(FETCH_EVERY_S * 10)
        assert directory.acknowledged == [envelope.id for envelope in envelopes[:MAX_HELD]]

    play(ana, directory, story)
    assert ana.texts(beto) == []
    assert alarms(ana) == ["unlisted_device"], "a flood of the same is one alarm"


def test_an_older_list_than_ours_does_not_decide_about_an_unlisted_device(pair: tuple[Phone, Phone]) -> None:
    """PROTOCOL, "Envelope": until a list at least as new has answered, neither opened nor acknowledged."""
    ana, beto = pair
    directory = Directory()
    older = ana.contact(beto).device_list
    assert older is not None
    newer = next_list(beto)
    ana.learn(beto, newer)
    directory.lists[beto.account] = older
    become_second_device(beto)
    beto.write(ana, "de um aparelho sem lista")
    (envelope,) = beto.post(ana)

    async def story(inbox: Inbox) -> None:
        with pytest.raises(UnlistedDeviceError):
            await inbox.receive(envelope, Arrival(STORED))
        await asyncio.sleep(FETCH_EVERY_S * 3)
        assert directory.acknowledged == []
        directory.lists[beto.account] = newer
        await asyncio.sleep(FETCH_EVERY_S * 60)
        assert directory.acknowledged == [envelope.id]

    play(ana, directory, story)
    assert alarms(ana)[-1] == "unlisted_device"


@pytest.mark.parametrize("silent_for", [1, ANSWERS_WAITED_FOR - 1, ANSWERS_WAITED_FOR])
def test_a_home_that_shows_the_old_list_for_a_while_does_not_cost_a_new_device_its_first_messages(
    pair: tuple[Phone, Phone], silent_for: int
) -> None:
    ana, beto = pair
    directory = Directory()
    old = ana.contact(beto).device_list
    assert old is not None
    directory.lists[beto.account] = old
    signed = become_second_device(beto)
    beto.write(ana, "do aparelho novo")
    (envelope,) = beto.post(ana)

    async def story(inbox: Inbox) -> None:
        with pytest.raises(UnlistedDeviceError):
            await inbox.receive(envelope, Arrival(STORED))
        while len(directory.fetches) < silent_for:
            await asyncio.sleep(1)
        await asyncio.sleep(1)
        lost = silent_for == ANSWERS_WAITED_FOR
        assert directory.acknowledged == ([envelope.id] if lost else [])
        directory.lists[beto.account] = signed
        await asyncio.sleep(FETCH_EVERY_S * 10)
        assert directory.acknowledged == [envelope.id]
        assert alarms(ana) == (["unlisted_device"] if lost else ["new_device"])

    play(ana, directory, story)
    pauses = [later[1] - earlier[1] for earlier, later in pairwise(directory.fetches[:ANSWERS_WAITED_FOR])]
    assert pauses == [FETCH_EVERY_S, 2 * FETCH_EVERY_S][: len(pauses)]


def test_a_list_that_is_newer_but_not_the_newest_is_used_at_once(pair: tuple[Phone, Phone]) -> None:
    """What it names is opened, and whoever tells homes and links of contacts looks, though more of it is asked for."""
    ana, beto = pair
    directory = Directory()
    signed = become_second_device(beto)
    beto.write(ana, "do aparelho novo")
    (envelope,) = beto.post(ana)
    wanted = replace(ana.contact(beto), list_wanted=decode_device_list(signed.body).version + 1)
    ana.db.run_now(lambda tx: tx.put_contact(wanted))
    directory.lists[beto.account] = signed
    looked: list[int] = []

    async def story(inbox: Inbox) -> None:
        with pytest.raises(UnlistedDeviceError):
            await inbox.receive(envelope, Arrival(STORED))
        looked.clear()
        await asyncio.sleep(1)
        assert directory.acknowledged == [envelope.id]
        assert looked, "on_contacts"

    play(ana, directory, story, on_contacts=lambda: looked.append(1))
    assert alarms(ana) == ["new_device"]


def test_whoever_waits_for_a_list_is_told_when_it_has_come(pair: tuple[Phone, Phone]) -> None:
    """Nothing of theirs waits here; what is to be sent to the new device does, and whoever shows the contact looks."""
    ana, beto = pair
    directory = Directory()
    newer = next_list(beto)
    beto.adopt(newer)
    beto.write(ana, "tenho outra lista")
    (envelope,) = beto.post(ana)
    directory.lists[beto.account] = newer
    told: list[str] = []

    async def story(inbox: Inbox) -> None:
        assert await inbox.receive(envelope, Arrival(STORED))
        await asyncio.sleep(1)
        assert sorted(told) == ["contacts", "wake", "wake"], "one more wake for the envelope itself"

    play(
        ana,
        directory,
        story,
        on_contacts=lambda: told.append("contacts"),
        on_wake=lambda _account: told.append("wake"),
    )


def test_what_was_held_tells_as_much_as_what_was_opened_at_once(pair: tuple[Phone, Phone]) -> None:
    ana, beto = pair
    directory = Directory()
    directory.lists[beto.account] = become_second_device(beto)
    lose_sessions(beto)  # they were device 1's
    beto.clock.jump_wall(START_MS - beto.now)  # the moment at which the story begins
    beto.write(ana, "do aparelho novo")
    (envelope,) = beto.post(ana)
    alive: list[Address] = []

    async def story(inbox: Inbox) -> None:
        with pytest.raises(UnlistedDeviceError):
            await inbox.receive(envelope, Arrival(STORED))
        assert alive == []
        await asyncio.sleep(1)
        assert ana.texts(beto) == ["do aparelho novo"]
        assert alive == [beto.address]

    play(ana, directory, story, on_alive=alive.append)
