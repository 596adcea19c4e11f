"""Checks that stand behind another check: each is asked alone, since the one before it hides what it does."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from mepassa.crypto import double_ratchet, sealed_sender, sender_keys
from mepassa.crypto.budget import WorkBudget
from mepassa.crypto.certificates import (
    SenderVerdict,
    decode_sender_certificate,
    issue_device_certificate,
    issue_sender_certificate,
    validate,
)
from mepassa.crypto.errors import InvalidKeyError, InvalidMessageError, TooManySkippedError, WorkBudgetError
from mepassa.crypto.kept_keys import NO_KEYS, KeptKeys
from mepassa.crypto.keys import EcKeyPair, agree, check_base_key
from mepassa.crypto.primitives import decrypt_cbc
from mepassa.crypto.protobuf import encode_bytes
from mepassa.identity import account_id
from mepassa.model.ids import Address, DistributionId
from mepassa.model.keys import RootPublicKey
from mepassa.testing.chance import SeededRng
from tests.crypto.people import Person

ANA = Person("ana")
PUBLIC = EcKeyPair.generate(SeededRng("a base key").token).public
ZERO = b"\x05" + bytes(32)


@pytest.mark.parametrize("raw", [b"\x06" + PUBLIC[1:], PUBLIC + b"\0", PUBLIC[:-1], ZERO])
def test_a_base_key_is_first_of_all_a_public_key(raw: bytes) -> None:
    assert check_base_key(PUBLIC) == PUBLIC
    with pytest.raises(InvalidKeyError):
        check_base_key(raw)


def test_an_identity_key_agrees_with_nothing_improper() -> None:
    with pytest.raises(InvalidKeyError):
        agree(ANA.own.key, ZERO)
    with pytest.raises(InvalidKeyError):
        EcKeyPair.generate(SeededRng("agrees").token).agree(ZERO)


@pytest.mark.parametrize("size", [0, 42, 44])
def test_a_sealed_static_key_has_one_length(size: int) -> None:
    """Before its MAC is looked at."""
    data = bytes([sealed_sender.VERSION_BYTE]) + encode_bytes(1, PUBLIC) + encode_bytes(2, bytes(size))
    with pytest.raises(InvalidMessageError):
        sealed_sender.open_sealed(ANA.own.key, data + encode_bytes(3, bytes(64)))


SPENDING = [WorkBudget.spend_double_ratchet, WorkBudget.spend_spqr, WorkBudget.spend_sender_key]


@pytest.mark.parametrize("spend", SPENDING)
def test_a_budget_gives_all_it_has_and_not_one_more(spend: Callable[[WorkBudget, int], None]) -> None:
    budget = WorkBudget(10)
    spend(budget, 7)
    with pytest.raises(WorkBudgetError):
        spend(budget, 4)
    assert budget.spent == 7
    spend(budget, 3)
    with pytest.raises(WorkBudgetError):
        spend(budget, 1)
    assert budget.spent == 10


KEY, IV = bytes(range(32)), bytes(16)


def encrypted(padded: bytes) -> bytes:
    encryptor = Cipher(AES(KEY), CBC(IV)).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


@pytest.mark.parametrize("padding", [1, 2, 15, 16])
def test_padding_of_one_to_sixteen_bytes_is_taken_off(padding: int) -> None:
    content = bytes(32 - padding)
    assert decrypt_cbc(KEY, IV, encrypted(content + bytes([padding]) * padding)) == content


@pytest.mark.parametrize(
    "padded",
    [bytes(16), bytes(32), bytes([17]) * 32, bytes([255]) * 32, bytes(14) + b"\x01\x02", bytes(13) + b"\x03\x02\x03"],
)
def test_any_other_padding_is_refused(padded: bytes) -> None:
    with pytest.raises(InvalidMessageError):
        decrypt_cbc(KEY, IV, encrypted(padded))


def test_a_jump_beyond_the_most_is_named_even_where_the_budget_would_allow_it() -> None:
    chain = double_ratchet.ReceivingChain(PUBLIC, bytes(32), 0, NO_KEYS)
    with pytest.raises(TooManySkippedError):
        double_ratchet._take_seed(chain, double_ratchet.MAX_JUMP + 1, WorkBudget(10**9))
    with pytest.raises(WorkBudgetError):
        double_ratchet._take_seed(chain, double_ratchet.MAX_JUMP, WorkBudget(double_ratchet.MAX_JUMP))


def test_the_newest_keys_are_exactly_so_many() -> None:
    kept = KeptKeys().followed_by([(number, bytes(32)) for number in range(3)])
    assert [kept.newest(count).numbers() for count in (2, 3, 4)] == [[1, 2], [0, 1, 2], [0, 1, 2]]


def test_a_sender_key_chain_ends_at_its_last_iteration() -> None:
    """Reading as well as writing: one more would not fit into the message's field."""
    last = sender_keys.LAST_ITERATION
    record = sender_keys.create(DistributionId(bytes(16)), SeededRng("a group").token)
    chain = sender_keys._advanced(record.chains[0], bytes(32), last, NO_KEYS)
    assert sender_keys._take_seed(chain, last, WorkBudget(1))[0].next_iteration == last + 1
    with pytest.raises(InvalidMessageError):
        sender_keys._take_seed(chain, last + 1, WorkBudget(1))


def test_a_root_key_without_a_form_for_certificates_proves_nobody() -> None:
    """The account may well be the hash of it: anybody can make one up."""
    root = RootPublicKey(b"\x01" + bytes(31))  # y = 1: the neutral point
    device_certificate = issue_device_certificate(ANA.root, 1, ANA.own.key.public)
    shown = issue_sender_certificate(ANA.own.key, Address(account_id(root), 1), device_certificate, 2**40)
    certificate = decode_sender_certificate(shown)
    assert validate(certificate, root, None, 0) is SenderVerdict.UNKNOWN_ROOT


def test_a_certificate_may_be_of_the_last_device_number() -> None:
    device_certificate = issue_device_certificate(ANA.root, 127, ANA.own.key.public)
    shown = issue_sender_certificate(ANA.own.key, Address(ANA.root.account_id, 127), device_certificate, 2**40)
    assert decode_sender_certificate(shown).sender.device == 127
