"""Logins of browsers. The code of a link is good once and for a short time; it is exchanged for a
session. Both live only in the gateway's memory, so every login ends when the gateway ends."""

import hashlib
import hmac
import re
import secrets
import time
from pathlib import Path

from fleet_lib.files import write_whole

CODE_SECONDS = 15 * 60.0


def token_of(home: str, *, fresh: bool = False) -> str:
    """The gateway's token of this home. Makes one if there is none, or if a fresh one is wanted."""
    new = secrets.token_urlsafe(32)
    return _kept(Path(home) / "gateway.token", new, "[!-~]{32,}", fresh=fresh)


def name_of(home: str, *, fresh: bool = False) -> str:
    """What is random in the page's host name, where that is kept from start to start."""
    return _kept(Path(home) / "gateway.name", secrets.token_hex(16), "[0-9a-f]{32}", fresh=fresh)


def _kept(path: Path, new: str, form: str, *, fresh: bool) -> str:
    """The secret of this form that the file has; the new one if it has none or a fresh one is
    wanted."""
    if not fresh:
        try:
            if re.fullmatch(form, known := path.read_text("ascii").strip()):
                return known
        except (FileNotFoundError, UnicodeDecodeError):
            pass
    write_whole(path, new + "\n")
    return new


class Logins:
    """The one token that programs read from a file, the codes of links, and browsers' sessions."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        # By their hashes, so that looking one up takes no time that depends on its characters.
        self._codes: dict[bytes, float] = {}  # with the moment at which each ends
        self._sessions: set[bytes] = set()

    def new_code(self) -> str:
        """A code for one login."""
        code, now = secrets.token_urlsafe(24), time.monotonic()
        self._codes = {known: ends for known, ends in self._codes.items() if ends > now}
        self._codes[_hash(code)] = now + CODE_SECONDS
        return code

    def exchange(self, code: str) -> str | None:
        """A session for a code; None if the code is unknown, spent or too old."""
        if self._codes.pop(_hash(code), 0.0) < time.monotonic():
            return None
        session = secrets.token_urlsafe(32)
        self._sessions.add(_hash(session))
        return session

    def is_token(self, bearer: str) -> bool:
        return hmac.compare_digest(bearer.encode("utf-8", "surrogatepass"), self._token)

    def is_session(self, bearer: str) -> bool:
        return _hash(bearer) in self._sessions


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
