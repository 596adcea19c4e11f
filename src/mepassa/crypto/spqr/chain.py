"""From epoch secrets to one key per message: two directions for each key epoch, each with its own counter."""

from mepassa.crypto.budget import WorkBudget
from mepassa.crypto.errors import CorruptRecordError, SpqrError, TooManySkippedError
from mepassa.crypto.kept_keys import NO_KEYS, KeptKeys
from mepassa.crypto.primitives import ZERO_SALT, hkdf
from mepassa.crypto.records import Reader, Writer
from mepassa.model.state import State

MAX_JUMP = 25_000
"""Indices that one message may be ahead of the highest seen."""
KEPT_KEYS = 2_000
"""How far behind the highest seen index a late message may be."""
MAX_EPOCHS = 3
"""The one before the one we send on, that one, and the next once its secret is known."""

_START = b"Signal PQ Ratchet V1 Chain  Start"  # two spaces
_ADD_EPOCH = b"Signal PQ Ratchet V1 Chain Add Epoch"
_NEXT = b"Signal PQ Ratchet V1 Chain Next"


def _advance(seed: bytes, counter: int) -> tuple[bytes, bytes]:
    """(new seed, key of `counter`)."""
    keys = hkdf(ZERO_SALT, seed, counter.to_bytes(4, "big") + _NEXT, 64)
    return keys[:32], keys[32:]


class KeyEpoch(State, frozen=True):
    """Both directions of one key epoch. `stored`: keys of indices below `receive_counter` that have not come yet. `send_seed` is erased once a later epoch sends."""

    send_seed: bytes | None
    send_counter: int
    receive_seed: bytes
    receive_counter: int
    stored: KeptKeys


class Chain(State, frozen=True):
    """`epochs` are consecutive; the last is `current`. `send_epoch` never falls. The initiator is side A2B."""

    next_root: bytes
    a2b: bool
    current: int
    send_epoch: int
    epochs: tuple[KeyEpoch, ...]

    @classmethod
    def start(cls, auth_key: bytes, *, a2b: bool) -> "Chain":
        keys = hkdf(ZERO_SALT, auth_key, _START, 96)
        return cls(keys[:32], a2b, 0, 0, (_new_epoch(keys, a2b=a2b),))

    def add_epoch(self, epoch: int, secret: bytes) -> "Chain":
        if epoch != self.current + 1:
            raise SpqrError
        keys = hkdf(self.next_root, secret, _ADD_EPOCH, 96)
        return Chain(keys[:32], self.a2b, epoch, self.send_epoch, (*self.epochs, _new_epoch(keys, a2b=self.a2b)))

    def next_send_key(self, epoch: int) -> tuple["Chain", int, bytes]:
        """(new chain, index, key) in key epoch `epoch`; moving on drops what lies more than one epoch behind."""
        chain = self if epoch == self.send_epoch else self._move_sending_to(epoch)
        place = epoch - chain.oldest
        at = chain.epochs[place]
        if at.send_seed is None or at.send_counter >= 2**32 - 1:
            raise SpqrError
        index = at.send_counter + 1
        seed, key = _advance(at.send_seed, index)
        moved = KeyEpoch(seed, index, at.receive_seed, at.receive_counter, at.stored)
        return chain.with_epoch(place, moved), index, key

    def receive_key(self, epoch: int, index: int, budget: WorkBudget) -> tuple["Chain", bytes]:
        """(new chain, key) of `index` in key epoch `epoch`. Raises a `DecryptionError` of the kinds in `errors`."""
        place = epoch - self.oldest
        if not 0 <= place < len(self.epochs):
            raise SpqrError
        at = self.epochs[place]
        if index + KEPT_KEYS < at.receive_counter:
            raise SpqrError
        if index <= at.receive_counter:
            found = at.stored.take(index)
            if found is None:
                raise SpqrError
            stored, key = found
            taken = KeyEpoch(at.send_seed, at.send_counter, at.receive_seed, at.receive_counter, stored)
            return self.with_epoch(place, taken), key
        gap = index - at.receive_counter
        if gap > MAX_JUMP:
            raise TooManySkippedError(gap, MAX_JUMP)
        budget.spend_spqr(gap)
        seed, key, stored = _skip_to(at, index)
        moved = KeyEpoch(at.send_seed, at.send_counter, seed, index, stored)
        return self.with_epoch(place, moved), key

    @property
    def oldest(self) -> int:
        """The number of the oldest key epoch still kept."""
        return self.current - len(self.epochs) + 1

    def with_epoch(self, place: int, epoch: KeyEpoch) -> "Chain":
        """With the key epoch at `place` (from the oldest) replaced."""
        epochs = (*self.epochs[:place], epoch, *self.epochs[place + 1 :])
        return Chain(self.next_root, self.a2b, self.current, self.send_epoch, epochs)

    def _move_sending_to(self, epoch: int) -> "Chain":
        if not self.send_epoch < epoch <= self.current:
            raise SpqrError
        kept = [
            at
            if number == epoch or number > epoch
            else KeyEpoch(None, at.send_counter, at.receive_seed, at.receive_counter, at.stored)
            for number, at in enumerate(self.epochs, self.oldest)
            if number >= epoch - 1
        ]
        return Chain(self.next_root, self.a2b, self.current, epoch, tuple(kept))

    def write(self, out: Writer) -> None:
        out.raw(self.next_root)
        out.uint(self.a2b)
        out.uint(self.current)
        out.uint(self.send_epoch)
        out.uint(len(self.epochs))
        for at in self.epochs:
            out.optional(at.send_seed)
            out.uint(at.send_counter)
            out.raw(at.receive_seed)
            out.uint(at.receive_counter)
            at.stored.write(out)

    @classmethod
    def read(cls, saved: Reader) -> "Chain":
        next_root, a2b, current, send_epoch = saved.raw(32), saved.flag(), saved.uint(), saved.uint()
        epochs = saved.several(_read_epoch, MAX_EPOCHS)
        if not epochs or not current - len(epochs) < send_epoch <= current:
            raise CorruptRecordError
        return cls(next_root, a2b, current, send_epoch, epochs)


def _new_epoch(keys: bytes, *, a2b: bool) -> KeyEpoch:
    first, second = keys[32:64], keys[64:96]
    send, receive = (first, second) if a2b else (second, first)
    return KeyEpoch(send, 0, receive, 0, NO_KEYS)


def _skip_to(at: KeyEpoch, index: int) -> tuple[bytes, bytes, KeptKeys]:
    """(seed after `index`, its key, what is stored then)."""
    stored = at.stored.since(index - KEPT_KEYS) if at.stored.packed else at.stored
    if index == at.receive_counter + 1:  # nearly always
        return *_advance(at.receive_seed, index), stored
    seed, skipped = at.receive_seed, []
    for counter in range(at.receive_counter + 1, index):
        seed, key = _advance(seed, counter)
        if counter + KEPT_KEYS >= index:
            skipped.append((counter, key))
    return *_advance(seed, index), stored.followed_by(skipped)


def _read_epoch(saved: Reader) -> KeyEpoch:
    send_seed, send_counter = saved.optional(32), saved.uint(2**32 - 1)
    receive_seed, receive_counter = saved.raw(32), saved.uint(2**32 - 1)
    return KeyEpoch(send_seed, send_counter, receive_seed, receive_counter, KeptKeys.read(saved, KEPT_KEYS))
