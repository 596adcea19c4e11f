"""From rows to the JSON of the local API."""

from mepassa.client.api import types
from mepassa.client.home import HomeState
from mepassa.client.paths.live import LivePath
from mepassa.model.errors import MepassaError
from mepassa.model.route import Route, RouteKind
from mepassa.ports.stores import Contact, MessageKind, MessageRow

UNREADABLE = {MessageKind.UNOPENED: "DecryptionError", MessageKind.UNKNOWN: "UnsupportedError"}


def render_error(error: MepassaError) -> types.ErrorBody:
    return types.ErrorBody(error.code, error.message, error.field)


def render_home(state: HomeState) -> types.Home:
    error = None if state.error is None else render_error(state.error)
    return types.Home(url=state.address.url, connected=state.connected, error=error)


def render_path(path: LivePath | None) -> types.Path | None:
    if path is None:
        return None
    return types.Path("direct" if path.kind is RouteKind.DIRECT else "relayed", path.route.rtt_ms)


def render_chat(contact: Contact, unread: int, path: LivePath | None) -> types.Chat:
    account = contact.account.hex()
    return types.Chat(
        id=account,
        name=contact.name,
        account_id=account,
        state=contact.state,
        unread=unread,
        path=render_path(path),
        policy=contact.policy,
        verification=contact.verification,
        verified_at_ms=contact.verified_ms or None,
    )


def render_route(route: Route | None) -> types.Route | None:
    if route is None:
        return None
    return types.Route(route.kind, route.transport, route.via, route.address_class, route.found_by, route.rtt_ms)


def render_message(row: MessageRow) -> types.Message:
    content: types.Content
    if row.kind is MessageKind.TEXT:
        content = types.TextContent(row.text)
    else:
        content = types.UnreadableContent(UNREADABLE[row.kind])
    return types.Message(
        id=row.id.hex(),
        chat_id=row.chat.hex(),
        sender=row.sender.hex(),
        sent_at_ms=row.sent_at_ms,
        sender_seq=row.sender_seq,
        content=content,
        status=row.status,
        route=render_route(row.route),
    )
