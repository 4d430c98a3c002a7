"""`fleet statusline`: one line for Claude Code's status line."""

import click

from commander.cli._display import say
from fleet_lib import paths
from fleet_lib.prelude.status_line import status_line


@click.command()
def statusline() -> None:
    """Print one line for Claude Code's status line.

    It says how many sessions need you and how many events are new.

    \b
    Add this to Claude Code's settings (a plugin cannot do it):
      "statusLine": {"type": "command", "command": "~/.claude/commander/bin/fleet statusline"}

    \b
    Examples:
      fleet statusline          fleet: 2 need you, 5 new
    """
    say(status_line(paths.home()))
