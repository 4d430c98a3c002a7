"""The console, `fleet`: parse, call fleet_lib, print. One noun a file, imported only when it is
used, so that a TAB or a status does not wait for the imports of the others."""

import click

from commander.cli._app import Console

# {group: {command: (its module in this package, its help's first sentence)}}; the module's attribute
# has the command's name (`import_`: a word of Python gets an underscore). `fleet --help` imports no
# module, and has room for 64 characters of a sentence.
GROUPS = {
    "Look": {
        "status": ("status", "Show what needs your attention and what is new."),
        "sessions": ("sessions", "List sessions, and show one with all its turns."),
        "show": ("show", "Show a briefing, event, job, session or project."),
        "briefings": ("briefings", "Show what each finished turn did."),
        "projects": ("projects", "List, show, archive and restore projects."),
        "events": ("events", "List or follow events."),
        "digest": ("digest", "Print what happened, by day and project: a note for a standup."),
        "usage": ("usage", "Show tokens used and their list price."),
    },
    "Act": {
        "resume": ("resuming", "Go to a session: where it is open, or open it again."),
        "dismiss": ("attention", "Hide a session that waits for you until its next event."),
        "snooze": ("attention", "Hide a session that waits for you for some time."),
        "ask": ("ask", "Ask the Commander one question and print its answer."),
        "commander": ("commander", "Open the Commander in its last conversation."),
        "jobs": ("jobs", "Queue tasks for Claude Code without a terminal."),
    },
    "Connect": {
        "gateway": ("gateway", "Serve the dashboard and the HTTP API."),
        "notify": ("notify", "Send a message when something needs you."),
        "mcp": ("mcp", "Answer an MCP client: who needs you, what is new, search, usage."),
        "relay": ("relay", "Share news with your other machines and with colleagues."),
        "statusline": ("statusline", "Print one line for Claude Code's status line."),
    },
    "Manage": {
        "doctor": ("doctor", "Check the installation and suggest fixes."),
        "config": ("config", "Read and change settings."),
        "import": ("importing", "Import finished turns from Claude Code's transcripts."),
        "export": ("export", "Export briefings and events."),
        "replay": ("spooling", "Apply hook payloads or spool entries from FILES."),
        "drain": ("spooling", "Apply everything that waits in the spool."),
        "prelude": ("prelude", "Print what the Commander's next prompt would add."),
        "db": ("database", "Migrate, check, back up, restore and prune the database."),
        "completion": ("completion", "Install TAB completion for bash, zsh or fish."),
    },
}


@click.group(
    cls=Console,
    groups=GROUPS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="fleet", prog_name="fleet")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--no-pager", is_flag=True, help="Print long output directly, not through $PAGER.")
def main(debug: bool, no_pager: bool) -> None:
    """See what your Claude Code sessions did and which of them need you.

    \b
    Examples:
      fleet                         what needs you: the same as fleet status
      fleet status --watch          keep it on the screen, with a bell
      fleet resume                  go to the session that needs you
      fleet show 12                 what one turn did
      fleet ask "what needs me?"    ask the Commander one question
      fleet doctor                  check the installation

    Data is stored in $FLEET_HOME (default: commander/ in Claude Code's folder). A terminal gets
    tables, colours (unless NO_COLOR is set) and a pager; a pipe gets plain lines; --json prints
    JSON.
    """
