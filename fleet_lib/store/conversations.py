"""The Commander's conversation, its sessions, and how far each has read the events."""

from __future__ import annotations

from fleet_lib import clock
from fleet_lib.records import Record

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3

    from fleet_lib.store.jobs import JobModel

COMMANDER_MODEL: JobModel = "opus"

_NEWEST = "(SELECT ifnull(max(event_id), 0) FROM outbox_events)"
_CURSORS = (
    ("conversations", "last_outbox_event_id_seen"),
    ("commander_sessions", "cursor_event_id"),
    ("commander_sessions", "start_through_event_id"),
    ("commander_branches", "cursor_event_id"),
    ("commander_branches", "start_through_event_id"),
    ("prelude_shown", "through_event_id"),
)


def cursors_past_the_end(connection: sqlite3.Connection) -> tuple[int, int]:
    """(how many cursors are past the newest event, the newest event): an older database was put
    back."""
    newest = connection.execute(f"SELECT {_NEWEST}").fetchone()[0]
    past = [
        connection.execute(f"SELECT count(*) FROM {table} WHERE {column} > ?", (newest,))
        for table, column in _CURSORS
    ]
    return sum(found.fetchone()[0] for found in past), newest


def clamp_cursors(connection: sqlite3.Connection) -> bool:
    """Set cursors that are past the newest event to the newest event, before another event gets a
    number that they have passed; whether there were any."""
    past, newest = cursors_past_the_end(connection)
    for table, column in _CURSORS if past else ():
        connection.execute(f"UPDATE {table} SET {column} = ?1 WHERE {column} > ?1", (newest,))
    return past > 0


class Conversation(Record):
    conversation_id: str
    kind: str
    cwd: str
    model: str
    claude_session_id: str | None
    last_outbox_event_id_seen: int
    created_at: str
    updated_at: str


