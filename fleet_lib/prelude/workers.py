"""What a worker is shown when it starts: how a briefing looks, and which other sessions are at work
in the same repository."""

from fleet_lib import hot_settings
from fleet_lib.machines import is_here
from fleet_lib.prelude.database import Unavailable, open_database, sqlite3
from fleet_lib.prelude.lines import state_in_words
from fleet_lib.rules import ACTIVE_SESSION_SECONDS, AT_WORK, seconds_ago
from fleet_lib.small_os import os
from fleet_lib.text import clean, size

WORKER_FACTS_LIMIT = 1500  # characters
_FILES = 8  # of one session
_TOUCHED_SECONDS = 86400  # what a session touched before is no news

# The files that the session `s` has touched lately; whether this session did too.
_TOUCHED = (
    "FROM touched_files t WHERE t.session_id = s.session_id"
    " AND t.project_id = s.project_id AND t.touched_at > :touched_since"
)
_BY_BOTH = (
    "EXISTS (SELECT 1 FROM touched_files mine WHERE mine.session_id = :session_id"
    " AND mine.file = t.file AND mine.project_id = t.project_id"
    " AND mine.touched_at > :touched_since)"
)


def worker_facts(home: str, project_folder: str, session_id: str) -> str:
    """The facts for one worker, at most WORKER_FACTS_LIMIT characters; none in a folder of which no
    briefing is kept."""
    if hot_settings.setting(home, "projects", "ignore"):
        from fleet_lib import ignored

        if ignored.is_ignored(home, project_folder):
            return ""
    lines = [
        "This environment keeps a briefing of every finished turn (Fleet). The last message of a"
        " turn is its briefing; a fenced block with the info string `briefing` says it more"
        " exactly:",
        "```briefing",
        "---",
        "status: completed | blocked | failed | waiting_for_input",
        "summary: one line",
        "blockers: [what the work waits for]",
        "next_steps: [what comes next]",
        "---",
        "```",
    ]
    try:
        connection = open_database(home)
    except Unavailable:
        return "\n".join(lines)
    try:
        sessions = _other_sessions(connection, project_folder, session_id)
    except sqlite3.Error:
        sessions = []
    finally:
        connection.close()
    title = "Other sessions active in this repository now (reported data):"
    for number, line in enumerate(sessions):
        more = [title, line] if number == 0 else [line]
        if size([*lines, *more]) > WORKER_FACTS_LIMIT:
            break
        lines += more
    return "\n".join(lines)


def _other_sessions(
    connection: sqlite3.Connection, project_folder: str, session_id: str
) -> "list[str]":
    """A line for each other session at work in this folder's project."""
    project_id = _project_of(connection, project_folder)
    if project_id is None:
        return []
    rows = connection.execute(
        f"""
        SELECT s.session_id, s.state, b.branch, s.title,
          (SELECT group_concat(file, ', ') FROM (SELECT t.file {_TOUCHED} AND NOT {_BY_BOTH}
            ORDER BY t.touched_at DESC, t.file LIMIT {_FILES})),
          (SELECT group_concat(file, ', ') FROM (SELECT t.file {_TOUCHED} AND {_BY_BOTH}
            ORDER BY t.touched_at DESC, t.file LIMIT {_FILES})) AS shared,
          CASE WHEN json_valid(b.files_touched_json) THEN
            (SELECT group_concat(value, ', ') FROM
              (SELECT value FROM json_each(b.files_touched_json) LIMIT {_FILES})) END
        FROM sessions s LEFT JOIN briefings b ON b.briefing_id = s.briefing_id
        WHERE s.project_id = :project_id AND s.session_id <> :session_id AND {AT_WORK}
          AND {is_here("s.session_id")}
        ORDER BY shared IS NULL, s.last_seen_at DESC, s.session_id LIMIT 20
        """,
        {
            "project_id": project_id,
            "session_id": session_id or "",
            "active_since": seconds_ago(ACTIVE_SESSION_SECONDS),
            "touched_since": seconds_ago(_TOUCHED_SECONDS),
        },
    ).fetchall()
    lines = []
    for other, state, branch, title, files, shared, last_files in rows:
        name = f" {clean(title, 40)}" if title else ""
        place = f" on {clean(branch, 40)}" if branch else ""
        both = f"; touched, as this session did, {clean(shared, 240)}" if shared else ""
        files = files or (None if shared else last_files)  # of a session from before an upgrade
        touched = f"; touched {clean(files, 240)}" if files else ""
        lines.append(
            f"- session {clean(other[:8], 8)}{name}{place} ({state_in_words(state)}){both}{touched}"
        )
    return lines


def _project_of(connection: sqlite3.Connection, project_folder: str) -> "str | None":
    """The project of the folder's newest session, else of the nearest folder that has one."""
    if not project_folder:
        return None
    project_folder = project_folder.encode("utf-8", "replace").decode()  # as it is stored
    row = connection.execute(
        "SELECT project_id FROM sessions WHERE folder = ? ORDER BY last_seen_at DESC LIMIT 1",
        (project_folder,),
    ).fetchone()
    folder = project_folder
    while row is None and folder not in ("", os.path.dirname(folder)):
        row = connection.execute(
            "SELECT project_id FROM projects WHERE repo_root = ? OR repo_root = ? OR git_remote = ?"
            " ORDER BY repo_root = ? DESC LIMIT 1",
            (folder, *_elsewhere(folder), folder),
        ).fetchone()
        folder = os.path.dirname(folder)
    return None if row is None else str(row[0])


def _elsewhere(folder: str) -> "tuple[str | None, str | None]":
    """(the main worktree of a worktree, origin's address of a clone), read from `.git`: to ask git
    takes longer than the whole hook. The drainer finds a first session's project the same way."""
    git = os.path.join(folder, ".git")
    try:
        if os.path.isdir(git):
            return None, _origin(_small_file(os.path.join(git, "config")))
        pointer = _small_file(git)
    except (OSError, ValueError):
        return None, None
    main, mark, _ = pointer.partition("gitdir: ")[2].partition("/.git/worktrees/")
    return (main if mark else None), None


def _origin(config: str) -> "str | None":
    section = config.partition('[remote "origin"]')[2].partition("\n[")[0]
    for line in section.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "url":
            return value.strip()
    return None


def _small_file(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, 65536).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
