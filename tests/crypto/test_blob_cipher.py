"""docs/protocol/blobs.md: chunks that open alone, and nothing moved, left out, added or cut goes unnoticed."""

import hashlib
import hmac
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from hypothesis import given, settings
from hypothesis import strategies as st

from mepassa.crypto.blob_cipher import (
    CHUNK_BYTES,
    HEADER_BYTES,
    MAX_BLOB_BYTES,
    SMALLEST_BYTES,
    TAG_BYTES,
    BlobOpener,
    BlobReference,
    BlobSealer,
    BlobStream,
    padded_size,
)
from mepassa.crypto.errors import AuthenticationError, InvalidMessageError
from mepassa.crypto.padding import padme_size
from mepassa.model.errors import DecryptionError, InvalidInputError, TooLargeError
from mepassa.model.secret import SecretBytes
from mepassa.testing.chance import SeededRng

VECTORS = Path(__file__).parents[1] / "vectors" / "blob.json"
STEP = CHUNK_BYTES + TAG_BYTES
BORDERS = [
    0, 1, SMALLEST_BYTES - 1, SMALLEST_BYTES, SMALLEST_BYTES + 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1,
    2 * CHUNK_BYTES, 31 * CHUNK_BYTES, 31 * CHUNK_BYTES + 1,
]  # fmt: skip


def content_of(size: int) -> bytes:
    return SeededRng(size).token(size)


def sealed(content: bytes, piece: int = CHUNK_BYTES, seed: str = "blob") -> tuple[BlobReference, bytes]:
    sealer = BlobSealer(SeededRng(seed).token)
    blob = b"".join(sealer.update(content[start : start + piece]) for start in range(0, len(content), piece))
    blob += b"".join(sealer.finish())
    return sealer.reference, blob


def opened(reference: BlobReference, blob: bytes, piece: int = CHUNK_BYTES) -> bytes:
    stream = BlobStream(reference)
    content = b"".join(stream.update(blob[start : start + piece]) for start in range(0, len(blob), piece))
    stream.finish()
    return content


@pytest.mark.parametrize("size", BORDERS)
def test_what_was_sealed_opens_and_has_the_length_that_its_reference_says(size: int) -> None:
    content = content_of(size)
    reference, blob = sealed(content)
    assert (reference.size_bytes, reference.sealed_bytes) == (size, len(blob))
    assert opened(reference, blob) == content


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 3 * CHUNK_BYTES), st.integers(1, 2 * CHUNK_BYTES), st.integers(1, 2 * CHUNK_BYTES))
def test_pieces_of_any_size_make_and_open_the_same_blob(size: int, written: int, read: int) -> None:
    content = content_of(size)
    reference, blob = sealed(content, piece=written)
    assert (reference, blob) == sealed(content)
    assert opened(reference, blob, piece=read) == content


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4 * CHUNK_BYTES), st.data())
def test_any_range_opens_from_its_chunks_alone(size: int, data: st.DataObject) -> None:
    content = content_of(size)
    reference, blob = sealed(content)
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    opener = BlobOpener(reference, blob[:HEADER_BYTES])
    numbers = reference.chunks_of(start, stop)
    places = [reference.place(number) for number in numbers]
    found = b"".join(opener.open_chunk(n, blob[a:b]) for n, (a, b) in zip(numbers, places, strict=True))
    first = numbers.start * CHUNK_BYTES
    assert found[start - first : stop - first] == content[start:stop]
    assert len(numbers) <= (stop - start) // CHUNK_BYTES + 2


def test_a_chunk_that_is_not_there_and_a_range_outside_are_told() -> None:
    reference, _ = sealed(content_of(CHUNK_BYTES + 1))
    for number in (-1, reference.chunks, 2**40):
        with pytest.raises(InvalidInputError):
            reference.place(number)
    assert list(reference.chunks_of(-5, 10**9)) == [0, 1]
    assert list(reference.chunks_of(7, 7)) == list(reference.chunks_of(10**9, 10**10)) == []


