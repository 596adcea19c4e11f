"""docs/protocol/identity.md, "Safety number": the scannable form as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.errors import MalformedError
from mepassa.wire.safety_code import MAX_CODE_CHARS, SCHEME_PREFIX, decode_safety_code, encode_safety_code

CODE = encode_safety_code(b"\x08\x02" + bytes(range(72)))


@given(st.binary(max_size=300))
def test_every_code_survives_with_space_around_it(scannable: bytes) -> None:
    code = encode_safety_code(scannable)
    assert decode_safety_code(code) == scannable
    assert decode_safety_code(f"\n  {code} ") == scannable


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mepassa://verify",
        CODE.upper(),
        CODE + "=",
        CODE[:-1],
        CODE.replace("verify", "add"),
        SCHEME_PREFIX + "é",
        SCHEME_PREFIX + "AB CD",
        SCHEME_PREFIX + "A" * MAX_CODE_CHARS,
        " " * MAX_CODE_CHARS + CODE,
    ],
)
def test_any_other_spelling_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        decode_safety_code(text)


@given(st.text(max_size=600) | st.text("ABab01_-=+/", max_size=60).map(SCHEME_PREFIX.__add__))
def test_any_text_is_a_code_or_malformed(text: str) -> None:
    try:
        scannable = decode_safety_code(text)
    except MalformedError:
        return
    assert encode_safety_code(scannable) == text.strip()
