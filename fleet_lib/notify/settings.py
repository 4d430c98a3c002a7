"""The settings of notifications as the drainer and the sender read them, and the quiet hours."""

import datetime
import time

from fleet_lib import hot_settings
from fleet_lib.lazy import lazy
from fleet_lib.records import Record

GRACE_SECONDS = 30
_SPAN = lazy(hot_settings.QUIET_HOURS)


class NotifySettings(Record):
    grace_seconds: int
    quiet: tuple[int, int] | None  # minutes after midnight, local time: from, and until before
    has_titles: bool

    def is_quiet(self, now: float) -> bool:
        """Whether nothing is sent at this Unix time. The clock on the wall decides, so a night in
        which it is changed is an hour longer or shorter."""
        if self.quiet is None:
            return False
        start, end = self.quiet
        there = time.localtime(now)
        minute = there.tm_hour * 60 + there.tm_min
        return start <= minute < end if start < end else minute >= start or minute < end

    def quiet_until(self, now: float) -> float:
        """The Unix time at which the quiet hours end that there are now."""
        assert self.quiet is not None
        end = datetime.time(*divmod(self.quiet[1], 60))
        day = datetime.datetime.fromtimestamp(now).date()
        for later in (day, day + datetime.timedelta(days=1)):
            moment = datetime.datetime.combine(later, end).timestamp()
            if moment > now:
                return moment
        return now


def read(home: str) -> NotifySettings:
    """The settings of config.toml; the default of one that is not allowed."""
    grace = hot_settings.setting(home, "notify", "grace_seconds")
    return NotifySettings(
        int(grace) if grace.isdecimal() and len(grace) < 6 else GRACE_SECONDS,
        span_of(hot_settings.setting(home, "notify", "quiet_hours").strip("\"'")),
        hot_settings.setting(home, "notify", "titles") == "true",
    )


def span_of(text: str) -> tuple[int, int] | None:
    """`22:00-07:00` in minutes after midnight; None if it is no span of time."""
    match = _SPAN.fullmatch(text) if text else None
    if not match:
        return None
    start, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    return None if start == end else (start, end)
