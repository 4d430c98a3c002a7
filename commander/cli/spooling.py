"""`fleet drain` and `fleet replay`: apply captured hook calls in the foreground."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import click

from commander.cli._app import json_option
from commander.cli._database import fill_search_index
from commander.cli._display import print_json, say
from fleet_lib import paths, spool
from fleet_lib.drain import quarantine
from fleet_lib.drain.foreground import drain_now
from fleet_lib.drain.usage import TranscriptUsage
from fleet_lib.errors import BadEntry, DatabaseUnusable
from fleet_lib.ingest.ingest import apply_one
from fleet_lib.json_text import json_object
from fleet_lib.store import db, migrate
from fleet_lib.text import clean
from fleet_lib.turn.prepare import prepare
from fleet_lib.turn.repositories import Repositories


@click.command()
@json_option
def drain(as_json: bool) -> None:
    """Apply everything that waits in the spool.

    It also completes the search index, and returns when both are done. Hooks do this in the
    background; the command is for scripts and for use after an outage.

    \b
    Examples:
      fleet drain
      fleet drain --json | jq .quarantined
    """
    home = paths.home()
    bad_before = set(quarantine.names(home))
    count = drain_now(
        home, on_wait=lambda left: say(f"another drainer is running, {left} left", err=True)
    )
    bad = set(quarantine.names(home)) - bad_before
    path = Path(paths.database(home))
    if path.exists():
        # The index is derived: without it all captures are applied, too.
        with contextlib.suppress(sqlite3.Error, DatabaseUnusable):
            fill_search_index(path)
    if as_json:
        print_json({"applied": count - len(bad), "quarantined": len(bad)})
        return
    if bad:
        say(f"{len(bad)} quarantined; the reasons are in {quarantine.folder(home)}")
    say(f"{count - len(bad)} applied" if count else "Nothing to apply.")


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--dry-run", is_flag=True, help="Show what would be stored, and store nothing.")
@json_option
def replay(files: tuple[Path, ...], dry_run: bool, as_json: bool) -> None:
    """Apply hook payloads or spool entries from FILES.

    Replaying a file that was applied before changes nothing. An entry that was in quarantine is
    removed from there once it is applied.

    \b
    Examples:
      fleet replay ~/.claude/commander/spool/bad/0179*
      fleet replay payload.json --dry-run
    """
    home = paths.home()
    repositories, usage = Repositories(), TranscriptUsage()
    outcomes: list[dict[str, object]] = []
    with _database(home, dry_run) as connection:
        # A pattern such as spool/bad/* matches the reasons too.
        for file in (file for file in files if not quarantine.is_reason(file)):
            ok, outcome = True, ""
            try:
                entry = _entry(file)
                prepared = prepare(entry, home, repositories)
                outcome = apply_one(connection, home, prepared, repositories)
                usage.note(prepared)
                if not dry_run:
                    quarantine.release(home, file)
            except (BadEntry, spool.Malformed) as error:
                ok, outcome = False, str(error)
            outcomes.append({"file": str(file), "ok": ok, "outcome": outcome})
            if not as_json:
                word = "" if ok else "refused: "
                say(f"{file}: {word}{clean(outcome, 300)}")
        usage.finish(connection)
    if as_json:
        print_json(outcomes)
    if not all(row["ok"] for row in outcomes):
        raise click.exceptions.Exit(1)


@contextlib.contextmanager
def _database(home: str, dry_run: bool) -> Iterator[sqlite3.Connection]:
    path = Path(paths.database(home))
    if not dry_run:
        connection = db.connect(path)
    else:
        # A copy in memory: a dry run must not even migrate the file.
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.row_factory = sqlite3.Row
        if path.exists():
            with contextlib.closing(db.open_as_it_is(path)) as source:
                source.backup(connection)
        migrate.migrate(connection, None)
    try:
        yield connection
    finally:
        connection.close()


def _entry(file: Path) -> spool.Entry:
    """The file as a spool entry; a bare payload as if its hook ran when it was written."""
    data = file.read_bytes()
    if data.startswith(b"fleet-spool "):
        return spool.read(str(file))
    event = str(json_object(data).get("hook_event_name") or "")
    if not event:
        raise BadEntry(
            "the file is neither a spool entry nor a hook payload with a hook_event_name"
        )
    received_ns = file.stat().st_mtime_ns
    return spool.Entry(file.name, event, received_ns, "", "", None, data, None)
