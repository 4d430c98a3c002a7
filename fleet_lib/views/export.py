"""The history for other programs and for reading: records, or one markdown text per project. A page
of events is read at a time, so a large history needs no more memory than a small one."""

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from fleet_lib.machines import apart
from fleet_lib.records import as_dict
from fleet_lib.store.briefings import ENDED, BriefingRecord, BriefingRepo
from fleet_lib.store.event_search import Wanted, pages_of
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.store.projects import Project, ProjectRepo
from fleet_lib.views.briefings import fence_for
from fleet_lib.views.events import event_record

_PAGE = 500  # events


def export_records(
    connection: sqlite3.Connection, project: Project | None, since: str | None
) -> Iterator[dict[str, Any]]:
    """Projects, then briefings and events, oldest first; `kind` says what each one is."""
    for one in [project] if project else ProjectRepo(connection).get_all():
        yield {"kind": "project", **as_dict(one)}
    repo = BriefingRepo(connection)
    for briefing in _briefings(connection, project, since):
        turn = repo.turn_of(briefing.briefing_id)
        names = ("title", "summary", "revision")
        more = {name: getattr(turn, name) for name in names} if turn else {}
        yield {"kind": "briefing", **as_dict(briefing), **more}
    wanted = Wanted(project.project_id if project else None, None, since)
    for page in pages_of(connection, wanted, _PAGE):
        for event in OutboxRepo(connection).get_all(page):
            yield {"kind": "event", **event_record(event)}


def project_as_markdown(
    connection: sqlite3.Connection, project: Project, since: str | None
) -> Iterator[str]:
    """A head, then one part per briefing, newest first. Texts are as stored: the caller removes
    control characters."""
    head = {
        "project": project.project_id,
        "repository": project.repo_name,
        "root": project.repo_root,
    }
    fields = "".join(f"{name}: {json.dumps(value)}\n" for name, value in head.items())
    yield f"---\n{fields}---\n\n# {project.repo_name}\n"
    ids = [
        row[0]
        for row in connection.execute(
            "SELECT briefing_id FROM briefings WHERE project_id = ? AND (?2 IS NULL OR"
            " ifnull(ended_at, created_at) >= ?2)"
            " ORDER BY ifnull(ended_at, created_at) DESC, briefing_id DESC",
            (project.project_id, since),
        )
    ]
    repo = BriefingRepo(connection)
    for briefing_id in ids:
        if briefing := repo.get(briefing_id):
            turn = repo.turn_of(briefing_id)
            yield _as_markdown(briefing, turn.title if turn else None)


def _briefings(
    connection: sqlite3.Connection, project: Project | None, since: str | None
) -> Iterator[BriefingRecord]:
    """Oldest first."""
    repo = BriefingRepo(connection)
    conditions = ["1"]
    if project:
        conditions.append("project_id = :project")
    if since:
        conditions.append(f"{ENDED} >= :since")
    ids = connection.execute(
        # The plus keeps SQLite from looking at every row to have them in this order.
        f"SELECT briefing_id FROM briefings WHERE {' AND '.join(conditions)} ORDER BY +briefing_id",
        {"project": project.project_id if project else None, "since": since},
    )
    for (briefing_id,) in ids:
        if briefing := repo.get(briefing_id):
            yield briefing


def _as_markdown(briefing: BriefingRecord, title: str | None) -> str:
    facts = [
        ("title", title),
        ("status", briefing.status),
        ("impact", briefing.impact_level),
        ("branch", briefing.branch),
        ("commit", briefing.head_commit),
        *zip(("session", "machine"), apart(briefing.session_id), strict=True),
    ]
    moment = (briefing.ended_at or briefing.created_at)[:16]
    lines = [f"\n## #{briefing.briefing_id} · {moment}Z", ""]
    lines += [f"- {name}: {value}" for name, value in facts if value]
    for title, items in (("Blockers", briefing.blockers), ("Files", briefing.files_touched)):
        if items:
            lines += ["", f"{title}:", "", *(f"- {item}".replace("\n", " ") for item in items)]
    # The fence keeps one briefing's open code block from swallowing the next briefing.
    fence = fence_for(briefing.raw_markdown)
    return "\n".join([*lines, "", f"{fence}markdown", briefing.raw_markdown, fence, ""])
