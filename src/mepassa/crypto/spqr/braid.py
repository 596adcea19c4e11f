"""The Braid: one ML-KEM-768 exchange per epoch, spread over ordinary messages (The ML-KEM Braid Protocol).

One class per state, so that no field can be read in a state that does not have it. The ek side goes KeysUnsampled →
KeysSampled → HeaderSent → Ct1Received → EkSentCt1Received, the ct side NoHeaderReceived → HeaderReceived → Ct1Sampled →
(EkReceivedCt1Sampled | Ct1Acknowledged) → Ct2Sampled; then they swap. States are immutable: a refused message leaves no
trace. Whatever stands in no row of the tables below changes nothing.
"""

from mepassa.crypto.errors import SpqrError
from mepassa.crypto.primitives import RandomBytes
from mepassa.crypto.spqr import incremental_mlkem as mlkem
from mepassa.crypto.spqr.authenticator import MAC_BYTES, Authenticator, epoch_secret
from mepassa.crypto.spqr.erasure import Decoder, Encoder
from mepassa.crypto.spqr.message import CHUNK_BYTES, Chunk, MessageType, SpqrMessage
from mepassa.model.state import State

HEADER_MESSAGE_BYTES = mlkem.HEADER_BYTES + MAC_BYTES
CT2_MESSAGE_BYTES = mlkem.CT2_BYTES + MAC_BYTES
HEADER_CHUNKS = HEADER_MESSAGE_BYTES // CHUNK_BYTES
EK_CHUNKS = mlkem.EK_VECTOR_BYTES // CHUNK_BYTES
CT1_CHUNKS = mlkem.CT1_BYTES // CHUNK_BYTES
CT2_CHUNKS = CT2_MESSAGE_BYTES // CHUNK_BYTES


class KeysUnsampled(State, frozen=True):
    epoch: int
    authenticator: Authenticator


class KeysSampled(State, frozen=True):
    epoch: int
    authenticator: Authenticator
    seed: bytes
    header_encoder: Encoder


class HeaderSent(State, frozen=True):
    epoch: int
    authenticator: Authenticator
    seed: bytes
    ek_encoder: Encoder
    ct1_decoder: Decoder


class Ct1Received(State, frozen=True):
    epoch: int
    authenticator: Authenticator
    seed: bytes
    ek_encoder: Encoder
    ct1: bytes


class EkSentCt1Received(State, frozen=True):
    epoch: int
    authenticator: Authenticator
    seed: bytes
    ct1: bytes
    ct2_decoder: Decoder


class NoHeaderReceived(State, frozen=True):
    epoch: int
    authenticator: Authenticator
    header_decoder: Decoder


class HeaderReceived(State, frozen=True):
    epoch: int
    authenticator: Authenticator
    header: bytes


class Ct1Sampled(State, frozen=True):
    """`m_and_r`: what the second half of the encapsulation needs."""

    epoch: int
    authenticator: Authenticator
    header: bytes
    m_and_r: bytes
    ct1_encoder: Encoder
    ek_decoder: Decoder


class EkReceivedCt1Sampled(State, frozen=True):
    epoch: int
    authenticator: Authenticator
    m_and_r: bytes
    ct1_encoder: Encoder
    ek_vector: bytes


class Ct1Acknowledged(State, frozen=True):
    epoch: int
    authenticator: Authenticator
    header: bytes
    m_and_r: bytes
    ct1: bytes
    ek_decoder: Decoder


class Ct2Sampled(State, frozen=True):
    epoch: int
    authenticator: Authenticator
    ct2_encoder: Encoder


BraidState = (
    KeysUnsampled
    | KeysSampled
    | HeaderSent
    | Ct1Received
    | EkSentCt1Received
    | NoHeaderReceived
    | HeaderReceived
    | Ct1Sampled
    | EkReceivedCt1Sampled
    | Ct1Acknowledged
    | Ct2Sampled
)


class Sent(State, frozen=True):
    """What goes out; `secret` is the state's epoch's secret when this very step made it."""

    state: BraidState
    type: MessageType
    chunk: Chunk | None
    secret: bytes | None


class Received(State, frozen=True):
    """`secret` belongs to epoch `state.epoch - 1`, which this message completed."""

    state: BraidState
    secret: bytes | None


def start(auth_key: bytes, *, initiator: bool) -> BraidState:
    """Epoch 1: the PQXDH initiator is the ek side."""
    authenticator = Authenticator.start(auth_key)
    if initiator:
        return KeysUnsampled(1, authenticator)
    return NoHeaderReceived(1, authenticator, Decoder(HEADER_CHUNKS, {}))


