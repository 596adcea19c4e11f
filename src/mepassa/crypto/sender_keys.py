"""Sender Keys: one chain a sender encrypts once with for a whole group (docs/protocol/groups.md, "Sender keys").

Records are immutable: every function returns a new one, and what is refused leaves the old one as the only one. A record
belongs to one distribution id of one sending device; who that is, only the pairwise session proves that brought the
distribution message, so the caller keeps records by that address.
"""

from dataclasses import dataclass

from mepassa.crypto.budget import WorkBudget
from mepassa.crypto.errors import (
    AuthenticationError,
    CorruptRecordError,
    ForeignSenderKeyError,
    InvalidMessageError,
    SenderKeyMissingError,
    SenderKeyUsedUpError,
    TooManySkippedError,
)
from mepassa.crypto.kept_keys import NO_KEYS, KeptKeys, pass_over
from mepassa.crypto.keys import EC_PRIVATE_BYTES, EC_PUBLIC_BYTES, SigningKeyPair
from mepassa.crypto.primitives import ZERO_SALT, RandomBytes, decrypt_cbc, encrypt_cbc, hkdf, kdf_ck
from mepassa.crypto.records import Reader, Writer
from mepassa.crypto.sender_key_messages import (
    CHAIN_KEY_BYTES,
    SenderKeyDistributionMessage,
    SenderKeyMessage,
    encode_sender_key_body,
)
from mepassa.identity.device_key import verify_xeddsa
from mepassa.model.errors import DuplicateMessageError, SignatureError
from mepassa.model.ids import DistributionId
from mepassa.model.keys import IdentityKey

MAX_CHAINS = 5
"""Kept per sender and distribution, newest first: messages of five rotations ago are lost (measured officially)."""
MAX_SKIPPED = 2_000
"""Seeds kept per chain for messages that have not come yet; the oldest stored goes first."""
MAX_JUMP = 25_000
"""Messages that one may be ahead of the last one opened. Costs the reader some 30 ms, and only a member can ask for it."""
LAST_ITERATION = 2**32 - 2
"""The official counter ends here; then only a new chain helps."""

RECORD_VERSION = 1


@dataclass(frozen=True, slots=True, repr=False)
class SenderKeyChain:
    """`next_iteration`: what `chain_key` is for. `signing_key`: 33 bytes; `signing_pair` only with its owner.

    `skipped_seeds`: of the messages that were passed over, by iteration.
    """

    chain_id: int
    next_iteration: int
    chain_key: bytes
    signing_key: bytes
    signing_pair: SigningKeyPair | None
    skipped_seeds: KeptKeys

    def write(self, out: Writer) -> None:
        out.uint(self.chain_id)
        out.uint(self.next_iteration)
        out.raw(self.chain_key)
        out.raw(self.signing_key)
        out.optional(None if self.signing_pair is None else self.signing_pair.seed)
        self.skipped_seeds.write(out)

    @classmethod
    def read(cls, saved: Reader) -> "SenderKeyChain":
        chain_id, next_iteration = saved.uint(2**32 - 1), saved.uint(2**32 - 1)
        chain_key, signing_key = saved.raw(CHAIN_KEY_BYTES), saved.raw(EC_PUBLIC_BYTES)
        seed = saved.optional(EC_PRIVATE_BYTES)
        pair = None if seed is None else SigningKeyPair.saved(seed, signing_key)
        skipped = KeptKeys.read(saved, MAX_SKIPPED)
        if len(set(skipped.numbers())) != len(skipped):
            raise CorruptRecordError
        return cls(chain_id, next_iteration, chain_key, signing_key, pair, skipped)


@dataclass(frozen=True, slots=True, repr=False)
class SenderKeyRecord:
    """`chains`: newest first."""

    distribution_id: DistributionId
    chains: tuple[SenderKeyChain, ...] = ()

    def chain_of(self, chain_id: int) -> SenderKeyChain | None:
        return next((chain for chain in self.chains if chain.chain_id == chain_id), None)

    def to_bytes(self) -> bytes:
        out = Writer()
        out.uint(RECORD_VERSION)
        out.raw(self.distribution_id.raw)
        out.uint(len(self.chains))
        for chain in self.chains:
            chain.write(out)
        return out.finish()

    @classmethod
    def from_bytes(cls, raw: bytes) -> "SenderKeyRecord":
        """Raises `CorruptRecordError`."""
        saved = Reader(raw)
        if saved.uint() != RECORD_VERSION:
            raise CorruptRecordError
        distribution_id = DistributionId(saved.raw(DistributionId.SIZE))
        chains = saved.several(SenderKeyChain.read, MAX_CHAINS)
        saved.end()
        if len({chain.chain_id for chain in chains}) != len(chains):
            raise CorruptRecordError
        return cls(distribution_id, chains)


# --- the sender's side -------------------------------------------------------------------------------------------------


def create(distribution_id: DistributionId, random: RandomBytes) -> SenderKeyRecord:
    """A new sender key of our own. Rotating is creating another one and forgetting this."""
    chain_id = int.from_bytes(random(4), "big") >> 1  # 31 bits, as the official library draws it
    chain_key, pair = random(CHAIN_KEY_BYTES), SigningKeyPair.generate(random)
    return SenderKeyRecord(distribution_id, (SenderKeyChain(chain_id, 0, chain_key, pair.public, pair, NO_KEYS),))


