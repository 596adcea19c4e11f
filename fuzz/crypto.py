"""Signal's formats as strangers may send them: messages, certificates, sealed envelopes, saved session records."""

from fuzz.engine import read_by
from mepassa.crypto.certificates import decode_sender_certificate, decode_server_certificate
from mepassa.crypto.messages import (
    decode_decryption_error_message,
    decode_plaintext_content,
    decode_prekey_signal_message,
    decode_signal_message,
)
from mepassa.crypto.padding import unpad
from mepassa.crypto.sealed_sender import decode_content, open_sealed
from mepassa.crypto.spqr.message import decode_spqr_message
from mepassa.model.errors import LocalError, RemoteError
from mepassa.protocol.sealing import seal
from mepassa.protocol.session import MessageType, SessionRecord
from tests.crypto.people import Person

_ANA, _BRUNO = Person("ana"), Person("bruno")
_ANA.initiate(_BRUNO.remote, _BRUNO.bundle())
_PREKEY = _ANA.encrypt(_BRUNO.remote, b"text").body
_SIGNAL = decode_prekey_signal_message(_PREKEY).message
SEEDS = [
    _PREKEY,
    _SIGNAL,
    decode_signal_message(_SIGNAL).spqr,
    _ANA.certificate,
    _ANA.device_certificate,
    seal(_ANA.own, _ANA.certificate, _BRUNO.own.key.public, MessageType.PREKEY, _PREKEY, rng=_ANA.rng).raw,
    _ANA.records[_BRUNO.remote.address].to_bytes(),
]
target = read_by(
    decode_signal_message,
    decode_prekey_signal_message,
    decode_server_certificate,
    decode_sender_certificate,
    decode_decryption_error_message,
    decode_plaintext_content,
    decode_content,
    decode_spqr_message,
    unpad,
    lambda data: open_sealed(_BRUNO.own.key, data),
    SessionRecord.from_bytes,
    errors=(RemoteError, LocalError),  # a damaged record of our own is a local error
)
