"""The code that stands between an attacker and people, in four areas. A mistake here must not go unnoticed."""

from dataclasses import dataclass
from enum import StrEnum


class Area(StrEnum):
    PROOF = "MAC and signature checks"
    LIMIT = "limits"
    ORDER = "commit order"
    ACCESS = "access checks"


@dataclass(frozen=True, slots=True)
class Guard:
    """`names`: functions (`Class.name`) and constants of the module `src/mepassa/<path>.py`."""

    area: Area
    path: str
    names: tuple[str, ...]
    reason: str


def _guards(area: Area, *rows: tuple[str, str, str]) -> tuple[Guard, ...]:
    return tuple(Guard(area, path, tuple(names.split()), reason) for path, names, reason in rows)


PROOFS = _guards(
    Area.PROOF,
    ("crypto/double_ratchet", "_authenticate", "a message of the other's chain, between these two devices"),
    ("crypto/spqr/authenticator", "Authenticator.check_header Authenticator.check_ciphertext", "the key is the peer's"),
    ("crypto/spqr/braid", "_receive_ct2 _receive_ek _receive_last_ek", "nothing is agreed before its MAC holds"),
    ("crypto/spqr/incremental_mlkem", "check_ek_vector", "both halves of an encapsulation key belong together"),
    ("crypto/sealed_sender", "open_sealed _decrypt", "both layers, and the sender's key inside the second"),
    ("crypto/sealed_sender_v2", "open_sealed", "the copy's tag, the content's, and the key that they name"),
    ("crypto/certificates", "verify_chain _chain_holds validate", "who the sender is"),
    ("crypto/sender_keys", "decrypt process_distribution", "a group's message is its member's"),
    ("crypto/pqxdh", "check_bundle initiate respond", "the prekeys are the identity's"),
    ("crypto/keys", "check_public check_base_key agree EcKeyPair.agree", "keys that would agree on zero"),
    ("crypto/kem", "encapsulate KyberKeyPair.decapsulate", "sizes and versions of keys and ciphertexts"),
    ("crypto/primitives", "decrypt_cbc", "padding"),
    ("crypto/blob_cipher", "BlobOpener.open_chunk BlobStream.update BlobStream.finish", "truncation, order"),
    ("crypto/profile_cipher", "open_profile", "a profile is its account's"),
    ("crypto/safety_number", "SafetyNumber.matches", "the comparison that people make"),
    ("identity/curve", "check_ec_public is_torsion_free montgomery_from_edwards", "points of low order"),
    ("identity/device_key", "verify_xeddsa IdentityKeyPair.agree", "a device's signature"),
    ("identity/ed25519", "verify_ed25519", "a root's, a home's and a peer's signature"),
    ("identity/root_key", "verify_root verify_recovery trust_root", "what the root key stands for"),
    ("identity/home_key", "verify_home", "the home's document"),
    ("identity/presence", "verify_blinded open_presence", "where somebody is to be found"),
    ("identity/device_list", "verify_device_list supersedes", "which devices there are"),
    ("identity/tokens", "token_matches", "right of delivery"),
    ("identity/recovery_phrase", "_decode", "the phrase's own checksum"),
    ("identity/transcripts", "_exactly", "what is signed has one reading"),
    ("model/secret", "SecretBytes.__eq__", "secrets compare in constant time"),
    ("protocol/sealing", "open_sealed read_plaintext", "no ratchet, no forward secrecy: only two kinds"),
    ("protocol/signalling", "open_signal", "who may ask for a direct path"),
    ("protocol/sender_keys", "open_from_group take_distribution", "whose sender key it is"),
    ("wire/stun/message", "Message.verify_integrity", "short-term and long-term credentials"),
    ("transports/ice/quic", "QuicSession._handshake_completed", "the pinned certificate"),
    ("transports/mailbox/account", "verify_well_known", "the home's document"),
    ("p2p/presence", "check_stored_presence PresenceValidator.validate", "what DHT nodes keep"),
)

