"""How two accounts become contacts, and cease to be (docs/protocol/contacts.md)."""

from dataclasses import replace

from mepassa.identity import PresenceKeyPair, account_id, verify_device_list
from mepassa.model.card import Card
from mepassa.model.content import ContactAccepted, Hello, Introduction, PresenceKey, ProfileKey, Text
from mepassa.model.device_list import DeviceList, SignedDeviceList
from mepassa.model.errors import (
    ConflictError,
    InvalidInputError,
    MalformedError,
    NotFoundError,
    SignatureError,
    UnsupportedError,
)
from mepassa.model.home_url import check_home_url, parse_home_url
from mepassa.model.ids import AccountId, MessageId, Timestamp
from mepassa.model.keys import PresencePublicKey
from mepassa.model.route import Policy
from mepassa.model.secret import SecretBytes
from mepassa.model.status import ChatState
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Contact, EventKind, Invite, InviteKind, OwnAccount, Tx
from mepassa.protocol.account import DAY_MS
from mepassa.protocol.copies import tell_account, tell_contact
from mepassa.protocol.device_changes import drop_waiting
from mepassa.protocol.devices import learn_list
from mepassa.protocol.outbound import Draft, address, address_renewed, drop_rows, make_content
from mepassa.protocol.receipts import release_held
from mepassa.protocol.removal import check_not_removed
from mepassa.protocol.restarts import owed_texts
from mepassa.protocol.tokens import previous_keys, rotate_presence, rotate_profile
from mepassa.wire.content import decode_content

MAX_PENDING_REQUESTS = 50
"""Strangers who wait for an answer at the same time; another one's request is not taken."""
LINK_LIFE_MS, LINK_USES = 30 * DAY_MS, 20
QR_LIFE_MS, QR_USES = 10 * 60 * 1000, 1
OTHER_ROOT = "This link shows another key for somebody whom you know already; it was not used."


def require(tx: Tx, account: AccountId) -> Contact:
    """Raises `NotFoundError`."""
    contact = tx.contact(account)
    if contact is None:
        raise NotFoundError("There is no such chat.")
    return contact


def create_invite(tx: Tx, kind: InviteKind, now_ms: Timestamp, rng: Rng) -> Invite:
    """A shared link: 30 days, 20 people. A QR code for someone present: 10 minutes, one person, accepted at once."""
    check_not_removed(tx)
    life_ms, uses = (LINK_LIFE_MS, LINK_USES) if kind is InviteKind.LINK else (QR_LIFE_MS, QR_USES)
    invite = Invite(rng.token(16), kind, now_ms, Timestamp(now_ms + life_ms), uses)
    tx.put_invite(invite)
    return invite


def invite_card(own: OwnAccount, invite: Invite) -> Card:
    return Card(
        own.home.url, own.home.key, own.root_key, own.name, invite.token, in_person=invite.kind is InviteKind.QR
    )


def revoke_invite(tx: Tx, invite_id: bytes) -> None:
    """Raises `NotFoundError`. The home is told with the next token changes."""
    check_not_removed(tx)
    invite = next((invite for invite in tx.invites() if invite.id == invite_id), None)
    if invite is None:
        raise NotFoundError("There is no such invite.")
    tx.put_invite(replace(invite, revoked=True))


def check_card(own: OwnAccount, card: Card, *, direct: bool) -> AccountId:
    """Whose card it is. Raises `InvalidInputError` or `UnsupportedError` for one that cannot become a contact here."""
    if card.root_key == own.root_key:
        raise InvalidInputError("This is your own link; give it to somebody else.", field="link")
    home = HomeAddress(card.home_url, card.home_key)
    check_home_place(own, home)
    if not direct:
        check_hidden(own, home)
    return account_id(card.root_key)


def check_home_place(own: OwnAccount, home: HomeAddress) -> None:
    """A contact's home is not asked for inside this network, unless our own home is there (docs/protocol/contacts.md)."""
    if is_inside(home) and not is_inside(own.home):
        raise UnsupportedError("That server has an address inside a private network; it can't be reached from here.")


