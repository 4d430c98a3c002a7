"""Hiding a session that waits for a person: dismissed, or snoozed for some time."""

import sqlite3

from fleet_lib import clock
from fleet_lib.errors import BadInput, NotFound
from fleet_lib.rules import DISMISSED, OPEN_ALERT_SECONDS
from fleet_lib.store.sessions import Session, SessionRepo


def hide(connection: sqlite3.Connection, session_id: str, until: str | None) -> Session:
    """Do not show the session as waiting before this time (ISO), or before its next event; None
    shows it again. Raises NotFound if it does not wait, BadInput for a time at which
    it would be too old to be shown."""
    repo = SessionRepo(connection)
    session = repo.get(session_id)
    if session is None or not repo.is_open(session_id):
        raise NotFound("this session does not wait for you any more")
    if until is not None and until < DISMISSED:
        require_shown_at(until, session.state_at)
    if not repo.hide(session, until):
        raise BadInput("the session has gone on just now")
    return session


def require_shown_at(until: str, state_at: str) -> None:
    """Raises BadInput if what waits since `state_at` is too old to be shown at that time."""
    end = clock.iso(clock.nanoseconds(state_at) + OPEN_ALERT_SECONDS * 1_000_000_000)
    if until >= end:
        raise BadInput(
            f"what is older than seven days is not shown, which it will be at {end}; use a shorter"
            " time, or dismiss it"
        )
