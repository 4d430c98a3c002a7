"""One prepared entry to rows, inside the caller's transaction. Applying the same entry again, or
another copy of it, changes nothing. Nothing here reads a file or asks git: what was not read before
raises NotRead."""

from __future__ import annotations

from collections.abc import Callable

from fleet_lib import clock
from fleet_lib.ingest import (
    commander_sessions,
    overlap,
    permissions,
    provisional,
    sessions,
    turns,
    unreported,
)
from fleet_lib.ingest.project import ProjectFinder
from fleet_lib.redact import redact
from fleet_lib.store import db
from fleet_lib.store.repos import Repos
from fleet_lib.turn.client_folder import ClientFolder
from fleet_lib.turn.payload import SESSION_WIDE, TURN_ENDS
from fleet_lib.turn.prepare import read_more
from fleet_lib.turn.prepared import NotRead, Prepared
from fleet_lib.turn.repositories import Repositories
from fleet_lib.turn.stored_text import TEXT_LIMIT

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3
    from typing import Any, TypeVar

    _Outcome = TypeVar("_Outcome")

_HOUR_NS = 3600 * 1_000_000_000


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
        return self._in_savepoint(lambda: self._dispatch(prepared))

    def import_turn(self, prepared: Prepared, *, is_living: bool) -> int | None:
        """Store one turn of a transcript as history inside a savepoint. Its briefing; None if it
        was known.

        Raises as `apply` does.
        """
        return self._in_savepoint(
            lambda: unreported.apply_import(
                self._repos, self._projects, prepared, is_living=is_living
            )
        )

    def _in_savepoint(self, work: Callable[[], _Outcome]) -> _Outcome:
        self._connection.execute("SAVEPOINT entry")
        try:
            outcome = work()
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

    def settle_old(self) -> None:
        """Turns that have waited long enough for their background agents are at their end; what
        sessions touched days ago is no news."""
        provisional.settle_old(self._repos, clock.ago(provisional.WAIT_SECONDS), clock.now())
        self._repos.touched_files.forget_before(clock.ago(overlap.KEPT_SECONDS))

    def _dispatch(self, prepared: Prepared) -> str:
        event = prepared.entry.event
        if prepared.is_ignored:
            return "ignored: its folder is in projects.ignore"
        if prepared.client_folder and not prepared.is_commander:
            self._note_client_folder(prepared.client_folder)
        # A permission prompt holds the session up, also where a subagent asks.
        if prepared.payload.agent_id and event not in SESSION_WIDE:
            return "ignored: it belongs to a subagent"
        if prepared.is_commander:
            return commander_sessions.apply(self._repos.conversations, self._home, prepared)
        if event == "SessionStart":
            return sessions.apply_session_start(self._repos, self._projects, prepared)
        if event in TURN_ENDS:
            return turns.apply_turn_end(self._repos, self._projects, prepared)
        if event == "PermissionRequest":
            return permissions.apply_request(self._repos, self._projects, prepared)
        if event == "Notification":
            if prepared.payload.notification_type in sessions.PERMISSION_PROMPTS:
                return permissions.apply_notification(self._repos, self._projects, prepared)
            return sessions.apply_notification(self._repos, self._projects, prepared)
        if event == "SessionEnd":
            missed = unreported.apply_missed_turn(self._repos, self._projects, prepared)
            outcome = sessions.apply_session_end(self._repos, prepared)
            return f"{missed}; {outcome}" if missed else outcome
        return "ignored: only the Commander's prompts are recorded"

    def _note_client_folder(self, found: ClientFolder) -> None:
        an_hour_before = clock.iso(clock.nanoseconds(found.checked_at) - _HOUR_NS)
        self._repos.client_folders.note(
            found.path, found.device, found.checked_at, unless_after=an_hour_before
        )


def apply_one(
    connection: sqlite3.Connection, home: str, prepared: Prepared, repositories: Repositories
) -> str:
    """Apply one entry in a transaction of its own, reading more of the world between two attempts."""
    while True:
        try:
            with db.transaction(connection):
                ingest = Ingest(connection, home)
                outcome = ingest.apply(prepared)
                ingest.settle_old()
                return outcome
        except NotRead as missing:
            prepared = read_more(prepared, missing, repositories)
