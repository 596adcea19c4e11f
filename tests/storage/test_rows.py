# mypy: disable-error-code="func-returns-value, misc"
"""Every family of `ports.stores.Tx`: what goes in comes out, in the promised order."""

from dataclasses import replace

import pytest

from mepassa.model.device_list import SignedDeviceList
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import NotInitialisedError
from mepassa.model.ids import AccountId, Address, EnvelopeId, MessageId, Timestamp
from mepassa.model.keys import HomeKey, IdentityKey, PresencePublicKey, RootPublicKey
from mepassa.model.route import Policy, Route, RouteKind, RouteTransport
from mepassa.model.secret import SecretBytes
from mepassa.model.status import ChatState, MessageStatus, Verification
from mepassa.ports.mailbox import HomeAddress, TokenRecord
from mepassa.ports.stores import (
    Contact,
    EventKind,
    Invite,
    InviteKind,
    MessageKind,
    MessageRow,
    OutboxKind,
    OutboxRow,
    OwnAccount,
    PrekeyKind,
    PrekeyRow,
    Renewal,
    SentRow,
    Tx,
    UnopenedRow,
)
from mepassa.storage import InlineDb

ANA, BETO = AccountId(b"A" * 16), AccountId(b"B" * 16)
HOME = HomeAddress("https://home.test", HomeKey(bytes(32)))
LIST = SignedDeviceList(b"list", bytes(64))
DEVICE = Address(BETO, 3)
NOW = Timestamp(1_700_000_000_000)


def mid(number: int) -> MessageId:
    return MessageId(number.to_bytes(16, "big"))


def text(
    number: int, seq: int, sender: AccountId = BETO, status: MessageStatus = MessageStatus.DELIVERED
) -> MessageRow:
    return MessageRow(mid(number), BETO, sender, MessageKind.TEXT, f"m{number}", Timestamp(NOW + number), seq, status)


OWN = OwnAccount(
    address=Address(ANA, 1),
    name="Ana",
    root_key=RootPublicKey(bytes(32)),
    identity_key=IdentityKey(b"\x05" * 33),
    device_seed=SecretBytes(b"d" * 32),
    registration_id=77,
    device_certificate=b"certificate",
    device_list=LIST,
    list_version=9,
    home=HOME,
    profile_key=SecretBytes(b"p" * 32),
    presence_seed=SecretBytes(b"s" * 32),
)


def test_own_account(db: InlineDb) -> None:
    with pytest.raises(NotInitialisedError):
        db.run_now(lambda tx: tx.own())
    db.run_now(lambda tx: tx.put_own(OWN))
    assert db.run_now(lambda tx: tx.own()) == OWN
    other = replace(OWN, list_version=10, name="Ana Lua")
    db.run_now(lambda tx: tx.put_own(other))
    assert db.run_now(lambda tx: tx.own()) == other


def test_settings_and_home_tokens(db: InlineDb) -> None:
    db.run_now(lambda tx: (tx.put_setting("a", b"1"), tx.put_setting("b", b"2"), tx.put_setting("a", None)))
    assert db.run_now(lambda tx: (tx.setting("a"), tx.setting("b"))) == (None, b"2")
    one, two = TokenRecord(b"1" * 32, "delivery"), TokenRecord(b"2" * 32, "invite", NOW)
    db.run_now(lambda tx: tx.put_home_tokens((one, two), ()))
    db.run_now(lambda tx: tx.put_home_tokens((), (b"1" * 32,)))
    assert db.run_now(lambda tx: tx.home_tokens()) == (two,)


