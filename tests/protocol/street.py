"""Accounts with several devices: whole phones under one root key, and a postman who knows every address."""

from collections.abc import Iterable
from pathlib import Path

from mepassa.identity import decode_device_list
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.ids import AccountId, Address
from mepassa.model.route import Route
from mepassa.ports.mailbox import FetchedAccount
from mepassa.ports.stores import OutboxRow
from mepassa.protocol import delivery, own_devices
from mepassa.protocol.devices import learn_answered
from mepassa.protocol.inbound import Fate
from mepassa.protocol.own_prekeys import stock_up
from mepassa.protocol.status import StatusEvent
from mepassa.storage import InlineDb
from tests.protocol.phones import KEY, STORED, Phone


def link(primary: Phone, name: str) -> Phone:
    """A second device: its own database and keys, listed by the primary, without the root key."""
    path: Path = primary.path.with_name(f"{name}.db")
    db = InlineDb(path, KEY, create=True, synchronous="OFF")
    device = own_devices.new_device(primary.rng.fork(name))
    linked = primary.db.run_now(
        lambda tx: own_devices.add_device(
            tx, primary.root, device.key.public, device.registration_id, primary.now, primary.rng
        )
    )
    db.run_now(lambda tx: own_devices.become_linked(tx, device, linked))
    db.close()
    phone = Phone(name, path, primary.clock, primary.home)
    phone.db.run_now(lambda tx: stock_up(tx, phone.now, phone.rng))
    phone.root = primary.root
    primary.own = primary.db.run_now(lambda tx: tx.own())
    return phone


def current_list(phone: Phone) -> SignedDeviceList:
    return phone.db.run_now(lambda tx: tx.own()).device_list


class Street:
    """Carries everybody's envelopes, and hands out of each account its newest list and a bundle a listed device."""

    def __init__(self, *phones: Phone) -> None:
        self.phones = {phone.address: phone for phone in phones}
        self.lost: set[Address] = set()
        """Devices that are off: what is for them waits at the home."""
        self.waiting: list[tuple[OutboxRow, Phone]] = []
        self.left: list[OutboxRow] = []
        """Everything that ever went out, in order."""

    def fetched(self, account: AccountId) -> FetchedAccount:
        phones = [phone for address, phone in self.phones.items() if address.account == account]
        newest = max(
            (current_list(phone) for phone in phones), key=lambda signed: decode_device_list(signed.body).version
        )
        listed = {entry.identity_key for entry in decode_device_list(newest.body).devices}
        bundles = (bundle for phone in phones for bundle in phone.fetched().bundles)
        return FetchedAccount(newest, tuple(bundle for bundle in bundles if bundle.identity_key in listed))

    def post(self, sender: Phone) -> list[OutboxRow]:
        """What is due of this device goes out: sealed, sessions begun where there are none, deposited."""
        posted = []
        for account in sender.db.run_now(lambda tx: tx.outbox_accounts()):
            ready = prepare(sender, account)
            if ready is not None and ready.lacks_session:
                start_sessions(sender, account, self.fetched(account))
                ready = prepare(sender, account)
            for row in ready.rows if ready is not None else ():
                sender.taken(row, StatusEvent.DEPOSIT_SYNCED, STORED)
                self.waiting.append((row, sender))
                posted.append(row)
        self.left += posted
        return posted

    def deliver(self, route: Route = STORED) -> list[Fate]:
        """Every device that is on takes what waits for it, and learns the lists that it has heard of."""
        fates, still = [], []
        for row, sender in self.waiting:
            reader = self.phones.get(row.to)
            if reader is None or row.to in self.lost:
                still.append((row, sender))
                continue
            assert row.envelope is not None
            received = reader.take(row.envelope, route)
            if received.account is not None and (received.list_wanted or received.fate is Fate.WAITS_FOR_LIST):
                learn(reader, received.account, self.fetched(received.account).device_list)
            if received.fate is Fate.WAITS_FOR_LIST:
                received = reader.take(row.envelope, route, list_is_fresh=True)
            fates.append(received.fate)
        self.waiting = still
        return fates

    def settle(self, rounds: int = 20) -> list[Fate]:
        """Until nobody has anything to say, letting the small delays of receipts pass."""
        fates = []
        clocks = {id(phone.clock): phone.clock for phone in self.phones.values()}
        for _ in range(rounds):
            for phone in self.on():
                self.post(phone)
            fates += self.deliver()
            if not any(phone.waiting() for phone in self.on()):
                return fates
            for clock in clocks.values():
                clock.advance(6)
        rest = {
            phone.name: [(row.to.short(), row.kind, row.last_error) for row in phone.outbox()] for phone in self.on()
        }
        raise AssertionError(f"the street does not come to rest: {rest}")

    def on(self) -> Iterable[Phone]:
        return [phone for address, phone in self.phones.items() if address not in self.lost]


def prepare(phone: Phone, account: AccountId) -> delivery.Ready | None:
    return phone.db.run_now(lambda tx: delivery.prepare(tx, account, phone.now, phone.rng))


def start_sessions(phone: Phone, account: AccountId, fetched: FetchedAccount) -> None:
    phone.db.run_now(lambda tx: delivery.start_sessions(tx, account, fetched, phone.now, phone.rng))


def learn(phone: Phone, account: AccountId, offered: SignedDeviceList) -> bool:

    return phone.db.run_now(lambda tx: learn_answered(tx, account, offered))
