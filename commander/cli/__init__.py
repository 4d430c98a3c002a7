"""The console, `fleet`: parse, call fleet_lib, print. One noun a file, imported only when it is
used, so that a TAB or a status does not wait for the imports of the others."""

import click

from commander.cli._app import Console

# {command: its module in this package}; the module's attribute has the command's name (`import_`: a word of
# Python gets an underscore).
_MODULES = {
    "status": "status",
    "resume": "attention",
    "dismiss": "attention",
    "snooze": "attention",
    "commander": "commander",
    "ask": "ask",
    "jobs": "jobs",
    "projects": "projects",
    "briefings": "briefings",
    "events": "events",
    "usage": "usage",
    "gateway": "gateway",
    "prelude": "prelude",
    "drain": "spooling",
    "replay": "spooling",
    "db": "database",
    "import": "importing",
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
@click.option("--no-pager", is_flag=True, help="Print long output directly, not through $PAGER.")
def main(debug: bool, no_pager: bool) -> None:
    """See what your Claude Code sessions did and which of them need you.

    \b
    Examples:
      fleet status                      what needs you, and each project's latest briefing
      fleet resume 12                   open the session of briefing #12 again
      fleet commander                   open the Commander and ask what happened
      fleet ask "what needs me?"        ask the Commander one question
      fleet briefings list --status blocked
      fleet briefings show 12
      fleet doctor                      check the installation

    Data is stored in $FLEET_HOME (default: commander/ in Claude Code's folder). A terminal gets
    tables, colours (unless NO_COLOR is set) and a pager; a pipe gets plain lines; --json prints
    JSON.
    """
