"""Who may speak to the local API: this person's own programs and page, nobody's website (docs/guides/local-api.md).

The port is open to every program and every web page on the machine, so each request must name this host (DNS
rebinding), come from this origin if it says where it comes from, and carry the token or the cookie of this start.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from mepassa.client.api.problems import problem
from mepassa.model.secret import SecretBytes
from mepassa.ports.clock import Clock
from mepassa.ports.rng import Rng

CODE_LIFE_S = 60.0
"""A one-time code may show up in a process list or a browser history; a minute is enough to open a page."""
MAX_CODES = 8
"""Codes waiting at once; the oldest falls out."""


@dataclass(slots=True)
class Gate:
    """Checks tokens, cookies, hosts and origins; hands out one-time codes. `port` is set once the socket is bound."""

    token: SecretBytes
    clock: Clock
    rng: Rng
    frame_ancestor: str | None = None
    port: int = 0
    cookie_value: str = field(init=False, repr=False)
    """Drawn anew at each start: a browser shows it to other ports too, and what was seen there ends with this node (0164)."""
    _codes: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cookie_value = self.rng.token(32).hex()

    @property
    def cookie_name(self) -> str:
        """Cookies ignore ports, so two nodes on one host need two names."""
        return f"mepassa_{self.port}"

    @property
    def own_host(self) -> str:
        """A name of this machine that nobody else can guess, the same across starts (decision 0122).

        A browser shows 127.0.0.1's cookies to whatever program answers at another port there, another user's too; those of
        this name it shows only to whoever it was sent to by this name.
        """
        label = hmac.digest(self.token.expose(), b"mepassa page host 1", hashlib.sha256)[:16]
        return f"{label.hex()}.localhost:{self.port}"

    def proof(self, nonce: bytes) -> str:
        """That whoever answers at this port holds the token, without showing it (`cli.local_api` asks first)."""
        message = b"mepassa api proof 1" + self.port.to_bytes(2, "big") + nonce
        return hmac.digest(self.token.expose(), message, hashlib.sha256).hex()

    def new_code(self) -> str:
        while len(self._codes) >= MAX_CODES:
            del self._codes[next(iter(self._codes))]
        code = self.rng.token(16).hex()
        self._codes[code] = self.clock.monotonic() + CODE_LIFE_S
        return code

    def redeem(self, code: str) -> bool:
        """True once for a code that is at most a minute old."""
        now = self.clock.monotonic()
        found = next((known for known in self._codes if hmac.compare_digest(known.encode(), _raw(code))), None)
        return found is not None and self._codes.pop(found) >= now

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response: web.StreamResponse | None = self._refusal(request)
        if response is None:
            try:
                response = await handler(request)
            except web.HTTPException as refused:  # aiohttp's own 404, 405 and 413
                response = problem(HTTPStatus(refused.status), "NotFoundError", "There is nothing at this address.")
        if not response.prepared:
            self._harden(response)
        return response

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.host not in self._hosts():
            return problem(HTTPStatus.FORBIDDEN, "ForbiddenHostError", "This address is not served here.")
        origin = request.headers.get("Origin")
        if origin is not None and origin not in {f"http://{host}" for host in self._hosts()}:
            return problem(HTTPStatus.FORBIDDEN, "ForbiddenOriginError", "Other web sites may not ask here.")
        if request.path.startswith("/api/") and not self._authorised(request):
            return problem(
                HTTPStatus.UNAUTHORIZED,
                "UnauthorizedError",
                "Open the page with `mepassa open`, or send the API token.",
            )
        return None

    def _hosts(self) -> set[str]:
        return {f"127.0.0.1:{self.port}", f"localhost:{self.port}", self.own_host}

    def _authorised(self, request: web.Request) -> bool:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer" and hmac.compare_digest(_raw(given), self.token.expose().hex().encode()):
            return True
        cookie = request.cookies.get(self.cookie_name, "")
        return hmac.compare_digest(_raw(cookie), self.cookie_value.encode())

    def _harden(self, response: web.StreamResponse) -> None:
        ancestors = self.frame_ancestor or "'none'"
        response.headers["Content-Security-Policy"] = f"default-src 'self'; frame-ancestors {ancestors}"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers.setdefault("Cache-Control", "no-store")


def _raw(text: str) -> bytes:
    """The bytes that came: headers may hold some that are no UTF-8, which aiohttp keeps as lone surrogates."""
    return text.encode("utf-8", "surrogatepass")
