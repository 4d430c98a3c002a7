"""Files that several living sessions of a repository have touched within a day."""

from __future__ import annotations

from collections.abc import Sequence

from fleet_lib import clock
from fleet_lib.ingest.turn_events import TurnEvents
from fleet_lib.lines import listed
from fleet_lib.store.repos import Repos
from fleet_lib.store.touched_files import Overlap
from fleet_lib.text import storable
from fleet_lib.turn.prepared import Prepared

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

KEPT_SECONDS = 2 * 86400  # longer than the day that counts: a spool may wait to be drained
_DAY_NS = 86400 * 1_000_000_000
_FILES_LIMIT = 500  # of one turn; one that touches more rewrites the repository
_NAMED = 5  # files and sessions of one event


def touch(repos: Repos, prepared: Prepared, project_id: str, files: Sequence[str]) -> None:
    """Note which files the turn touched. What lies outside the repository is no part of it."""
    worktree = prepared.git.toplevel if prepared.git else prepared.real_folder
    inside = [file for file in dict.fromkeys(files) if not file.startswith("/")][:_FILES_LIMIT]
    repos.touched_files.add(
        project_id, prepared.session_id, storable(worktree), inside, prepared.received_at
    )


def announce(
    repos: Repos, events: TurnEvents, session_id: str, files: Sequence[str], at: str
) -> None:
    """Add the event of a turn that ended at that time (ISO), if a neighbour touched one of its
    files. Of two sessions and a file there is one event a day."""
    if not files:
        return
    since = clock.iso(clock.nanoseconds(at) - _DAY_NS)
    touched = list(dict.fromkeys(files))[:_FILES_LIMIT]
    fresh = repos.touched_files.unannounced(session_id, touched, since)
    if not fresh:
        return
    repos.touched_files.note_announced(session_id, fresh, at)
    named = list(dict.fromkeys(overlap.file for overlap in fresh))
    sessions = {overlap.session_id: overlap for overlap in fresh}
    details: dict[str, Any] = {
        "files": named[:_NAMED],
        "sessions": list(sessions)[:_NAMED],
        "isOtherWorktree": all(overlap.is_other_worktree for overlap in fresh),
    }
    for name, values in (("moreFiles", named), ("moreSessions", list(sessions))):
        if more := len(values[_NAMED:]):
            details[name] = more
    others = listed([_name(each) for each in sessions.values()], _NAMED)
    line = f"{listed(named, _NAMED)}: also touched by {others}"
    if details["isOtherWorktree"]:
        line += ", in another worktree"
    events.add("file_overlap", "mention", {"fileOverlap": details, "line": line})


def _name(overlap: Overlap) -> str:
    title = f" ({overlap.title})" if overlap.title else ""
    return f"session {overlap.session_id[:8]}{title}"
