"""`fleet status`: what needs attention, printed once or kept up to date."""

from pathlib import Path

import click

from commander.cli._app import json_option
from commander.cli._database import reading, require_usable
from commander.cli._display import print_json, show
from commander.cli._params import machine_option
from commander.cli._screen import FOLDED, nothing_yet, screen
from fleet_lib import paths, spool, wake
from fleet_lib.notify.due import start_if_due
from fleet_lib.store.relay import RelayRepo
from fleet_lib.views import overview


@click.command()
@click.option(
    "--watch",
    is_flag=False,
    flag_value=2.0,
    type=click.FloatRange(0.5, 3600),
    metavar="[SECONDS]",
    help="Stay up to date, ring the bell when a session needs you, and go there with one key.",
)
@click.option("--all", "shows_all", is_flag=True, help="Show every row, also what is hidden.")
@machine_option
@json_option
def status(watch: float | None, shows_all: bool, machine: str | None, as_json: bool) -> None:
    """Show what needs your attention and what is new.

    Sessions that need permission, ask you, are blocked or have failed come first, each with the
    command that takes you there. Then come those that are working, those that ended and are left
    open for seven days, the latest briefing of each project, and the state of the Commander and of
    capture. `fleet dismiss` and `fleet snooze` hide a session.

    With --watch, a change is shown at once. Press the digit before a session to go there: to its
    tmux pane, or to a new Claude Code that resumes it. SECONDS is how often the times are
    refreshed (default: 2). Stop with Ctrl-C or q.

    \b
    Examples:
      fleet status
      fleet status --watch
      fleet status --json | jq '.needs_you[].project'
    """
    home = paths.home()
    if watch is not None:
        if as_json:
            raise click.UsageError("--watch prints no JSON; use `fleet events tail --json`")
        from commander.cli.watching import watch as keep_watching

        keep_watching(home, watch, shows_all, machine)
        return
    require_usable(home)
    if not Path(paths.database(home)).exists() and not spool.pending(home):
        if as_json:
            print_json(overview.nothing(home))
        else:
            show(*nothing_yet())
        return
    with reading() as connection:
        wanted = RelayRepo(connection).machine_filter(machine)
        most = None if as_json or shows_all else FOLDED
        report = overview.overview(connection, home, wanted, most)
        start_if_due(connection, home)  # what quiet hours held back
        parts = [] if as_json else screen(connection, report, shows_all=shows_all, machine=wanted)
    wake.start_relay(home)
    if as_json:
        print_json(report)
    else:
        show(*parts)
