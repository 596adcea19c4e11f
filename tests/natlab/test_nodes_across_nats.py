"""Whole nodes across real NATs: `mepassa serve` and two `mepassa run`, one text after the other, judged by both records.

Timing decides nothing: a first text may take whatever route is ready, the next one takes the path that the NATs allow.
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from devtools.programs import held_at, sealed_into
from mepassa.testing.natlab import Cut, NatLab, NatType
from tests.natlab.lab_nodes import LabNode, household, running, until

pytestmark = [pytest.mark.slow, pytest.mark.alone]

CONES = (NatType.PORTCONE, NatType.PORTCONE)
SYMMETRICS = (NatType.SYMMETRIC, NatType.SYMMETRIC)
BLOCKED = (NatType.UDPBLOCKED, NatType.OPEN)

People = tuple[LabNode, LabNode]


@pytest.fixture(scope="module")
def at_rest(lab: NatLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    with household(lab, tmp_path_factory.mktemp("household")) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def people(at_rest: People, request: pytest.FixtureRequest) -> Iterator[People]:
    """Both nodes, started anew for each pair of NATs; tests of one pair share them, in the order of this file."""
    with running(at_rest, *request.param) as nodes:
        yield nodes


def behind(*pairs: tuple[NatType, NatType]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("people", pairs, indirect=True, ids=lambda pair: f"{pair[0]} x {pair[1]}")


def routes_of(sender: LabNode, recipient: LabNode, text: str) -> list[dict[str, Any]]:
    """Send, wait for the receipt: the route on the sender's record, and on the one message that the recipient sees."""
    begun = time.monotonic()
    mine = sender.delivered(sender.say(recipient, text))
    shown = [message for message in recipient.shown(sender, text) if message["id"] == mine["id"]]
    assert len(shown) == 1
    print(f"{text}: {time.monotonic() - begun:.2f} s", mine["route"], shown[0]["route"])
    return [mine["route"], shown[0]["route"]]


def meet(ana: LabNode, beto: LabNode, kind: str) -> None:
    """A first text, and then until both see the path that it made."""
    routes_of(ana, beto, f"the first, towards {kind}")
    for here, there in ((ana, beto), (beto, ana)):
        until(f"a {kind} path", lambda: here.path_to(there) == kind)


@behind(CONES)
def test_behind_common_routers_a_text_goes_from_device_to_device(people: People) -> None:
    ana, beto = people
    meet(ana, beto, "direct")
    for sender, recipient in (people, people[::-1]):
        for route in routes_of(sender, recipient, "directly"):
            assert (route["kind"], route["transport"], route["address_class"]) == ("direct", "quic", "hole_punched")
            assert route["via"] is None


@behind(SYMMETRICS)
def test_behind_symmetric_routers_a_text_takes_the_relay(people: People, lab: NatLab) -> None:
    ana, beto = people
    meet(ana, beto, "relayed")
    for route in routes_of(ana, beto, "by the relay"):
        assert (route["kind"], route["transport"], route["address_class"]) == ("relayed", "quic", "relay")
        assert route["via"].startswith(f"{lab.SERVER}:")


@behind(BLOCKED)
def test_where_udp_is_blocked_a_text_takes_the_relay_over_tcp(people: People, lab: NatLab) -> None:
    ana, beto = people
    meet(ana, beto, "relayed")
    assert [route["kind"] for route in routes_of(ana, beto, "by the relay over TCP")] == ["relayed", "relayed"]


def let_tcp_out(lab: NatLab, ana: LabNode) -> None:
    """Her firewall blocks UDP alone from now on; the switch makes the node look again at once."""
    rule = 'add rule ip natlab forward iifname "lan" oifname "wan" tcp dport 1024-65535 accept'
    lab.run("natA", ["nft", *rule.split()])
    ana.put("/paths", {"direct": False})
    ana.put("/paths", {"direct": True})


@behind(BLOCKED)
def test_where_only_udp_is_blocked_and_the_other_side_is_open_tcp_goes_directly(people: People, lab: NatLab) -> None:
    ana, beto = people
    let_tcp_out(lab, ana)
    meet(ana, beto, "direct")
    for route in routes_of(ana, beto, "by TCP"):
        assert (route["kind"], route["transport"]) == ("direct", "libp2p")


@behind(CONES, SYMMETRICS, BLOCKED)
def test_doctor_names_the_kind_of_network_and_says_what_to_do(
    people: People, lab: NatLab, request: pytest.FixtureRequest
) -> None:
    ana, _ = people
    name, advised = {
        CONES: ("network_cone", None),
        SYMMETRICS: ("network_symmetric", "IPv6"),
        BLOCKED: ("network_udp_blocked", "another network"),
    }[request.node.callspec.params["people"]]
    found = ana.doctor()
    assert [check for check in found if check.startswith("network_")] == [name]
    assert found[name]["ok"]
    assert (found[name]["advice"] is None) if advised is None else (advised in found[name]["advice"])
    assert found["home"]["ok"]
    assert found["relay"]["ok"]


@behind(CONES, BLOCKED)
def test_a_path_that_goes_silent_hands_the_text_to_the_next_route(
    people: People, lab: NatLab, request: pytest.FixtureRequest
) -> None:
    """Packets between the two vanish, nobody is told: QUIC across the cones, libp2p where UDP is blocked."""
    ana, beto = people
    quic = request.node.callspec.params["people"] == CONES
    if not quic:
        let_tcp_out(lab, ana)
    meet(ana, beto, "direct")
    assert routes_of(ana, beto, "before the silence")[0]["transport"] == ("quic" if quic else "libp2p")
    text = f"into the silence of {'QUIC' if quic else 'libp2p'}"
    lab.cut("A", Cut.PEER)
    try:
        kinds = {route["kind"] for route in routes_of(ana, beto, text)}
        assert len(kinds) == 1
        assert kinds <= {"relayed", "stored"}
        until("the end of the silent path", lambda: ana.path_to(beto) != "direct")
    finally:
        lab.mend("A")
    routes_of(ana, beto, "after the silence")
    assert len(beto.shown(ana, text)) == 1


@behind(CONES)
def test_a_device_that_is_stopped_on_a_direct_quic_path_is_left_for_the_next_route(people: People) -> None:
    """SIGSTOP: its sockets still take what comes, and nothing answers. Awake again it shows the text once."""
    ana, beto = people
    meet(ana, beto, "direct")
    route = routes_of(ana, beto, "before it is stopped")[0]
    assert (route["kind"], route["transport"]) == ("direct", "quic")
    text = "while it is stopped"
    with beto.stopped():
        begun = time.monotonic()
        sent = ana.say(beto, text)

        def stored() -> dict[str, Any] | None:
            found = ana.get(f"/messages/{sent['id']}")
            return found if found["status"] != "queued" else None

        first = until("the next route", stored)
        print(f"direct QUIC, stopped: {first['status']} after {time.monotonic() - begun:.2f} s")
        assert (first["status"], first["route"]["kind"]) == ("stored", "stored"), "nothing on the path acknowledged it"
        (envelope,) = sealed_into(ana.folder, sent["id"])  # sealed once: what waits is what the silent path was given
        assert envelope in held_at(ana.folder.with_name("home"))
        until("the end of the silent path", lambda: ana.path_to(beto) != "direct")
    arrived = ana.delivered(sent)
    assert arrived["route"]["kind"] in {"stored", "direct"}  # whichever copy Beto, awake again, took first
    assert [message["id"] for message in beto.shown(ana, text)] == [sent["id"]]
    routes_of(beto, ana, "awake again")
