"""SPQR for one session: Braid and chain together, one key for every message."""

from mepassa.crypto.budget import WorkBudget
from mepassa.crypto.primitives import RandomBytes
from mepassa.crypto.records import Reader, Writer
from mepassa.crypto.spqr import braid
from mepassa.crypto.spqr.braid_record import read_braid, write_braid
from mepassa.crypto.spqr.chain import Chain
from mepassa.crypto.spqr.message import SpqrMessage, decode_spqr_message, encode_spqr_message
from mepassa.model.state import State


class SpqrState(State, frozen=True):
    """Immutable: whoever refuses a message keeps the state from before it."""

    braid: braid.BraidState
    chain: Chain

    @classmethod
    def start(cls, auth_key: bytes, *, initiator: bool) -> "SpqrState":
        """`auth_key`: the last 32 bytes of the PQXDH output."""
        return cls(braid.start(auth_key, initiator=initiator), Chain.start(auth_key, a2b=initiator))

    @property
    def epoch(self) -> int:
        """The Braid epoch, from 1."""
        return self.braid.epoch

    def send(self, random: RandomBytes) -> tuple["SpqrState", bytes, bytes]:
        """(new state, field 5, the key to mix into this message)."""
        sent = braid.send(self.braid, random)
        epoch = sent.state.epoch
        chain = self.chain if sent.secret is None else self.chain.add_epoch(epoch, sent.secret)
        chain, index, key = chain.next_send_key(epoch - 1)
        field = encode_spqr_message(SpqrMessage(epoch, index, sent.type, sent.chunk))
        return SpqrState(sent.state, chain), field, key

    def receive(self, field: bytes, budget: WorkBudget) -> tuple["SpqrState", bytes]:
        """(new state, the key mixed into that message). Raises a `DecryptionError`; this state stays as it is."""
        message = decode_spqr_message(field)
        received = braid.receive(self.braid, message)
        chain = self.chain
        if received.secret is not None:
            chain = chain.add_epoch(received.state.epoch - 1, received.secret)
        chain, key = chain.receive_key(message.epoch - 1, message.index, budget)
        return SpqrState(received.state, chain), key

    def write(self, out: Writer) -> None:
        write_braid(self.braid, out)
        self.chain.write(out)

    @classmethod
    def read(cls, saved: Reader) -> "SpqrState":
        return cls(read_braid(saved), Chain.read(saved))