def check_hidden(own: OwnAccount, home: HomeAddress) -> None:
    """Without deposits through one's own home, hiding one's address works only where both have the same one."""
    if home != own.home:
        raise UnsupportedError("Hiding your internet address works only with contacts of the same home server yet.")


def add_card(tx: Tx, card: Card, offered: SignedDeviceList, *, direct: bool, now_ms: Timestamp, rng: Rng) -> Contact:
    """Make a contact of a card whose home has handed out `offered`.

    Someone who has asked us before is thereby accepted; someone we know already stays as they are. A card shown in
    person asks at once, without a text. Raises as `check_card`, and `SignatureError` or `MalformedError` for a list
    that is not the account's.
    """
    check_not_removed(tx)
    own = tx.own()
    account = check_card(own, card, direct=direct)
    verify_device_list(card.root_key, offered)
    known = tx.contact(account)
    if known is not None and known.root_key != card.root_key:
        raise SignatureError(OTHER_ROOT)
    if known is not None and known.state is ChatState.REQUEST:
        learn_list(tx, known, offered)
        return accept(tx, account, direct=direct, now_ms=now_ms, rng=rng)
    if known is not None and known.state is ChatState.ACCEPTED:
        return known
    # What was known of somebody blocked or asked before stays known: an older list must not come back.
    fresh = Contact(account, card.root_key, card.name, ChatState.REQUESTED, HomeAddress(card.home_url, card.home_key))
    contact = replace(
        known or fresh,
        name=card.name,
        state=ChatState.REQUESTED,
        profile_key=None,
        presence_key=None,
        policy=Policy.AUTO if direct else Policy.HIDE_MY_IP,
        invite_token=card.invite_token,
        added_ms=now_ms,
    )
    contact = _decide(tx, contact, now_ms)
    contact = learn_list(tx, contact, offered)
    tell_contact(tx, contact, now_ms, rng)
    if card.in_person and (known is None or known.state is not ChatState.REQUESTED):
        hello = make_content(tx, contact, Draft(Hello(), MessageId(rng.token(16))), now_ms)
        address(tx, contact, hello, now_ms, rng)
    return contact


def check_introduction(introduction: Introduction | None, account: AccountId) -> DeviceList:
    """What a stranger says of itself hangs together: card -> account -> signed list -> home.

    Raises `MalformedError` or `SignatureError`; the caller then drops the envelope, and nothing has happened.
    """
    if introduction is None:
        raise MalformedError("A stranger's message does not say who it is from.")
    card = introduction.card
    if account_id(card.root_key) != account:
        raise SignatureError("A stranger's card belongs to another account.")
    devices = verify_device_list(card.root_key, introduction.device_list)
    check_home_url(devices.home_url)
    if (devices.home_url, devices.home_key) != (card.home_url, card.home_key):
        raise MalformedError("A stranger's card names another home than its device list.")
    return devices


def request_received(
    tx: Tx, introduction: Introduction, devices: DeviceList, account: AccountId, now_ms: Timestamp, rng: Rng
) -> Contact | None:
    """A stranger asks (checked before). None when too many wait already. A live QR token accepts at once."""
    waiting = sum(contact.state is ChatState.REQUEST for contact in tx.contacts())
    token = introduction.invite_token
    invite = tx.invite(token) if token is not None else None
    live = invite is not None and invite.live(now_ms)
    in_person = live and invite is not None and invite.kind is InviteKind.QR
    if is_inside(HomeAddress(devices.home_url, devices.home_key)) and not is_inside(tx.own().home):
        in_person = False  # not one whom we could answer: an ordinary request, which the person may refuse
    if waiting >= MAX_PENDING_REQUESTS and not in_person:
        return None
    contact = Contact(
        account=account,
        root_key=introduction.card.root_key,
        name=introduction.card.name,
        state=ChatState.REQUEST,
        home=HomeAddress(devices.home_url, devices.home_key),
        device_list=introduction.device_list,
        list_version=devices.version,
        profile_key=SecretBytes(introduction.profile_key),
        added_ms=now_ms,
    )
    tx.put_contact(contact)
    tx.append_event(EventKind.CHAT, chat=account)
    if invite is not None and live:
        _count_use(tx, invite, account)
    if in_person:
        contact = accept(tx, account, direct=True, now_ms=now_ms, rng=rng)
    return contact


