"""Sessions that ended without a SessionEnd: their client was killed, or has long been silent."""

import sqlite3
from collections.abc import Iterable

from fleet_lib import live
from fleet_lib.ingest import provisional
from fleet_lib.rules import seconds_ago
from fleet_lib.store import db
from fleet_lib.store.live_state import ClientFileRepo
from fleet_lib.store.repos import Repos

SILENT_SECONDS = 86400  # a session without a file that was not heard of for so long has ended


def end_gone_sessions(connection: sqlite3.Connection) -> int:
    """Let the sessions end, at their last event, whose client is gone; how many there were. A
    session is gone if its file was seen once and no living process has one of it now, or if it
    never had a file and was silent for a day. Files are read before the transaction."""
    places = set(live.readable_session_folders(connection))
    living: dict[str, str] = {}
    for session_id, files in live.read(connection).items():
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
        elif place in places if place else last_seen_at < seconds_ago(SILENT_SECONDS):
            gone.append((session_id, last_seen_at))
    if gone or found:
        with db.transaction(connection):
            repo.note_files(found)
            repo.end(gone)
            _end_agents(connection, gone)
    return len(gone)


def _end_agents(connection: sqlite3.Connection, gone: Iterable[tuple[str, str]]) -> None:
    """The agents of the sessions that ended went with their clients."""
    repos = Repos(connection)
    for session_id, at in gone:
        session = repos.sessions.get(session_id)
        if session and session.ended_at == at:
            provisional.session_ended(repos, session_id, at)