# --- sending -----------------------------------------------------------------------------------------------------------


def send(state: BraidState, random: RandomBytes) -> Sent:
    match state:
        case KeysUnsampled(epoch, authenticator):
            seed, header, _ = mlkem.generate_keys(random)
            encoder = Encoder(header + authenticator.header_mac(epoch, header))
            return send(KeysSampled(epoch, authenticator, seed, encoder), random)
        case KeysSampled(epoch, authenticator, seed, encoder):
            encoder, chunk = encoder.chunk()
            return Sent(KeysSampled(epoch, authenticator, seed, encoder), MessageType.HDR, chunk, None)
        case HeaderSent(epoch, authenticator, seed, encoder, decoder):
            encoder, chunk = encoder.chunk()
            return Sent(HeaderSent(epoch, authenticator, seed, encoder, decoder), MessageType.EK, chunk, None)
        case Ct1Received(epoch, authenticator, seed, encoder, ct1):
            encoder, chunk = encoder.chunk()
            state = Ct1Received(epoch, authenticator, seed, encoder, ct1)
            return Sent(state, MessageType.EK_WITH_CT1_ACK, chunk, None)
        case EkSentCt1Received():
            return Sent(state, MessageType.CT1_ACK, None, None)
        case HeaderReceived():
            return _send_first_ct1(state, random)
        case Ct1Sampled(epoch, authenticator, header, m_and_r, encoder, decoder):
            encoder, chunk = encoder.chunk()
            state = Ct1Sampled(epoch, authenticator, header, m_and_r, encoder, decoder)
            return Sent(state, MessageType.CT1, chunk, None)
        case EkReceivedCt1Sampled(epoch, authenticator, m_and_r, encoder, ek_vector):
            encoder, chunk = encoder.chunk()
            state = EkReceivedCt1Sampled(epoch, authenticator, m_and_r, encoder, ek_vector)
            return Sent(state, MessageType.CT1, chunk, None)
        case Ct2Sampled(epoch, authenticator, encoder):
            encoder, chunk = encoder.chunk()
            return Sent(Ct2Sampled(epoch, authenticator, encoder), MessageType.CT2, chunk, None)
        case NoHeaderReceived() | Ct1Acknowledged():
            return Sent(state, MessageType.NONE, None, None)


def _send_first_ct1(state: HeaderReceived, random: RandomBytes) -> Sent:
    shared_secret, ct1, m_and_r = mlkem.encapsulate_1(state.header, random)
    secret = epoch_secret(state.epoch, shared_secret)
    encoder, chunk = Encoder(ct1).chunk()
    sampled = Ct1Sampled(
        state.epoch,
        state.authenticator.update(state.epoch, secret),
        state.header,
        m_and_r,
        encoder,
        Decoder(EK_CHUNKS, {}),
    )
    return Sent(sampled, MessageType.CT1, chunk, secret)


# --- receiving ---------------------------------------------------------------------------------------------------------


def receive(state: BraidState, message: SpqrMessage) -> Received:
    """Raises `SpqrError` for an epoch that cannot be yet, or when a completed part does not authenticate."""
    if message.epoch < state.epoch:
        return Received(state, None)
    if message.epoch > state.epoch:
        # Only the other side's next turn as ek side can be ahead of us: it has our ciphertext.
        if message.epoch == state.epoch + 1 and isinstance(state, Ct2Sampled):
            return Received(KeysUnsampled(state.epoch + 1, state.authenticator), None)
        raise SpqrError
    if message.chunk is None:
        if message.type is MessageType.CT1_ACK and isinstance(state, EkReceivedCt1Sampled):
            return Received(_sample_ct2(state, state.m_and_r, state.ct1_encoder.message, state.ek_vector), None)
        return Received(state, None)
    return _receive_chunk(state, message.type, message.chunk)


