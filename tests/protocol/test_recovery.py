"""docs/protocol/identity.md, "Recovery": from 24 words and the list that a home has, the same account on a new device."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from mepassa.identity import (
    RootKey,
    decode_device_list,
    decode_recovery_phrase,
    encode_recovery_phrase,
    sign_device_list,
    supersedes,
    verify_device_list,
)
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.errors import ConflictError, InvalidInputError, NotInitialisedError, SignatureError
from mepassa.ports.mailbox import FetchedAccount
from mepassa.ports.stores import OwnAccount
from mepassa.protocol import delivery, own_devices
from mepassa.protocol.account import LAST_DEVICE, local_identity, recover_account, sender_certificate
from mepassa.protocol.sealing import SenderVerdict, open_sealed, seal, validate_sender
from mepassa.protocol.session import MessageType
from mepassa.protocol.session_rows import load_session
from mepassa.protocol.tokens import token_changes
from mepassa.storage import InlineDb
from mepassa.testing import SeededRng
from tests.protocol.phones import ELSEWHERE, HOME, KEY, Phone, befriend
from tests.protocol.street import current_list, learn, link


@dataclass
class Attempts:
    """Fresh folders of one person, made when needed and closed at the end."""

    folder: Path
    opened: list[InlineDb] = field(default_factory=list)

    def recover(self, root: RootKey, known: SignedDeviceList, phone: Phone, name: str = "Ana") -> OwnAccount:
        self.opened.append(InlineDb(self.folder / f"{len(self.opened)}.db", KEY, create=True, synchronous="OFF"))
        rng = SeededRng(f"recovery {len(self.opened)}")
        return self.opened[-1].run_now(
            lambda tx: recover_account(tx, root=root, home=HOME, name=name, known=known, now_ms=phone.now, rng=rng)
        )


@pytest.fixture
def attempts(tmp_path: Path) -> Iterator[Attempts]:
    made = Attempts(tmp_path)
    yield made
    for db in made.opened:
        db.close()


def words_of(phone: Phone) -> RootKey:
    return decode_recovery_phrase(encode_recovery_phrase(phone.root))


def test_a_list_of_another_home_is_not_signed_over_to_this_one(ana: Phone, attempts: Attempts) -> None:
    moved = msgspec.structs.replace(decode_device_list(ana.own.device_list.body), home_key=ELSEWHERE.key)
    with pytest.raises(ConflictError):
        attempts.recover(ana.root, sign_device_list(ana.root, moved), ana)


def test_the_words_alone_give_the_same_account_with_everything_else_new(ana: Phone, attempts: Attempts) -> None:
    old = ana.own
    new = attempts.recover(words_of(ana), old.device_list, ana)
    assert (new.address.account, new.root_key) == (old.address.account, old.root_key)
    assert new.address.device == old.address.device + 1
    for name in ("identity_key", "device_seed", "device_certificate", "profile_key", "presence_seed", "device_list"):
        assert getattr(new, name) != getattr(old, name), name
    before, after = decode_device_list(old.device_list.body), verify_device_list(old.root_key, new.device_list)
    assert after.version == new.list_version > before.version
    assert after.previous_hash == old.device_list.hash
    assert [(entry.device, entry.identity_key) for entry in after.devices] == [(2, new.identity_key)]
    assert supersedes(old.device_list, new.device_list)


def test_what_the_new_device_signs_is_accepted_and_what_the_old_one_signs_is_not(
    ana: Phone, attempts: Attempts
) -> None:
    new = attempts.recover(words_of(ana), ana.own.device_list, ana)
    listed = decode_device_list(new.device_list.body)
    for db, own, verdict in (
        (attempts.opened[0], new, SenderVerdict.VALID),
        (ana.db, ana.own, SenderVerdict.UNLISTED_DEVICE),
    ):
        certificate = db.run_now(lambda tx: sender_certificate(tx, own, ana.now))
        me = local_identity(own)
        sealed = seal(me, certificate, ana.own.identity_key, MessageType.SIGNAL, b"text", rng=SeededRng(1))
        unsealed = open_sealed(local_identity(ana.own), sealed)
        assert validate_sender(unsealed, new.root_key, listed, ana.now) is verdict


def test_all_tokens_are_other_ones(ana: Phone, attempts: Attempts) -> None:
    attempts.recover(words_of(ana), ana.own.device_list, ana)
    told, fresh = (db.run_now(lambda tx: token_changes(tx, ana.now)).add for db in (ana.db, attempts.opened[0]))
    assert {record.rights for record in fresh} == {"delivery", "signal"}
    assert not {record.sha256 for record in told} & {record.sha256 for record in fresh}


def test_a_clock_that_went_back_does_not_make_the_list_older(ana: Phone, attempts: Attempts) -> None:
    body = decode_device_list(ana.own.device_list.body)
    ahead = sign_device_list(ana.root, msgspec.structs.replace(body, version=body.version + 10**12))
    assert attempts.recover(ana.root, ahead, ana).list_version == body.version + 10**12 + 1


def test_a_second_recovery_is_above_the_first(ana: Phone, attempts: Attempts) -> None:
    first = attempts.recover(ana.root, ana.own.device_list, ana)
    second = attempts.recover(ana.root, first.device_list, ana)
    assert second.address.device == 3
    assert supersedes(first.device_list, second.device_list)


def test_a_removed_number_that_comes_again_is_another_device_to_a_contact_who_knew_the_first(
    ana: Phone, beto: Phone, attempts: Attempts
) -> None:
    """Decision 0165."""
    befriend(ana, beto)
    second = link(ana, "ana2")
    learn(beto, ana.account, current_list(ana))
    beto.write(ana, "aos dois")
    fetched = FetchedAccount(current_list(ana), ana.fetched().bundles + second.fetched().bundles)
    beto.db.run_now(lambda tx: delivery.start_sessions(tx, ana.account, fetched, beto.now, beto.rng))
    assert beto.db.run_now(lambda tx: load_session(tx, second.address)).has_current
    ana.clock.advance(10)
    ana.db.run_now(lambda tx: own_devices.remove_device(tx, ana.root, second.address.device, ana.now, ana.rng))
    new = attempts.recover(words_of(ana), current_list(ana), ana)
    assert new.address == second.address
    assert new.identity_key != second.own.identity_key
    learn(beto, ana.account, new.device_list)
    assert not beto.db.run_now(lambda tx: load_session(tx, new.address)).has_current


def test_a_list_of_somebody_else_recovers_nothing(ana: Phone, beto: Phone, attempts: Attempts) -> None:
    with pytest.raises(SignatureError):
        attempts.recover(ana.root, beto.own.device_list, ana)
    with pytest.raises(NotInitialisedError):
        attempts.opened[0].run_now(lambda tx: tx.own())


def test_a_folder_with_an_account_and_an_improper_name_are_refused(ana: Phone, attempts: Attempts) -> None:
    with pytest.raises(ConflictError):
        ana.db.run_now(
            lambda tx: recover_account(
                tx, root=ana.root, home=HOME, name="Ana", known=ana.own.device_list, now_ms=ana.now, rng=ana.rng
            )
        )
    with pytest.raises(InvalidInputError):
        attempts.recover(ana.root, ana.own.device_list, ana, name="")


def test_numbers_end_where_signals_do(ana: Phone, attempts: Attempts) -> None:
    body = decode_device_list(ana.own.device_list.body)
    for number in (LAST_DEVICE - 1, LAST_DEVICE):
        entry = msgspec.structs.replace(body.devices[0], device=number)
        known = sign_device_list(ana.root, msgspec.structs.replace(body, devices=(entry,)))
        if number < LAST_DEVICE:
            assert attempts.recover(ana.root, known, ana).address.device == LAST_DEVICE
        else:
            with pytest.raises(ConflictError):
                attempts.recover(ana.root, known, ana)
