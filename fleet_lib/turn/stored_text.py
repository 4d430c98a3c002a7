"""Text as it may be stored: without what SQLite cannot hold, redacted, one line, cut. A file of its
own, because redaction must come before every cut: a token that is cut in half is no longer
recognised."""

from collections.abc import Iterable

from fleet_lib.redact import redact
from fleet_lib.turn.briefing_parser import ITEM_LIMIT, folded

TITLE_LIMIT = 120  # characters of a session's name
TEXT_LIMIT = 300  # characters of a detail, a message, a reason


def storable(text: str) -> str:
    """The text without lone surrogates, which UTF-8 cannot hold, and without NUL, at which SQLite's
    functions stop."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def stored_text(text: str, limit: int = TEXT_LIMIT) -> str:
    """One redacted line of at most `limit` characters."""
    return folded(redact(storable(text)), limit)


def stored_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """The items of a list, each as one redacted line."""
    return tuple(stored_text(text, ITEM_LIMIT) for text in texts)
