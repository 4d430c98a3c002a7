"""What a person means by an ID: a briefing (12), an event (e40), a job (job3), the beginning of a
session's id, or a project's name. Here it is turned into sessions."""

import re
import sqlite3

from fleet_lib.errors import BadInput, NotFound
from fleet_lib.machines import apart
from fleet_lib.records import Record
from fleet_lib.store.briefings import BriefingRepo
from fleet_lib.store.job_runs import JobRunRepo
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.store.projects import Project, ProjectRepo
from fleet_lib.store.sessions import Session, SessionRepo
from fleet_lib.views.projects import find_project

_SHOWN = 5  # sessions that an error names
_SHORT = 8  # characters that usually tell sessions apart


class Meant(Record):
    """One session, or a whole project with its sessions that wait for a person."""

    sessions: list[Session]
    project: Project | None = None


def sessions_meant(connection: sqlite3.Connection, text: str) -> Meant:
    """Raises NotFound, or BadInput if the ID could mean several sessions."""
    numbered = re.fullmatch(r"(#?|#?e|job)(\d{1,18})", text)
    if numbered:
        session_id = _of_number(connection, numbered[1].lstrip("#"), int(numbered[2]))
        if session_id is not None:
            return Meant([_known(connection, session_id, text)])
    if ProjectRepo(connection).find(text):
        project = find_project(connection, text)
        return Meant(SessionRepo(connection).open(project.project_id), project)
    found = SessionRepo(connection).beginning_with(text, _SHOWN + 1) if text else []
    exact = [session for session in found if session.session_id == text]
    if len(found) == 1 or exact:
        return Meant(exact or found)
    if found:
        raise BadInput(f"several sessions begin with {text!r}: {short_ids(found)}; type more of it")
    raise NotFound(
        f"{text!r} is no briefing (12), event (e40), job (job3), beginning of a session's id or"
        " project's name; run `fleet status` to see what waits for you"
    )


def short_ids(sessions: list[Session]) -> str:
    """The sessions in a sentence, as a person may type them."""
    length = _SHORT
    ids = [apart(session.session_id)[0] or "" for session in sessions]
    if len(set(ids)) < len(ids):  # of several machines
        ids = [session.session_id for session in sessions]
    while len({one[:length] for one in ids}) < len(ids):
        length += 4
    named = ", ".join(one[:length] for one in ids[:_SHOWN])
    return f"{named}, …" if len(sessions) > _SHOWN else named


def _of_number(connection: sqlite3.Connection, kind: str, number: int) -> str | None:
    """The session of a briefing, event or job. None if there is no such row: the text may still be
    the beginning of a session's id. Raises NotFound if the row belongs to no session."""
    if kind == "job":
        run = JobRunRepo(connection).latest(number)
        if run is None:
            return None
        session_id, name = run.session_id, f"job {number}"
    elif kind == "e":
        event = OutboxRepo(connection).get(number)
        if event is None:
            return None
        named = (event.payload or {}).get("sessionId")
        session_id = (
            named if isinstance(named, str) else _of_briefing(connection, event.briefing_id)
        )
        name = f"event e{number}"
    else:
        briefing = BriefingRepo(connection).get(number)
        if briefing is None:
            return None
        session_id, name = briefing.session_id, f"briefing #{number}"
    if not session_id:
        raise NotFound(
            f"{name} belongs to no session; run `fleet status` to see what waits for you"
        )
    return session_id


def _of_briefing(connection: sqlite3.Connection, briefing_id: int | None) -> str | None:
    briefing = BriefingRepo(connection).get(briefing_id) if briefing_id else None
    return briefing.session_id if briefing else None


def _known(connection: sqlite3.Connection, session_id: str, text: str) -> Session:
    session = SessionRepo(connection).get(session_id)
    if session is None:
        raise NotFound(
            f"nothing is known of the session of {text} any more; run `fleet status` to see what"
            " waits for you"
        )
    return session
