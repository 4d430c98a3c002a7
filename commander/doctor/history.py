"""The check of the history: how large the database is, and whether it is kept in bounds."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from commander.doctor.findings import Finding, Installation, open_untouched
from fleet_lib import clock, hot_settings, paths
from fleet_lib.history import daily, space

LARGE_BYTES = 250_000_000
_LATE_SECONDS = 3 * daily.DAY_SECONDS
_ADVICE = "fleet config set history.keep_days 180"


def history(installation: Installation) -> Iterator[Finding]:
    home = str(installation.home)
    path = Path(paths.database(home))
    if not path.is_file():
        return  # the database check says that
    days, last = hot_settings.keep_days(home), daily.last_prune(home)
    size = space.bytes_on_disk(home)
    pruned = f"it was last pruned {clock.age(last.pruned_at)}" if last.pruned_at else ""
    found = f"{_since(path)} in {size / 1e6:,.1f} MB"
    if not days:
        found = f"{found}; {pruned or 'it was never pruned'}."
        if size < LARGE_BYTES:
            yield Finding("ok", "history", found)
            return
        means = "Nothing is deleted by itself. All works, but a backup and a check take longer."
        yield Finding("note", "history", found, means, _ADVICE)
        return
    found = f"{found}. history.keep_days is {days}; {pruned or 'it was not pruned yet'}."
    if last.trouble:
        yield Finding(
            "warning",
            "history",
            f"{found} The last time failed: {last.trouble}",
            "The history grows until it is pruned. It is tried again each hour in which a turn ends.",
            "fleet db prune",
        )
    elif last.tried_at > last.pruned_at and clock.seconds_since(last.tried_at) > _LATE_SECONDS:
        yield Finding(
            "warning",
            "history",
            f"{found} The one that began {clock.age(last.tried_at)} did not end.",
            "The history grows until it is pruned.",
            "fleet db prune",
        )
    else:
        yield Finding("ok", "history", found)


def _since(path: Path) -> str:
    """From when on there are briefings."""
    with contextlib.suppress(sqlite3.Error, OSError, ValueError):
        with contextlib.closing(open_untouched(path)) as connection:
            row = connection.execute(
                "SELECT ifnull(ended_at, created_at) FROM briefings"
                " ORDER BY ifnull(ended_at, created_at) LIMIT 1"
            ).fetchone()
        if row:
            return f"Turns since {clock.local(str(row[0]))[:10]}"
    return "No turns"
