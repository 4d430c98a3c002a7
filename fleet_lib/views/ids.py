"""What a person means by an ID: a briefing (12), an event (e40), a job (job3), the beginning of a
session's id, or a project as views/projects.py finds it. And the shortest ID of a session, to be
typed from a screen."""

import re
import shlex
import sqlite3
from typing import Literal

from fleet_lib.errors import BadInput, NotFound
from fleet_lib.machines import MARK, apart
from fleet_lib.records import Record
from fleet_lib.store.briefings import BriefingRepo
from fleet_lib.store.job_runs import JobRunRepo
from fleet_lib.store.jobs import JobRepo
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.store.projects import Project, ProjectRepo
from fleet_lib.store.sessions import Session, SessionRepo
from fleet_lib.text import clean
from fleet_lib.views.projects import (
    find_project,
    is_folder,
    meant,
    named_projects,
    no_project,
    projects_beginning,
)
from fleet_lib.views.sessions import SessionsNow

Kind = Literal["briefing", "event", "job", "session", "project"]

_SHOWN = 5  # sessions or projects that an error names
_SHORT = 8  # characters that usually tell sessions apart
_SHORTEST = 4
_NO_NUMBER = 10_000_000  # of a briefing, event or job is as large
_NUMBERED = re.compile(r"(#?|#?e|#?job)(\d{1,18})")
_KINDS: dict[str, Kind] = {"": "briefing", "e": "event", "job": "job"}
_LISTS = {
    "briefing": "fleet briefings list",
    "event": "fleet events list",
    "job": "fleet jobs list",
}


class Found(Record):
    """What an ID stands for: a number of its kind, or the id of a session or project."""

    kind: Kind
    number: int = 0
    id: str = ""

    def label(self) -> str:
        """As a person may type it."""
        return {"briefing": f"#{self.number}", "event": f"e{self.number}"}.get(
            self.kind, f"job{self.number}" if self.kind == "job" else self.id
        )


class Meant(Record):
    """One session, or a whole project with its sessions that wait for a person."""

    sessions: list[Session]
    project: Project | None = None


def meaning(connection: sqlite3.Connection, text: str) -> Found:
    """What the ID stands for, a whole name before the beginning of one. Raises NotFound, or BadInput
    if it could mean several things."""
    whole = _whole(connection, text)
    found = whole or _beginning(connection, text)
    if not found:
        raise NotFound(_nothing(connection, text))
    if len(found) == 1:
        return found[0]
    if all(one.kind == "session" for one in found):
        sessions = SessionRepo(connection).beginning_with(text, _SHOWN + 1)
        raise BadInput(
            f"several sessions begin with {text!r}: {short_ids(sessions)}; type more of it"
        )
    if all(one.kind == "project" for one in found):
        find_project(connection, text)  # raises the same error as elsewhere
    named = ", ".join(f"{one.kind} {one.label()}" for one in found[:_SHOWN])
    more = ", …" if len(found) > _SHOWN else ""
    raise BadInput(f"{text!r} may be {named}{more}; type one of these")


def sessions_meant(connection: sqlite3.Connection, text: str) -> Meant:
    """The session of the briefing, event or job, or the project's. Raises NotFound, or BadInput if
    the ID could mean several things."""
    found = meaning(connection, text)
    if found.kind == "project":
        project = ProjectRepo(connection).get(found.id)
        assert project
        return Meant(_of_project(connection, project.project_id), project)
    session_id = found.id or _of_number(connection, found)
    if not session_id:
        raise NotFound(
            f"{found.label()} belongs to no session; run `fleet status` to see what waits for you"
        )
    return Meant([_known(connection, session_id, text)])


def stored_id(connection: sqlite3.Connection, session_id: str) -> str:
    """The id under which a session is kept here; that of a record of another machine is marked."""
    marked = f"{session_id}{MARK}"
    row = connection.execute(
        "SELECT session_id FROM sessions WHERE session_id = ?1 UNION ALL"
        " SELECT min(session_id) FROM sessions WHERE session_id >= ?2 AND session_id < ?3"
        " LIMIT 1",
        (session_id, marked, f"{marked}~"),
    ).fetchone()
    return str(row[0]) if row and row[0] else session_id


