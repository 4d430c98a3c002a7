"""The latest state of every worker session: which are at work, which are stuck, and on what."""

from __future__ import annotations

from fleet_lib.machines import machine_of
from fleet_lib.records import Record
from fleet_lib.rules import AT_WORK, LEFT_OPEN, OPEN, OPEN_SESSIONS, STUCK, moments

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3

    from fleet_lib.levels import SessionState

LISTED = 200  # sessions of a list


class Session(Record):
    session_id: str
    project_id: str
    folder: str
    state: SessionState
    state_at: str
    detail: str
    briefing_id: int | None
    event_id: int | None
    last_seen_at: str
    ended_at: str | None
    hidden_until: str | None  # dismissed or snoozed
    head_commit: str | None
    head_at: int | None  # Unix nanoseconds
    status_digest: str | None
    status_turn: str | None
    title: str | None = None  # the name that a person gave it


_LIVING = "s.ended_at IS NULL"
_LIVING_INDEX, _ALL_INDEX = "sessions_living", "sessions_by_time"
# {filter: the index that answers it, and then the time}
_INDEXES = {
    "project_id": "sessions_by_project",
    "state": "sessions_by_state",
    "machine": "sessions_by_machine",
}
_NAMES = tuple(Session.__annotations__)
_SAVE_SQL = (
    f"INSERT INTO sessions ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"
    " ON CONFLICT (session_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _NAMES[1:])
)


class SessionRepo:
    """Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, session_id: str) -> Session | None:
        row = self._connection.execute(
            "SELECT * FROM sessions WHERE session_id = ?", (session_id,)
        ).fetchone()
        return _from_row(row) if row else None

    def save(self, session: Session) -> None:
        values = session.__dict__
        self._connection.execute(_SAVE_SQL, [values[name] for name in _NAMES])

    def newest_of_folder(self, folder: str) -> Session | None:
        row = self._connection.execute(
            "SELECT * FROM sessions WHERE folder = ? ORDER BY last_seen_at DESC LIMIT 1", (folder,)
        ).fetchone()
        return _from_row(row) if row else None

    def folders_of(self, project_id: str, sessions: int) -> list[str]:
        """The folders of the project's newest sessions, newest first."""
        rows = self._connection.execute(
            "SELECT folder FROM sessions WHERE project_id = ? ORDER BY last_seen_at DESC LIMIT ?",
            (project_id, sessions),
        )
        return list(dict.fromkeys(str(row[0]) for row in rows))

    def needing_you(self, limit: int = LISTED) -> list[Session]:
        """The live sessions that wait for a person, newest first."""
        return self._open(STUCK, limit)

    def left_open(self, limit: int = LISTED) -> list[Session]:
        """The ended sessions that wait for a person, newest first."""
        return self._open(LEFT_OPEN, limit)

    def open(self, project_id: str) -> list[Session]:
        """The project's sessions that wait for a person, live or ended, dismissed ones too."""
        return self._open(f"{OPEN} AND s.project_id = :project_id", LISTED, project_id=project_id)

    def is_open(self, session_id: str) -> bool:
        """Whether the session waits for a person, also if it is dismissed."""
        rule = f"{OPEN} AND s.session_id = :session_id"
        return bool(self._by_rule(rule, "s.state_at", 1, session_id=session_id))

    def hidden(self, limit: int = LISTED) -> list[Session]:
        """The sessions that would wait for a person, but are dismissed or snoozed now."""
        return self._open(f"{OPEN} AND s.hidden_until > :now", limit)

    def at_work(self, limit: int = LISTED) -> list[Session]:
        """Sessions that have not ended and were heard of lately; newest first."""
        return self._by_rule(AT_WORK, "s.last_seen_at", limit)

    def beginning_with(self, text: str, limit: int) -> list[Session]:
        """The sessions whose id begins so, newest first."""
        rule = "s.session_id >= :text AND s.session_id < :text || char(0x10FFFF)"
        return self._by_rule(rule, "s.last_seen_at", limit, text=text)

    def living(
        self,
        *,
        project_id: str | None = None,
        state: SessionState | None = None,
        since: str | None = None,
        machine: str | None = None,
        limit: int = LISTED,
    ) -> list[Session]:
        """Sessions that have not ended, the most recently seen first. A filter that is None does
        not filter; `machine` is another machine's name, or "" for this one."""
        return self._listed(_LIVING, limit, project_id, state, since, machine, None)

    def ended(
        self,
        *,
        project_id: str | None = None,
        state: SessionState | None = None,
        since: str | None = None,
        machine: str | None = None,
        before: tuple[str, str] | None = None,
        limit: int = LISTED,
    ) -> list[Session]:
        """Sessions that have ended, the most recently seen first; `before` is the `last_seen_at`
        and the id of the last one of the page before."""
        rule = "s.ended_at IS NOT NULL"
        return self._listed(rule, limit, project_id, state, since, machine, before)

    def hide(self, session: Session, until: str | None) -> bool:
        """Do not show the session as open before this time (ISO), or before its next event; None
        shows it. Its state becomes the given one, which Claude Code's own file may have said.
        False if the session has gone on since it was read."""
        cursor = self._connection.execute(
            "UPDATE sessions SET hidden_until = ?, state = ?, state_at = ?, detail = ?"
            " WHERE session_id = ? AND last_seen_at = ?",
            (
                *(until, session.state, session.state_at, session.detail),
                *(session.session_id, session.last_seen_at),
            ),
        )
        return cursor.rowcount == 1

    def _listed(
        self,
        rule: str,
        limit: int,
        project_id: str | None,
        state: str | None,
        since: str | None,
        machine: str | None,
        before: tuple[str, str] | None,
    ) -> list[Session]:
        from fleet_lib.store.narrowest import narrowest  # no drain asks for a list

        filters = {"project_id": project_id, "state": state, "since": since, "machine": machine}
        rules = {"project_id": "s.project_id = :project_id", "state": "s.state = :state"}
        rules["since"] = "s.last_seen_at >= :since"
        rules["machine"] = f"{machine_of('s.session_id')} = :machine"
        values = {name: value for name, value in filters.items() if value is not None}
        at = rules["since"] if since is not None else "1"
        indexes = {_INDEXES[name]: rules[name] for name in values if name in _INDEXES}
        indexes |= {_LIVING_INDEX: rule} if rule == _LIVING else {_ALL_INDEX: "1"}
        index = narrowest(self._connection, "sessions s", indexes, at, values)
        conditions = [rule, *(rules[name] for name in values)]
        if before:
            values["before"], values["before_id"] = before
            conditions.append(
                "s.last_seen_at <= :before"
                " AND (s.last_seen_at < :before OR s.session_id > :before_id)"
            )
        source = f"sessions s INDEXED BY {index}"
        return self._by_rule(" AND ".join(conditions), "s.last_seen_at", limit, source, **values)

    def _open(self, rule: str, limit: int, **values: str) -> list[Session]:
        return self._by_rule(rule, "s.state_at", limit, OPEN_SESSIONS, **values)

    def _by_rule(
        self, rule: str, order: str, limit: int, source: str = "sessions s", **values: str
    ) -> list[Session]:
        rows = self._connection.execute(
            f"SELECT s.* FROM {source} WHERE {rule}"
            f" ORDER BY {order} DESC, s.session_id LIMIT :limit",
            moments() | {"limit": limit} | values,
        )
        return [_from_row(row) for row in rows]


def _from_row(row: sqlite3.Row) -> Session:
    return Session(*(row[name] for name in _NAMES))
