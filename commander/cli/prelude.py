"""`fleet prelude`: what the Commander's next prompt would add."""

from pathlib import Path
from typing import Any

import click

from commander.cli._app import json_option
from commander.cli._database import reading
from commander.cli._display import print_json, say, show_text
from commander.cli._params import EventId
from fleet_lib import paths
from fleet_lib.views.preview import prelude_preview


@click.command()
@click.option("--recap", is_flag=True, help="The longer form that an empty Commander context gets.")
@click.option("--after", type=EventId(), help="As if the Commander had seen events up to this one.")
@json_option
def prelude(recap: bool, after: int | None, as_json: bool) -> None:
    """Print what the Commander's next prompt would add. No cursor moves.

    These are the events after its cursor, compacted: all alerts, the newest highlight of each
    project, ten mentions, and a count of the rest.

    \b
    Examples:
      fleet prelude
      fleet prelude --recap
      fleet prelude --after 0
    """
    home = paths.home()
    with reading():
        pass  # drains
    preview: dict[str, Any] = {"after_event_id": 0, "through_event_id": 0, "text": ""}
    if Path(paths.database(home)).exists():
        preview = prelude_preview(home, with_recap=recap, after=after)
    if as_json:
        print_json(preview)
    elif preview["text"]:
        show_text(preview["text"])
    else:
        say(f"No new events after e{preview['after_event_id']}.", err=True)