def distribution_message(record: SenderKeyRecord) -> SenderKeyDistributionMessage:
    """What lets a member read from the next message on, and nothing before it. Raises `ForeignSenderKeyError`."""
    chain, _ = _own_chain(record)
    return SenderKeyDistributionMessage(
        record.distribution_id, chain.chain_id, chain.next_iteration, chain.chain_key, chain.signing_key
    )


def encrypt(record: SenderKeyRecord, plaintext: bytes) -> tuple[SenderKeyRecord, bytes]:
    """(new record, a whole SenderKeyMessage). Raises `ForeignSenderKeyError`, `SenderKeyUsedUpError`."""
    chain, pair = _own_chain(record)
    if chain.next_iteration > LAST_ITERATION:
        raise SenderKeyUsedUpError
    chain_key, seed = kdf_ck(chain.chain_key)
    cipher_key, iv = _message_keys(seed)
    body = encode_sender_key_body(
        record.distribution_id, chain.chain_id, chain.next_iteration, encrypt_cbc(cipher_key, iv, plaintext)
    )
    moved = _advanced(chain, chain_key, chain.next_iteration + 1, chain.skipped_seeds)
    return _with_chain(record, moved), body + pair.sign(body)


def _own_chain(record: SenderKeyRecord) -> tuple[SenderKeyChain, SigningKeyPair]:
    chain = record.chains[0] if record.chains else None
    if chain is None or chain.signing_pair is None:
        raise ForeignSenderKeyError
    return chain, chain.signing_pair


# --- the readers' side -------------------------------------------------------------------------------------------------


def process_distribution(record: SenderKeyRecord, message: SenderKeyDistributionMessage) -> SenderKeyRecord:
    """The record that can read with this key, too.

    A chain that we know, with the key that we know, stays exactly as it is and comes to the front: no distribution turns
    a chain back or forward. One with another signing key replaces it. Raises `InvalidMessageError` for another
    distribution id.
    """
    if message.distribution_id != record.distribution_id:
        raise InvalidMessageError
    known = record.chain_of(message.chain_id)
    if known is None or known.signing_key != message.signing_key:
        known = SenderKeyChain(
            message.chain_id, message.iteration, message.chain_key, message.signing_key, None, NO_KEYS
        )
    others = tuple(chain for chain in record.chains if chain.chain_id != message.chain_id)
    return SenderKeyRecord(record.distribution_id, (known, *others)[:MAX_CHAINS])


def decrypt(record: SenderKeyRecord, message: SenderKeyMessage, budget: WorkBudget) -> tuple[SenderKeyRecord, bytes]:
    """(new record, plaintext). Raises a `DecryptionError`; the signature is checked before anything is derived.

    `SenderKeyMissingError`: no such chain has been distributed to us. `DuplicateMessageError`: used, dropped, or older
    than our distribution.
    """
    chain = record.chain_of(message.chain_id)
    if chain is None or message.distribution_id != record.distribution_id:
        raise SenderKeyMissingError
    try:
        verify_xeddsa(IdentityKey(chain.signing_key), message.signed, message.signature)
    except SignatureError as error:
        raise AuthenticationError from error
    moved, seed = _take_seed(chain, message.iteration, budget)
    cipher_key, iv = _message_keys(seed)
    plaintext = decrypt_cbc(cipher_key, iv, message.ciphertext)
    return _with_chain(record, moved), plaintext


def _take_seed(chain: SenderKeyChain, iteration: int, budget: WorkBudget) -> tuple[SenderKeyChain, bytes]:
    """(the chain without it, the seed of message `iteration`), deriving over a gap when need be."""
    if iteration > LAST_ITERATION:
        raise InvalidMessageError
    if iteration < chain.next_iteration:
        taken = chain.skipped_seeds.take(iteration)
        if taken is None:
            raise DuplicateMessageError
        rest, seed = taken
        return _advanced(chain, chain.chain_key, chain.next_iteration, rest), seed
    gap = iteration - chain.next_iteration
    if gap > MAX_JUMP:
        raise TooManySkippedError(gap, MAX_JUMP)
    budget.spend_sender_key(gap)
    chain_key, skipped = chain.chain_key, chain.skipped_seeds
    if gap:
        chain_key, skipped = pass_over(chain_key, range(chain.next_iteration, iteration), skipped, MAX_SKIPPED)
    chain_key, seed = kdf_ck(chain_key)
    return _advanced(chain, chain_key, iteration + 1, skipped), seed


# --- both --------------------------------------------------------------------------------------------------------------


def _message_keys(seed: bytes) -> tuple[bytes, bytes]:
    """(AES key, IV). The IV comes first in the derived bytes."""
    keys = hkdf(ZERO_SALT, seed, b"WhisperGroup", 48)
    return keys[16:], keys[:16]


def _advanced(chain: SenderKeyChain, chain_key: bytes, next_iteration: int, skipped_seeds: KeptKeys) -> SenderKeyChain:
    return SenderKeyChain(
        chain.chain_id, next_iteration, chain_key, chain.signing_key, chain.signing_pair, skipped_seeds
    )


def _with_chain(record: SenderKeyRecord, moved: SenderKeyChain) -> SenderKeyRecord:
    """`moved` in the place of the chain that it was."""
    chains = tuple(moved if chain.chain_id == moved.chain_id else chain for chain in record.chains)
    return SenderKeyRecord(record.distribution_id, chains)
