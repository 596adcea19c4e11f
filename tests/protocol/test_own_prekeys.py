"""docs/protocol/contacts.md, "Prekeys": told once, refilled in time, rotated, all anew after a roll-back."""

import pytest

from mepassa.identity import RootKey
from mepassa.model.errors import ConflictError, InvalidInputError
from mepassa.model.prekeys import LAST_RESORT_ID_BASE, PrekeyUpload
from mepassa.model.secret import SecretBytes
from mepassa.ports.stores import PrekeyKind
from mepassa.protocol.account import create_account, roll_forward
from mepassa.protocol.own_prekeys import pending_upload, refill, rotate, stock_up, uploaded
from tests.protocol.phones import HOME, Phone


def upload(phone: Phone) -> PrekeyUpload | None:
    pending = phone.db.run_now(pending_upload)
    if pending is not None:
        phone.db.run_now(lambda tx: uploaded(tx, pending))
    return pending


def ids(phone: Phone, kind: PrekeyKind) -> list[int]:
    return [row.id for row in phone.db.run_now(lambda tx: tx.prekeys(kind))]


def test_a_new_device_tells_a_hundred_of_each_once(ana: Phone) -> None:
    first = upload(ana)
    assert first is not None
    assert [key.id for key in first.one_time_prekeys] == list(range(1, 101))
    assert [key.id for key in first.kyber_prekeys] == list(range(1, 101))
    assert first.last_resort_prekey.id == LAST_RESORT_ID_BASE
    assert not first.replace
    assert upload(ana) is None


def test_a_home_that_runs_low_gets_a_hundred_more(ana: Phone) -> None:
    upload(ana)
    for _ in range(2):  # asked twice before the upload: still a hundred
        ana.db.run_now(lambda tx: refill(tx, PrekeyKind.ONE_TIME, ana.now, ana.rng))
    more = upload(ana)
    assert more is not None
    assert [key.id for key in more.one_time_prekeys] == list(range(101, 201))
    assert more.kyber_prekeys == ()


def test_a_handful_of_refills_does_not_pile_up_for_ever(ana: Phone) -> None:
    for _ in range(8):
        upload(ana)
        ana.db.run_now(lambda tx: refill(tx, PrekeyKind.ONE_TIME, ana.now, ana.rng))
    assert len(ids(ana, PrekeyKind.ONE_TIME)) <= 500


def rotated(phone: Phone) -> list[int]:
    phone.db.run_now(lambda tx: rotate(tx, phone.now, phone.rng))
    return ids(phone, PrekeyKind.SIGNED)


def test_signed_and_last_resort_keys_rotate_weekly_and_stay_a_month(ana: Phone) -> None:
    upload(ana)
    for kind in (PrekeyKind.SIGNED, PrekeyKind.KYBER_LAST_RESORT):
        assert len(ids(ana, kind)) == 1
    for number in range(10):
        ana.clock.advance(days=7)
        rotated(ana)
        told = upload(ana)
        assert told is not None
        assert (told.signed_prekey.id, told.last_resort_prekey.id) == (2 + number, LAST_RESORT_ID_BASE + 1 + number)
    # Number 6 was replaced by 7, 28 days ago; number 5 by 6, 35 days ago.
    assert ids(ana, PrekeyKind.SIGNED) == [6, 7, 8, 9, 10, 11]
    assert ids(ana, PrekeyKind.KYBER_LAST_RESORT) == [LAST_RESORT_ID_BASE + number for number in range(5, 11)]


def test_a_key_rotates_at_seven_days_and_not_before(ana: Phone) -> None:
    ana.clock.advance(7 * 86_400 - 0.001)
    assert rotated(ana) == [1]
    ana.clock.advance(0.001)
    assert rotated(ana) == [1, 2]
    assert rotated(ana) == [1, 2]


def test_a_key_made_while_the_clock_was_wrong_is_replaced_once_it_is_right(ana: Phone) -> None:
    ana.clock.jump_wall(-365 * 86_400_000)
    assert rotated(ana) == [1, 2]
    assert rotated(ana) == [1, 2]


def test_the_home_of_a_month_that_was_not_told_keeps_its_key(ana: Phone) -> None:
    upload(ana)
    for _ in range(10):
        ana.clock.advance(days=7)
        rotated(ana)
    assert ids(ana, PrekeyKind.SIGNED)[0] == 1, "the home was away: it still hands out the first"
    told = upload(ana)
    assert told is not None
    assert told.signed_prekey.id == 11
    ana.clock.advance(30 * 86_400 - 0.001)
    assert 1 in rotated(ana)
    ana.clock.advance(0.001)
    assert 1 not in rotated(ana)


def test_after_a_roll_back_everything_is_new_and_the_home_drops_the_old(ana: Phone) -> None:
    upload(ana)
    ana.db.run_now(lambda tx: roll_forward(tx, 5))
    ana.db.run_now(lambda tx: stock_up(tx, ana.now, ana.rng))
    told = upload(ana)
    assert told is not None
    assert told.replace
    assert min(key.id for key in told.one_time_prekeys) == 101, "no number is given twice"
    assert upload(ana) is None


def test_a_folder_has_one_account(ana: Phone) -> None:
    root = RootKey(SecretBytes(b"r" * 32))
    with pytest.raises(ConflictError):
        ana.db.run_now(lambda tx: create_account(tx, root=root, home=HOME, name="Eva", now_ms=ana.now, rng=ana.rng))


@pytest.mark.parametrize("name", ["", " Ana", "A" * 65, "a\nb", "a\u202eb"])
def test_a_name_is_a_line_that_one_can_read(ana: Phone, name: str) -> None:
    root = RootKey(SecretBytes(b"r" * 32))
    with pytest.raises(InvalidInputError):
        ana.db.run_now(lambda tx: create_account(tx, root=root, home=HOME, name=name, now_ms=ana.now, rng=ana.rng))
