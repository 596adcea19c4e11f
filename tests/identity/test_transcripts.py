"""docs/protocol/identity.md, "Transcripts": changing any fact changes what is signed."""

from collections.abc import Callable, Mapping

import pytest

from mepassa.identity import (
    LinkRole,
    auth_message,
    hello_message,
    home_document_message,
    libp2p_binding,
    link_message,
    presence_record_message,
    quic_binding,
)
from mepassa.model.errors import MalformedError
from mepassa.model.ids import AccountId, Address, RunId
from mepassa.model.keys import HomeKey

A, B, C = (bytes([byte]) * 32 for byte in b"abc")
ANA, BRUNO = Address(AccountId(A[:16]), 1), Address(AccountId(B[:16]), 1)

CASES: list[tuple[Callable[..., bytes], Mapping[str, object], Mapping[str, object]]] = [
    (
        hello_message,
        {"client_nonce": A, "home_nonce": B, "host": "h:1", "time_ms": 5},
        {"client_nonce": C, "home_nonce": C, "host": "h:2", "time_ms": 6},
    ),
    (
        auth_message,
        {
            "home_key": HomeKey(A),
            "client_nonce": A,
            "home_nonce": B,
            "device": ANA,
            "run_counter": 1,
            "run_id": RunId(A[:16]),
        },
        {
            "home_key": HomeKey(B),
            "client_nonce": C,
            "home_nonce": C,
            "device": Address(ANA.account, 2),
            "run_counter": 2,
            "run_id": RunId(B[:16]),
        },
    ),
    (
        quic_binding,
        {
            "server_certificate_sha256": A,
            "client_path_secret": B,
            "server_ufrag": "s",
            "client_ufrag": "c",
            "server_path_secret": C,
        },
        {
            "server_certificate_sha256": B,
            "client_path_secret": A,
            "server_ufrag": "x",
            "client_ufrag": "y",
            "server_path_secret": A,
        },
    ),
    (
        link_message,
        {"role": LinkRole.DIALLER, "own": ANA, "peer": BRUNO, "binding": A},
        {"role": LinkRole.LISTENER, "own": BRUNO, "peer": ANA, "binding": B},
    ),
    (
        presence_record_message,
        {"device": ANA, "slot": A, "expires_at_ms": 5, "body": b"x"},
        {"device": BRUNO, "slot": B, "expires_at_ms": 6, "body": b"y"},
    ),
]


@pytest.mark.parametrize("build, facts, others", CASES, ids=lambda case: getattr(case, "__name__", ""))
def test_every_fact_enters_the_signature(
    build: Callable[..., bytes], facts: Mapping[str, object], others: Mapping[str, object]
) -> None:
    assert facts.keys() == others.keys()
    messages = {build(**facts)} | {build(**{**facts, name: others[name]}) for name in facts}
    assert len(messages) == len(facts) + 1


def test_no_two_kinds_of_transcript_share_a_beginning() -> None:
    begins = {build(**facts).partition(b"\x00")[0] for build, facts, _ in CASES if build is not quic_binding}
    begins.add(home_document_message(b"").partition(b"\x00")[0])
    assert len(begins) == len(CASES)


def test_a_binding_names_both_peers_in_the_order_of_their_roles() -> None:
    assert libp2p_binding(b"a", b"bc") != libp2p_binding(b"ab", b"c")
    assert libp2p_binding(b"a", b"b") != libp2p_binding(b"b", b"a")


def test_a_nonce_of_another_size_is_refused() -> None:
    with pytest.raises(MalformedError):
        hello_message(client_nonce=A[:31], home_nonce=B, host="h", time_ms=0)
