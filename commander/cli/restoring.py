"""`fleet db restore`: a backup in the database's place."""

from pathlib import Path

import click

from commander.cli._app import json_option
from commander.cli._display import print_json, say
from fleet_lib import paths
from fleet_lib.records import as_dict
from fleet_lib.store import restore as library


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def restore(file: Path, as_json: bool) -> None:
    """Put a backup in the place of the database.

    FILE stays as it is. The database before is kept in $FLEET_HOME/backups. What waits in the spool
    is applied to the restored database. End `fleet jobs run` and `fleet gateway` first: what they
    write while the file is replaced may be lost.

    \b
    Examples:
      fleet db restore ~/.claude/commander/backups/fleet-20261125T101500.000000Z-manual.db
    """
    home = paths.home()
    done = library.restore(home, file)
    path = paths.database(home)
    if as_json:
        report = as_dict(done) | {"path": path, "from": str(file)}
        print_json(report | {"replaced": str(done.replaced) if done.replaced else None})
        return
    say(
        f"Restored {path} from {file}: schema version {done.schema_version},"
        f" newest event e{done.last_event}."
    )
    if done.clamped:
        say("The Commander's cursors were past that event and were set to it.")
    if done.replaced:
        say(f"The database before is kept in {done.replaced}.")
