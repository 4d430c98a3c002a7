"""Times in the database's form (UTC, ISO 8601, milliseconds, `Z`), and as a person reads them."""

import time
from datetime import UTC, datetime

from fleet_lib.text import clean

_HOUR, _DAY = 3600, 86400
# (unit, from how many seconds on, seconds in one)
_AGES = (("w", 14 * _DAY, 7 * _DAY), ("d", _DAY, _DAY), ("h", _HOUR, _HOUR), ("m", 60, 60))


def iso(nanoseconds: int) -> str:
    """Unix nanoseconds as `2026-11-23T06:55:16.123Z`."""
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1_000_000 % 1000:03d}Z"


def of_seconds(seconds: float) -> str:
    """Unix seconds in the database's form."""
    return iso(int(seconds * 1000) * 1_000_000)


def now() -> str:
    return iso(time.time_ns())


def ago(seconds: float) -> str:
    """The time so many seconds before now, for comparison with stored times."""
    return ahead(-seconds)


def ahead(seconds: float) -> str:
    """The time so many seconds after now."""
    return iso(time.time_ns() + int(seconds * 1e9))


def parse(text: str) -> datetime:
    """Any ISO 8601 form as an aware datetime, UTC if it names no zone. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def normal(text: str) -> str:
    """Any ISO 8601 form in the database's form. Raises ValueError."""
    return of_seconds(parse(text).timestamp())


def seconds_since(moment: str) -> float:
    """Raises ValueError."""
    return time.time() - parse(moment).timestamp()


def age(moment: str) -> str:
    """A time for a person: "just now", "4m ago", "3h ago", "2d ago", "5w ago". A text that is no
    time is cut to 16 characters."""
    try:
        seconds = max(0.0, seconds_since(moment))
    except (ValueError, OverflowError):
        return clean(moment, 16)
    for unit, least, size in _AGES:
        if seconds >= least:
            return f"{seconds // size:.0f}{unit} ago"
    return "just now"


def nanoseconds(text: str) -> int:
    """Any ISO 8601 form as Unix nanoseconds. Raises ValueError."""
    return int(parse(text).timestamp() * 1_000_000_000)
