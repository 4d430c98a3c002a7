"""Text as it may be stored: without what SQLite cannot hold, redacted, one line, cut. A file of its
own, because redaction must come before every cut: a token that is cut in half is no longer
recognised."""

from collections.abc import Iterable

from fleet_lib.lazy import lazy
from fleet_lib.redact import redact
from fleet_lib.text import storable
from fleet_lib.turn.briefing_parser import ITEM_LIMIT, folded

TITLE_LIMIT = 120  # characters of a session's name
TEXT_LIMIT = 300  # characters of a detail, a message, a reason
PATH_LIMIT = 4096  # characters of a file's name

# What stands for bytes that are not UTF-8, as Python and git's answers have them.
_UNDECODABLE = lazy(r"[\udc80-\udcff]")
_LOOKS_QUOTED = lazy(r'(?s)".*\\.*"')
_QUOTED = str.maketrans(
    {"\\": "\\\\", '"': '\\"'} | {0xDC00 + b: f"\\{b:03o}" for b in range(128, 256)}
)


def stored_text(text: str, limit: int = TEXT_LIMIT) -> str:
    """One redacted line of at most `limit` characters."""
    return folded(redact(storable(text)), limit)


def stored_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """The items of a list, each as one redacted line."""
    return tuple(stored_text(text, ITEM_LIMIT) for text in texts)


def stored_path(path: str) -> str:
    """A file's name, redacted, with its blanks and line breaks as they are. SQLite holds UTF-8
    alone, so a name of other bytes is quoted as git quotes it: `"caf\\351.txt"`. A name that would
    look like a quoted one is quoted as well, so each stored name stands for one file."""
    if _UNDECODABLE.search(path) or _LOOKS_QUOTED.fullmatch(path):
        path = f'"{path.translate(_QUOTED)}"'
    return redact(storable(path))[:PATH_LIMIT]


def stored_paths(paths: Iterable[str]) -> tuple[str, ...]:
    """The names of files, each once. Not for names that were stored before."""
    return tuple(dict.fromkeys(stored_path(path) for path in paths))