def _of_project(connection: sqlite3.Connection, project_id: str) -> list[Session]:
    """Its sessions that wait for a person by what is stored or so now, hidden ones too."""
    now = SessionsNow(connection)
    open_now = [one for one in now.needing_you() if one.project_id == project_id]
    stored = SessionRepo(connection).open(project_id)
    return list({one.session_id: one for one in (*open_now, *stored)}.values())


def shortest_id(connection: sqlite3.Connection, session_id: str) -> str:
    """The fewest characters that mean this session, quoted for the shell where that is needed."""
    session_id = stored_id(connection, session_id)
    near = connection.execute(
        "SELECT max(session_id) FROM sessions WHERE session_id < ?1"
        " UNION ALL SELECT min(session_id) FROM sessions WHERE session_id > ?1",
        (session_id,),
    )
    shared = [_shared(session_id, row[0]) for row in near if row[0]]
    projects = ProjectRepo(connection)
    own_id = apart(session_id)[0] or ""
    for length in range(max(_SHORTEST, 1 + max(shared, default=0)), len(own_id)):
        text = session_id[:length]
        number = _NUMBERED.fullmatch(text)
        is_number = number is not None and int(number[2]) < _NO_NUMBER
        if not is_number and text[-1] not in "-_." and not projects.find(text):
            return shlex.quote(text)
    return shlex.quote(own_id if max(shared, default=0) < len(own_id) else session_id)


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def no_such(kind: Kind, number: int) -> str:
    """The error for a number that nothing has."""
    return f"there is no {kind} {number}; run `{_LISTS[kind]}` to see the latest"


def _nothing(connection: sqlite3.Connection, text: str) -> str:
    if match := _NUMBERED.fullmatch(text.lower()):
        return no_such(_KINDS[match[1].lstrip("#")], int(match[2]))
    if is_folder(text):
        return no_project(connection, text)
    return (
        f"no session or project begins with {clean(text, 60)!r}{meant(connection, text)}; an ID is"
        " also a briefing (12), an event (e40) or a job (job3). Run `fleet sessions list` to see the"
        " sessions"
    )


def _whole(connection: sqlite3.Connection, text: str) -> list[Found]:
    """What has exactly this number, name or id."""
    found: list[Found] = []
    if match := _NUMBERED.fullmatch(text.lower()):
        one = Found(_KINDS[match[1].lstrip("#")], int(match[2]))
        found += [one] if _exists(connection, one) else []
    found += [Found("project", id=one.project_id) for one in named_projects(connection, text)]
    if SessionRepo(connection).get(text):
        found.append(Found("session", id=text))
    return found


def _beginning(connection: sqlite3.Connection, text: str) -> list[Found]:
    """The sessions and projects whose id or name begins so."""
    if not text:
        return []
    sessions = SessionRepo(connection).beginning_with(text, _SHOWN + 1)
    projects = projects_beginning(connection, text)
    return [
        *(Found("session", id=session.session_id) for session in sessions),
        *(Found("project", id=project.project_id) for project in projects),
    ]


def _exists(connection: sqlite3.Connection, found: Found) -> bool:
    if found.kind == "job":
        return JobRepo(connection).get(found.number) is not None
    if found.kind == "event":
        return OutboxRepo(connection).get(found.number) is not None
    return BriefingRepo(connection).get(found.number) is not None


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


def _of_number(connection: sqlite3.Connection, found: Found) -> str | None:
    """The session of a briefing, event or job that exists."""
    if found.kind == "job":
        run = JobRunRepo(connection).latest(found.number)
        return run.session_id if run else None
    if found.kind == "briefing":
        return _of_briefing(connection, found.number)
    event = OutboxRepo(connection).get(found.number)
    named = (event.payload or {}).get("sessionId") if event else None
    if isinstance(named, str):
        return named
    return _of_briefing(connection, event.briefing_id if event else None)


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
