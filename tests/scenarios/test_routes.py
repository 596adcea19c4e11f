"""Three routes, whole peers, virtual time (docs/protocol/routing.md): what a person sees of them."""

import asyncio
import gc
from pathlib import Path

import pytest

from mepassa.client.messenger import Messenger
from mepassa.model.ids import Address
from mepassa.model.route import FoundBy, Policy, RouteKind, RouteTransport
from mepassa.model.signal import SignalKind
from mepassa.model.status import MessageStatus
from tests.scenarios.household import House, Peer, copied
from tests.scenarios.internet import PEER_ID, Internet, RoutedPeer, connected

DIRECT, RELAYED, STORED = RouteKind.DIRECT, RouteKind.RELAYED, RouteKind.STORED
DELIVERED = MessageStatus.DELIVERED


def route_of(peer: Peer, other: Peer, text: str) -> RouteKind | None:
    row = next(row for row in peer.screen(other) if row.text == text)
    return None if row.route is None else row.route.kind


async def delivered(house: House, peer: Peer, other: Peer, *, within_s: float = 60) -> None:
    await house.until(lambda: set(peer.statuses(other)) <= {DELIVERED}, within_s=within_s, every_s=0.05)


def deposits(house: House) -> int:
    assert house.home is not None
    return house.home.counters.deposits_stored + house.home.counters.deposits_delivered


def test_two_who_are_online_meet_and_no_server_sees_the_message(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=1)

    async def scenario() -> None:
        ana, beto = await connected(house, Internet(), "ana", "beto")
        before, began = deposits(house), house.world.time()
        await ana.send(beto, "direto?")
        await delivered(house, ana, beto)
        assert house.world.time() - began < 2
        assert (route_of(ana, beto, "direto?"), route_of(beto, ana, "direto?")) == (DIRECT, DIRECT)
        await beto.send(ana, "direto!")
        await delivered(house, beto, ana)
        assert route_of(beto, ana, "direto!") is DIRECT
        assert deposits(house) == before

    house.run(scenario)


def test_where_no_direct_path_exists_the_relay_carries(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=2)

    async def scenario() -> None:
        internet = Internet()
        internet.direct = False
        ana, beto = await connected(house, internet, "ana", "beto")
        await ana.send(beto, "por ponte")
        await delivered(house, ana, beto)
        assert (route_of(ana, beto, "por ponte"), route_of(beto, ana, "por ponte")) == (RELAYED, RELAYED)

    house.run(scenario)


NEXT_ROUTE_S = 5.0
"""What docs/protocol/routing.md promises from the silence of a path to the next route: virtual seconds, so it is asserted."""


@pytest.mark.parametrize(
    ("kind", "transport", "next_route"),
    [
        (DIRECT, RouteTransport.LIBP2P, RELAYED),
        (DIRECT, RouteTransport.LIBP2P, STORED),
        (DIRECT, RouteTransport.QUIC, RELAYED),
        (DIRECT, RouteTransport.QUIC, STORED),
        (RELAYED, RouteTransport.QUIC, STORED),
    ],
)
def test_a_path_that_falls_silent_in_mid_message_is_left_for_the_next_route_and_the_message_shows_once(
    two_friends: Path, tmp_path: Path, kind: RouteKind, transport: RouteTransport, next_route: RouteKind
) -> None:
    house = copied(two_friends, tmp_path / "house", seed=3)

    async def scenario() -> None:
        internet = Internet()
        internet.direct_links.direct_by = transport
        internet.direct = kind is DIRECT
        ana, beto = await connected(house, internet, "ana", "beto")
        await ana.send(beto, "um")
        await delivered(house, ana, beto)
        used = beto.screen(ana)[-1].route
        assert used is not None
        assert (used.kind, used.transport) == (kind, transport)
        internet.direct = False
        internet.relay = next_route is RELAYED
        for links in (internet.direct_links, internet.relayed_links):
            links.cut(address(ana), address(beto))
        if next_route is RELAYED:
            internet.relayed_links.mend(address(ana), address(beto))  # for new links; the old ones stay silent
        began = house.world.time()
        row = await ana.send(beto, "dois")
        (envelope,) = (entry.envelope for entry in ana.outbox() if entry.message_id == row.id)
        assert envelope is not None
        await house.until(lambda: "dois" in beto.inbox(ana), within_s=NEXT_ROUTE_S, every_s=0.02)
        took = house.world.time() - began
        print(f"{kind} by {transport} silent: {next_route} after {took:.2f} virtual seconds")
        assert took < NEXT_ROUTE_S
        await delivered(house, ana, beto)
        assert beto.inbox(ana) == ["um", "dois"]
        assert route_of(beto, ana, "dois") is next_route
        assert beto.look(lambda tx: tx.seen(envelope.id)), "the same envelope by another way"

    house.run(scenario)


