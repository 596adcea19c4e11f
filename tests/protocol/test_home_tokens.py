"""docs/protocol/contacts.md, "Tokens": who may reach our mailbox, and how those who may no longer lose it."""

from mepassa.identity import delivery_token, hash_token, signal_token
from mepassa.ports.stores import InviteKind
from mepassa.protocol import contacts
from mepassa.protocol.tokens import (
    drop_confirmed_keys,
    previous_keys,
    signal_token_for,
    token_changes,
    token_for,
    tokens_told,
)
from tests.protocol.phones import Phone, befriend, settle


def tell(phone: Phone) -> dict[str, set[bytes]]:
    """Upload, then what the home knows, by rights."""
    changes = phone.db.run_now(lambda tx: token_changes(tx, phone.now))
    phone.db.run_now(lambda tx: tokens_told(tx, changes))
    assert not phone.db.run_now(lambda tx: token_changes(tx, phone.now))
    known: dict[str, set[bytes]] = {}
    for record in phone.db.run_now(lambda tx: tx.home_tokens()):
        known.setdefault(record.rights, set()).add(record.sha256)
    return known


def test_contacts_hold_the_tokens_that_the_home_knows(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    known = tell(beto)
    contact = ana.contact(beto)
    token, signal = token_for(contact), signal_token_for(contact)
    assert token is not None
    assert signal is not None
    assert known["delivery"] == {hash_token(token)}
    assert known["signal"] == {hash_token(signal)}
    key = beto.db.run_now(lambda tx: tx.own()).profile_key.expose()
    assert (token, signal) == (delivery_token(key), signal_token(key))


def test_an_invite_is_known_while_it_lives(ana: Phone, beto: Phone) -> None:
    link, code = beto.invite(), beto.invite(InviteKind.QR)
    tokens = {hash_token(card.invite_token) for card in (link, code) if card.invite_token is not None}
    assert tell(beto)["invite"] == tokens
    ana.add(code, beto)
    beto.take(ana.post(beto)[0])
    assert len(tell(beto)["invite"]) == 1, "the code is spent"
    invite = beto.db.run_now(lambda tx: tx.invites())[0]
    beto.db.run_now(lambda tx: contacts.revoke_invite(tx, invite.id))
    assert "invite" not in tell(beto)


def test_blocking_replaces_the_keys_and_tells_everyone_else(ana: Phone, beto: Phone, caio: Phone) -> None:
    befriend(ana, beto)
    befriend(caio, beto)
    old = tell(beto)
    beto.block(ana)
    new = tell(beto)
    assert new["previous"] == old["delivery"]
    assert new["delivery"].isdisjoint(old["delivery"])
    assert new["signal"].isdisjoint(old["signal"])
    assert beto.db.run_now(lambda tx: tx.outbox(ana.account)) == ()
    settle(beto, caio)
    own = beto.db.run_now(lambda tx: tx.own())
    assert caio.contact(beto).profile_key == own.profile_key
    assert caio.contact(beto).presence_key == contacts.own_presence_key(own)
    assert ana.contact(beto).profile_key != own.profile_key
    beto.db.run_now(lambda tx: drop_confirmed_keys(tx, beto.now))
    assert "previous" not in tell(beto), "all who count have confirmed"


def test_the_old_token_stays_while_someone_has_not_confirmed_and_half_a_year_at_most(
    ana: Phone, beto: Phone, caio: Phone
) -> None:
    befriend(ana, beto)
    befriend(caio, beto)
    beto.block(ana)
    beto.clock.advance(days=179)
    beto.db.run_now(lambda tx: drop_confirmed_keys(tx, beto.now))
    assert len(previous_keys_of(beto)) == 1
    beto.clock.advance(days=2)
    beto.db.run_now(lambda tx: drop_confirmed_keys(tx, beto.now))
    assert previous_keys_of(beto) == ()


def previous_keys_of(phone: Phone) -> tuple[object, ...]:
    return phone.db.run_now(previous_keys)


def test_whoever_we_have_asked_is_told_the_new_key_with_their_answer(ana: Phone, beto: Phone, caio: Phone) -> None:
    befriend(ana, caio)
    ana.add(beto.invite(), beto)
    ana.write(beto, "oi")
    beto.take(ana.post(beto)[0])
    ana.clock.advance(60)
    ana.block(caio)
    ana.db.run_now(lambda tx: drop_confirmed_keys(tx, ana.now))
    assert len(previous_keys_of(ana)) == 1, "Beto still holds the old one"
    beto.accept(ana)
    settle(ana, beto)
    assert beto.contact(ana).profile_key == ana.db.run_now(lambda tx: tx.own()).profile_key


def test_refusing_a_stranger_costs_no_key(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    ana.write(beto, "oi")
    beto.take(ana.post(beto)[0])
    key = beto.db.run_now(lambda tx: tx.own()).profile_key
    beto.block(ana)
    assert beto.db.run_now(lambda tx: tx.own()).profile_key == key
