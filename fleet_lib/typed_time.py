"""A time as a person types it, for every command that takes one: `2h`, `3d`, `today`, `monday`,
`14:00`, `2026-11-01`. Days and hours are those of the machine's time zone."""

import re
import time
from datetime import date, datetime, timedelta

from fleet_lib import clock
from fleet_lib.errors import BadInput

PAST_EXAMPLES = "30m, 2h, 3d, 2w, today, yesterday, monday, 14:00, 2026-11-01 or 2026-11-01T14:00"
FUTURE_EXAMPLES = "30m, 2h, 3d, tomorrow, monday, 14:00, 2026-11-30 or 2026-11-30T14:00"
MORNING = 9  # the hour at which a later day begins for a person who puts something off
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NAMED_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_OLDEST = 0.0  # Unix seconds: nothing of ours is older than 1970


def past(typed: str, now: float | None = None) -> str:
    """The time before `now` (Unix seconds) that is meant, in the database's form. A day is its
    beginning, a day of the week the last one, today included. Raises BadInput."""
    now = time.time() if now is None else now
    text = _normal(typed).removesuffix(" ago")
    if (span := _span(text)) is not None:
        return clock.of_seconds(max(now - span, _OLDEST))
    today = datetime.fromtimestamp(now)
    moment = _moment(text, today, hour=0, toward=-1)
    if moment is None:
        raise BadInput(f"{typed!r} is not a time; use {PAST_EXAMPLES}")
    if moment > now:
        raise BadInput(f"{typed!r} is not in the past")
    return clock.of_seconds(max(moment, _OLDEST))


def future(typed: str, now: float | None = None) -> str:
    """The time after `now` (Unix seconds) that is meant, in the database's form. A day is its
    morning, a day of the week the next one after today. Raises BadInput."""
    now = time.time() if now is None else now
    text = _normal(typed).removeprefix("in ")
    if (span := _span(text)) is not None:
        moment: float | None = now + span
    else:
        moment = _moment(text, datetime.fromtimestamp(now), hour=MORNING, toward=1)
    if moment is None:
        raise BadInput(f"{typed!r} is not a time; use {FUTURE_EXAMPLES}")
    if moment <= now:
        raise BadInput(f"{typed!r} is not in the future")
    try:
        return clock.of_seconds(moment)
    except (ValueError, OverflowError, OSError):
        raise BadInput(f"{typed!r} is too far ahead") from None


def _normal(typed: str) -> str:
    return " ".join(typed.lower().split())


def _span(text: str) -> int | None:
    """Seconds."""
    match = re.fullmatch(r"(\d{1,9}) ?(m|min|minutes?|h|hours?|d|days?|w|weeks?)", text)
    return int(match[1]) * _SECONDS[match[2][0]] if match else None


def _moment(text: str, today: datetime, *, hour: int, toward: int) -> float | None:
    """Unix seconds; None for a text that names no time. What names no zone is local. A time of day,
    and a day of the week, is the nearest in the direction `toward`."""
    try:
        if re.fullmatch(r"\d{1,2}:\d\d", text):
            hours, _, minutes = text.partition(":")
            at = today.replace(hour=int(hours), minute=int(minutes), second=0, microsecond=0)
            is_beyond = (at - today) / timedelta(seconds=1) * toward < 0
            return (at + timedelta(days=toward) if is_beyond else at).timestamp()
        if (day := _day(text, today.date(), toward)) is not None:
            return datetime(day.year, day.month, day.day, hour).timestamp()
        return datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _day(text: str, today: date, toward: int) -> date | None:
    """None for a text that is no day."""
    if text in _NAMED_DAYS:
        return today + timedelta(days=_NAMED_DAYS[text])
    if text in _WEEKDAYS or text in [name[:3] for name in _WEEKDAYS]:
        number = [name[:3] for name in _WEEKDAYS].index(text[:3])
        away = (number - today.weekday()) * toward % 7
        return today + timedelta(days=toward * (away or (7 if toward > 0 else 0)))
    try:
        return date.fromisoformat(text.upper())
    except ValueError:
        return None