def request_crossed(tx: Tx, contact: Contact, introduction: Introduction, now_ms: Timestamp, rng: Rng) -> Contact:
    """We have asked them, and they ask us: both have said yes. Also: someone accepted before introduces itself anew."""
    check_introduction(introduction, contact.account)
    contact = learn_list(tx, contact, introduction.device_list)
    invite = tx.invite(introduction.invite_token) if introduction.invite_token is not None else None
    if invite is not None and invite.live(now_ms):
        _count_use(tx, invite, contact.account)
    return _become_accepted(tx, contact, SecretBytes(introduction.profile_key), now_ms, rng)


def accept(tx: Tx, account: AccountId, *, direct: bool, now_ms: Timestamp, rng: Rng) -> Contact:
    """The person says yes: keys and held-back receipts go out. Again: changes nothing. Raises `ConflictError`."""
    check_not_removed(tx)
    contact, own = require(tx, account), tx.own()
    if contact.state is ChatState.ACCEPTED:
        return contact
    if contact.state is not ChatState.REQUEST or contact.profile_key is None:
        raise ConflictError("There is no request to accept in this chat.")
    check_home_place(own, contact.home)
    if not direct:
        check_hidden(own, contact.home)
    profile_key = contact.profile_key
    contact = replace(contact, policy=Policy.AUTO if direct else Policy.HIDE_MY_IP)
    return _become_accepted(tx, contact, profile_key, now_ms, rng)


def answer_received(tx: Tx, contact: Contact, answer: ContactAccepted, now_ms: Timestamp, rng: Rng) -> Contact:
    """The other side has said yes: their profile key opens their mailbox, and we may tell our presence key."""
    was_waiting = contact.state is ChatState.REQUESTED
    contact = replace(
        contact,
        state=ChatState.ACCEPTED,
        profile_key=SecretBytes(answer.profile_key),
        presence_key=answer.presence_key or contact.presence_key,
        invite_token=None,
        changed_ms=_now(contact, now_ms) if was_waiting else contact.changed_ms,
    )
    tx.put_contact(contact)
    tx.append_event(EventKind.CHAT, chat=contact.account)
    if was_waiting:
        tell_contact(tx, contact, now_ms, rng)
        _tell_presence(tx, contact, now_ms, rng)
        release_held(tx, contact, now_ms, rng)
        for row in owed_texts(tx, contact):
            draft = Draft(Text(row.text, row.reply_to), row.id, row.sender_seq)
            address(tx, contact, make_content(tx, contact, draft, row.sent_at_ms), now_ms, rng)
        if any(contact.added_ms < previous.replaced_ms for previous in previous_keys(tx)):
            # Our introduction told a profile key that we have replaced since.
            address_renewed(tx, contact, ProfileKey(tx.own().profile_key.expose()), now_ms, rng)
    return contact


def block(tx: Tx, account: AccountId, now_ms: Timestamp, rng: Rng) -> Contact:
    """Silently. Whoever had our keys loses them: new ones go to all other accepted contacts."""
    check_not_removed(tx)
    contact = require(tx, account)
    if contact.state is ChatState.BLOCKED:
        return contact
    knew_keys = contact.state is not ChatState.REQUEST
    drop_waiting(tx, account)
    contact = _decide(tx, replace(contact, state=ChatState.BLOCKED, presence_key=None), now_ms)
    tell_contact(tx, contact, now_ms, rng)
    if knew_keys:
        new_keys(tx, now_ms, rng)
    return contact


def new_keys(tx: Tx, now_ms: Timestamp, rng: Rng) -> None:
    """A new profile key and presence key, told to our own other devices and to everybody whom we have accepted."""
    rotate_profile(tx, now_ms, rng)
    tell_account(tx, now_ms, rng)
    tell_keys(tx, now_ms, rng)


def tell_list(tx: Tx, now_ms: Timestamp, rng: Rng) -> None:
    """A content that says nothing, but names our newest list as every content does: whoever has it not fetches it, and
    writes to all our devices from then on."""
    for other in tx.contacts():
        if other.state is ChatState.ACCEPTED:
            address(tx, other, make_content(tx, other, Draft(Hello(), MessageId(rng.token(16))), now_ms), now_ms, rng)


