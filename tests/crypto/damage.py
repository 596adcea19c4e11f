"""Ways to damage a well-formed message, for the properties that every parser of the encryption keeps."""

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, sample: bytes) -> tuple[bytes, ...]:
    """Some bytes changed, cut short, too long, and something else altogether."""
    mutated = bytearray(sample)
    for _ in range(draw(st.integers(1, 3))):
        mutated[draw(st.integers(0, len(mutated) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.integers(0, len(sample)))
    return bytes(mutated), sample[:cut], sample + draw(st.binary(max_size=20)), draw(st.binary())
