"""docs/protocol/envelope.md: how large an envelope is."""

import pytest

from mepassa.model.envelope import MAX_ENVELOPE_BYTES, SealedEnvelope
from mepassa.model.errors import TooLargeError


@pytest.mark.parametrize("size", [1, MAX_ENVELOPE_BYTES])
def test_an_envelope_has_a_byte_and_36_kib_at_most(size: int) -> None:
    assert len(SealedEnvelope(bytes(size)).raw) == size


@pytest.mark.parametrize("size", [0, MAX_ENVELOPE_BYTES + 1])
def test_what_is_empty_or_larger_is_refused(size: int) -> None:
    with pytest.raises(TooLargeError):
        SealedEnvelope(bytes(size))
