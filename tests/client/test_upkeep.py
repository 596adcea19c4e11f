"""docs/protocol/session.md, "Prekeys": when a home is given new ones; docs/protocol/identity.md: and when a new list."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from mepassa.client.courier import DepositCourier
from mepassa.client.outbox import Outbox
from mepassa.client.upkeep import Upkeep
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.errors import DeviceListForkError, DeviceListStaleError, HomeUnreachableError, MepassaError
from mepassa.model.ids import EnvelopeId, Timestamp
from mepassa.model.prekeys import PrekeyUpload
from mepassa.ports.mailbox import HomeAddress, RecipientHome, TokenRecord
from mepassa.protocol import own_devices
from mepassa.protocol.account import DAY_MS
from mepassa.testing import ManualClock, SeededRng
from tests.protocol.device_lists import alarms
from tests.protocol.phones import Phone


class Home:
    """Our own home: takes what it is told."""

    def __init__(self) -> None:
        self.uploads: list[PrekeyUpload] = []
        self.lists: list[SignedDeviceList] = []
        self.refuses: MepassaError | None = None

    def recipient(self, home: HomeAddress) -> RecipientHome:
        raise AssertionError("nobody writes here")

    async def acknowledge(self, ids: tuple[EnvelopeId, ...]) -> None: ...

    async def put_tokens(self, add: tuple[TokenRecord, ...], remove: tuple[bytes, ...] = ()) -> None: ...

    async def put_device_list(self, signed: SignedDeviceList) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.lists.append(signed)

    async def put_prekeys(self, upload: PrekeyUpload) -> None:
        self.uploads.append(upload)


@pytest.fixture
def ana(tmp_path: Path) -> Iterator[Phone]:
    phone = Phone("ana", tmp_path / "ana.db", ManualClock())
    yield phone
    phone.db.close()


def told(ana: Phone, home: Home, *, left: tuple[int, int], days: float = 0.0) -> list[tuple[int, int, int]]:
    """What one round of upkeep uploads when the home has so many left: signed id, one-time EC and Kyber keys."""
    ana.clock.advance(days=days)
    home.uploads.clear()
    outbox = Outbox(ana.db, home, DepositCourier(home), clock=ana.clock, rng=SeededRng(1))
    upkeep = Upkeep(ana.db, outbox, clock=ana.clock, rng=ana.rng)
    upkeep.home_ready(home)
    upkeep.prekeys_low(*left)
    asyncio.run(upkeep.once())
    return [(one.signed_prekey.id, len(one.one_time_prekeys), len(one.kyber_prekeys)) for one in home.uploads]


def test_a_home_is_given_a_hundred_more_of_a_kind_below_twenty_five(ana: Phone) -> None:
    home = Home()
    assert told(ana, home, left=(0, 0)) == [(1, 100, 100)]
    assert told(ana, home, left=(25, 25)) == []
    assert told(ana, home, left=(24, 25)) == [(1, 100, 0)]
    assert told(ana, home, left=(25, 24)) == [(1, 0, 100)]
    assert told(ana, home, left=(24, 0)) == [(1, 100, 100)]


def test_what_has_outlived_its_use_goes_at_the_start_and_then_once_a_day(ana: Phone) -> None:
    outbox = Outbox(ana.db, Home(), DepositCourier(Home()), clock=ana.clock, rng=SeededRng(1))
    upkeep = Upkeep(ana.db, outbox, clock=ana.clock, rng=ana.rng)
    envelopes = [EnvelopeId(bytes([number]) * 16) for number in range(3)]

    def round_later(hours: float, came: EnvelopeId) -> list[bool]:
        """Another envelope of ten weeks ago; which are known after one more round."""
        ana.clock.advance(hours * 3600)
        ana.db.run_now(lambda tx: tx.put_seen(came, Timestamp(ana.now - 70 * DAY_MS)))
        asyncio.run(upkeep.once())
        return [ana.db.run_now(lambda tx, known=known: tx.seen(known)) for known in envelopes]  # type: ignore[misc]  # mypy reads no default of a lambda

    assert round_later(0, envelopes[0]) == [False, False, False]
    assert round_later(23, envelopes[1]) == [False, True, False]
    assert round_later(1, envelopes[2]) == [False, False, False]


def test_a_home_is_told_of_the_weekly_keys_by_the_next_round(ana: Phone) -> None:
    home = Home()
    told(ana, home, left=(100, 100))
    assert told(ana, home, left=(100, 100), days=7) == [(2, 0, 0)]
    assert told(ana, home, left=(100, 100), days=6.9) == []


def test_a_list_that_was_signed_here_is_told_until_the_home_has_it(ana: Phone) -> None:
    home = Home()
    told(ana, home, left=(100, 100))
    assert home.lists == []
    device = own_devices.new_device(ana.rng)
    ana.db.run_now(
        lambda tx: own_devices.add_device(tx, ana.root, device.key.public, device.registration_id, ana.now, ana.rng)
    )
    home.refuses = HomeUnreachableError()
    with pytest.raises(HomeUnreachableError):
        told(ana, home, left=(100, 100))
    home.refuses = None
    told(ana, home, left=(100, 100))
    signed = ana.db.run_now(lambda tx: tx.own()).device_list
    assert home.lists == [signed]
    told(ana, home, left=(100, 100))
    assert home.lists == [signed], "once"


@pytest.mark.parametrize("refusal, alarm", [(DeviceListStaleError(), []), (DeviceListForkError(), ["own_list_forked"])])
def test_a_list_that_the_home_has_a_better_one_for_is_told_no_more(
    ana: Phone, refusal: MepassaError, alarm: list[str]
) -> None:
    home = Home()
    told(ana, home, left=(100, 100))
    device = own_devices.new_device(ana.rng)
    ana.db.run_now(
        lambda tx: own_devices.add_device(tx, ana.root, device.key.public, device.registration_id, ana.now, ana.rng)
    )
    home.refuses = refusal
    told(ana, home, left=(100, 100))
    assert alarms(ana) == alarm
    home.refuses = None
    told(ana, home, left=(100, 100))
    assert home.lists == []
