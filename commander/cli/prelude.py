"""`fleet prelude`: a look at what the Commander would be told. It never moves a cursor."""

import click

from commander.cli._app import json_option, print_json, reading
from commander.cli._display import show_text
from commander.cli.events import EventId
from fleet_lib import hot_settings, paths
from fleet_lib.prelude import delta
from fleet_lib.prelude import recap as longer
from fleet_lib.prelude.database import conversation_cursor
from fleet_lib.store import db


@click.command()
@click.option("--recap", is_flag=True, help="The longer form that a new Commander context gets.")
@click.option("--after", type=EventId(), help="As if told through this event.")
@json_option
def prelude(recap: bool, after: int | None, as_json: bool) -> None:
    """Print what the Commander's next prompt would be told, and mark nothing as told.

    These are the events after its cursor, compacted: all alerts, the newest highlight of each project,
    ten mentions, and a count of the rest.

    \b
    Examples:
      fleet prelude
      fleet prelude --recap
      fleet prelude --after 0
    """
    with reading():
        pass
    connection = db.connect_read_only(paths.database(paths.home()))
    try:
        with db.transaction(connection, "DEFERRED"):
            # The prelude's rows are plain tuples, as in the hooks.
            connection.row_factory = None
            cursor = conversation_cursor(connection) if after is None else after
            build = longer.recap if recap else delta.delta
            body, through = build(connection, cursor, hot_settings.budget(paths.home()))
    finally:
        connection.close()
    if as_json:
        print_json({"after_event_id": cursor, "through_event_id": through, "text": body})
    elif body:
        show_text(body)
    else:
        click.echo(f"nothing new after event {cursor}", err=True)