def test_an_open_chat_has_candidates_ready_and_lets_go_of_them_when_it_is_left(
    two_friends: Path, tmp_path: Path
) -> None:
    house = copied(two_friends, tmp_path / "house", seed=9)

    async def scenario() -> None:
        internet = Internet()
        ana, beto = await connected(house, internet, "ana", "beto")
        assert ana.paths is not None
        await ana.paths.chat_shown(beto.account)
        await asyncio.sleep(1)
        assert [agent.closed for agent in internet.agents] == [False]
        assert ana.path_to(beto) is None, "opening a chat alone must not show our address to anyone"
        await asyncio.sleep(200)
        assert [agent.closed for agent in internet.agents] == [True]

    house.run(scenario)


def test_who_is_known_to_be_away_gets_a_deposit_at_once(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=4)

    async def scenario() -> None:
        ana, beto = await connected(house, Internet(), "ana", "beto")
        beto.crash()
        await ana.send(beto, "guarda para depois")
        began = house.world.time()
        await house.until(lambda: ana.statuses(beto) == [MessageStatus.STORED], within_s=30, every_s=0.05)
        first = house.world.time() - began
        await ana.send(beto, "isto também")
        began = house.world.time()
        await house.until(lambda: ana.statuses(beto) == [MessageStatus.STORED] * 2, within_s=30, every_s=0.02)
        assert house.world.time() - began < 0.4, f"the first took {first:.2f} s"
        beto.boot()
        await delivered(house, ana, beto)
        assert beto.inbox(ana) == ["guarda para depois", "isto também"]

    house.run(scenario)


def test_without_a_home_direct_talk_goes_on_and_the_rest_waits(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=5)

    async def scenario() -> None:
        internet = Internet()
        ana, beto = await connected(house, internet, "ana", "beto")
        await ana.send(beto, "um")
        await delivered(house, ana, beto)
        house.stop_home()
        await ana.send(beto, "dois")
        await delivered(house, ana, beto)
        assert route_of(beto, ana, "dois") is DIRECT
        beto.crash()
        await ana.send(beto, "três")
        await house.until(lambda: ana.path_to(beto) is None, within_s=60)
        beto.boot()
        await house.start_home()
        await delivered(house, ana, beto, within_s=300)
        assert beto.inbox(ana) == ["um", "dois", "três"]

    house.run(scenario)


def test_presence_alone_leads_to_a_contact_whose_home_is_away(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=6)

    async def scenario() -> None:
        internet = Internet()
        ana, beto = await connected(house, internet, "ana", "beto")
        house.stop_home()
        internet.presence[address(beto)] = (f"/ip4/198.51.100.77/tcp/4001/p2p/{PEER_ID}",)
        await ana.send(beto, "achei você")
        await delivered(house, ana, beto, within_s=120)
        route = ana.screen(beto)[-1].route
        assert route is not None
        assert (route.kind, route.found_by) == (DIRECT, FoundBy.DHT)

    house.run(scenario)


def test_direct_only_waits_and_says_so_until_it_is_sent_by_server(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=7)

    async def scenario() -> None:
        internet = Internet()
        internet.direct = False
        ana, beto = await connected(house, internet, "ana", "beto")
        await set_policy(ana, beto, Policy.DIRECT_ONLY)
        row = await ana.send(beto, "só direto")
        await house.until(lambda: any(entry.last_error == "NoDirectPathError" for entry in ana.outbox()), within_s=60)
        assert ana.statuses(beto) == [MessageStatus.QUEUED]
        assert beto.inbox(ana) == []
        await ana.ask(lambda messenger: messenger.send_by_server(row.id))
        await delivered(house, ana, beto)
        assert route_of(beto, ana, "só direto") is STORED

    house.run(scenario)


def test_hiding_ones_address_shows_none_and_takes_no_direct_path(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=8)

    async def scenario() -> None:
        internet = Internet()
        ana, beto = await connected(house, internet, "ana", "beto")
        await set_policy(ana, beto, Policy.HIDE_MY_IP)
        await ana.send(beto, "escondida")
        await delivered(house, ana, beto)
        assert route_of(beto, ana, "escondida") is RELAYED
        hidden = [signal for signal in internet.told if signal.relay_only]
        assert hidden
        assert all(signal.libp2p_peer_id is None and not signal.libp2p_addresses for signal in hidden)
        await beto.send(ana, "tudo bem")
        await delivered(house, beto, ana)
        assert route_of(beto, ana, "tudo bem") is RELAYED

    house.run(scenario)


@pytest.mark.parametrize("seed", range(10, 14))
def test_both_begin_at_the_same_moment_and_everything_arrives_once(
    two_friends: Path, tmp_path: Path, seed: int
) -> None:
    house = copied(two_friends, tmp_path / "house", seed=seed)

    async def scenario() -> None:
        internet = Internet()
        internet.direct = seed % 2 == 0
        ana, beto = await connected(house, internet, "ana", "beto")
        await ana.send(beto, "eu primeiro")
        await beto.send(ana, "não, eu")
        await delivered(house, ana, beto)
        await delivered(house, beto, ana)
        assert (beto.inbox(ana), ana.inbox(beto)) == (["eu primeiro"], ["não, eu"])
        await house.at_rest()
        await asyncio.sleep(20)
        assert all(agent.closed for agent in internet.agents), "an attempt left its sockets open"

    house.run(scenario)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 23))
