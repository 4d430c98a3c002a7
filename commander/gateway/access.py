"""Who may use the gateway: clients with the token of this home, under the right Host, and from no
other page's Origin. One middleware in front of everything, HTTP and WebSocket alike."""

import hashlib
import hmac
import secrets
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fleet_lib.files import write_whole

BODY_LIMIT = 2_000_000  # bytes
_COOKIE_SECONDS = 30 * 86400
_SAFE_METHODS = ("GET", "HEAD")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
_LOGIN_NEEDED = "Open the link that `fleet gateway` prints. This address alone is not enough.\n"


def token_of(home: str, *, fresh: bool = False) -> str:
    """The gateway's token of this home. Makes one if there is none, or if a fresh one is wanted."""
    path = Path(home) / "gateway.token"
    if not fresh:
        try:
            if (known := path.read_text("ascii").strip()) and len(known) >= 32:
                return known
        except (FileNotFoundError, UnicodeDecodeError):
            pass
    token = secrets.token_urlsafe(32)
    write_whole(path, token + "\n")
    return token


class Guard:
    """Lets only allowed requests through to `app`."""

    def __init__(
        self, app: ASGIApp, token: str, port: int, host: str = "127.0.0.1", once: str = ""
    ) -> None:
        """`once` works like the token, but one time only: `ps` shows the command line that a
        browser is started with."""
        self._app = app
        self._token = token
        self._once = once
        names = {"127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host}
        # Bound to all addresses, it cannot know the names that it is reached by.
        is_any = host in ("0.0.0.0", "::")  # noqa: S104
        self._hosts = None if is_any else {f"{name.lower()}:{port}" for name in names}
        # All ports of a host share their cookies.
        self._cookie = f"fleet_gateway_{port}"
        # The cookie is not the token, so it cannot be used as a bearer token.
        self._cookie_value = hmac.new(token.encode(), b"cookie", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        in_query = given = dict(query).get("token", "") or self._spend(dict(query).get("once", ""))
        bearer = headers.get("authorization", "")
        if bearer.lower().startswith("bearer "):
            given = bearer[7:].strip()
        fault = self._fault(scope, headers, given)
        if fault:
            await _refuse(scope, receive, send, *fault)
            return
        is_page = scope["type"] == "http" and not scope["path"].startswith(("/api/", "/static/"))
        if is_page and scope["method"] == "GET" and in_query:
            # The token must not stay in the address, which is kept in the history and copied.
            rest = urlencode([pair for pair in query if pair[0] not in ("token", "once")])
            address = "/" + scope["path"].lstrip("/") + ("?" + rest if rest else "")
            response = RedirectResponse(address, status_code=303)
            response.set_cookie(
                self._cookie,
                self._cookie_value,
                max_age=_COOKIE_SECONDS,
                httponly=True,
                samesite="strict",
            )
            await response(scope, receive, _with_headers(send))
            return
        await self._app(scope, _limited(receive), _with_headers(send))

    def _fault(self, scope: Scope, headers: Headers, given: str) -> tuple[int, str] | None:
        """(status, message) for a request that is not allowed."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_host(hosts[0]):
            return 403, "This gateway does not serve this host name.\n"
        origins = headers.getlist("origin")
        origin = origins[0] if origins else None
        if len(origins) > 1 or (origin is not None and origin != f"http://{hosts[0]}"):
            return 403, "Other pages may not use this gateway.\n"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return 403, "Other pages may not use this gateway.\n"
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > BODY_LIMIT:
            return 413, "The request is too large.\n"
        if given:
            right = hmac.compare_digest(given.encode(), self._token.encode())
            return None if right else (401, _LOGIN_NEEDED)
        if not self._has_cookie(headers):
            return 401, _LOGIN_NEEDED
        # A browser sends the cookie along with any page's request, but only ours has our Origin.
        changes = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        if changes and origin is None:
            return 403, "A cookie alone may not change anything: send the token, or an Origin.\n"
        return None

    def _spend(self, once: str) -> str:
        """The token in exchange for the value that works once."""
        if not (once and self._once and hmac.compare_digest(once.encode(), self._once.encode())):
            return ""
        self._once = ""
        return self._token

    def _is_host(self, host: str) -> bool:
        return self._hosts is None or host.lower() in self._hosts

    def _has_cookie(self, headers: Headers) -> bool:
        # Other programs on this host set cookies too, and a cookie parser may give up at theirs.
        pairs = (part.partition("=") for part in ";".join(headers.getlist("cookie")).split(";"))
        return any(
            name.strip() == self._cookie
            and hmac.compare_digest(value.strip().encode(), self._cookie_value.encode())
            for name, _, value in pairs
        )


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, message: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": message.strip()[:100]})
        return
    await PlainTextResponse(message, status)(scope, receive, _with_headers(send))


def _limited(receive: Receive) -> Receive:
    """Cuts a body that did not announce its length where it gets too large."""
    size = 0

    async def limited() -> Message:
        nonlocal size
        message = await receive()
        if message["type"] == "http.request":
            size += len(message.get("body", b""))
            if size > BODY_LIMIT:
                return {"type": "http.disconnect"}
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
