"""Fleet's part of Claude Code's status line. It runs in a process of its own every few seconds,
which is why it stands apart from `fleet status`."""

from fleet_lib import paths
from fleet_lib.prelude.database import Unavailable, open_database, read_conversation, sqlite3
from fleet_lib.prelude.events import COUNTED, count_news
from fleet_lib.prelude.live_sessions import count_needing
from fleet_lib.small_os import os


def status_line(home: str) -> str:
    """How many sessions need you, and how many events the Commander has not seen. If no
    Commander was ever started, events are not counted."""
    try:
        connection = open_database(home)
    except Unavailable:
        return (
            "fleet: no database" if os.path.exists(paths.database(home)) else "fleet: nothing yet"
        )
    try:
        stuck = count_needing(connection)
        parts = [f"{stuck} need{'' if stuck > 1 else 's'} you"] if stuck else []
        conversation = read_conversation(connection)
        if conversation:
            new = count_news(connection, conversation[0])
            if new:
                parts.append(f"{new}{'+' if new >= COUNTED else ''} new")
        return "fleet: " + (", ".join(parts) or "nothing new")
    except sqlite3.Error:
        return "fleet: no database"
    finally:
        connection.close()
