"""The Braid's saved form: a number for the state, then its fields in their order. Part of a session's record."""

from mepassa.crypto.errors import CorruptRecordError
from mepassa.crypto.records import Reader, Writer
from mepassa.crypto.spqr import incremental_mlkem as mlkem
from mepassa.crypto.spqr.authenticator import Authenticator
from mepassa.crypto.spqr.braid import (
    CT1_CHUNKS,
    CT2_CHUNKS,
    CT2_MESSAGE_BYTES,
    EK_CHUNKS,
    HEADER_CHUNKS,
    HEADER_MESSAGE_BYTES,
    BraidState,
    Ct1Acknowledged,
    Ct1Received,
    Ct1Sampled,
    Ct2Sampled,
    EkReceivedCt1Sampled,
    EkSentCt1Received,
    HeaderReceived,
    HeaderSent,
    KeysSampled,
    KeysUnsampled,
    NoHeaderReceived,
)
from mepassa.crypto.spqr.erasure import Decoder, Encoder

_TAGS: dict[type[BraidState], int] = {
    KeysUnsampled: 0,
    KeysSampled: 1,
    HeaderSent: 2,
    Ct1Received: 3,
    EkSentCt1Received: 4,
    NoHeaderReceived: 5,
    HeaderReceived: 6,
    Ct1Sampled: 7,
    EkReceivedCt1Sampled: 8,
    Ct1Acknowledged: 9,
    Ct2Sampled: 10,
}


def write_braid(state: BraidState, out: Writer) -> None:
    out.uint(_TAGS[type(state)])
    out.uint(state.epoch)
    out.raw(state.authenticator.root)
    out.raw(state.authenticator.mac_key)
    match state:
        case KeysUnsampled():
            pass
        case KeysSampled():
            out.raw(state.seed)
            state.header_encoder.write(out)
        case HeaderSent():
            out.raw(state.seed)
            state.ek_encoder.write(out)  # it follows from the seed, but deriving it at each load would cost 0.2 ms
            state.ct1_decoder.write(out)
        case Ct1Received():
            out.raw(state.seed)
            state.ek_encoder.write(out)
            out.raw(state.ct1)
        case EkSentCt1Received():
            out.raw(state.seed)
            out.raw(state.ct1)
            state.ct2_decoder.write(out)
        case NoHeaderReceived():
            state.header_decoder.write(out)
        case HeaderReceived():
            out.raw(state.header)
        case Ct1Sampled():
            out.raw(state.header)
            out.raw(state.m_and_r)
            state.ct1_encoder.write(out)
            state.ek_decoder.write(out)
        case EkReceivedCt1Sampled():
            out.raw(state.m_and_r)
            state.ct1_encoder.write(out)
            out.raw(state.ek_vector)
        case Ct1Acknowledged():
            out.raw(state.header)
            out.raw(state.m_and_r)
            out.raw(state.ct1)
            state.ek_decoder.write(out)
        case Ct2Sampled():
            state.ct2_encoder.write(out)


def read_braid(saved: Reader) -> BraidState:
    """Raises `CorruptRecordError`."""
    tag, epoch = saved.uint(), saved.uint()
    authenticator = Authenticator(saved.raw(32), saved.raw(32))
    match tag:
        case 0:
            return KeysUnsampled(epoch, authenticator)
        case 1:
            seed = saved.raw(mlkem.SEED_BYTES)
            return KeysSampled(epoch, authenticator, seed, Encoder.read(saved, HEADER_MESSAGE_BYTES))
        case 2:
            seed = saved.raw(mlkem.SEED_BYTES)
            encoder = Encoder.read(saved, mlkem.EK_VECTOR_BYTES)
            return HeaderSent(epoch, authenticator, seed, encoder, Decoder.read(saved, CT1_CHUNKS))
        case 3:
            seed = saved.raw(mlkem.SEED_BYTES)
            encoder = Encoder.read(saved, mlkem.EK_VECTOR_BYTES)
            return Ct1Received(epoch, authenticator, seed, encoder, saved.raw(mlkem.CT1_BYTES))
        case 4:
            seed, ct1 = saved.raw(mlkem.SEED_BYTES), saved.raw(mlkem.CT1_BYTES)
            return EkSentCt1Received(epoch, authenticator, seed, ct1, Decoder.read(saved, CT2_CHUNKS))
        case 5:
            return NoHeaderReceived(epoch, authenticator, Decoder.read(saved, HEADER_CHUNKS))
        case 6:
            return HeaderReceived(epoch, authenticator, saved.raw(mlkem.HEADER_BYTES))
        case 7:
            header, m_and_r = saved.raw(mlkem.HEADER_BYTES), saved.raw(mlkem.ENCAPSULATION_BYTES)
            ct1_encoder = Encoder.read(saved, mlkem.CT1_BYTES)
            decoder = Decoder.read(saved, EK_CHUNKS)
            return Ct1Sampled(epoch, authenticator, header, m_and_r, ct1_encoder, decoder)
        case 8:
            m_and_r = saved.raw(mlkem.ENCAPSULATION_BYTES)
            ct1_encoder = Encoder.read(saved, mlkem.CT1_BYTES)
            return EkReceivedCt1Sampled(epoch, authenticator, m_and_r, ct1_encoder, saved.raw(mlkem.EK_VECTOR_BYTES))
        case 9:
            header, m_and_r = saved.raw(mlkem.HEADER_BYTES), saved.raw(mlkem.ENCAPSULATION_BYTES)
            ct1 = saved.raw(mlkem.CT1_BYTES)
            return Ct1Acknowledged(epoch, authenticator, header, m_and_r, ct1, Decoder.read(saved, EK_CHUNKS))
        case 10:
            return Ct2Sampled(epoch, authenticator, Encoder.read(saved, CT2_MESSAGE_BYTES))
        case _:
            raise CorruptRecordError
