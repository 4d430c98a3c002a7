"""The console, `fleet`: parse, call fleet_lib, print. One noun a file, imported only when it is
used, so that a TAB or a status does not wait for the imports of the others."""

import click

from commander.cli._app import Console

# {command: (its module in this package, its help's first sentence)}; the module's attribute has the
# command's name (`import_`: a word of Python gets an underscore). `fleet --help` imports no module.
COMMANDS = {
    "status": ("status", "Show what needs your attention and what is new."),
    "resume": ("attention", "Open the session of ID again, in its folder."),
    "dismiss": ("attention", "Hide a session that waits for you until its next event."),
    "snooze": ("attention", "Hide a session that waits for you for some time."),
    "commander": ("commander", "Open the Commander in its last conversation."),
    "ask": ("ask", "Ask the Commander one question and print its answer."),
    "jobs": ("jobs", "Queue tasks for Claude Code without a terminal."),
    "projects": ("projects", "List, archive and restore projects."),
    "briefings": ("briefings", "Show what each finished turn did."),
    "events": ("events", "List or follow events."),
    "usage": ("usage", "Show tokens used and their list price."),
    "gateway": ("gateway", "Serve the dashboard and the HTTP API."),
    "notify": ("notify", "Send a message when something needs you."),
    "mcp": ("mcp", "Answer an MCP client: who needs you, what is new, search, usage."),
    "prelude": ("prelude", "Print what the Commander's next prompt would add."),
    "drain": ("spooling", "Apply everything that waits in the spool."),
    "replay": ("spooling", "Apply hook payloads or spool entries from FILES."),
    "db": ("database", "Migrate, check, back up, restore and prune the database."),
    "import": ("importing", "Import finished turns from Claude Code's transcripts."),
    "export": ("export", "Export briefings and events."),
    "doctor": ("doctor", "Check the installation and suggest fixes."),
    "config": ("config", "Read and change settings."),
    "statusline": ("statusline", "Print one line for Claude Code's status line."),
    "completion": ("completion", "Install TAB completion for bash, zsh or fish."),
}


@click.group(
    cls=Console,
    modules=COMMANDS,
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
