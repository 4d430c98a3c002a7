"""A time as a person types it, in any time zone and across the changes of the clocks."""

import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from fleet_lib import typed_time
from fleet_lib.errors import BadInput

BERLIN, NEW_YORK, HAVANA = "Europe/Berlin", "America/New_York", "America/Havana"


def at(zone: str, text: str, monkeypatch: pytest.MonkeyPatch) -> float:
    """The Unix time of a local time, on a machine in that zone."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("zone", "now", "typed", "expected"),
    [
        ("UTC", "2026-11-25T10:00", "30m", "2026-11-25T09:30"),
        ("UTC", "2026-11-25T10:00", " 2 H ", "2026-11-25T08:00"),
        ("UTC", "2026-11-25T10:00", "3d", "2026-11-22T10:00"),
        ("UTC", "2026-11-25T10:00", "3d ago", "2026-11-22T10:00"),
        ("UTC", "2026-11-25T10:00", "3 days ago", "2026-11-22T10:00"),
        ("UTC", "2026-11-25T10:00", "90min", "2026-11-25T08:30"),
        ("UTC", "2026-11-25T10:00", "2w", "2026-11-11T10:00"),
        ("UTC", "2026-11-25T10:00", "999999999w", "1970-01-01T00:00"),
        # 2026-11-25 is a Wednesday. A day is the one of this place, not that of UTC.
        (BERLIN, "2026-11-25T00:30", "today", "2026-11-24T23:00"),
        (BERLIN, "2026-11-25T00:30", "Yesterday", "2026-11-23T23:00"),
        (BERLIN, "2026-11-25T00:30", "monday", "2026-11-22T23:00"),
        (BERLIN, "2026-11-25T00:30", "mon", "2026-11-22T23:00"),
        (BERLIN, "2026-11-25T00:30", "wednesday", "2026-11-24T23:00"),
        (BERLIN, "2026-11-25T00:30", "thursday", "2026-11-18T23:00"),
        (NEW_YORK, "2026-11-25T22:00", "today", "2026-11-25T05:00"),
        (NEW_YORK, "2026-11-25T22:00", "14:00", "2026-11-25T19:00"),
        (NEW_YORK, "2026-11-25T09:00", "14:00", "2026-11-24T19:00"),
        (BERLIN, "2026-11-25T10:00", "2026-11-01", "2026-10-31T23:00"),
        (BERLIN, "2026-11-25T10:00", "2026-11-01T14:00", "2026-11-01T13:00"),
        (BERLIN, "2026-11-25T10:00", "2026-11-01 14:00", "2026-11-01T13:00"),
        (BERLIN, "2026-11-25T10:00", "2026-11-01T14:00:00.000Z", "2026-11-01T14:00"),
        (BERLIN, "2026-11-25T10:00", "2026-11-01T14:00-05:00", "2026-11-01T19:00"),
        ("UTC", "2026-11-25T10:00", "1912-01-01", "1970-01-01T00:00"),
        # The clocks went back on 2026-10-25, and forward on 2026-03-29: that day has 23 hours.
        (BERLIN, "2026-10-25T10:00", "today", "2026-10-24T22:00"),
        (BERLIN, "2026-10-26T10:00", "yesterday", "2026-10-24T22:00"),
        (BERLIN, "2026-03-29T10:00", "today", "2026-03-28T23:00"),
        (BERLIN, "2026-03-30T10:00", "yesterday", "2026-03-28T23:00"),
        (BERLIN, "2026-03-30T10:00", "sunday", "2026-03-28T23:00"),
        # There this day begins at one o'clock.
        (HAVANA, "2026-03-08T10:00", "today", "2026-03-08T05:00"),
    ],
)
def test_a_past_time_is_that_of_this_place(
    zone: str, now: str, typed: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert typed_time.past(typed, at(zone, now, monkeypatch)) == f"{expected}:00.000Z"


@pytest.mark.parametrize(
    ("zone", "now", "typed", "expected"),
    [
        ("UTC", "2026-11-25T10:00", "30m", "2026-11-25T10:30"),
        ("UTC", "2026-11-25T10:00", "in 2h", "2026-11-25T12:00"),
        ("UTC", "2026-11-25T10:00", "in 2 hours", "2026-11-25T12:00"),
        (BERLIN, "2026-11-25T10:00", "tomorrow", "2026-11-26T08:00"),
        (BERLIN, "2026-11-25T10:00", "monday", "2026-11-30T08:00"),
        (BERLIN, "2026-11-25T10:00", "wed", "2026-12-02T08:00"),
        (BERLIN, "2026-11-25T08:00", "today", "2026-11-25T08:00"),
        (BERLIN, "2026-11-25T10:00", "9:30", "2026-11-26T08:30"),
        (BERLIN, "2026-11-25T10:00", "15:00", "2026-11-25T14:00"),
        (BERLIN, "2026-11-25T10:00", "2026-11-30", "2026-11-30T08:00"),
        (BERLIN, "2026-11-25T10:00", "2026-11-30T14:00", "2026-11-30T13:00"),
        (BERLIN, "2026-10-24T10:00", "tomorrow", "2026-10-25T08:00"),
        (BERLIN, "2026-03-28T10:00", "tomorrow", "2026-03-29T07:00"),
    ],
)
def test_a_later_day_is_its_morning(
    zone: str, now: str, typed: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert typed_time.future(typed, at(zone, now, monkeypatch)) == f"{expected}:00.000Z"


@pytest.mark.parametrize(
    ("function", "typed", "message"),
    [
        *(
            (typed_time.past, typed, "is not a time; use 30m, 2h, 3d")
            for typed in ("", "soon", "3")
        ),
        *(
            (typed_time.past, typed, "is not a time; use")
            for typed in ("25:00", "2026-13-01", "3y")
        ),
        (typed_time.past, "tomorrow", "is not in the past"),
        (typed_time.past, "2999-01-01", "is not in the past"),
        (typed_time.future, "never", "is not a time; use 30m, 2h, 3d, tomorrow"),
        (typed_time.future, "0m", "is not in the future"),
        (typed_time.future, "yesterday", "is not in the future"),
        (typed_time.future, "999999999w", "is too far ahead"),
    ],
)
def test_what_is_no_time_gets_examples(function: object, typed: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        function(typed)  # type: ignore[operator]
    assert str(caught.value).startswith(repr(typed)) and message in str(caught.value)