def test_prekeys_are_numbered_once(db: InlineDb) -> None:
    kind = PrekeyKind.ONE_TIME
    rows = [PrekeyRow(kind, number, SecretBytes(bytes([number]) * 32), NOW) for number in (1, 2)]
    db.run_now(lambda tx: [tx.put_prekey(row) for row in rows])
    db.run_now(lambda tx: tx.mark_prekeys_uploaded(kind, 2))
    assert db.run_now(lambda tx: tx.prekeys(kind)) == (rows[0], replace(rows[1], uploaded=True))
    assert db.run_now(lambda tx: tx.prekey(kind, 1)) == rows[0]
    assert db.run_now(lambda tx: (tx.untold_prekeys(kind), tx.prekey_count(kind))) == ((rows[0],), 2)
    db.run_now(lambda tx: tx.delete_prekey(kind, 1))
    assert db.run_now(lambda tx: tx.prekey(kind, 1)) is None
    assert db.run_now(lambda tx: [tx.next_prekey_id(kind, 100), tx.next_prekey_id(kind, 1)]) == [1, 101]
    assert db.run_now(lambda tx: tx.next_prekey_id(PrekeyKind.KYBER_LAST_RESORT, 1, 2**24)) == 2**24


def test_a_use_of_a_last_resort_key_is_remembered(db: InlineDb) -> None:
    assert not db.run_now(lambda tx: tx.last_resort_used(1, 2, b"base"))
    db.run_now(lambda tx: tx.put_last_resort_use(1, 2, b"base"))
    assert db.run_now(lambda tx: (tx.last_resort_used(1, 2, b"base"), tx.last_resort_used(1, 3, b"base"))) == (
        True,
        False,
    )


def test_sessions_and_resets(db: InlineDb) -> None:
    db.run_now(lambda tx: (tx.put_session(DEVICE, b"1"), tx.put_session(DEVICE, b"2")))
    assert db.run_now(lambda tx: (tx.session(DEVICE), tx.session(Address(ANA, 1)), tx.sessions())) == (
        b"2",
        None,
        (DEVICE,),
    )
    db.run_now(lambda tx: [tx.add_reset(DEVICE, Timestamp(at)) for at in (10, 20, 30)])
    assert db.run_now(lambda tx: tx.resets_since(DEVICE, Timestamp(10))) == 2


def test_contacts_come_newest_activity_first(db: InlineDb) -> None:
    beto = Contact(
        BETO, RootPublicKey(bytes(32)), "Beto", ChatState.REQUESTED, HOME, invite_token=bytes(16), added_ms=NOW
    )
    ana = replace(beto, account=ANA, name="Ana", added_ms=Timestamp(NOW + 1))
    db.run_now(lambda tx: (tx.put_contact(beto), tx.put_contact(ana)))
    assert db.run_now(lambda tx: tx.contacts()) == (ana, beto)
    db.run_now(lambda tx: tx.insert_message(text(5, 1)))
    full = replace(
        beto,
        state=ChatState.ACCEPTED,
        policy=Policy.HIDE_MY_IP,
        device_list=LIST,
        list_version=4,
        list_wanted=5,
        profile_key=SecretBytes(b"p" * 32),
        presence_key=PresencePublicKey(bytes(32)),
        invite_token=None,
        last_sender_seq=8,
        verification=Verification.WITHDRAWN,
        verified_ms=NOW,
    )
    db.run_now(lambda tx: tx.put_contact(full))
    assert db.run_now(lambda tx: (tx.contacts(), tx.contact(BETO))) == ((full, ana), full)


def test_invites_count_each_account_once(db: InlineDb) -> None:
    invite = Invite(b"t" * 16, InviteKind.LINK, NOW, Timestamp(NOW + 9), 20)
    db.run_now(lambda tx: tx.put_invite(invite))
    assert db.run_now(lambda tx: [tx.use_invite(invite.token, who) for who in (ANA, BETO, ANA)]) == [True, True, False]
    db.run_now(lambda tx: tx.put_invite(replace(invite, uses_left=18, revoked=True)))
    assert db.run_now(lambda tx: tx.invite(invite.token)) == replace(invite, uses_left=18, revoked=True)
    assert db.run_now(lambda tx: tx.invite(bytes(16))) is None


