"""Whole devices without a network: the machines over a real database, envelopes carried by the test's own hand."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from mepassa.identity import HomeKeyPair, RootKey, decode_device_list
from mepassa.model.card import Card
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import AccountId, Address, MessageId, Timestamp
from mepassa.model.keys import HomeKey
from mepassa.model.prekeys import PrekeyBundle
from mepassa.model.route import AddressClass, Policy, Route, RouteKind, RouteTransport
from mepassa.model.secret import SecretBytes
from mepassa.ports.mailbox import FetchedAccount, HomeAddress
from mepassa.ports.stores import Contact, InviteKind, MessageKind, MessageRow, OutboxRow, PrekeyKind, PrekeyRow
from mepassa.protocol import contacts, delivery, receipts
from mepassa.protocol.account import create_account, local_identity
from mepassa.protocol.devices import learn_list
from mepassa.protocol.inbound import Arrival, Fate, Received, receive
from mepassa.protocol.own_prekeys import stock_up
from mepassa.protocol.prekeys import publish_kyber, publish_one_time, publish_signed
from mepassa.protocol.status import StatusEvent
from mepassa.storage import InlineDb
from mepassa.testing import ManualClock, SeededRng

HOME = HomeAddress("https://home.test", HomeKeyPair(SecretBytes(b"h" * 32)).public)
ELSEWHERE = HomeAddress("https://elsewhere.test", HomeKey(bytes(32)))
STORED = Route(RouteKind.STORED, RouteTransport.MAILBOX, "home.test", AddressClass.HOME)
DIRECT = Route(RouteKind.DIRECT, RouteTransport.LIBP2P, None, AddressClass.LAN)
KEY = SecretBytes(b"\x22" * 32)


@dataclass
class Phone:
    """One device. `path` may be copied and opened again: that is a backup."""

    name: str
    path: Path
    clock: ManualClock
    home: HomeAddress = HOME
    db: InlineDb = field(init=False)
    root: RootKey = field(init=False)
    """On paper: the database does not hold it."""
    handed_out: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rng = SeededRng(self.name)
        fresh = not self.path.exists()
        self.root = RootKey(SecretBytes(SeededRng(self.name).fork("root").token(32)))
        self.db = InlineDb(self.path, KEY, create=fresh, synchronous="OFF")
        if fresh:
            self.db.run_now(
                lambda tx: create_account(
                    tx, root=self.root, home=self.home, name=self.name, now_ms=self.now, rng=self.rng
                )
            )
            self.db.run_now(lambda tx: stock_up(tx, self.now, self.rng))
        self.own = self.db.run_now(lambda tx: tx.own())

    @property
    def now(self) -> Timestamp:
        return self.clock.now_ms()

    @property
    def account(self) -> AccountId:
        return self.own.address.account

    @property
    def address(self) -> Address:
        return self.own.address

    def reopen(self) -> None:
        self.db.close()
        self.db = InlineDb(self.path, KEY, synchronous="OFF")

    # --- what its home would hand out --------------------------------------------------------------------------------

    def fetched(self, *, one_time: bool = True) -> FetchedAccount:
        """The signed list, and a bundle with one-time keys that nobody was given before, or with none."""

        own, me = self.db.run_now(lambda tx: tx.own()), local_identity(self.own)
        signed = self.db.run_now(lambda tx: tx.prekeys(PrekeyKind.SIGNED))[-1]
        last_resort = self.db.run_now(lambda tx: tx.prekeys(PrekeyKind.KYBER_LAST_RESORT))[-1]
        ec, kyber = (self._unused(kind) for kind in (PrekeyKind.ONE_TIME, PrekeyKind.KYBER_ONE_TIME))
        if one_time:
            self.handed_out.add(ec.id)
        bundle = PrekeyBundle(
            device=own.address.device,
            registration_id=own.registration_id,
            identity_key=own.identity_key,
            signed_prekey=publish_signed(me, signed),
            kyber_prekey=publish_kyber(me, kyber if one_time else last_resort),
            one_time_prekey=publish_one_time(ec) if one_time else None,
        )
        return FetchedAccount(own.device_list, (bundle,))

    def _unused(self, kind: PrekeyKind) -> PrekeyRow:
        return next(row for row in self.db.run_now(lambda tx: tx.prekeys(kind)) if row.id not in self.handed_out)

    def invite(self, kind: InviteKind = InviteKind.LINK) -> Card:
        invite = self.db.run_now(lambda tx: contacts.create_invite(tx, kind, self.now, self.rng))
        return contacts.invite_card(self.own, invite)

    # --- commands ----------------------------------------------------------------------------------------------------

    def add(self, card: Card, other: "Phone", *, direct: bool = True) -> Contact:
        offered = other.db.run_now(lambda tx: tx.own()).device_list
        return self.db.run_now(
            lambda tx: contacts.add_card(tx, card, offered, direct=direct, now_ms=self.now, rng=self.rng)
        )

    def write(self, other: "Phone", text: str) -> MessageRow:
        return self.db.run_now(
            lambda tx: delivery.compose_text(
                tx,
                other.account,
                text,
                client_id=self.rng.token(16),
                reply_to=None,
                now_ms=self.now,
                rng=self.rng,
            )
        )

    def accept(self, other: "Phone", *, direct: bool = True) -> Contact:
        return self.db.run_now(
            lambda tx: contacts.accept(tx, other.account, direct=direct, now_ms=self.now, rng=self.rng)
        )

    def block(self, other: "Phone") -> Contact:
        return self.db.run_now(lambda tx: contacts.block(tx, other.account, self.now, self.rng))

    def read_all(self, other: "Phone") -> None:
        last = self.db.run_now(lambda tx: tx.messages(other.account, None, 1))[-1]
        contact = self.contact(other)
        self.db.run_now(lambda tx: receipts.mark_read(tx, contact, last.id, self.now, self.rng))

    def learn(self, other: "Phone", offered: SignedDeviceList) -> None:
        contact = self.contact(other)
        self.db.run_now(lambda tx: learn_list(tx, contact, offered))

    def adopt(self, signed: SignedDeviceList) -> None:
        """Go on with this list of our own; messages name it from now on."""
        self.own = replace(self.own, device_list=signed, list_version=decode_device_list(signed.body).version)
        self.db.run_now(lambda tx: tx.put_own(self.own))

    def hide_from(self, other: "Phone") -> None:
        self.db.run_now(lambda tx: contacts.set_policy(tx, other.account, Policy.HIDE_MY_IP, self.now, self.rng))

    # --- envelopes ---------------------------------------------------------------------------------------------------

    def ready(self, other: "Phone") -> tuple[OutboxRow, ...]:
        """What is due and sealed for the other, sessions begun where there are none."""
        ready = self.db.run_now(lambda tx: delivery.prepare(tx, other.account, self.now, self.rng))
        if ready is not None and ready.lacks_session:
            fetched = other.fetched()
            self.db.run_now(lambda tx: delivery.start_sessions(tx, other.account, fetched, self.now, self.rng))
            ready = self.db.run_now(lambda tx: delivery.prepare(tx, other.account, self.now, self.rng))
        return ready.rows if ready is not None else ()

    def post(self, other: "Phone") -> list[SealedEnvelope]:
        """Take everything that is due out of the outbox, as deposited at the other's home."""
        sent = []
        for row in self.ready(other):
            assert row.envelope is not None
            sent.append(row.envelope)
            self.taken(row, StatusEvent.DEPOSIT_SYNCED, STORED)
        return sent

    def taken(self, row: OutboxRow, event: StatusEvent, route: Route) -> None:
        assert row.envelope is not None
        envelope_id = row.envelope.id
        self.db.run_now(lambda tx: delivery.record_taken(tx, row.id, envelope_id, row.to, row.message_id, event, route))

    def take(self, envelope: SealedEnvelope, route: Route = STORED, *, list_is_fresh: bool = False) -> Received:
        return self.db.run_now(
            lambda tx: receive(tx, envelope, Arrival(route), self.now, self.rng, list_is_fresh=list_is_fresh)
        )

    # --- looking -----------------------------------------------------------------------------------------------------

    def contact(self, other: "Phone") -> Contact:
        return self.db.run_now(lambda tx: contacts.require(tx, other.account))

    def screen(self, other: "Phone") -> list[MessageRow]:
        return list(self.db.run_now(lambda tx: tx.messages(other.account, None, 1000)))

    def texts(self, other: "Phone") -> list[str]:
        """What the other has written, as shown here."""
        return [row.text for row in self.screen(other) if row.sender == other.account and row.kind is MessageKind.TEXT]

    def unopened(self, other: "Phone") -> int:
        return sum(row.kind is MessageKind.UNOPENED for row in self.screen(other))

    def message(self, message_id: MessageId) -> MessageRow:
        row = self.db.run_now(lambda tx: tx.message(message_id))
        assert row is not None
        return row

    def outbox(self) -> tuple[OutboxRow, ...]:
        return self.db.run_now(lambda tx: tx.outbox())

    def waiting(self) -> int:
        """Envelopes, and accounts that are owed receipts."""
        return self.db.run_now(lambda tx: tx.waiting())


def settle(one: Phone, two: Phone, *, route: Route = STORED, rounds: int = 12) -> list[Fate]:
    """Carry envelopes both ways until both outboxes are empty, letting the small delays of receipts pass."""
    fates = []
    for _ in range(rounds):
        for sender, reader in ((one, two), (two, one)):
            fates += [reader.take(envelope, route).fate for envelope in sender.post(reader)]
        if not one.waiting() and not two.waiting():
            return fates
        one.clock.advance(6)
        if two.clock is not one.clock:
            two.clock.advance(6)
    raise AssertionError("two devices do not come to rest")


def befriend(one: Phone, two: Phone) -> None:
    """`one` adds `two` by a QR card, which accepts at once."""
    one.add(two.invite(InviteKind.QR), two)
    settle(one, two)
