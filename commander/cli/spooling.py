"""`fleet drain` and `fleet replay`: what hooks captured, applied in the foreground."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import click

from commander.cli._app import json_option
from commander.cli._display import print_json
from fleet_lib import paths, spool
from fleet_lib.drain.foreground import drain as drain_now
from fleet_lib.errors import BadEntry
from fleet_lib.ingest.ingest import apply_one
from fleet_lib.store import db, migrate
from fleet_lib.text import clean
from fleet_lib.turn.prepare import prepare
from fleet_lib.turn.repositories import Repositories


@click.command()
@json_option
def drain(as_json: bool) -> None:
    """Apply everything that waits in the spool, and return when that is done.

    Hooks start this in the background by themselves; it is for scripts, and after an outage.

    \b
    Examples:
      fleet drain
      fleet drain --json | jq .quarantined
    """
    home = paths.home()
    bad_before = _quarantined(home)
    count = drain_now(
        home, on_wait=lambda left: click.echo(f"another drainer is at work, {left} left", err=True)
    )
    bad = _quarantined(home) - bad_before
    if as_json:
        print_json({"applied": count - len(bad), "quarantined": len(bad)})
        return
    if bad:
        click.echo(f"{len(bad)} went to quarantine; the reasons are in {paths.spool(home, 'bad')}")
    click.echo(f"{count - len(bad)} applied" if count else "nothing waited")


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--dry-run", is_flag=True, help="Say what each would become, and store nothing.")
@json_option
def replay(files: tuple[Path, ...], dry_run: bool, as_json: bool) -> None:
    """Run hook payload FILES, or spool entries, and say what each became.

    Replaying what was applied before changes nothing. An entry of the quarantine that was applied leaves it.

    \b
    Examples:
      fleet replay ~/.claude/commander/spool/bad/0179*
      fleet replay payload.json --dry-run
    """
    home = paths.home()
    repositories = Repositories()
    outcomes: list[dict[str, object]] = []
    with _database(home, dry_run) as connection:
        # A pattern over the quarantine names the reasons too.
        for file in (file for file in files if file.suffix != ".reason"):
            ok, outcome = True, ""
            try:
                entry = _entry(file)
                prepared = prepare(entry, home, repositories)
                outcome = apply_one(connection, home, prepared, repositories)
                if not dry_run:
                    _leave_quarantine(file, home)
            except (BadEntry, spool.Malformed) as error:
                ok, outcome = False, str(error)
            outcomes.append({"file": str(file), "ok": ok, "outcome": outcome})
            if not as_json:
                word = "" if ok else "refused: "
                click.echo(f"{file}: {word}{clean(outcome, 300)}")
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
        # A copy in memory: migrating the file would be storing something.
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
    """A spool entry as it is; a bare payload as if its hook had run when the file was written."""
    data = file.read_bytes()
    if data.startswith(b"fleet-spool "):
        return spool.read(str(file))
    event = ""
    with contextlib.suppress(ValueError, AttributeError, RecursionError):
        event = str(json.loads(data).get("hook_event_name") or "")
    if not event:
        raise BadEntry("the file is neither a spool entry nor a payload with a hook_event_name")
    received_ns = file.stat().st_mtime_ns
    return spool.Entry(file.name, event, received_ns, "", "", None, data, None)


def _leave_quarantine(file: Path, home: str) -> None:
    if file.resolve().parent == Path(paths.spool(home, "bad")).resolve():
        file.unlink()
        Path(f"{file}.reason").unlink(missing_ok=True)


def _quarantined(home: str) -> set[str]:
    bad = Path(paths.spool(home, "bad"))
    return {p.name for p in bad.iterdir() if p.suffix != ".reason"} if bad.is_dir() else set()
