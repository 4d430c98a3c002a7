"""Times as the database holds them: UTC, ISO 8601, milliseconds, `Z`."""

import time
from datetime import UTC, datetime


def iso(nanoseconds: int) -> str:
    """Unix nanoseconds as `2026-11-23T06:55:16.123Z`."""
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1_000_000 % 1000:03d}Z"


def now() -> str:
    return iso(time.time_ns())


def ago(seconds: float) -> str:
    """The time so many seconds before now, for comparison with stored times."""
    return ahead(-seconds)


def ahead(seconds: float) -> str:
    """The time so many seconds after now."""
    return iso(time.time_ns() + int(seconds * 1e9))


def parse(text: str) -> datetime:
    """An aware datetime of any ISO 8601 form, UTC where no zone is named. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def normal(text: str) -> str:
    """Any ISO 8601 form as the database's. Raises ValueError."""
    return iso(int(parse(text).timestamp() * 1000) * 1_000_000)
