"""Root and device keys, signatures with context strings, device list: what a server may know of cryptography.

`labels` how we sign · `root_key` `device_key` `home_key` `presence` the keys · `device_list` `transcripts` what is signed ·
`tokens` `recovery_phrase` what is derived · `curve` `ed25519` the arithmetic.
"""

from mepassa.identity.device_key import IdentityKeyPair, check_identity_key, verify_xeddsa
from mepassa.identity.device_list import (
    decode_device_list,
    next_version,
    sign_device_list,
    supersedes,
    verify_device_list,
)
from mepassa.identity.ed25519 import verify_ed25519
from mepassa.identity.home_key import HomeKeyPair, verify_home
from mepassa.identity.labels import Label, labelled
from mepassa.identity.presence import (
    BlindedKeyPair,
    PresenceKeyPair,
    open_presence,
    presence_slot,
    seal_presence,
    utc_day,
    verify_blinded,
)
from mepassa.identity.recovery_phrase import (
    Language,
    RecoveryPhraseError,
    decode_recovery_phrase,
    encode_recovery_phrase,
)
from mepassa.identity.root_key import RootKey, account_id, trust_root, verify_recovery, verify_root
from mepassa.identity.tokens import delivery_token, hash_token, signal_token, token_matches
from mepassa.identity.transcripts import (
    LinkRole,
    auth_message,
    hello_message,
    home_document_message,
    libp2p_binding,
    link_message,
    presence_record_message,
    quic_binding,
)

__all__ = [
    "BlindedKeyPair",
    "HomeKeyPair",
    "IdentityKeyPair",
    "Label",
    "Language",
    "LinkRole",
    "PresenceKeyPair",
    "RecoveryPhraseError",
    "RootKey",
    "account_id",
    "auth_message",
    "check_identity_key",
    "decode_device_list",
    "decode_recovery_phrase",
    "delivery_token",
    "encode_recovery_phrase",
    "hash_token",
    "hello_message",
    "home_document_message",
    "labelled",
    "libp2p_binding",
    "link_message",
    "next_version",
    "open_presence",
    "presence_record_message",
    "presence_slot",
    "quic_binding",
    "seal_presence",
    "sign_device_list",
    "signal_token",
    "supersedes",
    "token_matches",
    "trust_root",
    "utc_day",
    "verify_blinded",
    "verify_device_list",
    "verify_ed25519",
    "verify_home",
    "verify_recovery",
    "verify_root",
    "verify_xeddsa",
]
