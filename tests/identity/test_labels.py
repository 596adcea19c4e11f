"""docs/protocol/identity.md, "Signatures": nothing signed for one purpose can stand in for another."""

from hypothesis import given
from hypothesis import strategies as st

from mepassa.identity import Label, labelled

LABELS = st.sampled_from(list(Label))
PARTS = st.lists(st.binary(max_size=8), max_size=4)


def test_no_label_begins_like_a_format_that_signal_signs_raw() -> None:
    for label in Label:
        assert label.startswith("mepassa ")
        assert label[0].encode() not in {b"\x05", b"\x08", b"\x10"}
        assert "\0" not in label
        assert label.isascii()


@given(LABELS, PARTS, LABELS, PARTS)
def test_two_labelled_messages_are_equal_only_if_label_and_parts_are(
    label: Label, parts: list[bytes], other_label: Label, other_parts: list[bytes]
) -> None:
    same = (label, parts) == (other_label, other_parts)
    assert (labelled(label, *parts) == labelled(other_label, *other_parts)) == same


def test_labelled_on_the_wire() -> None:
    assert labelled(Label.LINK, b"ab", b"") == b"mepassa link 1\x00\x00\x00\x00\x02ab\x00\x00\x00\x00"
