"""Other machines' sessions by their own clocks, and until when one person's machines hide a session.

A decision about hiding belongs to one state of a session, which its own machine's time names. Of
several decisions the one with the highest version counts, whatever the machines' clocks say. A
decision of this machine is found by comparing: `dismiss` and ingest know nothing of a relay."""

import sqlite3

from fleet_lib import clock
from fleet_lib.machines import MARK
from fleet_lib.records import Record

SHOWN = "1970-01-01T00:00:00.000Z"  # hidden until then: not hidden
LAST_VERSION = 2**53
_KEPT_SECONDS = 14 * 86400  # longer than the server keeps a state
_LOOKED_AT_SECONDS = 8 * 86400
_LATELY_SECONDS = 600.0

# The sessions whose `hidden_until` is not what was decided before.
_UNDECIDED = """SELECT s.session_id, ifnull(r.state_at, s.state_at) AS state_at,
    ifnull(s.hidden_until, :shown) AS until, ifnull(h.version, 0) AS version
  FROM sessions s LEFT JOIN relay_sessions r ON r.session_id = s.session_id
  LEFT JOIN relay_hidden h ON h.session_id = s.session_id
    AND h.state_at = ifnull(r.state_at, s.state_at)
  WHERE s.last_seen_at > :since AND ifnull(s.hidden_until, :shown) <> ifnull(h.until, :shown)"""


class Decision(Record):
    """Until when a state of a session is hidden."""

    session_id: str
    state_at: str
    until: str
    version: int

    @property
    def hidden_until(self) -> str | None:
        """As the session's own row has it."""
        return None if self.until <= SHOWN else self.until


class Original(Record):
    """What a session's own machine says of its times."""

    epoch: str
    state_at: str
    last_seen_at: str


class RelaySessionRepo:
    """Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def original(self, session_id: str) -> Original | None:
        row = self._connection.execute(
            "SELECT epoch, state_at, last_seen_at FROM relay_sessions WHERE session_id = ?",
            (session_id,),
        ).fetchone()
        return Original(*row) if row else None

    def save_original(self, session_id: str, original: Original) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO relay_sessions (session_id, epoch, state_at, last_seen_at)"
            " VALUES (?, ?, ?, ?)",
            (session_id, original.epoch, original.state_at, original.last_seen_at),
        )

    def is_undecided(self) -> bool:
        """Whether a session was hidden or shown here since the last `settle`. Writes nothing."""
        row = self._connection.execute(f"{_UNDECIDED} LIMIT 1", _moments()).fetchone()
        return row is not None

    def settle(self) -> None:
        """Note as this machine's decisions what was hidden or shown here since the last time."""
        for row in self._connection.execute(_UNDECIDED, _moments()).fetchall():
            version = min(row["version"] + 1, LAST_VERSION)
            self._save(Decision(row["session_id"], row["state_at"], row["until"], version), True)

    def decision(self, session_id: str, state_at: str) -> Decision | None:
        row = self._connection.execute(
            "SELECT session_id, state_at, until, version FROM relay_hidden"
            " WHERE session_id = ? AND state_at = ?",
            (session_id, state_at),
        ).fetchone()
        return Decision(*row) if row else None

    def take(self, other: Decision) -> None:
        """Take another machine's decision, unless a later one is known; `settle` comes first."""
        known = self.decision(other.session_id, other.state_at)
        if known and (known.version, known.until) >= (other.version, other.until):
            return
        self._save(other, False)
        self._connection.execute(
            "UPDATE sessions SET hidden_until = ?3 WHERE session_id = ?1 AND ?2 = ifnull("
            " (SELECT state_at FROM relay_sessions WHERE session_id = ?1), state_at)",
            (other.session_id, other.state_at, other.hidden_until),
        )

    def decided_here(self) -> list[tuple[Decision, str]]:
        """[(a decision of this machine about another one's session as it is now, its project)]."""
        rows = self._connection.execute(
            "SELECT h.session_id, h.state_at, h.until, h.version, s.project_id FROM relay_hidden h"
            " JOIN sessions s ON s.session_id = h.session_id"
            " JOIN relay_sessions r ON r.session_id = h.session_id AND r.state_at = h.state_at"
            " WHERE h.is_from_here AND instr(h.session_id, ?) > 0",
            (MARK,),
        )
        return [(Decision(*row[:4]), row[4]) for row in rows]

    def taken_lately(self) -> list[Decision]:
        """Other machines' decisions of the last minutes about sessions of this one that are in
        another state by their rows."""
        rows = self._connection.execute(
            "SELECT h.session_id, h.state_at, h.until, h.version FROM relay_hidden h"
            " JOIN sessions s ON s.session_id = h.session_id AND s.state_at <> h.state_at"
            " WHERE NOT h.is_from_here AND h.noted_at > ? AND instr(h.session_id, ?) = 0",
            (clock.ago(_LATELY_SECONDS), MARK),
        )
        return [Decision(*row) for row in rows]

    def forget_old(self) -> None:
        """Forget decisions that the server has not kept either."""
        self._connection.execute(
            "DELETE FROM relay_hidden WHERE noted_at < ?", (clock.ago(_KEPT_SECONDS),)
        )

    def _save(self, decision: Decision, is_from_here: bool) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO relay_hidden (session_id, state_at, until, version,"
            " is_from_here, noted_at) VALUES (?, ?, ?, ?, ?, ?)",
            (
                *(decision.session_id, decision.state_at, decision.until, decision.version),
                *(is_from_here, clock.now()),
            ),
        )


def _moments() -> dict[str, str]:
    return {"shown": SHOWN, "since": clock.ago(_LOOKED_AT_SECONDS)}
