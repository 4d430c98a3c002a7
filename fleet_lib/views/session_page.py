"""One session as a page: what it is and does now, its turns in their order, and what they come to.
A session may be known only by its briefings: another program wrote them, or its row was pruned."""

import sqlite3
from typing import Any

from fleet_lib.errors import BadInput, NotFound
from fleet_lib.json_text import json_array_or_none
from fleet_lib.lines import summary_of
from fleet_lib.store.briefings import ENDED
from fleet_lib.store.sessions import SessionRepo
from fleet_lib.views.ids import sessions_meant, short_ids
from fleet_lib.views.session_list import SessionRecords
from fleet_lib.views.usage import figures, of_session

TURNS = 1000  # of one page, the newest
_LISTS = ("blockers", "next_steps", "files_touched", "docs_touched")
_TURNS_SQL = f"""
SELECT b.briefing_id, t.turn_key, t.title, t.question, t.summary, substr(b.raw_markdown, 1, 2000),
  b.status, b.impact_level, b.branch, b.base_commit, b.head_commit, b.started_at,
  ifnull(b.ended_at, b.created_at) AS ended_at,
  {", ".join(f"b.{name}_json" for name in _LISTS)},
  EXISTS (SELECT 1 FROM imported_turns i
    WHERE i.briefing_id = b.briefing_id AND i.reported_at IS NULL) AS imported,
  EXISTS (SELECT 1 FROM provisional_turns p
    WHERE p.session_id = t.session_id AND p.turn_key = t.turn_key) AS is_provisional
FROM (SELECT * FROM briefings WHERE session_id = :session_id
  ORDER BY {ENDED} DESC, briefing_id DESC LIMIT :limit) b
LEFT JOIN turns t ON t.briefing_id = b.briefing_id
ORDER BY ifnull(b.ended_at, b.created_at), b.briefing_id
"""


def session_page(
    connection: sqlite3.Connection,
    names: dict[str, str],
    session_id: str,
    *,
    limit: int = TURNS,
) -> dict[str, Any]:
    """The record of a list (session_list.py) and, besides, `turns`: the newest `limit` in their
    order; `turns_in_all` and `earlier_turns`: how many there are, and are left out; `files`: all that they touched; `usage`: of the
    session, with `client_usd`, or None. Raises NotFound."""
    page = _head(connection, names, session_id)
    used = figures(connection, "turn", session_id=session_id)
    rows = connection.execute(_TURNS_SQL, {"session_id": session_id, "limit": limit})
    by_briefing = {row["briefing_id"]: _turn_record(row, used) for row in rows}
    turns = list(by_briefing.values())
    if turns and turns[-1]["is_provisional"] and page["is_live"]:
        page["state"] = "working"
    files = {file: None for turn in turns for file in turn["files_touched"]}
    return page | {
        "turns": turns,
        "turns_in_all": page["turns"],
        "earlier_turns": max(0, page["turns"] - len(turns)),
        "files": list(files),
        "usage": of_session(connection, session_id),
    }


def find_session(connection: sqlite3.Connection, text: str) -> str:
    """The id of the session that a person means: a briefing (12), an event (e40), a job (job3), the
    beginning of a session's id, or a project in which one session waits. Raises NotFound, or
    BadInput if several are meant."""
    try:
        meant = sessions_meant(connection, text)
    except NotFound:
        known_by_briefings = _ids_of_briefings(connection, text)
        if len(known_by_briefings) > 1 and text not in known_by_briefings:
            raise BadInput(f"several sessions begin with {text!r}; type more of it") from None
        if not known_by_briefings:
            raise
        return known_by_briefings[0]  # the shortest comes first: the text itself, if it is one
    if len(meant.sessions) == 1:
        return meant.sessions[0].session_id
    assert meant.project
    name = meant.project.repo_name
    if meant.sessions:
        raise BadInput(
            f"several sessions of {name} wait for you: {short_ids(meant.sessions)}; name one of them"
        )
    raise NotFound(
        f"no session of {name} waits for you; `fleet sessions list --project {name}` lists all"
    )


def _head(connection: sqlite3.Connection, names: dict[str, str], session_id: str) -> dict[str, Any]:
    """The session's record."""
    records = SessionRecords(connection, names)
    session = SessionRepo(connection).get(session_id) or records.of_briefings(session_id)
    if session is None:
        raise NotFound(
            f"there is no session {session_id!r}; run `fleet sessions list` to see the latest"
        )
    return records.record(records.corrected(session))


def _turn_record(row: sqlite3.Row, used: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "briefing_id": row["briefing_id"],
        "title": row["title"],
        "question": row["question"],
        "summary": summary_of(row["summary"], row[5]),
        "status": row["status"],
        "is_provisional": bool(row["is_provisional"]),
        "impact_level": row["impact_level"],
        "started_at": row["started_at"],
        "ended_at": row["ended_at"],
        **{name: row[name] for name in ("branch", "base_commit", "head_commit")},
        **{
            name: [str(item) for item in json_array_or_none(row[f"{name}_json"]) or ()]
            for name in _LISTS
        },
        "imported": bool(row["imported"]),
        "usage": used.get(row["turn_key"] or ""),
    }


def _ids_of_briefings(connection: sqlite3.Connection, text: str) -> list[str]:
    """The first ids of sessions that have briefings and begin so."""
    rows = connection.execute(
        "SELECT DISTINCT session_id FROM briefings WHERE session_id >= ?1"
        " AND session_id < ?1 || char(0x10FFFF) ORDER BY session_id LIMIT 2",
        (text,),
    )
    return [str(row[0]) for row in rows] if text else []
