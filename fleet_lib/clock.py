"""Times in the database's form (UTC, ISO 8601, milliseconds, `Z`), and as a person reads them."""

import time
from functools import lru_cache

from fleet_lib.text import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import UTC, datetime, timedelta
else:
    try:  # the C half, which does not import Python's own form of the same first
        from _datetime import UTC, datetime, timedelta
    except ImportError:  # another Python has other private names
        from datetime import UTC, datetime, timedelta

_EPOCH = datetime.fromtimestamp(0, UTC)
_HOUR, _DAY = 3600, 86400
# A time that is further ahead than this came from a clock that was set back since.
AHEAD_NANOSECONDS = 2_000_000_000
# Two machines' clocks that differ by less are taken for the same.
SKEW_NANOSECONDS = 5_000_000_000
# (unit, from how many seconds on, seconds in one)
_AGES = (("w", 14 * _DAY, 7 * _DAY), ("d", _DAY, _DAY), ("h", _HOUR, _HOUR), ("m", 60, 60))


def iso(nanoseconds: int) -> str:
    """Unix nanoseconds as `2026-11-23T06:55:16.123Z`."""
    return f"{_iso_second(nanoseconds // 1_000_000_000)}.{nanoseconds // 1_000_000 % 1000:03d}Z"


@lru_cache(maxsize=64)  # most times of a turn are within a few seconds
def _iso_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


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


def is_ahead(moment: str) -> bool:
    """Whether a time in the database's form is in the future: it says nothing about what came
    after it."""
    return moment > iso(time.time_ns() + AHEAD_NANOSECONDS)


def parse(text: str) -> datetime:
    """Any ISO 8601 form as an aware datetime, UTC if it names no zone. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def normal(text: str) -> str:
    """Any ISO 8601 form in the database's form. Raises ValueError."""
    return iso(nanoseconds(text))


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


def local(moment: str) -> str:
    """A stored time in the machine's time zone, for a person: "2026-11-23 07:55". A text that is
    no time is cut to 16 characters."""
    try:
        return f"{parse(moment).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return clean(moment, 16)


def soon(moment: str) -> str:
    """A time of the next days for a person: "15:00", "Mon 09:00"; a later one as `local` has it."""
    at, now = parse(moment).astimezone(), datetime.now().astimezone()
    if at.date() == now.date():
        return f"{at:%H:%M}"
    return f"{at:%a %H:%M}" if now < at < now + timedelta(days=6) else local(moment)


def nanoseconds(text: str) -> int:
    """Any ISO 8601 form as Unix nanoseconds. Raises ValueError."""
    # Not by `timestamp()`: a float has no room for the milliseconds of today.
    return (parse(text) - _EPOCH) // timedelta(microseconds=1) * 1000