def test_crashes_on_live_paths_lose_nothing_and_show_nothing_twice(
    two_friends: Path, tmp_path: Path, seed: int
) -> None:
    house = copied(two_friends, tmp_path / "house", seed=seed)

    async def scenario() -> None:
        internet = Internet()
        ana, beto = await connected(house, internet, "ana", "beto")
        wanted: dict[str, list[str]] = {"ana": [], "beto": []}
        for number in range(12):
            victim = (ana, beto)[house.rng.below(2)]
            internet.direct = house.rng.below(3) > 0
            victim.crash_at_step(1 + house.rng.below(40))
            for peer, other in ((ana, beto), (beto, ana)):
                text = f"{peer.name} {number}"
                await peer.send(other, text)
                wanted[other.name].append(text)
            await house.until(lambda: all(one.node is not None for one in (ana, beto)), every_s=0.5)
        await house.until(
            lambda: (
                sorted(beto.inbox(ana)) == sorted(wanted["beto"]) and sorted(ana.inbox(beto)) == sorted(wanted["ana"])
            ),
            within_s=7200,
        )
        await delivered(house, ana, beto, within_s=7200)
        await delivered(house, beto, ana, within_s=7200)
        assert house.crashes > 0

    house.run(scenario)


def address(peer: Peer) -> Address:
    return peer.look(lambda tx: tx.own()).address


async def set_policy(peer: RoutedPeer, other: Peer, policy: Policy) -> None:
    await peer.ask(lambda messenger: messenger.set_policy(other.account, policy))
    assert peer.paths is not None
    peer.paths.policy_changed(other.account, policy)


def test_blocking_ends_the_live_path_and_all_that_was_on_its_way(two_friends: Path, tmp_path: Path) -> None:
    """An open link would go on telling somebody who was blocked that we are here, and at which address."""
    house = copied(two_friends, tmp_path / "house", seed=30)

    async def scenario() -> None:
        internet = Internet()
        ana, beto = await connected(house, internet, "ana", "beto")
        await ana.send(beto, "oi")
        await delivered(house, ana, beto)
        assert ana.path_to(beto) is DIRECT
        await ana.ask(lambda messenger: messenger.block(beto.account))
        assert ana.paths is not None
        ana.paths.forget(beto.account)
        await house.until(lambda: beto.path_to(ana) is None, within_s=10, every_s=0.05)
        told = len(internet.told)
        await beto.send(ana, "está aí?")  # its hello still verifies here: the refusal is the path service's own
        await asyncio.sleep(60)
        assert ana.path_to(beto) is None
        assert beto.path_to(ana) is None
        assert ana.inbox(beto) == []
        assert all(signal.kind is SignalKind.OFFER for signal in internet.told[told:]), "Ana answered an offer"

    house.run(scenario)


def test_what_has_not_left_when_somebody_is_blocked_does_not_leave(two_friends: Path, tmp_path: Path) -> None:
    """Neither what was sealed a moment ago, nor what is on its way through the path service. (On an open path it has left
    when `send_text` returns.)"""
    house = copied(two_friends, tmp_path / "house", seed=32)

    async def scenario() -> None:
        internet = Internet()
        internet.direct = internet.relay = False
        ana, beto = await connected(house, internet, "ana", "beto")
        await ana.send(beto, "oi")
        await house.until(lambda: beto.inbox(ana) == ["oi"])
        await house.at_rest()

        async def write_and_block(messenger: Messenger) -> None:
            await messenger.send_text(beto.account, bytes(16), "não devia ter escrito")
            await messenger.block(beto.account)

        await ana.ask(write_and_block)
        await asyncio.sleep(600)
        assert beto.inbox(ana) == ["oi"]

    house.run(scenario)


def test_a_device_that_is_forgotten_while_a_message_to_it_begins_leaves_nothing_behind(
    two_friends: Path, tmp_path: Path
) -> None:
    """Neither a task that waits nor a coroutine that nobody awaits, which would be a warning and so an error here."""
    house = copied(two_friends, tmp_path / "house", seed=33)

    async def scenario() -> None:
        ana, beto = await connected(house, Internet(), "ana", "beto")
        await ana.send(beto, "oi")
        await delivered(house, ana, beto)

        async def write_and_forget(messenger: Messenger) -> None:
            assert ana.paths is not None
            await messenger.send_text(beto.account, bytes(16), "até logo")
            ana.paths.forget_devices({address(beto)})

        await ana.ask(write_and_forget)
        await house.until(lambda: beto.inbox(ana) == ["oi", "até logo"], within_s=600)
        gc.collect()

    house.run(scenario)


def test_links_of_devices_that_no_contact_lists_any_more_are_closed(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=31)

    async def scenario() -> None:
        ana, beto = await connected(house, Internet(), "ana", "beto")
        await ana.send(beto, "oi")
        await delivered(house, ana, beto)
        assert ana.paths is not None
        ana.paths.close_strangers(lambda device: device == address(beto))
        await asyncio.sleep(1)
        assert ana.path_to(beto) is DIRECT
        ana.paths.close_strangers(lambda _device: False)
        await house.until(lambda: ana.path_to(beto) is None, within_s=10, every_s=0.05)

    house.run(scenario)
