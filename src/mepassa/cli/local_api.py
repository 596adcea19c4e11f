"""The command line's door to a running node: plain HTTP on loopback with the token from the folder."""

import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from mepassa.model.errors import LocalError, MepassaError, TransientError

CALL_TIMEOUT_S = 60.0
"""A call may wait for another server (adding a contact); a minute is longer than any step inside it."""


CHECK_TIMEOUT_S = 10.0
"""For the proof that the node is ours: a moment, unless the machine is very busy."""


class NodeNotRunningError(TransientError):
    sentence = "MePassa is not running in this folder; start it with `mepassa run`."


class ApiError(LocalError):
    """The node refused; `code` is the node's own."""

    def __init__(self, code: str, message: str, field: str | None) -> None:
        super().__init__(message, field=field)
        self._code = code

    @property
    def code(self) -> str:
        return self._code


class LocalApi:
    """One node's local API. Raises `NodeNotRunningError` when nothing answers, `ApiError` when the node refuses."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._token = token
        self._headers = {"Authorization": f"Bearer {token}"}
        self._http: aiohttp.ClientSession | None = None

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        try:
            url = (folder / "api-address").read_text().strip()
            token = (folder / "api-token").read_text().strip()
        except OSError as error:
            raise NodeNotRunningError from error
        return cls(url, token)

    async def __aenter__(self) -> Self:
        await self._check()
        timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
        self._http = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def _check(self) -> None:
        """That our node answers there: after a crash the file may name a port that somebody else has taken since, and
        the token must not be told to them. Raises `NodeNotRunningError`.
        """
        nonce = secrets.token_bytes(32)
        try:
            port = urlsplit(self.url).port or 0
            expected = proof_of(bytes.fromhex(self._token), port, nonce)
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CHECK_TIMEOUT_S)) as http:
                asked = f"{self.url}/proof?nonce={nonce.hex()}"
                async with http.get(asked, allow_redirects=False) as answer:
                    said = await answer.content.read(len(expected) + 1)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NodeNotRunningError from error
        if not hmac.compare_digest(said, expected):
            raise NodeNotRunningError

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def get(self, path: str, **query: str | int) -> Any:
        return await self._call("GET", path, params=query)

    async def post(self, path: str, body: object = None) -> Any:
        return await self._call("POST", path, json={} if body is None else body)

    async def put(self, path: str, body: object) -> Any:
        return await self._call("PUT", path, json=body)

    async def delete(self, path: str) -> Any:
        return await self._call("DELETE", path)

    async def events(self, after: int | None = None) -> AsyncIterator[dict[str, Any]]:
        """Events as they come, until the node stops; `after` resumes behind that sequence number."""
        query = "" if after is None else f"?after={after}"
        try:
            async with self._session().ws_connect(f"{self.url}/api/v1/events{query}", heartbeat=20) as socket:
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        yield message.json()
        except aiohttp.WSServerHandshakeError as error:
            raise ApiError("UnknownError", f"The node refused to tell events (status {error.status}).", None) from error
        except aiohttp.ClientConnectionError as error:
            raise NodeNotRunningError from error

    async def _call(self, method: str, path: str, **request: Any) -> Any:
        try:
            async with self._session().request(method, f"{self.url}/api/v1{path}", **request) as answer:
                if answer.status == 204:
                    return None
                try:
                    body = await answer.json(content_type=None)
                except ValueError:
                    body = None  # not a node's answer
                if answer.status >= 400 or body is None:
                    raise _refusal(body)
                return body
        except aiohttp.ClientConnectionError as error:
            raise NodeNotRunningError from error
        except TimeoutError as error:
            raise TransientError("The node did not answer in time; try again.") from error

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("use LocalApi as an async context manager")
        return self._http


def proof_of(token: bytes, port: int, nonce: bytes) -> bytes:
    """What a node with this token answers to `GET /proof?nonce=` at this port (docs/guides/local-api.md)."""
    message = b"mepassa api proof 1" + port.to_bytes(2, "big") + nonce
    return hmac.digest(token, message, hashlib.sha256).hex().encode()


def _refusal(body: Any) -> MepassaError:
    problem = body.get("error", {}) if isinstance(body, dict) else {}
    code, message = str(problem.get("code", "UnknownError")), str(problem.get("message", "The node refused."))
    return ApiError(code, message, problem.get("field"))
