"""Frames of a home's sockets, in both directions, and its well-known document."""

from collections.abc import Callable

from mepassa.model.errors import MalformedError, SignatureError
from mepassa.model.ids import AccountId, Address
from mepassa.testing.people import fake_prekeys
from mepassa.transports.mailbox import verify_well_known
from mepassa.wire import mailbox as wire

_TO = Address(AccountId(bytes(16)), 1)

SEEDS = [
    wire.encode_mailbox_to_home([wire.Hello(bytes(32))]),
    wire.encode_mailbox_to_home([wire.PutPrekeys(1, fake_prekeys(1, 2)), wire.Credit(9)]),
    wire.encode_mailbox_to_device([wire.LoggedIn(1, 2), wire.Deliver(b"sealed"), wire.PrekeysLow(1, 2)]),
    wire.encode_deposit_to_home([wire.Deposit(1, _TO, b"sealed", bytes(16)), wire.FetchAccount(2, _TO.account)]),
    wire.encode_deposit_to_client([wire.Deposited(1, wire.Outcome.STORED), wire.Refused(2, wire.Refusal.BUSY, 1.0)]),
]

_DECODERS: list[Callable[[bytes], object]] = [
    wire.decode_mailbox_to_home,
    wire.decode_mailbox_to_device,
    wire.decode_deposit_to_home,
    wire.decode_deposit_to_client,
    lambda data: verify_well_known(data, None),
]


def target(data: bytes) -> str:
    outcomes = []
    for decode in _DECODERS:
        try:
            decode(data)
        except (MalformedError, SignatureError) as error:
            outcomes.append(error.code)
        else:
            outcomes.append("value")
    return "value" if "value" in outcomes else min(outcomes)
