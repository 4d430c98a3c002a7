"""`fleet db prune`: delete old history."""

import contextlib
import time
from pathlib import Path

import click

from commander.cli._app import json_option
from commander.cli._database import drain_spool, existing_database
from commander.cli._display import count, human_size, print_json, say
from commander.cli._params import Moment, Size
from commander.cli._progress import progress_bar
from fleet_lib import clock, config, paths
from fleet_lib.history import prune as history
from fleet_lib.history.daily import note_prune
from fleet_lib.records import as_dict
from fleet_lib.store import db as database

_NOUNS = {
    "briefings": "briefing",
    "outbox_events": "event",
    "jobs": "job",
    "sessions": "session",
}


@click.command("prune")
@click.option(
    "--older-than",
    type=Moment(),
    metavar="WHEN",
    help="Delete what is older: 90d, 2w, monday, 2026-11-01.",
)
@click.option(
    "--max-size",
    type=Size(),
    metavar="SIZE",
    help="Delete the oldest until the file fits: 500MB, 2GB.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be deleted, and change nothing.")
@json_option
def prune(older_than: str | None, max_size: int | None, dry_run: bool, as_json: bool) -> None:
    """Delete old history and free its space.

    Deletes briefings with their events and turns, finished jobs, and ended sessions. Never deletes
    what needs you or is left open, events that the Commander has not seen, the newest briefing of
    each project, unfinished jobs, or counts of tokens. Sessions may be working meanwhile.

    Without an option, the settings history.keep_days and history.max_megabytes apply.
    history.keep_days is also applied by itself, once a day after a turn.

    \b
    Examples:
      fleet db prune --older-than 90d --dry-run
      fleet db prune --older-than 90d --max-size 500MB
      fleet db prune --max-size 2GB --json
    """
    if older_than is None and max_size is None:
        older_than, max_size = _configured_bounds()
    # An entry in the spool may move a cursor, or belong to a turn that would be deleted.
    if not dry_run and (why := drain_spool(paths.home())):
        say(f"fleet: new captures could not be applied: {why}", err=True)
    path = existing_database()
    began = time.monotonic()
    bar = progress_bar("Pruning", lambda done, total: f"{done:,} of {total:,} days")
    if dry_run:
        bar = progress_bar("Counting", lambda _done, _total: f"{time.monotonic() - began:.0f} s")
    connect = database.connect_read_only if dry_run else database.connect
    with contextlib.closing(connect(path)) as connection, bar as progress:
        report = history.prune(
            connection, before=older_than, max_bytes=max_size, dry_run=dry_run, progress=progress
        )
    if not dry_run:
        note_prune(paths.home(), report.before, report.deleted.get("briefings", 0))
    if as_json:
        print_json(
            {"path": str(path), "dry_run": dry_run, "max_bytes": max_size, **as_dict(report)}
        )
    else:
        _print(report, path, max_size, dry_run)
    if not report.fits:
        raise click.exceptions.Exit(1)


def _configured_bounds() -> tuple[str | None, int | None]:
    """The bounds of the settings. Raises UsageError if they have none."""
    bounds = config.load(paths.home()).history
    if not bounds.keep_days and not bounds.max_megabytes:
        raise click.UsageError(
            "give --older-than 90d, --max-size 500MB or both, or set a bound that is applied once a"
            " day: `fleet config set history.keep_days 90`"
        )
    before = clock.ago(bounds.keep_days * 86400) if bounds.keep_days else None
    return before, bounds.max_megabytes * 1_000_000 or None


def _print(report: history.Pruned, path: Path, max_size: int | None, dry_run: bool) -> None:
    numbers = {noun: report.deleted.get(table, 0) for table, noun in _NOUNS.items()}
    gone = ", ".join(count(number, noun) for noun, number in numbers.items() if number)
    if not gone:
        say(f"Nothing to delete. {path} is {human_size(report.file_bytes_after)}.")
    elif dry_run:
        freed = report.used_bytes_before - report.used_bytes_after
        say(f"Would delete {gone} and free about {human_size(freed)}.")
    else:
        freed = report.file_bytes_before - report.file_bytes_after
        say(
            f"Deleted {gone}. {path} is now {human_size(report.file_bytes_after)},"
            f" {human_size(max(freed, 0))} smaller."
        )
    if report.kept:
        reasons = ", ".join(f"{number:,} {why}" for why, number in report.kept.items())
        say(f"Kept although old: {reasons}.")
    for note in report.notes:
        say(f"Note: {note}.")
    if not report.fits and max_size is not None:
        say(
            f"fleet: {human_size(report.used_bytes_after)} cannot be deleted,"
            f" more than the {human_size(max_size)} allowed.",
            err=True,
        )
        if any("cursor" in why for why in report.kept):
            say(
                "fleet: Some events have not been shown to the Commander yet."
                " Send it a prompt, then prune again.",
                err=True,
            )
