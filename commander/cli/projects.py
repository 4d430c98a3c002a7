"""`fleet projects`: the repositories that sessions ran in."""

from collections.abc import Iterator
from typing import Any

import click

from commander.cli._app import ListGroup, json_option, left_out
from commander.cli._database import reading, writing
from commander.cli._display import (
    Cell,
    Line,
    Part,
    Table,
    folder,
    is_interactive,
    none_yet,
    print_json,
    say,
    show,
    state,
    when,
)
from commander.cli._facts import Facts
from commander.cli._listing import Listing, Row
from commander.cli._params import complete_project, machine_option
from commander.cli._screen import session_lines
from fleet_lib import clock
from fleet_lib.store.projects import ProjectRepo
from fleet_lib.store.relay import RelayRepo
from fleet_lib.views.briefings import ended_at
from fleet_lib.views.project_page import project_page
from fleet_lib.views.projects import (
    NamesOnDemand,
    find_project,
    project_names,
    project_records,
)

_ROWS = 50


@click.group(cls=ListGroup)
def projects() -> None:
    """List, show, archive and restore projects.

    A project is a repository that sessions ran in. All worktrees and clones of one remote are one
    project. PROJECT, in every command, is its repository's name or its id, the beginning of one, or
    a folder in it, as `.` is.

    \b
    Examples:
      fleet projects list --all
      fleet projects archive api-svc
    """


@projects.command("list")
@click.option("--all", "include_archived", is_flag=True, help="Include archived projects.")
@machine_option
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1),
    help=f"Maximum number of rows.  [default: {_ROWS}; all with --json]",
)
@json_option
def list_(include_archived: bool, machine: str | None, limit: int | None, as_json: bool) -> None:
    """List projects, the one with the latest briefing first.

    \b
    Examples:
      fleet projects list
      fleet projects list --all --json | jq -r '.[].repo_root'
    """
    if limit is None and not as_json:
        limit = _ROWS
    with reading() as connection:
        wanted = RelayRepo(connection).machine_filter(machine)
        filters: dict[str, Any] = {"include_archived": include_archived, "machine": wanted}
        records = project_records(connection, limit=limit, **filters)
        number = len(records)
        if number == limit:
            number = ProjectRepo(connection).count(**filters)
        shown = () if as_json else [one["project_id"] for one in records]
        names = project_names(connection, shown)
    if as_json:
        print_json(records)
        return
    # Without --all, all are active; in a pipe the columns stay what they were.
    shows_status = include_archived or not is_interactive()
    rows = [
        (
            Cell(names[record["project_id"]], piped=record["project_id"]),
            *([record["status"]] if shows_status else []),
            when(record["last_briefing_at"]),
            record["briefings"],
            folder(record["repo_root"]),
        )
        for record in records
    ]
    status = ["status"] if shows_status else []
    headings = ("project", *status, "last briefing", "briefings", "folder")
    if not rows:
        say("No projects match." if machine else none_yet("projects"))
        return
    show(Table(headings, rows), *left_out(len(records), number, "the last active ones"))


@projects.command("show")
@click.argument("project", shell_complete=complete_project)
@json_option
def show_(project: str, as_json: bool) -> None:
    """Show PROJECT with its sessions and latest briefings.

    Its sessions are those that need you, are working, or are left open.

    \b
    Examples:
      fleet projects show api-svc
      fleet projects show api-svc --json | jq '.latest[].summary'
    """
    with reading() as connection:
        names = NamesOnDemand(connection)
        page = project_page(connection, find_project(connection, project), names)
        sessions = list(session_lines(connection, page, None))
    if as_json:
        print_json(page)
    else:
        show(*_page(page, sessions))


def _page(page: dict[str, Any], sessions: list[Line | Row]) -> Iterator[Part]:
    number, last = page["briefings"], page["last_briefing_at"]
    facts = {
        "status": state(page["status"]),
        "folder": folder(page["repo_root"]),
        "remote": Cell(page["git_remote"] or ""),
        "briefings": Cell(f"{number}, the last one {clock.age(last)}" if last else "none"),
        "id": Cell(page["project_id"]),
    }
    yield Line((Cell(f"Project {page['project']}", "bold"),))
    yield Facts(list(facts.items()))
    yield Line(())
    yield Listing(sessions)
    if page["latest"]:
        yield Line(())
        yield Line((Cell("Latest briefings", "bold"),))
        yield Table(
            (),
            [
                (
                    f"#{record['briefing_id']}",
                    state(record["status"]),
                    Cell(clock.age(ended_at(record)), "dim", whole=True),
                    record["summary"],
                )
                for record in page["latest"]
            ],
            indent=2,
        )


@projects.command()
@click.argument("project", shell_complete=complete_project)
def archive(project: str) -> None:
    """Hide PROJECT from status and recap until its next turn.

    Nothing is deleted. `fleet projects restore` undoes it.

    \b
    Examples:
      fleet projects archive api-svc
    """
    with writing() as connection:
        project_id = find_project(connection, project).project_id
        changed = ProjectRepo(connection).archive(project_id)
    done = "is archived" if changed else "was already archived"
    say(f"{project_id} {done}. To undo this, run `fleet projects restore {project_id}`.")


@projects.command()
@click.argument("project", shell_complete=complete_project)
def restore(project: str) -> None:
    """Show an archived PROJECT again.

    \b
    Examples:
      fleet projects restore api-svc
    """
    with writing() as connection:
        project_id = find_project(connection, project).project_id
        changed = ProjectRepo(connection).restore(project_id)
    say(f"{project_id} is active again." if changed else f"{project_id} was not archived.")
