"""`fleet show`: whatever an ID stands for, as the command of its kind shows it."""

import sqlite3

import click

from commander.cli._app import json_option
from commander.cli._database import reading
from commander.cli._params import complete_anything
from fleet_lib.errors import NotFound
from fleet_lib.views.ids import Found, meaning


@click.command()
@click.argument("id", shell_complete=complete_anything)
@json_option
@click.pass_context
def show(context: click.Context, id: str, as_json: bool) -> None:
    """Show a briefing, event, job, session or project.

    ID is a briefing (12 or #12), an event (e40), a job (job3), the beginning of a session's id, or
    a project: its name, the beginning of it, or a folder in it, such as `.` for the one you are in.
    Of an event it is the briefing that the event is about.

    \b
    Examples:
      fleet show 12
      fleet show 5e0b
      fleet show api-svc
      fleet show e40 --json | jq .summary
    """
    with reading() as connection:
        found = _found(connection, id)
    if found.kind in ("briefing", "event"):
        from commander.cli.briefings import show_ as show_briefing

        context.invoke(show_briefing, id=found.label(), as_json=as_json)
    elif found.kind == "job":
        from commander.cli.jobs import show_ as show_job

        context.invoke(show_job, job_id=found.number, as_json=as_json)
    elif found.kind == "session":
        from commander.cli.sessions import show_ as show_session

        context.invoke(show_session, id=found.id, as_json=as_json)
    else:
        from commander.cli.projects import show_ as show_project

        context.invoke(show_project, project=found.id, as_json=as_json)


def _found(connection: sqlite3.Connection, id: str) -> Found:
    try:
        return meaning(connection, id)
    except NotFound:
        # A session that only its briefings know: another program wrote them.
        from fleet_lib.views.session_page import find_session

        return Found("session", id=find_session(connection, id))
