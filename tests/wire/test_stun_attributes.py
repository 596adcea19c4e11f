"""mepassa.wire.stun.attributes, each alone: whatever the value's bytes, an attribute or `MalformedError`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.errors import MalformedError
from mepassa.wire.stun import attributes
from mepassa.wire.stun.attributes import Attribute

KINDS = [
    kind
    for kind in vars(attributes).values()
    if isinstance(kind, type) and issubclass(kind, Attribute) and isinstance(getattr(kind, "TYPE", None), int)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(value=st.binary(max_size=24) | st.binary(max_size=900), transaction_id=st.binary(min_size=12, max_size=12))
def test_any_value_is_an_attribute_or_malformed(kind: type[Attribute], value: bytes, transaction_id: bytes) -> None:
    try:
        assert isinstance(kind.decode_value(value, transaction_id), kind)
    except MalformedError:
        pass


def test_the_kinds_are_found() -> None:
    assert len(KINDS) > 15