class ConversationRepo:
    """Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get_commander(self) -> Conversation | None:
        row = self._connection.execute(
            f"SELECT *, {_NEWEST} AS newest FROM conversations WHERE kind = 'commander'"
            " ORDER BY created_at, conversation_id LIMIT 1"
        ).fetchone()
        return _from_row(row) if row else None

    def get_all(self) -> list[Conversation]:
        rows = self._connection.execute(
            f"SELECT *, {_NEWEST} AS newest FROM conversations ORDER BY created_at"
        )
        return [_from_row(row) for row in rows]

    def get_or_create_commander(self, cwd: str, model: str = COMMANDER_MODEL) -> Conversation:
        found = self.get_commander()
        if found:
            return found
        import uuid  # once in a home's life

        now = clock.now()
        self._connection.execute(
            "INSERT INTO conversations (conversation_id, kind, cwd, model,"
            " last_outbox_event_id_seen, created_at, updated_at)"
            " VALUES (?, 'commander', ?, ?, 0, ?, ?)",
            (str(uuid.uuid4()), cwd, model, now, now),
        )
        created = self.get_commander()
        assert created is not None
        return created

    # --- readers beside the Commander: clients of the MCP server ---

    def reader_cursor(self, reader: str) -> int | None:
        """The last event that the reader has been shown; None if it has been shown none."""
        row = self._connection.execute(
            "SELECT last_outbox_event_id_seen FROM conversations"
            " WHERE kind = 'mcp' AND conversation_id = ?",
            (f"mcp:{reader}",),
        ).fetchone()
        return row[0] if row else None

    def move_reader(self, reader: str, cwd: str, through_event_id: int) -> None:
        """The reader has been shown all events up to this one. A cursor only moves forward."""
        now = clock.now()
        self._connection.execute(
            "INSERT INTO conversations (conversation_id, kind, cwd, model,"
            " last_outbox_event_id_seen, created_at, updated_at)"
            f" VALUES (?1, 'mcp', ?2, '', min(?3, {_NEWEST}), ?4, ?4)"
            " ON CONFLICT (conversation_id) DO UPDATE SET updated_at = ?4,"
            " last_outbox_event_id_seen ="
            " max(last_outbox_event_id_seen, excluded.last_outbox_event_id_seen)",
            (f"mcp:{reader}", cwd, through_event_id, now),
        )

    def continue_in(self, conversation: Conversation, session_id: str | None) -> None:
        """Set the Claude Code session that the conversation continues in; None for a fresh one. Its
        cursor stays where it is."""
        self._connection.execute(
            "UPDATE conversations SET claude_session_id = ?, updated_at = ?"
            " WHERE conversation_id = ?",
            (session_id, clock.now(), conversation.conversation_id),
        )

    # --- the Commander's sessions ---

    def join(
        self, conversation: Conversation, session_id: str, seed: int | None, client: str = ""
    ) -> None:
        """Give a session of the Commander its own cursor, once: what its hook counted from, else
        where the conversation is now. So for the client's branch of the session; without a seed it
        begins where the session's last turn ended."""
        cursor = conversation.last_outbox_event_id_seen if seed is None else seed
        now = clock.now()
        self._connection.execute(
            "INSERT OR IGNORE INTO commander_sessions (session_id, conversation_id,"
            " cursor_event_id, start_through_event_id, updated_at)"
            f" VALUES (?, ?, min(?, {_NEWEST}), 0, ?)",
            (session_id, conversation.conversation_id, cursor, now),
        )
        self._connection.execute(
            "INSERT OR IGNORE INTO commander_branches (session_id, client, cursor_event_id,"
            " start_through_event_id, updated_at) SELECT session_id, ?2,"
            f" min(ifnull(?3, cursor_event_id), {_NEWEST}),"
            " CASE WHEN ?3 IS NULL THEN start_through_event_id ELSE 0 END, ?4"
            " FROM commander_sessions WHERE session_id = ?1",
            (session_id, client, seed, now),
        )

    def shown_at_start(self, session_id: str, through_event_id: int, client: str = "") -> None:
        self._connection.execute(
            f"UPDATE commander_branches SET start_through_event_id = min(?, {_NEWEST}), updated_at = ?"
            " WHERE session_id = ? AND client = ?",
            (through_event_id, clock.now(), session_id, client),
        )

    def shown_at_prompt(self, session_id: str, prompt_id: str, through_event_id: int) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO prelude_shown (session_id, prompt_id, through_event_id)"
            f" VALUES (?, ?, min(?, {_NEWEST}))",
            (session_id, prompt_id, through_event_id),
        )

    def commit_shown(
        self, conversation: Conversation, session_id: str, prompt_id: str, client: str = ""
    ) -> None:
        """A turn ended: what its prompt showed and what its client's SessionStart showed has
        arrived. A branch's cursor only moves forward, so applying it again changes nothing.
        prelude/commander.py has the same rule for entries that still wait; a test compares them."""
        self._connection.execute(
            "UPDATE commander_branches SET updated_at = ?4, cursor_event_id = max(cursor_event_id,"
            " start_through_event_id, ifnull((SELECT through_event_id FROM prelude_shown"
            " WHERE session_id = ?1 AND prompt_id = ?2), 0)) WHERE session_id = ?1 AND client = ?3",
            (session_id, prompt_id, client, clock.now()),
        )
        self.continue_branch(session_id, client)
        self._connection.execute(
            "DELETE FROM prelude_shown WHERE session_id = ?1 AND through_event_id <="
            " (SELECT cursor_event_id FROM commander_sessions WHERE session_id = ?1)",
            (session_id,),
        )
        reason = self._apart(session_id)
        if reason == "question":
            return
        if reason is None:
            self.continue_in(conversation, session_id)
        self._connection.execute(
            "UPDATE conversations SET updated_at = ?3,"
            " last_outbox_event_id_seen = max(ifnull(last_outbox_event_id_seen, 0),"
            " ifnull((SELECT cursor_event_id FROM commander_sessions WHERE session_id = ?2), 0))"
            " WHERE conversation_id = ?1",
            (conversation.conversation_id, session_id, clock.now()),
        )

    def continue_branch(self, session_id: str, client: str) -> None:
        """A turn of this client was the session's last: a resumed session goes on from it."""
        self._connection.execute(
            "UPDATE commander_sessions SET updated_at = ?3,"
            " (cursor_event_id, start_through_event_id) ="
            " (SELECT cursor_event_id, start_through_event_id FROM commander_branches"
            " WHERE session_id = ?1 AND client = ?2) WHERE session_id = ?1 AND EXISTS"
            " (SELECT 1 FROM commander_branches WHERE session_id = ?1 AND client = ?2)",
            (session_id, client, clock.now()),
        )

    # --- sessions in which the conversation does not continue ---

    def ask_beside(self, conversation: Conversation, session_id: str, resumed: str | None) -> None:
        """Note a session that answers one question beside an open Commander, before it starts. It
        forks from `resumed`, so it has been shown as much; it moves no other cursor."""
        row = self._connection.execute(
            "SELECT cursor_event_id FROM commander_sessions WHERE session_id = ?", (resumed,)
        ).fetchone()
        self.join(conversation, session_id, row["cursor_event_id"] if row else None)
        self._set_apart("?", "question", (session_id,))

    def is_beside(self, session_id: str | None) -> bool:
        """Whether the session answered a question beside an open Commander."""
        return self._apart(session_id) == "question"

    def reset(self, conversation: Conversation) -> None:
        """Let the conversation begin anew. No turn of a session that there is now, also none that
        is running, makes the conversation continue there, unless the session is resumed."""
        self.continue_in(conversation, None)
        self._set_apart("session_id FROM commander_sessions", "reset", ())

    def take_up(self, session_id: str) -> None:
        """A session was resumed: a reset before that does not count for it."""
        self._connection.execute(
            "DELETE FROM commander_sessions_apart WHERE session_id = ? AND reason = 'reset'",
            (session_id,),
        )

    def _apart(self, session_id: str | None) -> str | None:
        row = self._connection.execute(
            "SELECT reason FROM commander_sessions_apart WHERE session_id = ?", (session_id,)
        ).fetchone()
        return row["reason"] if row else None

    def _set_apart(self, sessions: str, reason: str, values: tuple[str, ...]) -> None:
        self._connection.execute(
            "INSERT OR IGNORE INTO commander_sessions_apart (reason, session_id)"
            f" SELECT '{reason}', {sessions}",
            values,
        )


def _from_row(row: sqlite3.Row) -> Conversation:
    return Conversation(
        row["conversation_id"],
        row["kind"],
        row["cwd"],
        row["model"],
        row["claude_session_id"],
        min(row["last_outbox_event_id_seen"] or 0, row["newest"]),
        row["created_at"],
        row["updated_at"],
    )
