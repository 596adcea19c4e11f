"""docs/protocol/identity.md, "Device list": the inbox holds an unlisted device's envelopes until its list has come."""

import asyncio

import pytest

from mepassa.client.device_lists import FETCH_EVERY_S
from mepassa.client.inbox import MAX_HELD, Arrival, Inbox
from mepassa.model.errors import UnlistedDeviceError
from tests.client.directory import Directory, play
from tests.protocol.device_lists import alarms, become_second_device, next_list
from tests.protocol.phones import STORED, Phone


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
        await asyncio.sleep(FETCH_EVERY_S * 3)
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
        await asyncio.sleep(FETCH_EVERY_S * 10)
        assert directory.acknowledged == [envelope.id]

    play(ana, directory, story)
    assert alarms(ana)[-1] == "unlisted_device"
