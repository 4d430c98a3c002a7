"""Projects by the name that a person uses, and as records for programs."""

import difflib
import sqlite3
from typing import Any

from fleet_lib.errors import BadInput, NotFound
from fleet_lib.lines import PROJECT_NAME
from fleet_lib.records import as_dict
from fleet_lib.store.projects import Project, ProjectRepo


def project_names(connection: sqlite3.Connection) -> dict[str, str]:
    """{project_id: the repository's name, or the id if several projects share that name}."""
    rows = connection.execute(f"SELECT project_id, {PROJECT_NAME} FROM projects p")
    return dict(rows)


def find_project(connection: sqlite3.Connection, name: str) -> Project:
    """The project with this id or repository name. Raises NotFound, or BadInput if several have
    it."""
    found = ProjectRepo(connection).find(name)
    if not found:
        names = [project.repo_name for project in ProjectRepo(connection).get_all()]
        near = difflib.get_close_matches(name, names, 1, 0.5)
        suggestion = f" (did you mean {near[0]!r}?)" if near else ""
        raise NotFound(
            f"there is no project {name!r}{suggestion};"
            " run `fleet projects list --all` to see all projects"
        )
    if len(found) > 1:
        ids = ", ".join(project.project_id for project in found)
        raise BadInput(f"several projects are named {name!r}; use one of these ids: {ids}")
    return found[0]


def project_id_of(connection: sqlite3.Connection, name: str | None) -> str | None:
    """The same, as a filter that may not be given."""
    return find_project(connection, name).project_id if name else None


def _machine_of(project: Project) -> dict[str, str]:
    """The machine of a project that no other one has: its id ends in `@laptop`."""
    _, mark, machine = project.project_id.partition("@")
    return {"machine": machine} if mark else {}


def project_records(
    connection: sqlite3.Connection, *, include_archived: bool, machine: str | None = None
) -> list[dict[str, Any]]:
    """Projects with their number of briefings, the one with the latest briefing first. Of
    another machine, or of this one (""): its briefings, and the projects that have some."""
    repo = ProjectRepo(connection)
    activity = repo.activity(machine)
    records = [
        as_dict(project) | {"briefings": number, "last_briefing_at": last} | _machine_of(project)
        for project in (repo.get_all() if include_archived else repo.get_active())
        for number, last in [activity.get(project.project_id, (0, None))]
        if machine is None or number
    ]
    return sorted(records, key=lambda record: record["last_briefing_at"] or "", reverse=True)
