"""`fleet db prune`: history in bounds, said in a person's words."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import click

from commander.cli._app import drain_waiting, existing_database, json_option, print_json
from commander.cli._params import Moment, Size, human_size
from fleet_lib import clock, config, paths
from fleet_lib.history import prune as history
from fleet_lib.store import db as database

_NAMES = {
    "briefings": "briefings",
    "outbox_events": "events",
    "jobs": "jobs",
    "sessions": "sessions",
}


@click.command("prune")
@click.option("--older-than", type=Moment(), metavar="WHEN", help="90d, 12h, 2w, or a date (UTC).")
@click.option("--max-size", type=Size(), metavar="SIZE", help="500MB, 2GB: oldest first, to fit.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@json_option
def prune(older_than: str | None, max_size: int | None, dry_run: bool, as_json: bool) -> None:
    """Delete old history and give its space back.

    Briefings go with their events, turns and search entries; so do finished jobs and sessions that
    ended. Without a bound the settings history.keep_days and history.max_megabytes are it. Kept, however old: open alerts, whatever the Commander has not been told yet, the newest
    briefing of each project, and jobs that are not finished. Sessions may be at work meanwhile.

    \b
    Examples:
      fleet db prune --older-than 90d --dry-run
      fleet db prune --older-than 90d --max-size 500MB
      fleet db prune --max-size 2GB --json
    """
    if older_than is None and max_size is None:
        older_than, max_size = _configured_bounds()
    # What waits in the spool may name a cursor, or the briefing of a turn that is about to go.
    if not dry_run and (why := drain_waiting(paths.home())):
        click.echo(f"fleet: not drained: {why}", err=True)
    path = existing_database()
    connect = database.connect_read_only if dry_run else database.connect
    with contextlib.closing(connect(path)) as connection, _progress() as progress:
        report = history.prune(
            connection, before=older_than, max_bytes=max_size, dry_run=dry_run, progress=progress
        )
    if as_json:
        print_json({"path": str(path), "dry_run": dry_run, "max_bytes": max_size, **asdict(report)})
    else:
        _say(report, path, max_size, dry_run)
    if not report.fits:
        raise click.exceptions.Exit(1)


def _configured_bounds() -> tuple[str | None, int | None]:
    """What the settings keep. Raises UsageError where they say nothing."""
    kept = config.load(paths.home()).history
    if not kept.keep_days and not kept.max_megabytes:
        raise click.UsageError(
            "give a bound: --older-than 90d, --max-size 500MB, or both; or once and for all:"
            " fleet config set history.keep_days 90"
        )
    before = clock.ago(kept.keep_days * 86400) if kept.keep_days else None
    return before, kept.max_megabytes * 1_000_000 or None


def _say(report: history.Pruned, path: Path, max_size: int | None, dry_run: bool) -> None:
    parts = [f"{report.deleted.get(t, 0):,} {name}" for t, name in _NAMES.items()]
    gone = ", ".join(part for part in parts if not part.startswith("0 ")) or "nothing"
    if dry_run:
        freed = report.used_bytes_before - report.used_bytes_after
        click.echo(f"Would delete {gone}; about {human_size(freed)} would come free.")
    else:
        freed = report.file_bytes_before - report.file_bytes_after
        click.echo(
            f"Deleted {gone}. {path} is {human_size(report.file_bytes_after)} now,"
            f" {human_size(max(freed, 0))} less."
        )
    if report.kept:
        told = ", ".join(f"{count:,} {why}" for why, count in report.kept.items())
        click.echo(f"Kept though old: {told}.")
    for note in report.notes:
        click.echo(f"Note: {note}.")
    if not report.fits and max_size is not None:
        left = human_size(report.used_bytes_after)
        click.echo(f"fleet: {left} must stay, more than {human_size(max_size)}.", err=True)
        if any("cursor" in why for why in report.kept):
            click.echo(
                "fleet: the Commander has not been told of all of it: a turn there moves on.",
                err=True,
            )


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal's stderr, for work that takes longer than a second; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    shown, began = False, time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - began < 1:
            return
        shown = True
        filled = 30 * done // max(total, done, 1)
        bar = "#" * filled + "." * (30 - filled)
        click.echo(f"\rPruning [{bar}] {done:,} of {total:,} days", err=True, nl=False)

    yield show
    if shown:
        click.echo("\r\x1b[K", err=True, nl=False)
