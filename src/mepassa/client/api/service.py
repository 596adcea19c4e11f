"""The endpoints of the local API. Each is a few lines: decode by type, ask the messenger, render."""

from typing import Annotated, Any

import msgspec
import segno

from mepassa.client.api import types
from mepassa.client.api.gate import Gate
from mepassa.client.api.render import render_chat, render_error, render_home, render_message
from mepassa.client.api.router import delete, get, post, put
from mepassa.client.api.types import Hex16
from mepassa.client.doctor import Doctor
from mepassa.client.home import HomeState
from mepassa.client.messenger import Messenger
from mepassa.client.paths.service import PathService
from mepassa.model.errors import InvalidInputError, UnsupportedError
from mepassa.model.ids import AccountId, MessageId
from mepassa.ports.db import Db
from mepassa.ports.stores import Contact, InviteKind, Tx
from mepassa.wire.safety_code import encode_safety_code

Limit = Annotated[int, msgspec.Meta(ge=1, le=types.MAX_PAGE)]


class LocalApiService:
    """What a person's page, command line and programs may ask this node."""

    def __init__(
        self, messenger: Messenger, paths: PathService, home: HomeState, db: Db[Tx], *, gate: Gate, doctor: Doctor
    ) -> None:
        self._messenger, self._paths, self._home = messenger, paths, home
        self._db, self._gate, self._doctor = db, gate, doctor

    # --- this node ---------------------------------------------------------------------------------------------------

    @get("/me")
    async def me(self) -> types.Me:
        """Who this node is, and its home."""
        own = await self._messenger.me()
        return types.Me(own.address.account.hex(), own.address.device, own.name, render_home(self._home))

    @get("/health")
    async def health(self) -> types.Health:
        """Whether anything needs the person: the clock, the home, the disk."""
        found = (self._home.error, self._home.clock_error)
        problems = [render_error(error) for error in found if error is not None]
        waiting = await self._db.run(lambda tx: tx.waiting())
        return types.Health(not problems, render_home(self._home), problems, waiting)

    @post("/doctor")
    async def examine(self) -> types.Diagnosis:
        """Look at folder, clock, home and network, and say what to do."""
        checks = await self._doctor.examine()
        return types.Diagnosis(all(check.ok for check in checks), checks)

    @post("/codes")
    async def make_code(self) -> types.Code:
        """A one-time code that opens the page."""
        return types.Code(self._gate.new_code())

    @get("/exposure")
    async def exposure(self) -> dict[str, Any]:
        """Who saw what (not built yet)."""
        raise UnsupportedError

    @put("/paths")
    async def set_paths(self, body: types.SetPaths) -> types.Paths:
        """Which kinds of live path this node takes; not kept over a restart."""
        direct = self._paths.direct if body.direct is None else body.direct
        relay = self._paths.relay if body.relay is None else body.relay
        self._paths.set_paths(direct=direct, relay=relay, how=body.how)
        return types.Paths(direct, relay)

    # --- contacts ----------------------------------------------------------------------------------------------------

    @post("/invites")
    async def create_invite(self, body: types.CreateInvite) -> types.Invite:
        """A link (30 days, 20 uses) or a QR code (one use, ten minutes) with which others can add this person."""
        made = await self._messenger.create_invite(InviteKind(body.kind))
        return types.Invite(
            made.invite.id.hex(), made.link, made.scheme_link, qr_svg(made.link), made.invite.expires_ms
        )

    @delete("/invites/{invite_id}")
    async def revoke_invite(self, invite_id: Hex16) -> None:
        """Nobody can use this invite any more."""
        await self._messenger.revoke_invite(bytes.fromhex(invite_id))

    @post("/contacts")
    async def add_contact(self, body: types.AddContact) -> types.Chat:
        """Add a contact by link."""
        if (body.link is None) == (body.username is None):
            raise InvalidInputError("Give either a link or a username.", field="link")
        if body.link is None:
            raise UnsupportedError("Names are not looked up yet; ask for a link.", field="username")
        return await self._chat(await self._messenger.add_contact(body.link, direct=body.direct))

    @get("/chats")
    async def chats(self) -> list[types.Chat]:
        """All chats, in every state, newest activity first."""
        return await self._chats(await self._messenger.chats())

    @get("/chats/{chat_id}")
    async def chat(self, chat_id: Hex16) -> types.Chat:
        """One chat."""
        return await self._chat(await self._messenger.chat(AccountId.from_hex(chat_id)))

    @post("/chats/{chat_id}/accept")
    async def accept(self, chat_id: Hex16, body: types.AcceptRequest) -> types.Chat:
        """Accept a request; `direct` false keeps to servers."""
        return await self._chat(await self._messenger.accept(AccountId.from_hex(chat_id), direct=body.direct))

    @post("/chats/{chat_id}/block")
    async def block(self, chat_id: Hex16) -> types.Chat:
        """Refuse or block, without a word to the other side."""
        account = AccountId.from_hex(chat_id)
        contact = await self._messenger.block(account)
        self._paths.forget(account)
        return await self._chat(contact)

    @put("/chats/{chat_id}/policy")
    async def set_policy(self, chat_id: Hex16, body: types.SetPolicy) -> types.Chat:
        """Which routes this chat may take."""
        account = AccountId.from_hex(chat_id)
        contact = await self._messenger.set_policy(account, body.route)
        self._paths.policy_changed(account, body.route)
        return await self._chat(contact)

    @get("/chats/{chat_id}/safety_number")
    async def safety_number(self, chat_id: Hex16) -> types.SafetyNumber:
        """60 digits: the same at both ends if nobody is in between."""
        return types.SafetyNumber((await self._messenger.safety_number(AccountId.from_hex(chat_id))).digits)

    @get("/chats/{chat_id}/safety_code")
    async def safety_code(self, chat_id: Hex16) -> types.SafetyCode:
        """The same as a code that the other side scans or pastes."""
        number = await self._messenger.safety_number(AccountId.from_hex(chat_id))
        code = encode_safety_code(number.scannable)
        return types.SafetyCode(code, qr_svg(code))

    @post("/chats/{chat_id}/safety_code")
    async def compare_code(self, chat_id: Hex16, body: types.CompareCode) -> types.Comparison:
        """Compare the code from the other side's screen; a match verifies the contact."""
        found = await self._messenger.compare_code(AccountId.from_hex(chat_id), body.code)
        return types.Comparison(found.value)

    @put("/chats/{chat_id}/verification")
    async def set_verification(self, chat_id: Hex16, body: types.SetVerification) -> types.Chat:
        """The person has compared the safety number, or takes that back."""
        account = AccountId.from_hex(chat_id)
        if not body.verified:
            return await self._chat(await self._messenger.unverify(account))
        if body.safety_number is None:
            raise InvalidInputError("Say which safety number was compared.", field="safety_number")
        return await self._chat(await self._messenger.verify(account, body.safety_number))

    # --- messages ----------------------------------------------------------------------------------------------------

    @get("/chats/{chat_id}/messages")
    async def messages(
        self, chat_id: Hex16, before: Hex16 | None = None, limit: Limit = types.DEFAULT_PAGE
    ) -> list[types.Message]:
        """The newest messages before that one, oldest first."""
        start = None if before is None else MessageId.from_hex(before)
        account = AccountId.from_hex(chat_id)
        rows = await self._messenger.messages(account, start, limit)
        if start is None:
            await self._paths.chat_shown(account)
        return [render_message(row) for row in rows]

    @post("/chats/{chat_id}/messages")
    async def send(self, chat_id: Hex16, body: types.SendMessage) -> types.Message:
        """Send a text; the same client_id again gives the same message."""
        reply_to = None if body.reply_to is None else MessageId.from_hex(body.reply_to)
        row = await self._messenger.send_text(
            AccountId.from_hex(chat_id), bytes.fromhex(body.client_id), body.text, reply_to
        )
        return render_message(row)

    @post("/chats/{chat_id}/read")
    async def mark_read(self, chat_id: Hex16, body: types.MarkRead) -> types.Chat:
        """Everything up to this message has been seen."""
        account = AccountId.from_hex(chat_id)
        await self._messenger.mark_read(account, MessageId.from_hex(body.up_to))
        return await self._chat(await self._messenger.chat(account))

    @get("/messages/{message_id}")
    async def message(self, message_id: Hex16) -> types.Message:
        """One message."""
        return render_message(await self._messenger.message(MessageId.from_hex(message_id)))

    @post("/messages/{message_id}/send_by_server")
    async def send_by_server(self, message_id: Hex16) -> types.Message:
        """Do not wait for a direct path: leave it at their home."""
        return render_message(await self._messenger.send_by_server(MessageId.from_hex(message_id)))

    @post("/messages/{message_id}/send_again")
    async def send_again(self, message_id: Hex16) -> types.Message:
        """A message that failed is sealed anew and tried again."""
        return render_message(await self._messenger.send_again(MessageId.from_hex(message_id)))

    async def _chat(self, contact: Contact) -> types.Chat:
        return (await self._chats((contact,)))[0]

    async def _chats(self, contacts: tuple[Contact, ...]) -> list[types.Chat]:
        """What is unread in all of them is read in one transaction."""
        unread = await self._db.run(lambda tx: [tx.unread(contact.account) for contact in contacts])
        return [
            render_chat(contact, count, self._paths.live.best(contact.account))
            for contact, count in zip(contacts, unread, strict=True)
        ]


def qr_svg(link: str) -> str:
    """One `<svg viewBox>` whose dark modules are a path: the page reads the path and draws it itself."""
    return str(segno.make(link, error="m").svg_inline(omitsize=True, border=2))