def _receive_chunk(state: BraidState, kind: MessageType, chunk: Chunk) -> Received:
    match state, kind:
        case KeysSampled(epoch, authenticator, seed, _), MessageType.CT1:
            encoder = Encoder(mlkem.public_parts(seed)[1])
            decoder = Decoder(CT1_CHUNKS, {}).add(chunk)
            return Received(HeaderSent(epoch, authenticator, seed, encoder, decoder), None)
        case HeaderSent(epoch, authenticator, seed, encoder, decoder), MessageType.CT1:
            decoder = decoder.add(chunk)
            ct1 = decoder.message()
            if ct1 is not None:
                return Received(Ct1Received(epoch, authenticator, seed, encoder, ct1), None)
            return Received(HeaderSent(epoch, authenticator, seed, encoder, decoder), None)
        case Ct1Received(epoch, authenticator, seed, _, ct1), MessageType.CT2:
            decoder = Decoder(CT2_CHUNKS, {}).add(chunk)
            return Received(EkSentCt1Received(epoch, authenticator, seed, ct1, decoder), None)
        case EkSentCt1Received(), MessageType.CT2:
            return _receive_ct2(state, chunk)
        case NoHeaderReceived(epoch, authenticator, decoder), MessageType.HDR:
            decoder = decoder.add(chunk)
            whole = decoder.message()
            if whole is None:
                return Received(NoHeaderReceived(epoch, authenticator, decoder), None)
            header, mac = whole[: mlkem.HEADER_BYTES], whole[mlkem.HEADER_BYTES :]
            authenticator.check_header(epoch, header, mac)
            return Received(HeaderReceived(epoch, authenticator, header), None)
        case Ct1Sampled(), (MessageType.EK | MessageType.EK_WITH_CT1_ACK):
            return _receive_ek(state, chunk, acknowledged=kind is MessageType.EK_WITH_CT1_ACK)
        case EkReceivedCt1Sampled(_, _, m_and_r, encoder, ek_vector), MessageType.EK_WITH_CT1_ACK:
            return Received(_sample_ct2(state, m_and_r, encoder.message, ek_vector), None)
        case Ct1Acknowledged(), (MessageType.EK | MessageType.EK_WITH_CT1_ACK):
            return _receive_last_ek(state, chunk)
    return Received(state, None)


def _receive_ct2(state: EkSentCt1Received, chunk: Chunk) -> Received:
    decoder = state.ct2_decoder.add(chunk)
    whole = decoder.message()
    if whole is None:
        return Received(
            EkSentCt1Received(state.epoch, state.authenticator, state.seed, state.ct1, decoder),
            None,
        )
    ct2, mac = whole[: mlkem.CT2_BYTES], whole[mlkem.CT2_BYTES :]
    secret = epoch_secret(state.epoch, mlkem.decapsulate(state.seed, state.ct1, ct2))
    authenticator = state.authenticator.update(state.epoch, secret)
    authenticator.check_ciphertext(state.epoch, state.ct1 + ct2, mac)
    return Received(NoHeaderReceived(state.epoch + 1, authenticator, Decoder(HEADER_CHUNKS, {})), secret)


def _receive_ek(state: Ct1Sampled, chunk: Chunk, *, acknowledged: bool) -> Received:
    epoch, authenticator, m_and_r = state.epoch, state.authenticator, state.m_and_r
    decoder = state.ek_decoder.add(chunk)
    ek_vector = decoder.message()
    ct1 = state.ct1_encoder.message
    if ek_vector is None:
        if acknowledged:
            return Received(Ct1Acknowledged(epoch, authenticator, state.header, m_and_r, ct1, decoder), None)
        return Received(Ct1Sampled(epoch, authenticator, state.header, m_and_r, state.ct1_encoder, decoder), None)
    mlkem.check_ek_vector(ek_vector, state.header)
    if acknowledged:
        return Received(_sample_ct2(state, m_and_r, ct1, ek_vector), None)
    return Received(EkReceivedCt1Sampled(epoch, authenticator, m_and_r, state.ct1_encoder, ek_vector), None)


def _receive_last_ek(state: Ct1Acknowledged, chunk: Chunk) -> Received:
    decoder = state.ek_decoder.add(chunk)
    ek_vector = decoder.message()
    if ek_vector is None:
        waiting = Ct1Acknowledged(state.epoch, state.authenticator, state.header, state.m_and_r, state.ct1, decoder)
        return Received(waiting, None)
    mlkem.check_ek_vector(ek_vector, state.header)
    return Received(_sample_ct2(state, state.m_and_r, state.ct1, ek_vector), None)


def _sample_ct2(
    state: Ct1Sampled | EkReceivedCt1Sampled | Ct1Acknowledged, m_and_r: bytes, ct1: bytes, ek_vector: bytes
) -> Ct2Sampled:
    ct2 = mlkem.encapsulate_2(ek_vector, m_and_r)
    mac = state.authenticator.ciphertext_mac(state.epoch, ct1 + ct2)
    return Ct2Sampled(state.epoch, state.authenticator, Encoder(ct2 + mac))