# --- what is tampered with -----------------------------------------------------------------------------------------------

CONTENT = content_of(3 * CHUNK_BYTES - 7)
REFERENCE, BLOB = sealed(CONTENT)
HEADER, CHUNKS = BLOB[:HEADER_BYTES], [BLOB[at : at + STEP] for at in range(HEADER_BYTES, len(BLOB), STEP)]


@pytest.mark.parametrize(
    "blob",
    [
        HEADER + b"".join(reversed(CHUNKS)),
        HEADER + CHUNKS[1] + CHUNKS[0] + CHUNKS[2],
        HEADER + CHUNKS[0] + CHUNKS[0] + CHUNKS[2],
        HEADER + CHUNKS[0] + CHUNKS[2],
        HEADER + CHUNKS[0] + CHUNKS[1],
        HEADER + CHUNKS[0],
        HEADER,
        BLOB[:-1],
        b"",
        BLOB + b"\x00",
        BLOB + CHUNKS[2],
        BLOB + BLOB,
    ],
    ids=[
        "reversed", "swapped", "repeated", "middle missing", "last missing", "one left", "header alone", "cut", "empty",
        "a byte more", "a chunk more", "twice",
    ],
)  # fmt: skip
def test_a_blob_that_was_mixed_cut_or_extended_is_refused(blob: bytes) -> None:
    for piece in (1000, STEP, len(BLOB) * 2):
        with pytest.raises(DecryptionError):
            opened(REFERENCE, blob, piece)


def test_a_shorter_blob_of_the_same_key_is_none_though_each_chunk_is_true() -> None:
    """The last chunk says that it is the last: a reader that was told a smaller size by mistake does not stop early."""
    for size in (CHUNK_BYTES, 2 * CHUNK_BYTES):
        shorter = BlobReference(REFERENCE.key, size)
        with pytest.raises(AuthenticationError):
            opened(shorter, BLOB[: shorter.sealed_bytes])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
def test_no_byte_can_be_changed(position: int, flip: int) -> None:
    damaged = bytearray(BLOB)
    damaged[position] ^= flip
    with pytest.raises(DecryptionError):
        opened(REFERENCE, bytes(damaged))


@pytest.mark.parametrize("more", [-1, 1])
def test_a_chunk_of_another_length_is_refused_unopened(more: int) -> None:
    """A blob of one chunk, so that the cipher's own tag is all there is besides."""
    reference, blob = sealed(b"x" * 100)
    start, stop = reference.place(0)
    opener = BlobOpener(reference, blob[:HEADER_BYTES])
    opener._chunks = _TakesAnything()  # type: ignore[assignment]  # a cipher without a tag
    assert opener.open_chunk(0, blob[start:stop]) == bytes(100)
    with pytest.raises(AuthenticationError):
        opener.open_chunk(0, bytes(stop - start + more))


class _TakesAnything:
    def decrypt(self, _nonce: bytes, sealed: bytes, _associated_data: None) -> bytes:
        return bytes(len(sealed) - TAG_BYTES)


def test_a_blob_of_which_only_the_header_has_come_is_opened_that_far() -> None:
    """Another key is told at once, not with the first byte of the first chunk."""
    _, blob = sealed(b"x")
    other, _ = sealed(b"y", seed="another")
    BlobStream(other).update(blob[: HEADER_BYTES - 1])
    with pytest.raises(AuthenticationError):
        BlobStream(other).update(blob[:HEADER_BYTES])


def test_chunks_of_two_blobs_do_not_mix_though_they_hold_the_same() -> None:
    _, other = sealed(CONTENT, seed="other")
    for blob in (other, HEADER + other[HEADER_BYTES:], BLOB[: HEADER_BYTES + STEP] + other[HEADER_BYTES + STEP :]):
        with pytest.raises(AuthenticationError):
            opened(REFERENCE, blob)


