"""Repository identity: the projects table, and how a folder becomes a project."""

import hashlib
import os
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from fleet_lib import clock

_SCP_FORM = re.compile(r"^(?:(?P<user>[^@/\s]+)@)?(?P<host>[^:/\s]{2,}):(?!//)(?P<path>.+)$")
_DEFAULT_PORTS = {"ssh": 22, "https": 443, "http": 80, "git": 9418}


@dataclass(frozen=True, slots=True)
class Project:
    project_id: str
    repo_name: str
    repo_root: str
    git_remote: str | None
    status: str
    created_at: str
    updated_at: str


def generate_project_id(repo_name: str, git_remote: str) -> str:
    """`{slug}__{8 hex}`: the slug of the name, and SHA-256 of `name:remote` without credentials.

    Where there is no remote, pass the main worktree's root instead.
    """
    name = f"{repo_name}:{without_credentials(git_remote)}"
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    slug = re.sub(r"[^a-z0-9]+", "-", repo_name.lower()).strip("-") or "repo"
    return f"{slug}__{digest[:8]}"


def without_credentials(remote: str) -> str:
    """The URL without its user and password; ssh's user name is no secret and stays."""
    try:
        parts = urlsplit(remote)
    except ValueError:
        return re.sub(r"//[^/@]*@", "//", remote)
    if not parts.scheme:
        return remote
    if "@" not in parts.netloc:
        # A password with a slash that should have been escaped: no number stands where the port
        # would.
        has_port = parts.netloc.rpartition(":")[2].isdigit()
        if ":" not in parts.netloc or has_port or "@" not in parts.path:
            return remote
        return f"{parts.scheme}://{remote.rpartition('@')[2]}"
    user, _, host = parts.netloc.rpartition("@")
    kept = f"{user.partition(':')[0]}@{host}" if "ssh" in parts.scheme else host
    return urlunsplit(parts._replace(netloc=kept))


def canonical_remote(remote: str) -> str:
    """One form for what is one repository: `host/path`, from ssh, scp-like and https forms."""
    remote = without_credentials(remote.strip())
    try:
        parts = urlsplit(remote)
        scheme, host, port, path = parts.scheme, parts.hostname or "", parts.port, parts.path
    except ValueError:
        return remote
    if "://" not in remote:
        scp = _SCP_FORM.match(remote)
        if not scp:
            return os.path.normpath(remote).removesuffix(".git")  # a folder
        scheme, host, port, path = "ssh", scp["host"].lower(), None, scp["path"]
    path = path.strip("/").removesuffix(".git").rstrip("/")
    if scheme == "file" or not host:
        return "/" + path
    shown_port = f":{port}" if port and port != _DEFAULT_PORTS.get(scheme) else ""
    return f"{host}{shown_port}/{path}"


class ProjectRepo:
    """Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def ensure_project(
        self,
        *,
        repo_name: str,
        repo_root: str,
        git_remote: str | None = None,
        exists: Callable[[str], bool] = os.path.exists,
    ) -> str:
        """Find or create, and return the id. Found by its canonical remote, then by its root; an id
        never changes, also when a remote appears later. `exists` says whether a folder is still
        there."""
        remote = without_credentials(git_remote) if git_remote else None
        found = (self._find_by_remote(remote) if remote else None) or self.find_by_repo_root(
            repo_root
        )
        now = clock.now()
        if found is None:
            project_id = generate_project_id(repo_name, remote or repo_root)
            self._connection.execute(
                "INSERT INTO projects (project_id, repo_name, repo_root, git_remote, status,"
                " created_at, updated_at) VALUES (?, ?, ?, ?, 'active', ?, ?)"
                " ON CONFLICT (project_id) DO NOTHING",
                (project_id, repo_name, repo_root, remote, now, now),
            )
            return project_id
        moved = found.repo_root != repo_root and not exists(found.repo_root)
        if moved or (remote and found.git_remote is None):
            self._connection.execute(
                "UPDATE projects SET repo_root = ?, git_remote = ifnull(git_remote, ?),"
                " updated_at = ? WHERE project_id = ?",
                (repo_root if moved else found.repo_root, remote, now, found.project_id),
            )
        return found.project_id

    def get(self, project_id: str) -> Project | None:
        row = self._connection.execute(
            "SELECT * FROM projects WHERE project_id = ?", (project_id,)
        ).fetchone()
        return _from_row(row) if row else None

    def get_active(self) -> list[Project]:
        rows = self._connection.execute(
            "SELECT * FROM projects WHERE ifnull(status, 'active') = 'active'"
            " ORDER BY updated_at DESC, project_id"
        )
        return [_from_row(row) for row in rows]

    def get_all(self) -> list[Project]:
        rows = self._connection.execute(
            "SELECT * FROM projects ORDER BY updated_at DESC, project_id"
        )
        return [_from_row(row) for row in rows]

    def activity(self) -> dict[str, tuple[int, str]]:
        """{project_id: (how many briefings, when the newest of them ended)}."""
        rows = self._connection.execute(
            "SELECT project_id, count(*), max(ifnull(ended_at, created_at)) FROM briefings"
            " GROUP BY project_id"
        )
        return {row[0]: (row[1], row[2]) for row in rows}

    def find_by_repo_root(self, repo_root: str) -> Project | None:
        row = self._connection.execute(
            "SELECT * FROM projects WHERE repo_root = ? ORDER BY created_at LIMIT 1", (repo_root,)
        ).fetchone()
        return _from_row(row) if row else None

    def find_around(self, folder: str) -> str | None:
        """The id of the project whose root is this folder or the nearest one above it."""
        for place in (Path(folder), *Path(folder).parents):
            if found := self.find_by_repo_root(str(place)):
                return found.project_id
        return None

    def find(self, name: str) -> list[Project]:
        """The projects that a person may mean: by id, else by repository name."""
        exact = self.get(name)
        if exact:
            return [exact]
        rows = self._connection.execute(
            "SELECT * FROM projects WHERE lower(repo_name) = lower(?) ORDER BY project_id", (name,)
        )
        return [_from_row(row) for row in rows]

    def archive(self, project_id: str) -> bool:
        """Hide it from roster and recap until a turn of it comes in. False if it was hidden."""
        return self._set_status(project_id, "archived", "active")

    def restore(self, project_id: str) -> bool:
        """Undo `archive`. False if it was active."""
        return self._set_status(project_id, "active", "archived")

    def _set_status(self, project_id: str, status: str, expected: str) -> bool:
        cursor = self._connection.execute(
            "UPDATE projects SET status = ?, updated_at = ?"
            " WHERE project_id = ? AND ifnull(status, 'active') = ?",
            (status, clock.now(), project_id, expected),
        )
        return cursor.rowcount == 1

    def _find_by_remote(self, remote: str) -> Project | None:
        wanted = canonical_remote(remote)
        rows = self._connection.execute(
            "SELECT * FROM projects WHERE git_remote IS NOT NULL ORDER BY created_at, project_id"
        )
        return next(
            (_from_row(row) for row in rows if canonical_remote(row["git_remote"]) == wanted), None
        )


def _from_row(row: sqlite3.Row) -> Project:
    return Project(
        row["project_id"],
        row["repo_name"],
        row["repo_root"],
        row["git_remote"],
        row["status"] or "active",
        row["created_at"],
        row["updated_at"],
    )
