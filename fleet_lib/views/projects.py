"""Projects by what a person calls them, and as records for programs."""

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

from fleet_lib.errors import BadInput, NotFound
from fleet_lib.files import with_parents
from fleet_lib.lines import PROJECT_NAME
from fleet_lib.records import as_dict
from fleet_lib.store.projects import Project, ProjectRepo
from fleet_lib.store.sessions import SessionRepo
from fleet_lib.text import clean, storable
from fleet_lib.turn.plain_repository import repository_around

T = TypeVar("T")

_SHOWN = 5  # projects that an error names
_NEAR = 3  # of those that may have been meant


def project_names(
    connection: sqlite3.Connection, project_ids: Iterable[str] | None = None
) -> dict[str, str]:
    """{project_id: the repository's name, or the id if several projects share that name}, of these
    projects or of all."""
    if project_ids is not None:
        sql = f"""SELECT project_id, {PROJECT_NAME} FROM projects p
            WHERE project_id IN (SELECT value FROM json_each(?))"""
        return dict(connection.execute(sql, (json.dumps(list(project_ids)),)).fetchall())
    # PROJECT_NAME of all: to count each name's projects one by one takes five times as long.
    rows = connection.execute("SELECT project_id, repo_name FROM projects").fetchall()
    numbers = Counter(name for project_id, name in rows if "@" not in project_id)
    return {
        project_id: f"{name}{project_id[project_id.index('@') :]}"
        if "@" in project_id
        else (name if numbers[name] == 1 else project_id)
        for project_id, name in rows
    }


class NamesOnDemand(dict[str, str]):
    """`project_names` for the few that are asked for while the connection is open: with ten thousand
    projects to make all takes as long as starting Python."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__()
        self._connection = connection

    def __missing__(self, project_id: str) -> str:
        self.update(project_names(self._connection, [project_id]))
        if project_id not in self:
            raise KeyError(project_id)
        return self[project_id]

    @overload
    def get(self, key: str, default: None = None, /) -> str | None: ...
    @overload
    def get(self, key: str, default: str, /) -> str: ...
    @overload
    def get(self, key: str, default: T, /) -> str | T: ...
    def get(self, key: str, default: object = None, /) -> object:
        try:
            return self[key]
        except KeyError:
            return default


def find_project(connection: sqlite3.Connection, text: str) -> Project:
    """The project that a person means: its name or id, the beginning of one, or a folder in it.
    Raises NotFound, or BadInput if it could mean several."""
    found = named_projects(connection, text)
    if len(found) > 1:
        raise BadInput(_several_named(text, found))
    found = found or projects_beginning(connection, text)
    if len(found) > 1:
        raise BadInput(several_beginning(connection, text, found))
    if not found:
        raise NotFound(no_project(connection, text))
    return found[0]


def named_projects(connection: sqlite3.Connection, text: str) -> list[Project]:
    """The projects that have exactly this name or id, or that this folder is in."""
    if not is_folder(text):
        return ProjectRepo(connection).find(text)
    found = project_of_folder(connection, text)
    return [found] if found else []


def projects_beginning(
    connection: sqlite3.Connection, text: str, limit: int = _SHOWN + 1
) -> list[Project]:
    """The projects whose name or id begins so. Like a name, the beginning of one means a project of
    this machine first."""
    if not text or is_folder(text):
        return []
    found = ProjectRepo(connection).beginning_with(text, limit)
    return [project for project in found if "@" not in project.project_id] or found


def project_of_folder(connection: sqlite3.Connection, folder: str) -> Project | None:
    """The project of the repository around a folder, or of the nearest folder above it in which a
    session ran."""
    repo, sessions = ProjectRepo(connection), SessionRepo(connection)
    place = _real(folder)
    inside = repository_around(place)
    for root in dict.fromkeys(reversed(inside or ())):
        if found := repo.find_by_repo_root(storable(root)):
            return found
    for parent in with_parents(storable(place)):
        if session := sessions.newest_of_folder(parent):
            return repo.get(session.project_id)
        if found := repo.find_by_repo_root(parent):
            return found
        if inside and parent == storable(inside[0]):
            return None  # what lies around a repository is another project
    return None


def meant(connection: sqlite3.Connection, text: str) -> str:
    """` (did you mean 'api' or 'api-web'?)`: the projects whose names are near; "" if none is."""
    from difflib import get_close_matches  # only a mistake needs it

    named = {name.lower(): name for name in project_names(connection).values()}
    wanted = text.lower()
    inside = [name for name in named if len(wanted) > 2 and wanted in name]
    near = dict.fromkeys((*get_close_matches(wanted, named, _NEAR, 0.6), *inside[:_NEAR]))
    names = [repr(clean(named[name], 80)) for name in list(near)[:_NEAR]]
    return f" (did you mean {' or '.join(names)}?)" if names else ""


def several_beginning(connection: sqlite3.Connection, text: str, found: Sequence[Project]) -> str:
    """The error for a beginning that several projects have."""
    names = project_names(connection)
    some = ", ".join(clean(names[one.project_id], 80) for one in found[:_SHOWN])
    more = ", …" if len(found) > _SHOWN else ""
    return f"several projects begin with {text!r}: {some}{more}; type more of it"


def _several_named(text: str, found: Sequence[Project]) -> str:
    ids = ", ".join(project.project_id for project in found)
    return f"several projects are named {text!r}; use one of these ids: {ids}"


def no_project(connection: sqlite3.Connection, text: str) -> str:
    """The error for a text that means no project."""
    what = f"project {clean(text, 200)!r}{meant(connection, text)}"
    if is_folder(text):
        what = f"project in the folder {clean(_real(text), 200)}"
    return f"there is no {what}; run `fleet projects list --all` to see all projects"


def _real(folder: str) -> str:
    try:
        return os.path.realpath(Path(folder).expanduser())
    except (RuntimeError, ValueError):  # `~stranger`, a NUL
        return folder


def is_folder(text: str) -> bool:
    """Whether a text is a path and no name."""
    return "/" in text or text in (".", "..") or text.startswith("~")


def project_id_of(connection: sqlite3.Connection, text: str | None) -> str | None:
    """The same, as a filter that may not be given."""
    return find_project(connection, text).project_id if text else None


def _machine_of(project: Project) -> dict[str, str]:
    """The machine of a project that no other one has: its id ends in `@laptop`."""
    _, mark, machine = project.project_id.partition("@")
    return {"machine": machine} if mark else {}


def project_records(
    connection: sqlite3.Connection,
    *,
    include_archived: bool,
    machine: str | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Projects with their number of briefings, the one with the latest briefing first. Of
    another machine, or of this one (""): its briefings, and the projects that have some."""
    found = ProjectRepo(connection).last_active(
        include_archived=include_archived, machine=machine, limit=limit
    )
    return [
        as_dict(project) | {"briefings": number, "last_briefing_at": last} | _machine_of(project)
        for project, number, last in found
    ]
