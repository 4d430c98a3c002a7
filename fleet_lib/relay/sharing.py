"""Which projects leave this machine. Without the modules of an exchange: a look at the status needs
this too."""

import fnmatch
import sqlite3
from collections.abc import Iterable

from fleet_lib import hot_settings
from fleet_lib.machines import apart
from fleet_lib.relay import names
from fleet_lib.store.projects import Project, ProjectRepo
from fleet_lib.store.relay import RelayRepo


def shared_projects(connection: sqlite3.Connection, home: str) -> dict[str, Project]:
    """{project_id: project} of what leaves this machine: what a person shared, and what the setting
    relay.share names, less what a person took back."""
    decided = RelayRepo(connection).shares()
    globs = hot_settings.texts(home, "relay", "share")
    shared = {}
    for project in ProjectRepo(connection).get_all():
        if not names.PROJECT.fullmatch(project.project_id):
            continue  # of another machine, or of another program
        decision = decided.get(project.project_id)
        is_named = globs and any(
            fnmatch.fnmatchcase(form, glob)
            for form in remotes_of(connection, project.project_id)
            for glob in globs
        )
        decided_by_person = decision.is_shared if decision else None
        if is_named if decided_by_person is None else decided_by_person:
            shared[project.project_id] = project
    return shared


def stays_here(connection: sqlite3.Connection, home: str, session_ids: Iterable[str]) -> bool:
    """Whether one of these sessions is another machine's, and no machine learns that it was hidden
    here: one that shares no project sends nothing."""
    is_of_other = any(apart(session_id)[1] for session_id in session_ids)
    return is_of_other and not shared_projects(connection, home)


def remotes_of(connection: sqlite3.Connection, project_id: str) -> list[str]:
    """The forms by which a project's repository is known on every machine; none for one that lies
    in a folder."""
    rows = connection.execute(
        "SELECT canonical FROM project_remotes WHERE project_id = ? AND canonical IS NOT NULL"
        " ORDER BY rowid LIMIT 8",
        (project_id,),
    )
    return [row[0] for row in rows if is_address(row[0])]


def is_address(form: str) -> bool:
    """Whether the form of a remote has a host, and is no folder of a machine."""
    host = form.partition("/")[0]
    return "/" in form and host not in ("", ".", "..", "~") and not host.startswith("file:")


def shared_records(connection: sqlite3.Connection, home: str) -> list[dict[str, object]]:
    """What is shared: project_id, project, remote, and `refused`, why the server does not take
    it, or ""."""
    decided = RelayRepo(connection).shares()
    records: list[dict[str, object]] = []
    for project in shared_projects(connection, home).values():
        share = decided.get(project.project_id)
        records.append(
            {
                "project_id": project.project_id,
                "project": project.repo_name,
                "remote": next(iter(remotes_of(connection, project.project_id)), None),
                "sent_through": share.sent_through if share else 0,
                "refused": share.refused if share else "",
            }
        )
    return records
