"""Who may use the gateway: programs with the token of this home and browsers that are logged in,
under a Host of the gateway's own, and from no other page's Origin. One middleware in front of
everything, HTTP and WebSocket alike. The page and its files are public; they hold no data."""

import asyncio
import base64
import hashlib
import re
from dataclasses import dataclass

from pydantic import ValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from commander.gateway import messages
from commander.gateway.address import Address
from commander.gateway.logins import Logins

BODY_LIMIT = 2_000_000  # bytes
LOGIN_SECONDS = 5.0  # for the first message of a WebSocket
SESSION_PATH, LINKS_PATH = "/api/v1/session", "/api/v1/links"
_POLICY_VIOLATION = 1008
_STYLE = (
    ":root{color-scheme:light dark}h1{font-size:1.3em}"
    "body{font:16px/1.6 system-ui,sans-serif;max-width:34em;margin:15vh auto;padding:0 1.5em}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; worker-src 'none'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
}
_REFUSED_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)


@dataclass(frozen=True)
class _Refusal:
    status: int
    code: str
    message: str


_UNKNOWN_HOST = _Refusal(
    403,
    "unknown_host",
    "This is not an address of the gateway that runs now. If it was started again, use its new link:"
    " run `fleet gateway link`. A name of your own must be in the setting gateway.hosts.",
)
_OTHER_PAGE = _Refusal(403, "other_page", "Other pages may not use this gateway.")
_TOO_LARGE = _Refusal(413, "too_large", "The request is too large.")
_LOGIN_NEEDED = _Refusal(
    401,
    "login_needed",
    "Run `fleet gateway link` and open the link that it prints. A program sends the token of"
    " $FLEET_HOME/gateway.token as `Authorization: Bearer TOKEN`.",
)
_NOT_HERE = _Refusal(
    403, "not_here", "The page cannot log in at this address. Open the link as it was printed."
)
_TOKEN_NEEDED = _Refusal(403, "token_needed", "Only the token of this home can make a link.")


class Guard:
    """Lets only allowed requests through to `app`."""

    def __init__(self, app: ASGIApp, address: Address, logins: Logins) -> None:
        self._app = app
        self._address = address
        self._logins = logins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        bearer = _bearer(headers)
        refusal = self._refusal(scope, headers, bearer)
        if refusal:
            await _refuse(refusal, scope, receive, send)
            return
        if scope["type"] == "websocket" and bearer is None:
            if not await self._logs_in(headers["host"], receive, send):
                return
            receive, send = _connected(receive, send)
            _admit(scope)
        elif bearer and self._is_known(bearer, headers["host"]):
            _admit(scope)
        await self._app(scope, _limited(receive), _with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers, bearer: str | None) -> _Refusal | None:
        """Why a request is not allowed; None if it is."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._address.serves(hosts[0]):
            return _UNKNOWN_HOST
        host = hosts[0]
        if len(origins) > 1 or any(not self._address.is_own_page(one, host) for one in origins):
            return _OTHER_PAGE
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > BODY_LIMIT:
            return _TOO_LARGE
        if _is_public(scope):
            return None
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return _OTHER_PAGE
        if scope["path"] == SESSION_PATH:
            return None if self._address.has_page(host) else _NOT_HERE
        if scope["path"] == LINKS_PATH and not self._logins.is_token(bearer or ""):
            return _TOKEN_NEEDED if self._is_known(bearer or "", host) else _LOGIN_NEEDED
        if bearer is None and scope["type"] == "websocket":
            return None  # a browser cannot send the header; its first message is the login
        return None if self._is_known(bearer or "", host) else _LOGIN_NEEDED

    def _is_known(self, bearer: str, host: str) -> bool:
        if self._logins.is_token(bearer):
            return True
        return self._address.has_page(host) and self._logins.is_session(bearer)

    async def _logs_in(self, host: str, receive: Receive, send: Send) -> bool:
        """Whether the first message of a WebSocket is a login. Otherwise it is closed."""
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        message: Message = {}
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                message = await receive()
        except TimeoutError:
            pass
        if message.get("type") == "websocket.disconnect":
            return False
        try:
            given = messages.client_message.validate_json(message.get("text") or "")
        except ValidationError:
            given = None
        if isinstance(given, messages.Login) and self._is_known(given.bearer, host):
            return True
        await send(
            {
                "type": "websocket.close",
                "code": _POLICY_VIOLATION,
                "reason": "the first message must be a login with a right bearer",
            }
        )
        return False


def _is_public(scope: Scope) -> bool:
    """The page and its files: whatever is neither the API, the WebSocket nor MCP."""
    path: str = scope["path"]
    return scope["type"] == "http" and not path.startswith(("/api", "/ws", "/mcp"))


def _bearer(headers: Headers) -> str | None:
    """The credential of the Authorization header; "" for one of another kind; None without one."""
    given = headers.get("authorization")
    if given is None:
        return None
    kind, _, bearer = given.partition(" ")
    return bearer.strip() if kind.lower() == "bearer" else ""


def _admit(scope: Scope) -> None:
    """Tell the connection that its client is let in (connections.py)."""
    if connection := scope.get("state", {}).get("connection"):
        connection.admit()


async def _refuse(refusal: _Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        reason = refusal.message[:100]
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})
        return
    response: Response
    if _is_public(scope):
        text = re.sub("`(.*?)`", r"<code>\1</code>", refusal.message)
        response = HTMLResponse(
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Fleet</title>'
            f"<style>{_STYLE}</style><h1>Fleet</h1><p>{text}</p>",
            refusal.status,
            {"Content-Security-Policy": _REFUSED_POLICY},
        )
    else:
        error = {"code": refusal.code, "message": refusal.message}
        response = JSONResponse({"error": error}, refusal.status)
        if refusal.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
    await response(scope, receive, _with_headers(send))


def _connected(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """The two sides of a WebSocket that is accepted already, for an application that accepts it."""
    is_first = True

    async def receiving() -> Message:
        nonlocal is_first
        if is_first:
            is_first = False
            return {"type": "websocket.connect"}
        return await receive()

    async def sending(message: Message) -> None:
        if message["type"] != "websocket.accept":
            await send(message)

    return receiving, sending


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
                headers.setdefault(name, value)
        await send(message)

    return sending
