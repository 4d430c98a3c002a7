"""The console, `fleet`: parse, call fleet_lib, print. One noun a file, imported when it is asked for: a TAB
or a status does not wait for the imports of the rest."""

import click

from commander.cli._app import Console

# {command: its module here}; the module's attribute has the command's name.
_MODULES = {
    "status": "status",
    "commander": "commander",
    "ask": "ask",
    "jobs": "jobs",
    "projects": "projects",
    "briefings": "briefings",
    "events": "events",
    "gateway": "gateway",
    "prelude": "prelude",
    "drain": "spooling",
    "replay": "spooling",
    "db": "database",
    "export": "export",
    "doctor": "doctor",
    "config": "config",
    "statusline": "statusline",
    "completion": "completion",
}


@click.group(
    cls=Console,
    modules=_MODULES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="fleet", prog_name="fleet")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--no-pager", is_flag=True, help="Print long output as it is, not through $PAGER.")
def main(debug: bool, no_pager: bool) -> None:
    """What your Claude Code sessions did, and who needs you.

    \b
    Examples:
      fleet status                      who needs a human, and the latest of each project
      fleet commander                   the Commander: ask it what happened
      fleet ask "what needs me?"        the same, with one question
      fleet briefings list --status blocked
      fleet briefings show 12
      fleet doctor                      is everything as it should be?

    Data is in $FLEET_HOME (default: commander/ in Claude Code's folder). A terminal gets tables, colours
    (not with NO_COLOR) and a pager; a pipe gets plain lines; --json is for programs.
    """
