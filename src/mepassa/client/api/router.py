"""A small typed router over aiohttp: a handler's signature is its contract, its check and its OpenAPI entry.

    class Chats:
        @get("/chats/{chat_id}")
        async def chat(self, chat_id: ChatId) -> Chat: ...

Path parameters are matched by name, a parameter named `body` is the JSON body, all others are query parameters. Every
value is decoded by msgspec from the annotated type, so a handler never sees a wrong one.
"""

import inspect
import logging
import types
import typing
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from mepassa.client.api.problems import problem_response
from mepassa.model.errors import InvalidInputError, MepassaError

MAX_BODY_BYTES = 128 * 1024
"""A request body: a 16 KiB text escaped to six bytes a character fits, little else does."""

Handler = Callable[..., Awaitable[Any]]
log = logging.getLogger("mepassa.api")

F = typing.TypeVar("F", bound=Handler)

_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the API: what OpenAPI shows and what the dispatcher checks."""

    method: str
    path: str
    handler: Handler
    summary: str
    path_types: dict[str, Any] = field(default_factory=dict)
    query_types: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """name -> (type, default); a default of `inspect.Parameter.empty` means required."""
    body_type: Any = None
    response_type: Any = None


class InternalError(MepassaError):
    """Our bug: the person gets a sentence, the log the place."""

    sentence = "Something went wrong inside MePassa; its log says where."


def _marker(method: str, path: str) -> Callable[[F], F]:
    def mark(handler: F) -> F:
        handler.__endpoint__ = (method, path)  # type: ignore[attr-defined]  # read back by `endpoints_of`
        return handler

    return mark


def get(path: str) -> Callable[[F], F]:
    return _marker("GET", path)


def post(path: str) -> Callable[[F], F]:
    return _marker("POST", path)


def put(path: str) -> Callable[[F], F]:
    return _marker("PUT", path)


def delete(path: str) -> Callable[[F], F]:
    return _marker("DELETE", path)


def endpoints_of(service: object) -> Iterator[Endpoint]:
    """The marked methods of one service object, in the order in which they are written."""
    for name in vars(type(service)):
        handler = getattr(service, name)
        if marked := getattr(handler, "__endpoint__", None):
            method, path = marked
            yield _endpoint(method, path, handler)


def _endpoint(method: str, path: str, handler: Handler) -> Endpoint:
    hints = typing.get_type_hints(handler, include_extras=True)
    named = {part[1:-1] for part in path.split("/") if part.startswith("{")}
    paths: dict[str, Any] = {}
    queries: dict[str, tuple[Any, Any]] = {}
    body: Any = None
    for parameter in inspect.signature(handler).parameters.values():
        kind = hints[parameter.name]
        if parameter.name in named:
            paths[parameter.name] = kind
        elif parameter.name == "body":
            body = kind
        else:
            queries[parameter.name] = (kind, parameter.default)
    if missing := named - paths.keys():
        raise TypeError(f"{method} {path}: the handler takes no {sorted(missing)}")
    returned = hints.get("return")
    return Endpoint(
        method=method,
        path=path,
        handler=handler,
        summary=(inspect.getdoc(handler) or "").partition("\n")[0],
        path_types=paths,
        query_types=queries,
        body_type=body,
        response_type=None if returned is types.NoneType else returned,
    )


def add_routes(app: web.Application, prefix: str, endpoints: list[Endpoint]) -> None:
    for endpoint in endpoints:
        app.router.add_route(endpoint.method, prefix + endpoint.path, _dispatcher(endpoint))


def _dispatcher(endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    body_decoder = msgspec.json.Decoder(endpoint.body_type) if endpoint.body_type else None

    async def dispatch(request: web.Request) -> web.StreamResponse:
        try:
            arguments = _path_and_query(endpoint, request)
            if body_decoder is not None:
                arguments["body"] = await _body(request, body_decoder)
            result = await endpoint.handler(**arguments)
        except MepassaError as error:
            return problem_response(error)
        except Exception:
            log.exception("api.handler_failed", extra={"method": endpoint.method, "path": endpoint.path})
            return problem_response(InternalError())
        if result is None:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        return web.Response(body=_ENCODER.encode(result), content_type="application/json")

    return dispatch


def _path_and_query(endpoint: Endpoint, request: web.Request) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for name, kind in endpoint.path_types.items():
        arguments[name] = _convert(request.match_info[name], kind, name)
    for name, (kind, default) in endpoint.query_types.items():
        if name in request.query:
            arguments[name] = _convert(request.query[name], kind, name)
        elif default is inspect.Parameter.empty:
            raise InvalidInputError(f"The query parameter {name} is missing.", field=name)
    return arguments


def _convert(text: str, kind: Any, name: str) -> Any:
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"{name} is not of the expected form.", field=name) from error


async def _body(request: web.Request, decoder: "msgspec.json.Decoder[Any]") -> Any:
    try:
        return decoder.decode(await request.read() or b"{}")
    except web.HTTPRequestEntityTooLarge as error:
        raise InvalidInputError(f"The request is over {MAX_BODY_BYTES} bytes.") from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"The request body does not fit: {_reason(error)}", field=_field(error)) from error


def _reason(error: Exception) -> str:
    """msgspec names types and paths, never values, so its sentence may be shown."""
    return str(error) if isinstance(error, msgspec.ValidationError) else "it is not JSON."


def _field(error: Exception) -> str | None:
    """The path in msgspec's "… - at `$.text`", without the "$."."""
    _, mark, rest = str(error).partition("at `$.")
    return rest.rstrip("`") if mark and isinstance(error, msgspec.ValidationError) else None
