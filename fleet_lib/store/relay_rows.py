"""The rows that came from other machines: which of their events and briefings are which here."""

import sqlite3

from fleet_lib import clock
from fleet_lib.records import Record

_KEPT_SECONDS = 120 * 86400  # longer than the server keeps an event


class KnownBriefing(Record):
    """A briefing of another machine; `local_briefing_id` is None if only its title came so far."""

    local_briefing_id: int | None
    revision: int
    title: str | None


class RelayRowRepo:
    """Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def has_event(self, machine: str, epoch: str, event_id: int) -> bool:
        row = self._connection.execute(
            "SELECT 1 FROM relay_events WHERE machine = ? AND epoch = ? AND event_id = ?",
            (machine, epoch, event_id),
        ).fetchone()
        return row is not None

    def has_same(self, machine: str, event_id: int, digest: str) -> bool:
        """Whether another epoch of the machine sent the same row: a copy of that home has it too."""
        row = self._connection.execute(
            "SELECT 1 FROM relay_events WHERE machine = ? AND event_id = ? AND digest = ?",
            (machine, event_id, digest),
        ).fetchone()
        return row is not None

    def add_event(
        self, machine: str, epoch: str, event_id: int, digest: str, local_event_id: int | None
    ) -> None:
        self._connection.execute(
            "INSERT INTO relay_events (machine, epoch, event_id, digest, local_event_id,"
            " received_at) VALUES (?, ?, ?, ?, ?, ?)",
            (machine, epoch, event_id, digest, local_event_id, clock.now()),
        )

    def local_event(self, machine: str, epoch: str, event_id: int | None) -> int | None:
        row = self._connection.execute(
            "SELECT local_event_id FROM relay_events"
            " WHERE machine = ? AND epoch = ? AND event_id = ?",
            (machine, epoch, event_id),
        ).fetchone()
        return row[0] if row else None

    def briefing(self, machine: str, epoch: str, briefing_id: int | None) -> KnownBriefing | None:
        row = self._connection.execute(
            "SELECT local_briefing_id, revision, title FROM relay_briefings"
            " WHERE machine = ? AND epoch = ? AND briefing_id = ?",
            (machine, epoch, briefing_id),
        ).fetchone()
        return KnownBriefing(*row) if row else None

    def save_briefing(
        self,
        machine: str,
        epoch: str,
        briefing_id: int,
        local_briefing_id: int,
        revision: int,
        usage_json: str | None,
    ) -> None:
        self._connection.execute(
            "INSERT INTO relay_briefings (machine, epoch, briefing_id, local_briefing_id, revision,"
            " usage_json) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
            " ON CONFLICT (machine, epoch, briefing_id) DO UPDATE SET local_briefing_id = ?4,"
            " revision = ?5, usage_json = ?6",
            (machine, epoch, briefing_id, local_briefing_id, revision, usage_json),
        )

    def save_title(self, machine: str, epoch: str, briefing_id: int, title: str) -> int | None:
        """Keep the title of a briefing, which may come later; its id here if it is here."""
        self._connection.execute(
            "INSERT INTO relay_briefings (machine, epoch, briefing_id, revision, title)"
            " VALUES (?1, ?2, ?3, 0, ?4)"
            " ON CONFLICT (machine, epoch, briefing_id) DO UPDATE SET title = ?4",
            (machine, epoch, briefing_id, title),
        )
        known = self.briefing(machine, epoch, briefing_id)
        return known.local_briefing_id if known else None

    def usage_of(self, local_briefing_id: int) -> str | None:
        """What the other machine says that the turn used, as JSON."""
        row = self._connection.execute(
            "SELECT usage_json FROM relay_briefings WHERE local_briefing_id = ?",
            (local_briefing_id,),
        ).fetchone()
        return row[0] if row else None

    def point_session(self, session_id: str, event_id: int, briefing_id: int | None) -> None:
        """The newest event of another machine's session, and its briefing, if its state came
        before them."""
        self._connection.execute(
            "UPDATE sessions SET event_id = ?2, briefing_id = ifnull(?3, briefing_id)"
            " WHERE session_id = ?1 AND ifnull(event_id, 0) < ?2",
            (session_id, event_id, briefing_id),
        )

    def forget_old(self) -> None:
        """Forget which events came, once the server has none of them any more."""
        self._connection.execute(
            "DELETE FROM relay_events WHERE received_at < ?", (clock.ago(_KEPT_SECONDS),)
        )
