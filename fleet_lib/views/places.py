"""Where a briefing's work can be opened: its session at a terminal, its files in an editor, its
commits and files on the web. Every text is other people's words, so an address is put together from
parts that were checked or quoted."""

import re
import shlex
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from fleet_lib.machines import apart
from fleet_lib.remotes import canonical_remote
from fleet_lib.store.briefings import BriefingRecord
from fleet_lib.store.projects import Project
from fleet_lib.store.sessions import Session, SessionRepo
from fleet_lib.views.ids import shortest_id
from fleet_lib.views.whereabouts import configuration_folder, living_client, resume_line

FILES = 5000  # of one briefing or session
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+(:\d{1,5})?")
_PART = re.compile(r"[A-Za-z0-9_.~+-]+")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
# Forges that are known to have a web page for a repository that is reached by ssh.
_FORGES = ("github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "gitea.com")


@dataclass(frozen=True)
class Place:
    """Where a file or commit is; None where it is not known."""

    path: str | None = None  # absolute, of this machine
    web: str | None = None


def way_to(
    connection: sqlite3.Connection, session: Session, *, is_open: bool, is_listed: bool = False
) -> str:
    """What to type at a terminal to be in the session: it is opened again, or, where a Claude Code
    has it open, `fleet resume` goes there. With `is_listed` its transcript is not looked for, which
    says under which configuration it ran."""
    own_id, machine = apart(session.session_id)
    if machine:
        return f"claude --resume {shlex.quote(own_id or '')}  # on {machine}"
    if is_open:
        return f"fleet resume {shortest_id(connection, session.session_id)}"
    configuration = None if is_listed else configuration_folder(connection, session.session_id)
    return resume_line(session, configuration)


def places_of(
    connection: sqlite3.Connection, briefing: BriefingRecord, project: Project | None
) -> tuple[dict[str, Place], str | None]:
    """({a file or commit of the briefing: its place}, the command that opens its session again)."""
    session_id = briefing.session_id
    session = SessionRepo(connection).get(session_id) if isinstance(session_id, str) else None
    web = web_address(project.git_remote) if project else None
    places = {
        commit: Place(web=commit_address(web, commit))
        for commit in (briefing.base_commit, briefing.head_commit)
        if isinstance(commit, str) and commit
    }
    files = [*briefing.files_touched, *briefing.docs_touched]
    places |= places_of_files(connection, session_id, project, briefing.head_commit, files)
    if session is None:
        return places, None
    is_open = living_client(connection, session.session_id) is not None
    return places, way_to(connection, session, is_open=is_open)


def places_of_files(
    connection: sqlite3.Connection,
    session_id: str | None,
    project: Project | None,
    commit: str | None,
    files: Iterable[str],
) -> dict[str, Place]:
    """{a file that the session has touched: its place}; on the web as it was at the commit."""
    worktrees = dict(
        connection.execute(
            "SELECT file, worktree FROM touched_files WHERE session_id = ?", (session_id,)
        ).fetchall()
    )
    web = web_address(project.git_remote) if project else None
    root = project.repo_root if project and isinstance(project.repo_root, str) else ""
    return {
        file: Place(
            absolute_path(worktrees.get(file, root), file), file_address(web, commit or "", file)
        )
        for file in list(dict.fromkeys(files))[:FILES]
    }


def absolute_path(root: str, file: str) -> str | None:
    """The file's path; None if it lies outside of the repository or cannot be a path."""
    path = PurePosixPath(file)
    if not root.startswith("/") or path.is_absolute() or ".." in path.parts or "\0" in file:
        return None
    return str(PurePosixPath(root) / path)


def web_address(remote: object) -> str | None:
    """The page of a repository with this remote: of one that is reached by https, or that a known
    forge has."""
    if not isinstance(remote, str) or not remote:
        return None
    host, _, path = canonical_remote(remote).partition("/")
    parts = path.split("/")
    is_known = host in _FORGES or remote.startswith("https://")
    if not (is_known and _HOST.fullmatch(host) and path):
        return None
    if not all(_PART.fullmatch(part) and part not in (".", "..") for part in parts):
        return None
    return f"https://{host}/{path}"


def commit_address(web: str | None, commit: str) -> str | None:
    if not web or not _COMMIT.fullmatch(commit):
        return None
    return f"{web}/{'commits' if '//bitbucket.org/' in web else 'commit'}/{commit}"


def file_address(web: str | None, commit: str, file: str) -> str | None:
    """The file as it was at the commit; None if that is not known."""
    path = PurePosixPath(file)
    if not web or not _COMMIT.fullmatch(commit) or path.is_absolute() or ".." in path.parts:
        return None
    word = "src" if "//bitbucket.org/" in web else "blob"
    return f"{web}/{word}/{commit}/{quote(str(path))}"
