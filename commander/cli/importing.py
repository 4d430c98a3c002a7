"""`fleet import`: the history that Claude Code's own transcripts hold."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import click

from commander.cli._app import json_option
from commander.cli._database import drain_spool, require_usable
from commander.cli._display import count, human_size, print_json, say
from commander.cli._params import since_option
from commander.cli._progress import progress_bar
from fleet_lib import clock, paths, typed_time
from fleet_lib.history_import.run import Report, run
from fleet_lib.history_import.transcripts import find
from fleet_lib.records import as_dict
from fleet_lib.store import db
from fleet_lib.text import clean

_DAYS = 30


@click.command("import")
@click.argument("path", nargs=-1, type=click.Path(exists=True, path_type=Path))
@since_option("turns that ended", f"{_DAYS}d; everything if PATHs are given")
@click.option("--dry-run", is_flag=True, help="Print what would be imported, and change nothing.")
@json_option
def import_(path: tuple[Path, ...], since: str | None, dry_run: bool, as_json: bool) -> None:
    """Import finished turns from Claude Code's transcripts.

    It adds the turns that no hook captured: those from before Fleet was installed, and those whose
    hook did not run. Each becomes one briefing, in the order of its time. Imported turns are
    history: they make no events, the Commander is not shown them, and they never need you.

    PATHs are transcripts or folders of them; without any, the transcripts in Claude Code's folder
    are read. Running it again imports only what is new, so it can be interrupted. The last turn of
    a session that is open, or that was active in the last ten minutes, is left to its own hook.
    What `fleet db prune` deleted is not brought back, and folders in projects.ignore are left out.
    All tokens in these transcripts are counted for `fleet usage`, also those of turns that are not
    imported. Each message counts once.

    \b
    Examples:
      fleet import                        the last 30 days
      fleet import --since 90d --dry-run
      fleet import ~/backup/projects      transcripts in another folder
    """
    home = paths.home()
    require_usable(home)
    since = since or ("" if path else typed_time.past(f"{_DAYS}d"))
    since_ns = clock.nanoseconds(since) if since else 0
    if not dry_run and (why := drain_spool(home)):
        say(f"fleet: new captures could not be applied: {why}", err=True)
    transcripts = find(path, since_ns)
    report = Report()
    is_interrupted = False
    try:
        with _database(home, dry_run) as connection, progress_bar("Importing", _words) as progress:
            run(
                *(home, transcripts, since_ns, connection),
                dry_run=dry_run,
                report=report,
                progress=progress,
            )
    except KeyboardInterrupt:
        is_interrupted = True
    if as_json:
        print_json({"dry_run": dry_run, "since": since or None, **as_dict(report)})
    else:
        _print(report, dry_run, is_interrupted)
    if is_interrupted:
        say("fleet: interrupted; run it again to import the rest", err=True)
        raise click.exceptions.Exit(1)


def _words(done: int, total: int) -> str:
    return f"{human_size(done)} of {human_size(total)}"


@contextlib.contextmanager
def _database(home: str, dry_run: bool) -> Iterator[sqlite3.Connection | None]:
    path = Path(paths.database(home))
    if dry_run and not path.exists():
        yield None
        return
    connect = db.connect_read_only if dry_run else db.connect
    with contextlib.closing(connect(path)) as connection:
        yield connection


def _print(report: Report, dry_run: bool, is_interrupted: bool) -> None:
    read = count(report.transcripts, "transcript")
    if report.imported:
        where = count(len(report.projects), "folder")
        verb = "Would import" if dry_run else "Imported"
        say(f"{verb} {count(report.imported, 'turn')} of {where} from {read}.")
    elif not report.transcripts:
        say("Nothing to import: no transcripts were found.")
    elif not is_interrupted:
        reason = f"; {count(report.known, 'turn')} already known" if report.known else ""
        say(f"Nothing new to import from {read}{reason}.")
    if report.left_alone:
        say(f"Left alone {count(report.left_alone, 'turn')} of sessions that may still be running.")
    if report.ignored:
        say(f"Left out {count(report.ignored, 'turn')} in folders of projects.ignore.")
    for why, number in report.refused.items():
        say(f"fleet: {count(number, 'turn')} not imported: {clean(why, 300)}", err=True)
