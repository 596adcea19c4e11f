"""docs/protocol/ice.md across NATs: two real processes, real keys, QUIC and the link, coturn as the home's relay."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mepassa.testing.natlab import Coturn, LabProcess, NatLab, NatType
from tests.conftest import Needs

ROOT = Path(__file__).parents[2]
RELAY_PORT = 443
"""The only TCP port that gets out where UDP is blocked."""

Peers = tuple["Peer", "Peer"]


@pytest.fixture(scope="module")
def relay(lab: NatLab, needs: Needs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    needs("turnserver", "coturn")
    coturn = Coturn(tmp_path_factory.mktemp("coturn"), lab.SERVER, RELAY_PORT)
    with lab.spawn("srv", coturn.command()):
        lab.wait_for_port("srv", lab.SERVER, RELAY_PORT)
        yield coturn


class Peer:
    def __init__(self, lab: NatLab, relay: Coturn, number: int, allowed: dict[str, bool]) -> None:
        side = "AB"[number - 1]
        self.process: LabProcess = lab.spawn(f"cli{side}", [sys.executable, "-m", "tests.natlab.ice_peer"], cwd=ROOT)
        user, password = relay.credentials()
        self.process.write_json(
            {
                "number": number,
                "friend": 3 - number,
                "turn": relay.turn_uris,
                "stun": relay.stun_uris,
                "user": user,
                "password": password,
                "direct": True,
                "relay": True,
                "relay_only": False,
                **allowed,
            }
        )

    def hears(self, *events: str) -> dict[str, Any]:
        """The next event of one of these kinds; others are passed over."""
        while True:
            told = self.process.read_json(30)
            if told["event"] in events:
                return told


@contextmanager
def two_peers(lab: NatLab, relay: Coturn, a: NatType, b: NatType, **allowed: bool) -> Iterator[Peers]:
    lab.set_nat("A", a)
    lab.set_nat("B", b)
    ana, bruno = Peer(lab, relay, 1, allowed), Peer(lab, relay, 2, {})
    try:
        yield ana, bruno
    finally:
        ana.process.stop()
        bruno.process.stop()


def meet(peers: Peers) -> tuple[dict[str, Any], dict[str, Any]]:
    """Swap signals; what each side says about the path, with the NAT kind it told."""
    ana, bruno = peers
    from_ana, from_bruno = ana.hears("gathered"), bruno.hears("gathered")
    ana.process.write_json({"remote": from_bruno["signal"]})
    bruno.process.write_json({"remote": from_ana["signal"]})
    opened = ana.hears("open", "failed"), bruno.hears("open", "failed")
    for gathered, made in zip((from_ana, from_bruno), opened, strict=True):
        made.update(nat_kind=gathered["nat_kind"], gather_s=gathered["seconds"])
        print(made)
    return opened


MATRIX = [
    (NatType.OPEN, NatType.OPEN, "direct", "public"),
    (NatType.OPEN, NatType.PORTCONE, "direct", "public"),
    (NatType.OPEN, NatType.SYMMETRIC, "direct", "public"),
    (NatType.PORTCONE, NatType.PORTCONE, "direct", "hole_punched"),
    (NatType.FULLCONE, NatType.SYMMETRIC, "direct", "hole_punched"),
    (NatType.PORTCONE, NatType.SYMMETRIC, "relayed", "relay"),
    (NatType.SYMMETRIC, NatType.SYMMETRIC, "relayed", "relay"),
    (NatType.UDPBLOCKED, NatType.OPEN, "relayed", "relay"),
    (NatType.UDPBLOCKED, NatType.UDPBLOCKED, "relayed", "relay"),
]


KINDS = {
    NatType.OPEN: "open",
    NatType.FULLCONE: "cone",
    NatType.PORTCONE: "cone",
    NatType.SYMMETRIC: "symmetric",
    NatType.UDPBLOCKED: "udp_blocked",
}
"""What two STUN ports can tell of each."""


@pytest.mark.slow
@pytest.mark.parametrize("case", MATRIX, ids=lambda case: f"{case[0]} x {case[1]}: {case[2]}")
def test_two_devices_meet_by_the_best_path_that_their_nats_allow(
    lab: NatLab, relay: Coturn, case: tuple[NatType, NatType, str, str]
) -> None:
    a, b, kind, address_class = case
    with two_peers(lab, relay, a, b) as peers:
        opened = meet(peers)
        for side in opened:
            assert (side["event"], side.get("kind"), side.get("address_class")) == ("open", kind, address_class)
        assert [side["nat_kind"] for side in opened] == [KINDS[a], KINDS[b]]
        if kind == "relayed":
            assert f"{lab.SERVER}:{RELAY_PORT}" in {side["via"] for side in opened}
        ana, bruno = peers
        ana.process.write_json({"send": 1, "size_bytes": 36_000})
        bruno.process.write_json({"send": 2})
        assert bruno.hears("received")["number"] == 1
        assert ana.hears("received", "acknowledged")["event"] in {"received", "acknowledged"}


@pytest.mark.slow
def test_who_hides_the_address_is_met_through_the_relay_though_direct_would_work(lab: NatLab, relay: Coturn) -> None:
    with two_peers(lab, relay, NatType.OPEN, NatType.OPEN, relay_only=True) as peers:
        ana = peers[0]
        gathered = ana.hears("gathered")
        assert gathered["nat_kind"] == "unknown"
        assert lab.client("A") not in str(gathered["candidates"])


@pytest.mark.slow
@pytest.mark.parametrize("nat, how", [(NatType.PORTCONE, "packets dropped"), (NatType.SYMMETRIC, "peer frozen")])
def test_a_path_that_goes_silent_is_noticed_within_five_seconds(
    lab: NatLab, relay: Coturn, nat: NatType, how: str
) -> None:
    """Nobody is told; an envelope in flight must look for another route soon."""
    with two_peers(lab, relay, nat, nat) as peers:
        assert meet(peers)[0]["event"] == "open"
        ana, bruno = peers
        ana.process.write_json({"send": 1})
        assert ana.hears("acknowledged", "lost")["event"] == "acknowledged"
        lab.cut("B") if how == "packets dropped" else bruno.process.send_signal(signal.SIGSTOP)
        try:
            ana.process.write_json({"send": 2})
            lost = ana.hears("acknowledged", "lost")
        finally:
            lab.mend("B") if how == "packets dropped" else bruno.process.send_signal(signal.SIGCONT)
        assert lost["event"] == "lost"
        assert lost["seconds"] < 5
        assert bruno.hears("closed")["event"] == "closed"
