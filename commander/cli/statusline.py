"""`fleet statusline`: one line for Claude Code's status line."""

import click

from fleet_lib import paths
from fleet_lib.prelude.status_line import status_line


@click.command()
def statusline() -> None:
    """Print who needs you and how much is new, in one short line for Claude Code's status line.

    \b
    Put into the settings of Claude Code (a plugin cannot):
      "statusLine": {"type": "command", "command": "~/.claude/commander/bin/fleet statusline"}

    \b
    Examples:
      fleet statusline          fleet: 2 need you, 5 new
    """
    click.echo(status_line(paths.home()))
