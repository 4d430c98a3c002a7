"""Who needs a human, the latest of each project, and how far the Commander and capture are: what
`fleet status` and the dashboard show."""

import sqlite3
import time
from typing import Any

from fleet_lib import clock, spool
from fleet_lib.drain import quarantine
from fleet_lib.lines import summary_of
from fleet_lib.prelude.events import count_news
from fleet_lib.rules import ACTIVE_SESSION_SECONDS, OPEN_ALERT_SECONDS
from fleet_lib.store.briefings import BriefingRepo
from fleet_lib.store.conversations import ConversationRepo
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.store.projects import ProjectRepo
from fleet_lib.store.sessions import SessionRepo


def overview(connection: sqlite3.Connection, home: str) -> dict[str, Any]:
    """needs_human, projects, commander, jobs, capture; times are the database's."""
    sessions = SessionRepo(connection)
    names = {project.project_id: project.repo_name for project in ProjectRepo(connection).get_all()}
    conversation = ConversationRepo(connection).get_commander()
    seen = conversation.last_outbox_event_id_seen if conversation else 0
    return {
        "needs_human": [
            {
                "session_id": session.session_id,
                "project_id": session.project_id,
                "project": names.get(session.project_id, session.project_id),
                "state": session.state,
                "since": session.state_at,
                "detail": session.detail,
                "briefing_id": session.briefing_id,
            }
            for session in sessions.open_alerts(_since(OPEN_ALERT_SECONDS))
        ],
        "projects": _roster(connection),
        "commander": {
            "last_event_seen": seen,
            "last_event": OutboxRepo(connection).latest_id(),
            "started": conversation is not None,
            # Without a Commander nobody is behind.
            "new": count_news(connection, seen) if conversation else 0,
        },
        "jobs": _jobs(connection),
        "capture": capture(home, connection),
    }


def nothing(home: str) -> dict[str, Any]:
    """The overview where no database is."""
    return {
        "needs_human": [],
        "projects": [],
        "commander": {"last_event_seen": 0, "last_event": 0, "started": False, "new": 0},
        "jobs": {"queued": 0, "running": 0},
        "capture": capture(home, None),
    }


def sessions_at_work(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The sessions that have not ended, the latest heard of first."""
    return [
        {
            "session_id": session.session_id,
            "project_id": session.project_id,
            "state": session.state,
            "since": session.state_at,
            "detail": session.detail,
            "briefing_id": session.briefing_id,
            "last_seen_at": session.last_seen_at,
        }
        for session in SessionRepo(connection).active(_since(ACTIVE_SESSION_SECONDS))
    ]


def capture(home: str, connection: sqlite3.Connection | None) -> dict[str, Any]:
    """Whether capture is flowing: the last capture, what waits, what is in quarantine."""
    last = None
    if connection:
        last = connection.execute("SELECT max(last_seen_at) FROM sessions").fetchone()[0]
    return {
        "last_capture_at": last,
        "waiting": len(spool.pending(home)),
        "quarantined": len(quarantine.names(home)),
    }


def _roster(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    briefings = BriefingRepo(connection)
    roster: list[dict[str, Any]] = []
    for project in ProjectRepo(connection).get_active():
        latest = next(iter(briefings.get_by_project(project.project_id, limit=1)), None)
        turn = briefings.turn_of(latest.briefing_id) if latest else None
        roster.append(
            {
                "project_id": project.project_id,
                "project": project.repo_name,
                "status": latest.status if latest else None,
                "briefing_id": latest.briefing_id if latest else None,
                "at": (latest.ended_at or latest.created_at) if latest else project.updated_at,
                "summary": summary_of(turn.summary if turn else None, latest.raw_markdown)
                if latest
                else "",
            }
        )
    return sorted(roster, key=lambda row: str(row["at"]), reverse=True)


def _jobs(connection: sqlite3.Connection) -> dict[str, int]:
    rows = connection.execute(
        "SELECT status, count(*) FROM jobs WHERE status IN ('queued', 'running') GROUP BY status"
    )
    return {"queued": 0, "running": 0} | {row[0]: row[1] for row in rows}


def _since(seconds: int) -> str:
    return clock.iso(time.time_ns() - seconds * 1_000_000_000)
