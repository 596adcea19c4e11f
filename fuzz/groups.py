"""What strangers may send to a group: sender key messages, distributions, one sealed message for many; saved records."""

from fuzz.engine import read_by
from mepassa.crypto.budget import WorkBudget
from mepassa.crypto.messages import MessageType
from mepassa.crypto.multi_recipient import decode_sent_message, encode_sent_message
from mepassa.crypto.sealed_sender import encode_content
from mepassa.crypto.sealed_sender_v2 import Recipient, open_sealed, seal
from mepassa.crypto.sender_key_messages import (
    decode_sender_key_distribution_message,
    decode_sender_key_message,
    encode_sender_key_distribution_message,
)
from mepassa.crypto.sender_keys import (
    SenderKeyRecord,
    create,
    decrypt,
    distribution_message,
    encrypt,
    process_distribution,
)
from mepassa.model.errors import LocalError, RemoteError
from mepassa.model.ids import DistributionId
from tests.crypto.people import Person

_ANA, _BRUNO = Person("ana"), Person("bruno")
_GROUP = DistributionId.from_random(_ANA.rng.token(16))
_OWN = create(_GROUP, _ANA.rng.token)
_DISTRIBUTION = distribution_message(_OWN)
_READER = process_distribution(SenderKeyRecord(_GROUP), _DISTRIBUTION)
_MOVED, _MESSAGE = encrypt(_OWN, b"text")
_CONTENT = encode_content(MessageType.SENDER_KEY, _ANA.certificate, _MESSAGE, group_id=b"group")
_SENT = seal(_ANA.own.key, [Recipient(_BRUNO.own.address, 77, _BRUNO.own.key.public)], _CONTENT, _ANA.rng.token)
SEEDS = [
    _MESSAGE,
    encode_sender_key_distribution_message(_DISTRIBUTION),
    encode_sent_message(_SENT),
    _SENT.received_by(_SENT.copies[0]),
    _MOVED.to_bytes(),
    decrypt(_READER, decode_sender_key_message(encrypt(_MOVED, b"x")[1]), WorkBudget(9))[0].to_bytes(),
]
target = read_by(
    lambda data: decrypt(_READER, decode_sender_key_message(data), WorkBudget(100)),
    lambda data: process_distribution(_READER, decode_sender_key_distribution_message(data)),
    decode_sent_message,
    lambda data: open_sealed(_BRUNO.own.key, data),
    SenderKeyRecord.from_bytes,
    errors=(RemoteError, LocalError),  # a damaged record of our own is a local error
)
