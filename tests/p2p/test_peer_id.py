"""mepassa.p2p.addresses.parse_peer_id: base58 of the right length, or `MalformedError`."""

from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.errors import MalformedError
from mepassa.p2p.addresses import BASE58, parse_peer_id

PEER_IDS = st.text(sorted(BASE58), min_size=40, max_size=60)


@given(PEER_IDS | st.text(max_size=80) | st.builds(str.__add__, PEER_IDS, st.text("0OIl/é", max_size=2)))
def test_any_text_is_a_peer_id_or_malformed(text: str) -> None:
    try:
        assert parse_peer_id(text) == text
    except MalformedError:
        assert not (40 <= len(text) <= 60 and BASE58.issuperset(text))
