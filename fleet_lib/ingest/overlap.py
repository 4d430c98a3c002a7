"""Files that several living sessions of a repository have touched within a day."""

from collections.abc import Sequence
from typing import Any

from fleet_lib import clock
from fleet_lib.ingest.turn_events import TurnEvents
from fleet_lib.store.repos import Repos
from fleet_lib.store.touched_files import Overlap
from fleet_lib.turn.prepare import Prepared
from fleet_lib.turn.stored_text import storable

KEPT_SECONDS = 2 * 86400  # a spool that was not drained for a while is older than now
_DAY_NS = 86400 * 1_000_000_000
_FILES_LIMIT = 500  # of one turn; more than that is a change of everything
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
    line = (
        f"{_listed(named)}: also touched by {_listed([_name(each) for each in sessions.values()])}"
    )
    if details["isOtherWorktree"]:
        line += ", in another worktree"
    events.add("file_overlap", "mention", {"fileOverlap": details, "line": line})


def _name(overlap: Overlap) -> str:
    title = f" ({overlap.title})" if overlap.title else ""
    return f"session {overlap.session_id[:8]}{title}"


def _listed(words: Sequence[str]) -> str:
    more = len(words[_NAMED:])
    return ", ".join(words[:_NAMED]) + (f" and {more} more" if more else "")