def test_another_key_is_told_by_the_header_before_any_chunk() -> None:
    other, _ = sealed(b"", seed="other")
    with pytest.raises(AuthenticationError):
        BlobOpener(BlobReference(other.key, REFERENCE.size_bytes), HEADER)
    for header in (b"", HEADER[:-1], HEADER + b"\x00", b"\x02" + HEADER[1:]):
        with pytest.raises(InvalidMessageError):
            BlobOpener(REFERENCE, header)


def test_padding_is_zeros_or_the_blob_is_refused() -> None:
    """Only whoever sealed it can do this: another size in the same class would show what the padding hides."""
    claimed = BlobReference(REFERENCE.key, REFERENCE.size_bytes - 1)
    assert claimed.sealed_bytes == REFERENCE.sealed_bytes
    with pytest.raises(InvalidMessageError):
        opened(claimed, BLOB)


def test_nothing_of_a_chunk_is_given_out_before_all_of_it_is_proven() -> None:
    stream = BlobStream(REFERENCE)
    assert stream.update(BLOB[: HEADER_BYTES + STEP - 1]) == b""
    assert stream.update(BLOB[HEADER_BYTES + STEP - 1 : HEADER_BYTES + STEP]) == CONTENT[:CHUNK_BYTES]


@given(st.binary(max_size=3000))
def test_any_bytes_are_a_blob_or_a_decryption_error(data: bytes) -> None:
    reference, _ = sealed(b"small")
    readers: list[Callable[[], object]] = [
        lambda: opened(reference, data),
        lambda: BlobOpener(reference, data[:HEADER_BYTES]).open_chunk(0, data[HEADER_BYTES:]),
    ]
    for read in readers:
        with pytest.raises(DecryptionError):
            read()


# --- limits --------------------------------------------------------------------------------------------------------------


def test_sizes_and_keys_that_no_sealer_makes_are_refused() -> None:
    key = SecretBytes(bytes(32))
    assert BlobReference(key, MAX_BLOB_BYTES).chunks == MAX_BLOB_BYTES // CHUNK_BYTES
    for wrong, size in ((key, -1), (key, MAX_BLOB_BYTES + 1), (SecretBytes(bytes(31)), 0), (SecretBytes(b""), 0)):
        with pytest.raises(InvalidMessageError):
            BlobReference(wrong, size)


def test_more_than_the_limit_is_refused_and_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mepassa.crypto.blob_cipher.MAX_BLOB_BYTES", 10)
    sealer = BlobSealer(SeededRng(1).token)
    blob = sealer.update(b"123456789")
    with pytest.raises(TooLargeError):
        sealer.update(b"ab")
    blob += sealer.update(b"a") + b"".join(sealer.finish())
    assert opened(sealer.reference, blob) == b"123456789a"


def test_a_finished_blob_takes_no_more_and_a_begun_one_has_no_reference() -> None:
    sealer = BlobSealer(SeededRng(1).token)
    with pytest.raises(RuntimeError, match="first"):
        _ = sealer.reference
    b"".join(sealer.finish())
    with pytest.raises(RuntimeError, match="finished"):
        sealer.update(b"more")
    with pytest.raises(RuntimeError, match="finished"):
        sealer.finish()


def test_each_blob_has_its_own_key_and_none_is_printed() -> None:
    rng = SeededRng(5)
    first, second = BlobSealer(rng.token), BlobSealer(rng.token)
    assert b"".join(first.finish()) != b"".join(second.finish())
    assert first.reference.key != second.reference.key
    for shown in (repr(first.reference), str(first.reference), f"{first.reference}"):
        assert first.reference.key.expose().hex() not in shown
        assert str(first.reference.key.expose()) not in shown