def test_within_one_sender_the_screen_follows_sender_seq(db: InlineDb) -> None:
    arrivals = [(1, 1), (3, 3), (4, 4), (2, 2), (6, 6), (5, 5)]
    for number, seq in arrivals:
        db.run_now(lambda tx, number=number, seq=seq: tx.insert_message(text(number, seq)))
        if number == 4:
            db.run_now(lambda tx: tx.insert_message(text(40, 1, ANA, MessageStatus.SENT)))
    shown = db.run_now(lambda tx: tx.messages(BETO, None, 50))
    assert [row.sender_seq for row in shown if row.sender == BETO] == [1, 2, 3, 4, 5, 6]
    assert [row.text for row in shown] == ["m1", "m2", "m3", "m4", "m40", "m5", "m6"]


def test_messages_that_come_in_reverse_all_find_their_place(db: InlineDb) -> None:
    for seq in range(100, 0, -1):
        db.run_now(lambda tx, seq=seq: tx.insert_message(text(seq, seq)))
    assert [row.sender_seq for row in db.run_now(lambda tx: tx.messages(BETO, None, 1000))] == list(range(1, 101))


def test_a_sender_who_counts_anew_is_shown_where_its_clock_says(db: InlineDb) -> None:
    for number, seq in ((1, 8), (2, 9), (3, 4)):
        db.run_now(lambda tx, number=number, seq=seq: tx.insert_message(text(number, seq)))
    assert [row.text for row in db.run_now(lambda tx: tx.messages(BETO, None, 9))] == ["m1", "m2", "m3"]


