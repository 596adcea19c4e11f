"""What a person can ask of this node: every command is one transaction, then whoever acts on it is woken."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mepassa.client.courier import Homes
from mepassa.client.outbox import Look, Outbox
from mepassa.client.upkeep import Upkeep
from mepassa.crypto.safety_number import SafetyNumber
from mepassa.model.card import Card
from mepassa.model.errors import (
    DeviceListForkError,
    InvalidInputError,
    MalformedError,
    NotFoundError,
    SignatureError,
)
from mepassa.model.ids import AccountId, MessageId
from mepassa.model.route import Policy
from mepassa.model.status import ChatState
from mepassa.ports.clock import Clock
from mepassa.ports.db import BriefDb
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Contact, Invite, InviteKind, MessageRow, OwnAccount, Tx
from mepassa.protocol import contacts, delivery, receipts, verification
from mepassa.protocol.alarms import Alarm
from mepassa.wire.card import card_to_link, card_to_scheme_link, decode_link
from mepassa.wire.safety_code import decode_safety_code

MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class InviteLink:
    invite: Invite
    link: str
    scheme_link: str


async def _right() -> None:
    """A clock that nobody doubts."""


class Messenger:
    """Raises classes of `model.errors`; every message is a sentence for the person."""

    def __init__(
        self,
        db: BriefDb[Tx],
        homes: Homes,
        outbox: Outbox,
        upkeep: Upkeep,
        *,
        clock: Clock,
        rng: Rng,
        on_contacts: Callable[[], None] = lambda: None,
        check_clock: Callable[[], Awaitable[None]] = _right,
    ) -> None:
        """`on_contacts`: keys, tokens, lists or states may have changed.

        `check_clock` raises `ClockWrongError`.
        """
        self._check_clock = check_clock
        self._db, self._homes, self._outbox, self._upkeep = db, homes, outbox, upkeep
        self._clock, self._rng = clock, rng
        self._on_contacts = on_contacts

    # --- looking -----------------------------------------------------------------------------------------------------

    async def me(self) -> OwnAccount:
        return await self._db.run(lambda tx: tx.own())

    async def chats(self) -> tuple[Contact, ...]:
        """In every state, newest activity first."""
        return await self._db.run(lambda tx: tx.contacts())

    async def chat(self, chat: AccountId) -> Contact:
        return await self._db.run(lambda tx: contacts.require(tx, chat))

    async def messages(self, chat: AccountId, before: MessageId | None, limit: int) -> tuple[MessageRow, ...]:
        """The newest `limit` (1..1000) before that message, oldest first."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInputError(f"limit is 1 to {MAX_PAGE}.", field="limit")

        def work(tx: Tx) -> tuple[MessageRow, ...]:
            contacts.require(tx, chat)
            if before is not None and ((row := tx.message(before)) is None or row.chat != chat):
                raise NotFoundError("There is no such message in this chat.", field="before")
            return tx.messages(chat, before, limit)

        return await self._db.run(work)

    async def message(self, message_id: MessageId) -> MessageRow:
        row = await self._db.run(lambda tx: tx.message(message_id))
        if row is None:
            raise NotFoundError("There is no such message.")
        return row

    async def safety_number(self, chat: AccountId) -> SafetyNumber:
        """60 digits, the same on both sides, and the code for the other side to scan."""
        own, contact = await self._db.run(lambda tx: (tx.own(), contacts.require(tx, chat)))
        return verification.number_of(own, contact)

    # --- messages ----------------------------------------------------------------------------------------------------

    async def send_text(
        self, chat: AccountId, client_id: bytes, text: str, reply_to: MessageId | None = None
    ) -> MessageRow:
        """The same `client_id` again gives the same message."""

        def work(tx: Tx) -> tuple[MessageRow, Look]:
            row = delivery.compose_text(
                tx, chat, text, client_id=client_id, reply_to=reply_to, now_ms=self._clock.now_ms(), rng=self._rng
            )
            return row, self._outbox.look(tx, chat)

        row, look = await self._db.run_brief(work)
        self._outbox.send(look)
        return row

    async def send_again(self, message_id: MessageId) -> MessageRow:
        """A failed one: new envelopes, the same message."""
        row = await self._db.run(lambda tx: delivery.send_again(tx, message_id, self._clock.now_ms(), self._rng))
        self._outbox.wake(row.chat)
        return row

    async def send_by_server(self, message_id: MessageId) -> MessageRow:
        """Do not wait for a path any more."""

        def work(tx: Tx) -> tuple[MessageRow, tuple[int, ...]]:
            row = delivery.send_by_server(tx, message_id, self._clock.now_ms(), self._rng)
            return row, tuple(entry.id for entry in tx.outbox(row.chat) if entry.message_id == message_id)

        row, rows = await self._db.run(work)
        self._outbox.send_by_server(row.chat, rows)
        return row

    async def mark_read(self, chat: AccountId, up_to: MessageId) -> Contact:
        def work(tx: Tx) -> Contact:
            contact = contacts.require(tx, chat)
            if (row := tx.message(up_to)) is None or row.chat != chat:
                raise NotFoundError("There is no such message in this chat.", field="up_to")
            receipts.mark_read(tx, contact, up_to, self._clock.now_ms(), self._rng)
            return contact

        contact = await self._db.run(work)
        self._outbox.wake(chat)
        return contact

    # --- contacts ----------------------------------------------------------------------------------------------------

    async def create_invite(self, kind: InviteKind) -> InviteLink:
        """Known to the home when this returns, unless the home is away: then it is told at the next log-in."""

        def work(tx: Tx) -> tuple[Invite, Card]:
            invite = contacts.create_invite(tx, kind, self._clock.now_ms(), self._rng)
            return invite, contacts.invite_card(tx.own(), invite)

        invite, card = await self._db.run(work)
        await self._upkeep.tell_tokens()
        return InviteLink(invite, card_to_link(card), card_to_scheme_link(card))

    async def revoke_invite(self, invite_id: bytes) -> None:
        await self._db.run(lambda tx: contacts.revoke_invite(tx, invite_id))
        await self._upkeep.tell_tokens()

    async def add_contact(self, link: str, *, direct: bool = True) -> Contact:
        """Ask the card's home who that is, then make the chat. Raises also `HomeUnreachableError`, `TokenRefusedError`,
        `SignatureError`, `ClockWrongError`: then nothing was kept."""
        try:
            card = decode_link(link)
        except MalformedError as error:
            raise InvalidInputError(error.message, field="link") from error
        await self._check_clock()
        own = await self.me()
        account = contacts.check_card(own, card, direct=direct)
        known = await self._db.run(lambda tx: tx.contact(account))
        if known is not None and known.root_key != card.root_key:
            await self._db.run(lambda tx: verification.withdraw(tx, account, Alarm.ROOT_CHANGED))
            raise SignatureError(contacts.OTHER_ROOT)
        if known is not None and known.state is ChatState.ACCEPTED:
            return known
        home = self._homes.recipient(HomeAddress(card.home_url, card.home_key))
        fetched = await home.fetch_account(account, card.invite_token, prekeys=False)
        try:
            contact = await self._db.run(
                lambda tx: contacts.add_card(
                    tx, card, fetched.device_list, direct=direct, now_ms=self._clock.now_ms(), rng=self._rng
                )
            )
        except DeviceListForkError:
            await self._db.run(lambda tx: verification.withdraw(tx, account, Alarm.LIST_FORKED))
            raise
        self._contact_changed(account)
        return contact

    async def accept(self, chat: AccountId, *, direct: bool = True) -> Contact:
        """`direct` False: only through servers; possible where both have the same home, else `UnsupportedError`."""
        contact = await self._db.run(
            lambda tx: contacts.accept(tx, chat, direct=direct, now_ms=self._clock.now_ms(), rng=self._rng)
        )
        self._contact_changed(chat)
        return contact

    async def block(self, chat: AccountId) -> Contact:
        """What has not left by now does not leave."""
        with self._outbox.hold(chat):
            contact = await self._db.run(lambda tx: contacts.block(tx, chat, self._clock.now_ms(), self._rng))
        self._contact_changed(chat)
        return contact

    async def set_policy(self, chat: AccountId, policy: Policy) -> Contact:
        contact = await self._db.run(lambda tx: contacts.set_policy(tx, chat, policy, self._clock.now_ms(), self._rng))
        self._contact_changed(chat)
        return contact

    # --- who they are ------------------------------------------------------------------------------------------------

    async def verify(self, chat: AccountId, compared: str) -> Contact:
        """The person has found these 60 digits on both screens. Raises `ConflictError` when they are others."""
        return await self._db.run(
            lambda tx: verification.verify(tx, contacts.require(tx, chat), compared, self._clock.now_ms())
        )

    async def unverify(self, chat: AccountId) -> Contact:
        return await self._db.run(lambda tx: verification.unverify(tx, contacts.require(tx, chat)))

    async def compare_code(self, chat: AccountId, code: str) -> verification.Comparison:
        """What the text of a scanned code says; a match marks the contact as verified."""
        try:
            scanned = decode_safety_code(code)
        except MalformedError:
            await self.chat(chat)
            return verification.Comparison.NO_CODE
        return await self._db.run(
            lambda tx: verification.compare(tx, contacts.require(tx, chat), scanned, self._clock.now_ms())
        )

    def _contact_changed(self, chat: AccountId) -> None:
        self._outbox.wake(chat)
        self._upkeep.wake()
        self._on_contacts()