def test_sealing_and_opening_hold_a_few_chunks_whatever_the_size() -> None:
    """32 MiB through both ends: the peak stays under 1 MiB, most of it the pieces themselves."""
    size, piece = 32 * 1024 * 1024, bytes(CHUNK_BYTES)
    sealer, total = BlobSealer(SeededRng(2).token), 0
    # The reader needs the size beforehand: it comes in the message. Here both run at the same time.
    seen = hashlib.sha256()
    tracemalloc.start()
    try:
        key = sealer._key
        stream = BlobStream(BlobReference(key, size))
        for _ in range(size // len(piece)):
            out = stream.update(sealer.update(piece))
            seen.update(out)
            total += len(out)
        for rest in sealer.finish():
            total += len(stream.update(rest))
        stream.finish()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == size
    assert peak < 1024 * 1024, peak


# --- sizes ---------------------------------------------------------------------------------------------------------------


def test_padme_keeps_as_many_leading_digits_as_the_exponent_has() -> None:
    """Computed by hand from the paper's algorithm 1."""
    known = {0: 0, 1: 1, 2: 2, 3: 3, 8: 8, 9: 10, 100: 104, 1000: 1024, 1025: 1088, 65_536: 65_536, 65_537: 67_584}
    known[1_000_000] = 1_015_808
    assert {size: padme_size(size) for size in known} == known


@given(st.integers(1, MAX_BLOB_BYTES))
def test_padme_never_shortens_adds_at_most_an_eighth_and_is_its_own_class(size: int) -> None:
    padded = padme_size(size)
    assert size <= padded <= size * 1.12 + 1
    assert padme_size(padded) == padded
    assert padme_size(size + 1) >= padded


def test_a_mebibyte_of_sizes_has_few_classes() -> None:
    """16 classes for each power of two from 1 KiB, 32 from 64 KiB on, and the last size itself."""
    assert len({padded_size(size) for size in range(1024 * 1024 + 1)}) == 6 * 16 + 4 * 32 + 1
    assert {padded_size(size) for size in range(SMALLEST_BYTES + 1)} == {SMALLEST_BYTES}


# --- as the document says, by other means --------------------------------------------------------------------------------


def _read_by_the_document(key: bytes, size: int, blob: bytes) -> bytes:
    """HKDF and GCM from their primitives, offsets by hand: nothing of `blob_cipher` is used."""
    extracted = hmac.new(bytes(32), key, "sha256").digest()
    block = hmac.new(extracted, b"mepassa blob 1\x01", "sha256").digest()
    commitment = hmac.new(extracted, block + b"mepassa blob 1\x02", "sha256").digest()
    assert blob[:33] == b"\x01" + commitment
    rest, number, content = blob[33:], 0, b""
    while rest:
        chunk, rest = rest[:65_552], rest[65_552:]
        nonce = number.to_bytes(11, "big") + (b"\x00" if rest else b"\x01")
        decryptor = Cipher(AES(block), GCM(nonce, chunk[-16:])).decryptor()
        content += decryptor.update(chunk[:-16]) + decryptor.finalize()
        number += 1
    assert not content[size:].strip(b"\x00")
    return content[:size]


def test_a_reader_written_from_the_document_opens_it() -> None:
    assert _read_by_the_document(REFERENCE.key.expose(), REFERENCE.size_bytes, BLOB) == CONTENT


def test_blobs_of_this_version_stay_readable() -> None:
    """Golden: changing these bytes is a protocol decision."""
    for case in json.loads(VECTORS.read_text())["blobs"]:
        content = (case["content"].encode() * case["times"])[: case["size_bytes"]]
        key = bytes.fromhex(case["key"])
        sealer = BlobSealer(lambda _size: key)
        blob = sealer.update(content) + b"".join(sealer.finish())
        assert hashlib.sha256(blob).hexdigest() == case["sha256"]
        assert blob[:HEADER_BYTES].hex() == case["header"]
        assert opened(BlobReference(SecretBytes(key), len(content)), blob) == content
