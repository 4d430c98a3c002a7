"""What a Commander session is shown, and after which event it begins: the session's cursor is in
the database, and entries that still wait in the spool move it further."""

from fleet_lib import hot_settings, spool
from fleet_lib.prelude.database import conversation_cursor, open_database, sqlite3
from fleet_lib.prelude.delta import delta
from fleet_lib.prelude.events import newest_event
from fleet_lib.prelude.hook_json import payload_fields

TYPE_CHECKING = False  # mypy knows the name; typing itself would cost more than the whole hook
if TYPE_CHECKING:
    Shown = tuple[str, tuple[int, int]]


def commander_start(
    home: str, session_id: str, source: str, client: str = "", transcript: str = ""
) -> "Shown":
    """(text, shown) for a Commander's SessionStart: a recap, or on resume only the delta.

    `shown` is (after, through): the text reports the events after the first id, up to and including
    the second. Raises Unavailable.
    """
    from fleet_lib.prelude.recap import recap  # which a prompt does not need

    waiting = _waiting(home, session_id)
    connection = open_database(home)
    try:
        cursor, started_through = _session_cursor(connection, session_id, waiting, client)
        after = cursor
        if source == "resume":
            shown = _shown_at_prompts(connection, session_id, waiting)
            after = _after_failed_turn(transcript, cursor, started_through, shown)
        build = delta if source == "resume" else recap
        text, through = build(connection, after, hot_settings.budget(home))
        return text, (cursor, through)
    finally:
        connection.close()


def commander_prompt(home: str, session_id: str, client: str = "") -> "Shown":
    """(text, shown) for a Commander's prompt: the delta after what this client has been shown in
    the session. Raises Unavailable."""
    waiting = _waiting(home, session_id)
    connection = open_database(home)
    try:
        cursor, started_through = _session_cursor(connection, session_id, waiting, client)
        after = max(cursor, started_through)
        text, through = delta(connection, after, hot_settings.budget(home))
        return text, (after, through)
    finally:
        connection.close()


def _waiting(home: str, session_id: str) -> "list[spool.Entry]":
    """The session's entries in the spool. They are read before the database's snapshot is taken: an
    entry that is gone by then was committed, so the snapshot has it. An entry that is applied in
    between is in both, and counting it twice changes nothing. In the other order it could be in
    neither."""
    entries = []
    for name in spool.pending(home, session_id):
        try:
            entries.append(spool.read_pending(home, name))
        except (OSError, spool.Malformed):
            pass
    return entries


def _session_cursor(
    connection: sqlite3.Connection,
    session_id: str,
    waiting: "list[spool.Entry]",
    client: str = "",
) -> "tuple[int, int]":
    """(cursor, last event that its SessionStart showed) of one client's branch of a Commander
    session. A client that has just resumed the session goes on in the branch that ended the last
    turn.

    Entries that wait in the spool count as applied, because a queued prompt comes before the
    drainer is done. How they are applied is in store/conversations.py (`join`, `commit_shown`); a
    test compares both. What is past the newest event, in an older database that was put back,
    counts as the newest."""
    columns = "cursor_event_id, start_through_event_id"
    row = connection.execute(
        f"SELECT {columns} FROM commander_branches WHERE session_id = ? AND client = ?",
        (session_id, client),
    ).fetchone()
    is_new = row is None
    if is_new:
        row = connection.execute(
            f"SELECT {columns} FROM commander_sessions WHERE session_id = ?", (session_id,)
        ).fetchone()
    if client and (not is_new or client in [entry.client for entry in waiting]):
        waiting = [entry for entry in waiting if entry.client in ("", client)]
    cursor, started_through = row if row else (None, 0)
    shown = _shown_at_prompts(connection, session_id, [])
    for entry in waiting:
        if entry.shown and (cursor is None or (is_new and entry.client == client != "")):
            cursor, is_new = entry.shown[0], False
        if entry.event == "SessionStart" and entry.shown:
            started_through = entry.shown[1]
        elif entry.event in ("UserPromptSubmit", "Stop"):
            prompt_id = payload_fields(entry.payload, ("prompt_id",)).get("prompt_id", "")
            if entry.event == "Stop":
                seed = conversation_cursor(connection) if cursor is None else cursor
                cursor = max(seed, started_through, shown.get(prompt_id, 0))
            elif entry.shown:
                shown[prompt_id] = entry.shown[1]
    newest = newest_event(connection)
    cursor = conversation_cursor(connection) if cursor is None else min(cursor, newest)
    return cursor, min(started_through, newest)


def _shown_at_prompts(
    connection: sqlite3.Connection, session_id: str, waiting: "list[spool.Entry]"
) -> "dict[str, int]":
    """{prompt id: last event that the prompt showed}, of what is not confirmed."""
    shown = dict(
        connection.execute(
            "SELECT prompt_id, through_event_id FROM prelude_shown WHERE session_id = ?",
            (session_id,),
        ).fetchall()
    )
    for entry in waiting:
        if entry.event == "UserPromptSubmit" and entry.shown:
            prompt_id = payload_fields(entry.payload, ("prompt_id",)).get("prompt_id", "")
            shown[prompt_id] = entry.shown[1]
    return shown


def _after_failed_turn(
    transcript: str, cursor: int, started_through: int, shown: "dict[str, int]"
) -> int:
    """The event after which a resumed session's start begins: the cursor, or further if a failed
    turn will be sent again with what it was shown."""
    if started_through <= cursor and not shown:
        return cursor
    from fleet_lib.prelude.failed_turn import resent_prompt

    prompt_id = resent_prompt(transcript)
    if prompt_id is None:
        return cursor
    return max(cursor, started_through, shown.get(prompt_id, 0))