def test_a_place_is_found_without_reading_the_whole_chat(db: InlineDb) -> None:
    """Counted in SQLite's own steps: a chat a hundred times as long does not cost more."""

    def steps(number: int) -> int:
        counted = [0]

        def step() -> int:
            counted[0] += 1
            return 0

        raw = db._connection._raw
        raw.set_progress_handler(step, 1)
        db.run_now(lambda tx: tx.insert_message(text(number, number)))
        db.run_now(lambda tx: tx.insert_message(text(1_000_000 + number, 1 + number // 100, sender=ANA)))
        raw.set_progress_handler(None, 1)
        return counted[0]

    for number in range(1, 20):
        db.run_now(lambda tx, number=number: tx.insert_message(text(number, number)))
    short = steps(20)
    db.run_now(lambda tx: [tx.insert_message(text(number, number)) for number in range(21, 2_000)])
    for number in (2_000, 2_001):
        steps(number)  # Ana's first after so many of Beto's passes them; the driver reads a row ahead
    assert steps(2_002) <= 2 * short


def test_a_late_message_looks_back_past_a_clock_that_was_wrong(db: InlineDb) -> None:
    """What is earlier by one of the two only does not end the search."""
    early, ahead = text(3, 3), replace(text(9, 1), sent_at_ms=Timestamp(NOW + 900))
    db.run_now(lambda tx: [tx.insert_message(row) for row in (early, ahead, text(2, 2))])
    shown = db.run_now(lambda tx: tx.messages(BETO, None, 10))
    assert [row.id for row in shown] == [mid(2), mid(3), mid(9)]


def test_a_transaction_that_fails_leaves_nothing_remembered(db: InlineDb) -> None:
    beto = Contact(BETO, RootPublicKey(bytes(32)), "Beto", ChatState.ACCEPTED, HOME)
    db.run_now(lambda tx: (tx.put_own(OWN), tx.put_contact(beto)))
    assert db.run_now(lambda tx: (tx.own(), tx.contact(BETO))) == (OWN, beto)

    def fails(tx: Tx) -> None:
        tx.put_own(replace(OWN, name="Somebody"))
        tx.put_contact(replace(beto, name="Somebody"))
        tx.put_sender_seq(BETO, 7)
        assert tx.own().name == "Somebody"
        contact = tx.contact(BETO)
        assert contact is not None
        assert contact.last_sender_seq == 7
        raise LookupError

    with pytest.raises(LookupError):
        db.run_now(fails)
    assert db.run_now(lambda tx: (tx.own(), tx.contact(BETO))) == (OWN, beto)


def test_a_senders_number_is_kept_and_nothing_else_of_the_contact(db: InlineDb) -> None:
    beto = Contact(BETO, RootPublicKey(bytes(32)), "Beto", ChatState.ACCEPTED, HOME)
    db.run_now(lambda tx: tx.put_contact(beto))
    assert db.run_now(lambda tx: tx.contact(BETO)) == beto
    db.run_now(lambda tx: (tx.put_sender_seq(BETO, 7), tx.put_sender_seq(ANA, 8)))
    remembered = db.run_now(lambda tx: (tx.contact(BETO), tx.contact(ANA)))
    db._connection._remembered.forget()
    on_disk = db.run_now(lambda tx: (tx.contact(BETO), tx.contact(ANA)))
    assert remembered == on_disk == (replace(beto, last_sender_seq=7), None)


def test_a_page_is_the_newest_before_a_message_oldest_first(db: InlineDb) -> None:
    for number in range(1, 8):
        db.run_now(lambda tx, number=number: tx.insert_message(text(number, number)))
    pages = [
        db.run_now(lambda tx, before=before: tx.messages(BETO, before, 3)) for before in (None, mid(5), mid(2), mid(99))
    ]
    assert [[row.text for row in page] for page in pages] == [["m5", "m6", "m7"], ["m2", "m3", "m4"], ["m1"], []]


def test_unread_overdue_and_held(db: InlineDb) -> None:
    sent = replace(text(4, 1, ANA, MessageStatus.STORED), expires_ms=Timestamp(500), client_id=b"c" * 16)
    for row in (text(1, 1), replace(text(2, 2), receipt_held=True), text(3, 3), sent):
        db.run_now(lambda tx, row=row: tx.insert_message(row))
    assert db.run_now(lambda tx: tx.unread(BETO)) == 3
    assert [row.text for row in db.run_now(lambda tx: tx.incoming_up_to(BETO, mid(2)))] == ["m1", "m2"]
    db.run_now(lambda tx: tx.update_message(replace(text(1, 1), status=MessageStatus.READ)))
    assert db.run_now(lambda tx: tx.unread(BETO)) == 2
    assert [row.text for row in db.run_now(lambda tx: tx.held_receipts(BETO))] == ["m2"]
    assert db.run_now(lambda tx: (tx.overdue(Timestamp(499)), tx.overdue(Timestamp(500)))) == ((), (sent,))
    assert db.run_now(lambda tx: tx.message_by_client_id(b"c" * 16)) == sent
    route = Route(RouteKind.DIRECT, RouteTransport.LIBP2P, rtt_ms=1.5)
    db.run_now(lambda tx: tx.update_message(replace(sent, route=route, status=MessageStatus.READ)))
    assert db.run_now(lambda tx: tx.message(mid(4))) == replace(sent, route=route, status=MessageStatus.READ)
    db.run_now(lambda tx: tx.delete_message(mid(4)))
    assert db.run_now(lambda tx: tx.message(mid(4))) is None


def test_outbox_rows_keep_their_order_and_numbers_are_not_given_again(db: InlineDb) -> None:
    row = OutboxRow(0, DEVICE, OutboxKind.TEXT, b"content", None, mid(1), NOW, Timestamp(NOW + 1), NOW)
    one, two = (db.run_now(lambda tx: tx.append_outbox(row)) for _ in range(2))
    sealed = replace(
        two, envelope=SealedEnvelope(b"sealed"), attempts=2, stored_only=True, resends=1, last_error="BusyError"
    )
    db.run_now(lambda tx: tx.update_outbox(sealed))
    assert db.run_now(lambda tx: (tx.outbox(), tx.outbox(ANA), tx.outbox_accounts())) == ((one, sealed), (), (BETO,))
    db.run_now(lambda tx: tx.delete_outbox(two.id))
    assert db.run_now(lambda tx: tx.append_outbox(row)).id > two.id
    assert db.run_now(lambda tx: tx.outbox_row(two.id)) is None


def test_sent_renewals_seen_and_unopened(db: InlineDb) -> None:
    sent = SentRow(EnvelopeId(bytes(16)), DEVICE, mid(1), b"content", b"ratchet", 1, NOW)
    renewal = Renewal(BETO, mid(2), b"content", NOW, (1, 127))
    unopened = UnopenedRow(EnvelopeId(b"u" * 16), DEVICE, b"ratchet", NOW, 1, Timestamp(NOW + 5))
    db.run_now(
        lambda tx: (tx.put_sent(sent), tx.put_renewal(renewal), tx.put_unopened(unopened), tx.put_seen(sent.id, NOW))
    )
    assert db.run_now(lambda tx: (tx.sent(sent.id), tx.renewals(BETO), tx.renewals(ANA))) == (sent, (renewal,), ())
    assert db.run_now(lambda tx: (tx.unopened_due(NOW), tx.unopened_due(Timestamp(NOW + 5)))) == ((), (unopened,))
    assert db.run_now(lambda tx: (tx.seen(sent.id), tx.seen(unopened.id))) == (True, False)
    db.run_now(
        lambda tx: (tx.forget_sent(DEVICE, mid(1)), tx.delete_renewal(BETO, mid(2)), tx.delete_unopened(unopened.id))
    )
    assert db.run_now(lambda tx: (tx.sent(sent.id), tx.renewals(), tx.unopened(unopened.id))) == (None, (), None)


def test_events_are_numbered_for_ever_and_the_old_ones_fall(db: InlineDb) -> None:
    for number in range(1, 6):
        assert db.run_now(lambda tx: tx.append_event(EventKind.MESSAGE, chat=BETO, message_id=mid(1))) == number
    db.run_now(lambda tx: tx.trim(seen_before=NOW, sent_before=NOW, resets_before=NOW, events_kept=2))
    assert db.run_now(lambda tx: (tx.event_span(), [event.seq for event in tx.events_after(0)])) == ((4, 5), [4, 5])
    db.run_now(lambda tx: tx.trim(seen_before=NOW, sent_before=NOW, resets_before=NOW, events_kept=0))
    assert db.run_now(lambda tx: (tx.event_span(), tx.append_event(EventKind.ALARM, note="fork"))) == ((5, 5), 6)


def test_trimming_drops_what_has_outlived_its_use(db: InlineDb) -> None:
    for at in (NOW, Timestamp(NOW + 1)):
        number = EnvelopeId(at.to_bytes(16, "big"))
        db.run_now(
            lambda tx, at=at, number=number: (
                tx.put_seen(number, at),
                tx.put_sent(SentRow(number, DEVICE, None, b"", b"", 0, at)),
            )
        )
    edge = Timestamp(NOW + 1)
    db.run_now(lambda tx: tx.trim(seen_before=edge, sent_before=edge, resets_before=edge, events_kept=9))
    left = [EnvelopeId(at.to_bytes(16, "big")) for at in (NOW, NOW + 1)]
    assert db.run_now(lambda tx: [(tx.seen(number), tx.sent(number) is not None) for number in left]) == [
        (False, False),
        (True, True),
    ]


def test_known_addresses(db: InlineDb) -> None:
    db.run_now(lambda tx: tx.put_known_addresses(DEVICE, ("/ip4/198.51.100.1/tcp/1", "x"), NOW))
    assert db.run_now(lambda tx: tx.known_addresses(DEVICE)) == ("/ip4/198.51.100.1/tcp/1", "x")
    db.run_now(lambda tx: tx.forget_known_addresses())
    assert db.run_now(lambda tx: tx.known_addresses(DEVICE)) == ()
