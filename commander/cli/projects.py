"""`fleet projects`: the repositories that sessions ran in."""

from dataclasses import asdict

import click

from commander.cli._shared import (
    find_project,
    json_option,
    print_json,
    print_table,
    reading,
    writing,
)
from fleet_lib.projects import ProjectRepo


@click.group()
def projects() -> None:
    """The repositories that sessions ran in.

    \b
    Examples:
      fleet projects list --all
      fleet projects archive api-svc
    """


@projects.command("list")
@click.option("--all", "show_all", is_flag=True, help="Archived ones too.")
@json_option
def list_(show_all: bool, as_json: bool) -> None:
    """List projects, the latest changed first."""
    with reading() as connection:
        repo = ProjectRepo(connection)
        found = repo.get_all() if show_all else repo.get_active()
    if as_json:
        print_json([asdict(project) for project in found])
        return
    rows = [(p.project_id, p.status, p.git_remote or "-", p.repo_root) for p in found]
    print_table(("project", "status", "remote", "root"), rows, "no projects yet")


@projects.command()
@click.argument("project")
def archive(project: str) -> None:
    """Leave a project out of roster and recap until a turn of it comes in."""
    _set(project, "archive", "archived")


@projects.command()
@click.argument("project")
def restore(project: str) -> None:
    """Bring an archived project back."""
    _set(project, "restore", "active")


def _set(name: str, method: str, word: str) -> None:
    with writing() as connection:
        project = find_project(connection, name)
        changed = getattr(ProjectRepo(connection), method)(project.project_id)
    click.echo(f"{project.project_id} is {word}" if changed else f"{project.project_id} was {word}")
