"""The Double Ratchet with SPQR mixed into every message key: Signal's Triple Ratchet, message version 4.

(signal.org/docs, "The Double Ratchet Algorithm"; docs/protocol/session.md, "Ratchets".) States are immutable: encrypting
and decrypting return a new one, and a message that is refused leaves the old one as the only one.
"""

from mepassa.crypto.budget import WorkBudget
from mepassa.crypto.errors import AuthenticationError, SpentChainError, TooManySkippedError
from mepassa.crypto.kept_keys import NO_KEYS, KeptKeys, pass_over
from mepassa.crypto.keys import EcKeyPair
from mepassa.crypto.messages import MAC_BYTES, SignalMessage, encode_addresses, encode_signal_body
from mepassa.crypto.pqxdh import SharedSecret
from mepassa.crypto.primitives import RandomBytes, decrypt_cbc, encrypt_cbc, equal, hkdf, hmac_sha256, kdf_ck
from mepassa.crypto.records import Reader, Writer
from mepassa.crypto.spqr.ratchet import SpqrState
from mepassa.model.errors import DuplicateMessageError
from mepassa.model.ids import Address
from mepassa.model.keys import IdentityKey
from mepassa.model.state import State

MAX_RECEIVING_CHAINS = 5
"""Including the current one, the newest by creation; a late message of the sixth is lost."""
MAX_SKIPPED = 2_000
"""Seeds kept per receiving chain for messages that have not come yet; the oldest stored goes first."""
MAX_JUMP = 25_000
"""Messages that one header may be ahead. Together with SPQR's own limit, 24 999 in a row may be lost."""


SPENT_CHAIN_KEY = bytes(32)
"""In place of a sending chain's key: nothing is to be made with it any more. No chain comes to this key by itself."""


class SendingChain(State, frozen=True):
    """`key_pair`: our ratchet key. `next_number`: of the message that goes out next, from 0."""

    key_pair: EcKeyPair
    chain_key: bytes
    next_number: int

    @property
    def is_spent(self) -> bool:
        return self.chain_key == SPENT_CHAIN_KEY


class ReceivingChain(State, frozen=True):
    """`skipped_seeds`: of messages that have not come yet."""

    ratchet_key: bytes
    chain_key: bytes
    next_number: int
    skipped_seeds: KeptKeys


class Parties(State, frozen=True):
    """Whose session it is, as the associated data of every message has it."""

    own_key: IdentityKey
    own: Address
    remote_key: IdentityKey
    remote: Address


class RatchetState(State, frozen=True):
    """`receiving`: newest first. `previous_chain_length`: as Signal counts it, one less than the messages sent."""

    root_key: bytes
    sending: SendingChain
    previous_chain_length: int
    receiving: tuple[ReceivingChain, ...]
    spqr: SpqrState

    def chain_of(self, ratchet_key: bytes) -> ReceivingChain | None:
        for chain in self.receiving:
            if chain.ratchet_key == ratchet_key:
                return chain
        return None

    def without_sending(self) -> "RatchetState":
        """Reads as before, and sends nothing. The peer's next ratchet key would make a new sending chain."""
        spent = SendingChain(self.sending.key_pair, SPENT_CHAIN_KEY, self.sending.next_number)
        return RatchetState(self.root_key, spent, self.previous_chain_length, self.receiving, self.spqr)

    def write(self, out: Writer) -> None:
        out.raw(self.root_key)
        out.raw(self.sending.key_pair.private)
        out.raw(self.sending.key_pair.public)
        out.raw(self.sending.chain_key)
        out.uint(self.sending.next_number)
        out.uint(self.previous_chain_length)
        out.uint(len(self.receiving))
        for chain in self.receiving:
            out.raw(chain.ratchet_key)
            out.raw(chain.chain_key)
            out.uint(chain.next_number)
            chain.skipped_seeds.write(out)
        self.spqr.write(out)

    @classmethod
    def read(cls, saved: Reader) -> "RatchetState":
        root_key = saved.raw(32)
        key_pair = EcKeyPair.saved(saved.raw(32), saved.raw(33))
        sending = SendingChain(key_pair, saved.raw(32), saved.uint())
        previous_chain_length = saved.uint()
        receiving = saved.several(_read_receiving, MAX_RECEIVING_CHAINS)
        return cls(root_key, sending, previous_chain_length, receiving, SpqrState.read(saved))


def _read_receiving(saved: Reader) -> ReceivingChain:
    return ReceivingChain(saved.raw(33), saved.raw(32), saved.uint(2**32), KeptKeys.read(saved, MAX_SKIPPED))


# --- start -------------------------------------------------------------------------------------------------------------


def start_initiator(secret: SharedSecret, signed_prekey: bytes, random: RandomBytes) -> RatchetState:
    """The responder's signed prekey is its first ratchet key; the initiator steps at once, so it can send."""
    first = ReceivingChain(signed_prekey, secret.chain_key, 0, NO_KEYS)
    key_pair = EcKeyPair.generate(random)
    root_key, chain_key = _step(secret.root_key, key_pair.agree(signed_prekey))
    spqr = SpqrState.start(secret.spqr_auth_key, initiator=True)
    return RatchetState(root_key, SendingChain(key_pair, chain_key, 0), 0, (first,), spqr)


