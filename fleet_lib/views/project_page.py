"""One project as a page: what it is, its sessions that live or wait, and its latest briefings."""

import sqlite3
from typing import Any

from fleet_lib.records import as_dict
from fleet_lib.store.briefings import ENDED, BriefingRepo
from fleet_lib.store.projects import Project, ProjectRepo
from fleet_lib.views.briefings import briefing_record
from fleet_lib.views.sessions import SessionsNow, left_open, needs_you, working

_BRIEFINGS = 10


def project_page(
    connection: sqlite3.Connection, project: Project, names: dict[str, str]
) -> dict[str, Any]:
    """The project with `briefings` and `last_briefing_at` as in a list, `needs_you`, `left_open`
    and `working` as in the overview, and `latest`, the records of its newest briefings."""
    (last,) = connection.execute(
        f"SELECT max({ENDED}) FROM briefings WHERE project_id = ?", (project.project_id,)
    ).fetchone()
    now = SessionsNow(connection)
    latest = BriefingRepo(connection).get_by_project(project.project_id, limit=_BRIEFINGS)
    return as_dict(project) | {
        "project": names[project.project_id],
        "briefings": ProjectRepo(connection).briefings(project.project_id),
        "last_briefing_at": last,
        **{
            name: [row for row in view(now, names) if row["project_id"] == project.project_id]
            for name, view in (
                ("needs_you", needs_you),
                ("left_open", left_open),
                ("working", working),
            )
        },
        "latest": [briefing_record(connection, briefing) for briefing in latest],
    }