LIMITS = _guards(
    Area.LIMIT,
    (
        "crypto/budget",
        (
            "OPENING_DERIVATIONS STRANGER_DERIVATIONS ARCHIVED_DERIVATIONS WorkBudget.spend_double_ratchet"
            " WorkBudget.spend_spqr WorkBudget.spend_sender_key"
        ),
        "work before proof",
    ),
    (
        "crypto/double_ratchet",
        "MAX_RECEIVING_CHAINS MAX_SKIPPED MAX_JUMP SendingChain.is_spent _take_seed",
        "gaps and kept keys",
    ),
    ("crypto/kept_keys", "KeptKeys.newest KeptKeys.take KeptKeys.read pass_over", "kept keys"),
    ("crypto/spqr/chain", "MAX_JUMP MAX_EPOCHS Chain.receive_key Chain.add_epoch _skip_to Chain.read", "gaps, epochs"),
    ("crypto/spqr/message", "MAX_CHUNK_NUMBER decode_spqr_message", "what a peer may say"),
    ("crypto/spqr/erasure", "Decoder.add Decoder.message", "chunks"),
    (
        "crypto/sender_keys",
        "MAX_CHAINS MAX_SKIPPED MAX_JUMP _take_seed _with_chain SenderKeyChain.read",
        "gaps and chains",
    ),
    ("crypto/multi_recipient", "MAX_DEVICE MAX_REGISTRATION_ID _decode_entry _check decode_sent_message", "entries"),
    ("crypto/padding", "MAX_CONTENT_BYTES pad unpad unmark", "sizes"),
    ("crypto/records", "Reader.uint Reader.raw Reader.block Reader.several Reader.end Reader.flag", "saved state"),
    ("crypto/messages", "_read_usual_body", "what a peer may say"),
    ("crypto/protobuf", "decode_varint Schema.decode Schema._skip", "what a peer may say"),
    ("model/envelope", "MAX_PLAINTEXT_BYTES MAX_ENVELOPE_BYTES MAX_REQUEST_ENVELOPE_BYTES SealedEnvelope.__init__", ""),
    ("wire/codec", "Codec.encode Codec.decode", "what a peer may say"),
    ("wire/link", "MAX_RECORD_BYTES RecordDecoder.next_record", "what a peer may say"),
    ("wire/stun/framing", "decode_channel_data StreamFramer._frame_size StreamFramer.next_frame", "streams"),
    ("wire/stun/message", "MAX_ATTRIBUTES _check_header decode_message", "what anybody may say"),
    ("protocol/contacts", "MAX_PENDING_REQUESTS request_received", "the request lane"),
    ("protocol/inbound", "MAX_REQUEST_TEXTS ALIVE_MS _show _waits_for_an_answer", "the request lane"),
    ("protocol/session_record", "MAX_ARCHIVED MAX_ARCHIVED_BYTES _within_bounds SessionRecord.from_bytes", ""),
    ("protocol/sender_keys", "MAX_PER_SENDER _kept", "keys that one member may leave"),
    ("protocol/healing", "MAX_REQUESTS_PER_ENVELOPE MAX_UNANSWERED MAX_STAND_INS _may_reset could_not_open", "storms"),
    ("protocol/signalling", "MAX_CLOCK_DIFFERENCE_MS", "old signals"),
    ("client/inbox", "MAX_HELD", "what waits for a list"),
    ("server/limits", "RateLimiter.retry_after_s RateLimiter.count MAX_KEYS address_group", "rates"),
    ("server/mailbox/store", "Usage.takes", "a mailbox's room"),
    ("transports/link/session", "LinkSession._note_load", "back-pressure"),
    (
        "transports/link/machine",
        "LinkMachine._put LinkMachine._pong_due LinkMachine.send_envelope",
        "what waits to be sent",
    ),
)

ORDERS = _guards(
    Area.ORDER,
    (
        "protocol/inbound",
        "receive _done _from_contact _said _from_stranger _asks_again _keep_session _take",
        "one transaction an envelope",
    ),
    ("protocol/prekeys", "consume", "a used prekey goes with the session that it made"),
    ("protocol/delivery", "compose_text send_again record_taken start_sessions", "ratchet and envelope together"),
    ("protocol/outbound", "sealed seal_due", "no envelope leaves before its ratchet is kept"),
    ("client/inbox", "Inbox.receive Inbox._receive Inbox._look Inbox._answered", "acknowledged only what is kept"),
    ("transports/link/session", "LinkSession._tell_envelope", "acknowledged only what the handler took"),
    (
        "transports/mailbox/own",
        "MailboxOwnHome._deliver_one MailboxOwnHome._settle",
        "acknowledged only what was taken",
    ),
    (
        "server/mailbox/core",
        "Mailboxes.deposit Mailboxes._committed Mailboxes.acknowledge",
        "answered after the commit",
    ),
    ("server/mailbox/commits", "GroupCommit._commit GroupCommit._apply", "answered after the commit"),
)

ACCESSES = _guards(
    Area.ACCESS,
    ("server/access", "Access.check Access.refuse Access._is_done Access._by_work Access._by_token", "who may deposit"),
    ("server/directory/tokens", "Grant.may_fetch find_grant", "tokens"),
    ("server/directory/accounts", "Directory.grant Directory.log_in Directory.recover Directory.register _granted", ""),
    ("server/hello", "Greeter.greet", "versions, before anything else"),
    (
        "server/deposit_socket",
        "DepositSocket._deposit DepositSocket._why_not DepositSocket._signal DepositSocket._fetch",
        "",
    ),
    (
        "server/mailbox_socket",
        (
            "MailboxSocket._until_logged_in MailboxSocket._register MailboxSocket._recover MailboxSocket._work_done"
            " MailboxSocket._log_in MailboxSocket._signed_by"
        ),
        "who may read",
    ),
    ("wire/work", "verify_work", "work in the place of a token"),
    ("client/api/gate", "Gate.new_code Gate.redeem Gate._refusal Gate._authorised MAX_CODES CODE_LIFE_S", "the page"),
    ("transports/link/hello", "hello_verifies", "who is at the other end"),
    ("transports/link/machine", "LinkMachine._receive_hello LinkMachine._receive_record", "nothing before the hello"),
    ("server/relay/credentials", "make_credentials holder_of key_of", "who may relay"),
    ("server/relay/nonces", "Nonces.is_fresh", "who may relay"),
    (
        "server/relay/requests",
        (
            "Requests._authenticate Requests._own_allocation Requests._check_peer Requests._permit Requests._channel_bind"
            " Requests._create_permission"
        ),
        "who may relay, and to whom",
    ),
    (
        "server/relay/relaying",
        "Relaying.channel_data Relaying.send_indication Relaying._to_peer Relaying._to_client",
        "",
    ),
    ("server/relay/allocation", "Allocation.permits Allocation.peer_of Allocation.channel_of", "permissions end"),
    ("server/relay/peers", "PeerRules.is_own PeerRules.refuses", "no way into somebody's own network"),
    ("model/addresses", "is_private is_public is_never_dialled embedded_ipv4", "the same"),
)

GUARDS = PROOFS + LIMITS + ORDERS + ACCESSES
