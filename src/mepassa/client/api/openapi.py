"""OpenAPI 3.1 from the endpoints' own types: the document cannot disagree with the checks."""

import inspect
from typing import Any

import msgspec

from mepassa.client.api.router import Endpoint
from mepassa.client.api.types import ErrorAnswer, Event

REF = "#/components/schemas/{name}"


def openapi(endpoints: list[Endpoint], *, version: str, prefix: str) -> dict[str, Any]:
    """The whole document. Every endpoint may answer with the error object at any 4xx or 5xx status."""
    kinds: list[Any] = [ErrorAnswer, Event]
    for endpoint in endpoints:
        kinds += [kind for kind in (endpoint.body_type, endpoint.response_type) if kind is not None]
        kinds += list(endpoint.path_types.values()) + [kind for kind, _default in endpoint.query_types.values()]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REF)
    found = dict(zip(map(repr, kinds), schemas, strict=True))
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, found)
    paths["/events"] = {"get": _events(found[repr(Event)])}
    paths["/openapi.json"] = {"get": _OWN_OPERATION}
    return {
        "openapi": "3.1.0",
        "info": {"title": "MePassa local API", "version": version},
        "servers": [{"url": prefix}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(endpoint: Endpoint, found: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": found[repr(kind)]}
        for name, kind in endpoint.path_types.items()
    ] + [
        {"name": name, "in": "query", "required": default is inspect.Parameter.empty, "schema": found[repr(kind)]}
        for name, (kind, default) in endpoint.query_types.items()
    ]
    operation: dict[str, Any] = {"summary": endpoint.summary, "parameters": parameters, "responses": {}}
    if endpoint.body_type is not None:
        operation["requestBody"] = {"required": True, "content": _json(found[repr(endpoint.body_type)])}
    if endpoint.response_type is None:
        operation["responses"]["204"] = {"description": "Done."}
    else:
        operation["responses"]["200"] = {"description": "Done.", "content": _json(found[repr(endpoint.response_type)])}
    for status in ("4XX", "5XX"):
        operation["responses"][status] = {"description": "Refused.", "content": _json(found[repr(ErrorAnswer)])}
    return operation


_OWN_OPERATION = {
    "summary": "This document.",
    "parameters": [],
    "responses": {"200": {"description": "Done.", "content": {"application/json": {"schema": {"type": "object"}}}}},
}


def _events(event: Any) -> dict[str, Any]:
    """OpenAPI has no word for WebSockets: the answer that switches to one shows what each text frame holds."""
    after = {"name": "after", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 0}}
    return {
        "summary": "A WebSocket of events behind `after`, or from now on; each text frame is one event.",
        "parameters": [after],
        "responses": {"101": {"description": "Events follow, one a text frame.", "content": _json(event)}},
    }


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
