"""One prepared entry to rows, inside the caller's transaction. Applying the same entry again, or another copy
of it, changes nothing. Nothing here reads a file or asks git: what was not read before raises NotRead."""

import sqlite3
from typing import Any

from fleet_lib.ingest import commander_sessions, sessions, turns
from fleet_lib.ingest.project import ProjectFinder
from fleet_lib.redact import redact
from fleet_lib.store import db
from fleet_lib.store.repos import Repos
from fleet_lib.turn.payload import TURN_ENDS
from fleet_lib.turn.prepare import NotRead, Prepared, read_more
from fleet_lib.turn.repositories import Repositories
from fleet_lib.turn.stored_text import TEXT_LIMIT


class Ingest:
    """Applies prepared entries to one database, within one transaction."""

    def __init__(self, connection: sqlite3.Connection, home: str) -> None:
        self._connection = connection
        self._home = home
        self._repos = Repos(connection)
        self._projects = ProjectFinder(self._repos)

    def apply(self, prepared: Prepared) -> str:
        """Apply one entry inside a savepoint and say in a few words what it became.

        Raises NotRead, BadEntry or sqlite3.Error; the savepoint is rolled back then.
        """
        self._connection.execute("SAVEPOINT entry")
        try:
            outcome = self._dispatch(prepared)
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO entry")
                self._connection.execute("RELEASE entry")
            self._projects.forget()
            raise
        self._connection.execute("RELEASE entry")
        return outcome

    def record_quarantine(self, name: str, session_id: str | None, reason: str) -> None:
        """The `error` event of an entry that cannot be applied; once, however often it is tried."""
        error = {"message": redact(reason)[:TEXT_LIMIT], "code": "quarantined", "entry": name}
        payload: dict[str, Any] = {"error": error}
        if session_id:
            payload["sessionId"] = session_id
        if not self._repos.outbox.has_alert("error", payload):
            self._repos.outbox.add(type="error", payload=payload, broadcast_level="highlight")

    def _dispatch(self, prepared: Prepared) -> str:
        event = prepared.entry.event
        # A permission prompt holds the session up, also where a subagent asks.
        if prepared.payload.agent_id and event != "Notification":
            return "ignored: it belongs to a subagent"
        if prepared.is_commander:
            return commander_sessions.apply(self._repos.conversations, self._home, prepared)
        if event == "SessionStart":
            return sessions.apply_session_start(self._repos, self._projects, prepared)
        if event in TURN_ENDS:
            return turns.apply_turn_end(self._repos, self._projects, prepared)
        if event == "Notification":
            return sessions.apply_notification(self._repos, self._projects, prepared)
        if event == "SessionEnd":
            return sessions.apply_session_end(self._repos, prepared)
        return "ignored: only the Commander's prompts are recorded"


def apply_one(
    connection: sqlite3.Connection, home: str, prepared: Prepared, repositories: Repositories
) -> str:
    """Apply one entry in a transaction of its own, reading more of the world between two attempts."""
    while True:
        try:
            with db.transaction(connection):
                return Ingest(connection, home).apply(prepared)
        except NotRead as missing:
            prepared = read_more(prepared, missing, repositories)