def tell_keys(tx: Tx, now_ms: Timestamp, rng: Rng) -> None:
    for other in tx.contacts():
        if other.state is ChatState.ACCEPTED:
            address_renewed(tx, other, ProfileKey(tx.own().profile_key.expose()), now_ms, rng)
            _tell_presence(tx, other, now_ms, rng)


def set_policy(tx: Tx, account: AccountId, policy: Policy, now_ms: Timestamp, rng: Rng) -> Contact:
    """Which routes this chat may use. Going back to direct tells the presence key; leaving it replaces the key for others.

    Raises `UnsupportedError` for HIDE_MY_IP with a contact of another home.
    """
    check_not_removed(tx)
    contact = require(tx, account)
    if policy is contact.policy:
        return contact
    if policy is Policy.HIDE_MY_IP:
        check_hidden(tx.own(), contact.home)
    had_direct, contact = contact.allows_direct, _decide(tx, replace(contact, policy=policy), now_ms)
    tell_contact(tx, contact, now_ms, rng)
    if contact.state is ChatState.ACCEPTED and contact.allows_direct and not had_direct:
        _tell_presence(tx, contact, now_ms, rng)
    elif contact.state is ChatState.ACCEPTED and had_direct and not contact.allows_direct:
        for renewal in tx.renewals(account):
            if isinstance(decode_content(renewal.content).body, PresenceKey):
                tx.delete_renewal(account, renewal.message_id)
                drop_rows(tx, contact, renewal.message_id)
        rotate_presence(tx, now_ms, rng)
        tell_account(tx, now_ms, rng)
        for other in tx.contacts():
            if other.state is ChatState.ACCEPTED:
                _tell_presence(tx, other, now_ms, rng)
    return contact


def own_presence_key(own: OwnAccount) -> PresencePublicKey:
    return PresenceKeyPair(own.presence_seed).public


def _become_accepted(tx: Tx, contact: Contact, profile_key: SecretBytes, now_ms: Timestamp, rng: Rng) -> Contact:
    own = tx.own()
    was_accepted = contact.state is ChatState.ACCEPTED
    contact = replace(contact, state=ChatState.ACCEPTED, profile_key=profile_key, invite_token=None)
    if was_accepted:  # they have forgotten us, and introduce themselves anew: nobody has decided anything
        tx.put_contact(contact)
        tx.append_event(EventKind.CHAT, chat=contact.account)
    else:
        contact = _decide(tx, contact, now_ms)
        tell_contact(tx, contact, now_ms, rng)
    presence_key = own_presence_key(own) if contact.allows_direct else None
    address_renewed(tx, contact, ContactAccepted(own.profile_key.expose(), presence_key), now_ms, rng)
    release_held(tx, contact, now_ms, rng)
    return contact


def _decide(tx: Tx, contact: Contact, now_ms: Timestamp) -> Contact:
    """Somebody has decided about this contact: kept, with the time, so that the newest decision counts on all devices."""
    contact = replace(contact, changed_ms=_now(contact, now_ms))
    tx.put_contact(contact)
    tx.append_event(EventKind.CHAT, chat=contact.account)
    return contact


def _now(contact: Contact, now_ms: Timestamp) -> Timestamp:
    """Later than any decision before, whatever the clocks say."""
    return Timestamp(max(now_ms, contact.changed_ms + 1))


def _tell_presence(tx: Tx, contact: Contact, now_ms: Timestamp, rng: Rng) -> None:
    if contact.allows_direct:
        address_renewed(tx, contact, PresenceKey(own_presence_key(tx.own())), now_ms, rng)


def _count_use(tx: Tx, invite: Invite, account: AccountId) -> None:
    """Distinct accounts count; a used-up invite is revoked at the home with the next token changes."""
    if tx.use_invite(invite.token, account):
        tx.put_invite(replace(invite, uses_left=invite.uses_left - 1))


def is_inside(home: HomeAddress) -> bool:
    """Whether that home is at an address of a private network or of this machine, as far as its URL says."""
    return parse_home_url(home.url).is_inside
