"""Hiding a session that waits for a person: dismissed, or snoozed for some time."""

import sqlite3

from fleet_lib import clock
from fleet_lib.errors import BadInput, NotFound
from fleet_lib.records import replace
from fleet_lib.rules import DISMISSED, OPEN_ALERT_SECONDS
from fleet_lib.store.live_state import PermissionRepo
from fleet_lib.store.sessions import Session, SessionRepo
from fleet_lib.views.sessions import SessionsNow


def waiting(connection: sqlite3.Connection, session_id: str) -> Session:
    """The session as it waits now, hidden or not. Raises NotFound if it does not wait. Claude Code's
    own files are read, so this is no part of a transaction."""
    now = SessionsNow(connection)
    for session in (*now.needing_you(), *now.left_open()):
        if session.session_id == session_id:
            return as_asked(connection, session)
    repo = SessionRepo(connection)
    stored = repo.get(session_id)
    if stored is None or not repo.is_open(session_id):
        raise NotFound("this session does not wait for you any more")
    return stored


def hide(connection: sqlite3.Connection, session: Session, until: str | None) -> Session:
    """Do not show a session of `waiting` before this time (ISO), or before its next event; None
    shows it again. Raises BadInput for a time at which it would be too old to be shown, or if it has
    gone on since."""
    if until is not None and until < DISMISSED:
        end = clock.nanoseconds(session.state_at) + OPEN_ALERT_SECONDS * 1_000_000_000
        if until >= clock.iso(end):
            raise BadInput(
                "what is older than seven days is not shown, which it will be at"
                f" {clock.local(clock.iso(end))}; use a shorter time, or `fleet dismiss`"
            )
    if not SessionRepo(connection).hide(session, until):
        raise BadInput("the session has gone on just now; look again")
    return session


def as_asked(connection: sqlite3.Connection, session: Session) -> Session:
    """With the time of its newest prompt, if that is later than what Claude Code's file says: the
    notification of the same prompt must not count as something new."""
    asked = PermissionRepo(connection).pending(session.session_id)
    if not asked or session.state not in ("waiting_for_permission", "waiting_for_input"):
        return session
    return replace(session, state_at=max(session.state_at, asked[0].asked_at))