def start_responder(secret: SharedSecret, signed_prekey: EcKeyPair) -> RatchetState:
    spqr = SpqrState.start(secret.spqr_auth_key, initiator=False)
    return RatchetState(secret.root_key, SendingChain(signed_prekey, secret.chain_key, 0), 0, (), spqr)


def _step(root_key: bytes, agreement: bytes) -> tuple[bytes, bytes]:
    """(new root key, chain key)."""
    keys = hkdf(root_key, agreement, b"WhisperRatchet", 64)
    return keys[:32], keys[32:]


def _message_keys(seed: bytes, spqr_key: bytes) -> tuple[bytes, bytes, bytes]:
    """(AES key, MAC key, IV)."""
    keys = hkdf(spqr_key, seed, b"WhisperMessageKeys", 80)
    return keys[:32], keys[32:64], keys[64:]


# --- sending -----------------------------------------------------------------------------------------------------------


def encrypt(state: RatchetState, parties: Parties, plaintext: bytes, random: RandomBytes) -> tuple[RatchetState, bytes]:
    """(new state, a whole SignalMessage). Raises `SpentChainError` after `without_sending`."""
    if state.sending.is_spent:
        raise SpentChainError
    spqr, field, spqr_key = state.spqr.send(random)
    sending = state.sending
    chain_key, seed = kdf_ck(sending.chain_key)
    cipher_key, mac_key, iv = _message_keys(seed, spqr_key)
    body = encode_signal_body(
        ratchet_key=sending.key_pair.public,
        number=sending.next_number,
        previous_chain_length=state.previous_chain_length,
        ciphertext=encrypt_cbc(cipher_key, iv, plaintext),
        spqr=field,
        addresses=encode_addresses(parties.own, parties.remote),
    )
    mac = hmac_sha256(mac_key, parties.own_key.raw + parties.remote_key.raw + body)[:MAC_BYTES]
    moved = SendingChain(sending.key_pair, chain_key, sending.next_number + 1)
    return RatchetState(state.root_key, moved, state.previous_chain_length, state.receiving, spqr), body + mac


# --- receiving ---------------------------------------------------------------------------------------------------------


def decrypt(
    state: RatchetState, parties: Parties, message: SignalMessage, budget: WorkBudget, random: RandomBytes
) -> tuple[RatchetState, bytes]:
    """(new state, plaintext). Raises a `DecryptionError`; a used counter is told before anything else is looked at."""
    chain = state.chain_of(message.ratchet_key)
    root_key = state.root_key
    is_new = chain is None
    if chain is None:
        root_key, chain_key = _step(root_key, state.sending.key_pair.agree(message.ratchet_key))
        chain = ReceivingChain(message.ratchet_key, chain_key, 0, NO_KEYS)
    moved, seed = _take_seed(chain, message.number, budget)
    spqr, spqr_key = state.spqr.receive(message.spqr, budget)
    cipher_key, mac_key, iv = _message_keys(seed, spqr_key)
    _authenticate(message, mac_key, parties)
    plaintext = decrypt_cbc(cipher_key, iv, message.ciphertext)
    if is_new:
        # Our own step is taken only now: it needs a fresh key, and what came before was work for a stranger.
        key_pair = EcKeyPair.generate(random)
        root_key, chain_key = _step(root_key, key_pair.agree(message.ratchet_key))
        previous_chain_length = max(state.sending.next_number - 1, 0)
        receiving = (moved, *state.receiving[: MAX_RECEIVING_CHAINS - 1])
        sending = SendingChain(key_pair, chain_key, 0)
        return RatchetState(root_key, sending, previous_chain_length, receiving, spqr), plaintext
    place = state.receiving.index(chain)
    receiving = (*state.receiving[:place], moved, *state.receiving[place + 1 :])
    return RatchetState(root_key, state.sending, state.previous_chain_length, receiving, spqr), plaintext


def _authenticate(message: SignalMessage, mac_key: bytes, parties: Parties) -> None:
    mac = hmac_sha256(mac_key, parties.remote_key.raw + parties.own_key.raw + message.authenticated)[:MAC_BYTES]
    if not equal(mac, message.mac):
        raise AuthenticationError
    if message.addresses is not None and message.addresses != encode_addresses(parties.remote, parties.own):
        raise AuthenticationError


def _take_seed(chain: ReceivingChain, number: int, budget: WorkBudget) -> tuple[ReceivingChain, bytes]:
    """(the chain without it, the seed of message `number`), deriving over a gap when need be."""
    if number < chain.next_number:
        taken = chain.skipped_seeds.take(number)
        if taken is None:
            raise DuplicateMessageError
        rest, seed = taken
        return ReceivingChain(chain.ratchet_key, chain.chain_key, chain.next_number, rest), seed
    gap = number - chain.next_number
    if gap > MAX_JUMP:
        raise TooManySkippedError(gap, MAX_JUMP)
    budget.spend_double_ratchet(gap + 1)
    chain_key, skipped = chain.chain_key, chain.skipped_seeds
    if gap:
        chain_key, skipped = pass_over(chain_key, range(chain.next_number, number), skipped, MAX_SKIPPED)
    chain_key, seed = kdf_ck(chain_key)
    return ReceivingChain(chain.ratchet_key, chain_key, number + 1, skipped), seed
