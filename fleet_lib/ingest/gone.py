"""Sessions that ended without a SessionEnd: their client was killed, or has long been silent."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from fleet_lib import live
from fleet_lib.ingest import provisional
from fleet_lib.rules import seconds_ago
from fleet_lib.store import db
from fleet_lib.store.live_state import ClientFileRepo
from fleet_lib.store.repos import Repos

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3

SILENT_SECONDS = 86400  # a session that never had a file and was silent for so long has ended
_MISSING_SECONDS = (
    60  # the same for one whose file is not there any more; its events show that it lives
)


def end_gone_sessions(connection: sqlite3.Connection) -> int:
    """Let the sessions end, at their last event, whose client is gone; how many there were. A
    session is gone if the process of its file is dead; if its file was seen once, is missing now,
    and the session is silent; or if it never had a file and was silent for a day. Files are read
    before the transaction."""
    places = set(live.readable_session_folders(connection))
    living: dict[str, str] = {}
    by_session = live.read(connection)
    for session_id, files in by_session.items():
        for file in files:
            if file.is_alive() is not False:
                living[session_id] = file.place
    repo = ClientFileRepo(connection)
    found: dict[str, str] = {}
    gone = []
    for session_id, place, last_seen_at in repo.open_sessions():
        if session_id in living:
            if place != living[session_id]:
                found[session_id] = living[session_id]
        elif _is_gone(session_id in by_session, place, places, last_seen_at):
            gone.append((session_id, last_seen_at))
    if gone or found:
        with db.transaction(connection):
            repo.note_files(found)
            repo.end(gone)
            _end_agents(connection, gone)
    return len(gone)


def _is_gone(
    has_dead_file: bool, place: str | None, places: Collection[str], last_seen_at: str
) -> bool:
    if not place:
        return last_seen_at < seconds_ago(SILENT_SECONDS)
    return place in places and (has_dead_file or last_seen_at < seconds_ago(_MISSING_SECONDS))


def _end_agents(connection: sqlite3.Connection, gone: Iterable[tuple[str, str]]) -> None:
    """The agents of the sessions that ended went with their clients."""
    repos = Repos(connection)
    for session_id, at in gone:
        session = repos.sessions.get(session_id)
        if session and session.ended_at == at:
            provisional.session_ended(repos, session_id, at)
