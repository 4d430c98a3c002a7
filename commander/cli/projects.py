"""`fleet projects`: the repositories that sessions ran in."""

from dataclasses import asdict

import click

from commander.cli._app import (
    find_project,
    json_option,
    print_json,
    print_table,
    project_names,
    reading,
    writing,
)
from commander.cli._display import Cell, folder, when
from commander.cli.completion import complete_project
from fleet_lib.store.projects import ProjectRepo


@click.group()
def projects() -> None:
    """The repositories that sessions ran in.

    A project is named by its repository's name, or by its id where two have that name. All worktrees
    and clones of one remote are one project.

    \b
    Examples:
      fleet projects list --all
      fleet projects archive api-svc
    """


@projects.command("list")
@click.option("--all", "show_all", is_flag=True, help="Archived ones too.")
@json_option
def list_(show_all: bool, as_json: bool) -> None:
    """List projects, the one with the latest briefing first.

    \b
    Examples:
      fleet projects list
      fleet projects list --all --json | jq -r '.[].repo_root'
    """
    with reading() as connection:
        repo = ProjectRepo(connection)
        found = repo.get_all() if show_all else repo.get_active()
        activity = repo.activity()
        names = project_names(connection)
    found.sort(key=lambda one: activity.get(one.project_id, (0, ""))[1], reverse=True)
    told = [
        asdict(project) | {"briefings": number, "last_briefing_at": last}
        for project in found
        for number, last in [activity.get(project.project_id, (0, None))]
    ]
    if as_json:
        print_json(told)
        return
    rows = [
        (
            Cell(names[row["project_id"]], piped=row["project_id"]),
            row["status"],
            when(row["last_briefing_at"]),
            row["briefings"],
            folder(row["repo_root"]),
        )
        for row in told
    ]
    headings = ("project", "status", "last briefing", "briefings", "root")
    empty = "no projects yet: finish a turn in any Claude Code session"
    print_table(headings, rows, empty, optional="" if show_all else "status")


@projects.command()
@click.argument("project", shell_complete=complete_project)
def archive(project: str) -> None:
    """Leave PROJECT out of roster and recap until a turn of it comes in.

    Nothing is deleted; `fleet projects restore` undoes it.

    \b
    Examples:
      fleet projects archive api-svc
    """
    name, changed = _set(project, "archive")
    done = "is archived" if changed else "was already archived"
    click.echo(f"{name} {done}; `fleet projects restore {name}` brings it back")


@projects.command()
@click.argument("project", shell_complete=complete_project)
def restore(project: str) -> None:
    """Bring an archived PROJECT back.

    \b
    Examples:
      fleet projects restore api-svc
    """
    name, changed = _set(project, "restore")
    click.echo(f"{name} is active again" if changed else f"{name} was not archived")


def _set(given: str, method: str) -> tuple[str, bool]:
    """(the project's id, whether that changed it)."""
    with writing() as connection:
        project = find_project(connection, given)
        return project.project_id, getattr(ProjectRepo(connection), method)(project.project_id)
