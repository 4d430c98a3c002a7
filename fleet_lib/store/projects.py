"""Repository identity: the projects table, and how a folder becomes a project."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from fleet_lib import clock
from fleet_lib.compiled import compiled
from fleet_lib.digests import sha256
from fleet_lib.files import with_parents
from fleet_lib.machines import machine_of, of_session
from fleet_lib.records import Record
from fleet_lib.remotes import canonical_remote, without_credentials
from fleet_lib.store.briefings import ENDED

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3
    from typing import Any


class Project(Record):
    project_id: str
    repo_name: str
    repo_root: str
    git_remote: str | None
    status: str
    created_at: str
    updated_at: str


# Of a Project; "" and NULL are the original system's words for active.
_COLUMNS = (
    "project_id, repo_name, repo_root, git_remote, ifnull(nullif(status, ''), 'active'),"
    " created_at, updated_at"
)
_ACTIVE = "ifnull(status, 'active') = 'active'"
# How many briefings the project with this id has.
_BRIEFINGS = "ifnull((SELECT briefings FROM project_counts WHERE project_id = {}), 0)"


def generate_project_id(repo_name: str, git_remote: str) -> str:
    """`{slug}__{8 hex}`: the slug of the name, and SHA-256 of `name:remote` without credentials.

    Where there is no remote, pass the main worktree's root instead.
    """
    name = f"{repo_name}:{without_credentials(git_remote)}"
    digest = sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    slug = compiled(r"[^a-z0-9]+").sub("-", repo_name.lower()).strip("-") or "repo"
    return f"{slug}__{digest[:8]}"


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
        canonical: Sequence[str] = (),
        exists: Callable[[str], bool] = os.path.exists,
    ) -> str:
        """Find or create, and return the id. Found by its canonical remote, then by its root; an id
        never changes, also when a remote appears later. `canonical` has the forms by which the
        remote is known, the surest first; without them, that of its address alone. `exists` says
        whether a folder is still there."""
        remote = without_credentials(git_remote) if git_remote else None
        if remote and not canonical:
            canonical = (canonical_remote(remote),)
        found = self._find_by_remote(canonical, repo_root)
        if found:
            self._remember(found.project_id, canonical)
        else:
            found = self.find_by_repo_root(repo_root)
        now = clock.now()
        if found is None:
            project_id = generate_project_id(repo_name, remote or repo_root)
            self._connection.execute(
                "INSERT INTO projects (project_id, repo_name, repo_root, git_remote, status,"
                " created_at, updated_at) VALUES (?, ?, ?, ?, 'active', ?, ?)"
                " ON CONFLICT (project_id) DO NOTHING",
                (project_id, repo_name, repo_root, remote, now, now),
            )
            self._remember(project_id, canonical if remote else ())
            return project_id
        moved = found.repo_root != repo_root and not exists(found.repo_root)
        if moved or (remote and found.git_remote is None):
            self._connection.execute(
                "UPDATE projects SET repo_root = ?, git_remote = ifnull(git_remote, ?),"
                " updated_at = ? WHERE project_id = ?",
                (repo_root if moved else found.repo_root, remote, now, found.project_id),
            )
            if remote and found.git_remote is None:
                self._remember(found.project_id, canonical)
        return found.project_id

    def get(self, project_id: str) -> Project | None:
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM projects WHERE project_id = ?", (project_id,)
        ).fetchone()
        return _from_row(row) if row else None

    def get_active(self) -> list[Project]:
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM projects WHERE {_ACTIVE} ORDER BY updated_at DESC, project_id"
        )
        return [_from_row(row) for row in rows]

    def get_all(self) -> list[Project]:
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM projects ORDER BY updated_at DESC, project_id"
        )
        return [_from_row(row) for row in rows]

    def last_active(
        self,
        *,
        include_archived: bool = False,
        machine: str | None = None,
        limit: int | None = None,
    ) -> list[tuple[Project, int, str | None]]:
        """(a project, how many briefings it has, when the newest of them ended), the last active
        one first; of another machine, or of this one (""), of its briefings, and the projects that
        have some. Each is a question to one index: a GROUP BY would read every row, and only those
        that are wanted are counted."""
        number, of_machine = _BRIEFINGS.format("p.project_id"), ""
        if machine is not None:  # SQLite would read the rows: it does not see that this index does
            count = (
                "(SELECT count(*) FROM briefings b INDEXED BY briefings_by_project_machine"
                f" WHERE b.project_id = p.project_id AND {machine_of('b.session_id')} {{}})"
            )
            of_machine = f"AND {machine_of('b.session_id')} = :machine"
            of_others = count.format("> ''")  # most are of this machine
            number = count.format("= :machine") if machine else f"{number} - {of_others}"
        rows = self._connection.execute(
            f"SELECT p.*, {number} FROM ("
            f"SELECT {_COLUMNS}, (SELECT {ENDED} FROM briefings b"
            f" WHERE b.project_id = projects.project_id {of_machine}"
            f" ORDER BY {ENDED} DESC LIMIT 1) AS at FROM projects"
            f" WHERE {'1' if include_archived else _ACTIVE}"
            f" {'' if machine is None else 'AND at IS NOT NULL'}"
            " ORDER BY ifnull(at, '') DESC, updated_at DESC, project_id LIMIT :limit) p"
            " ORDER BY ifnull(at, '') DESC, updated_at DESC, project_id",
            {"machine": machine, "limit": -1 if limit is None else limit},
        )
        return [(Project(*row[:-2]), row[-1], row[-2]) for row in map(tuple, rows)]

    def briefings(self, project_id: str) -> int:
        """How many a project has."""
        sql = f"SELECT {_BRIEFINGS.format('?')}"
        return int(self._connection.execute(sql, (project_id,)).fetchone()[0])

    def newest_turns(
        self, machine: str | None = None, limit: int | None = None
    ) -> list[tuple[Any, ...]]:
        """(project_id, when it was last active, then of its newest briefing: id, status, the turn's
        summary, the text where there is no summary, and the machine, if that is another one) of
        every active project, or of the last active ones; with `machine`, as in `query`, of its
        briefings, and of the projects that have some. The last active one comes first."""
        of_machine, newest = _with_newest(machine)
        return self._connection.execute(
            "SELECT p.project_id, p.at, b.briefing_id, b.status, t.summary,"
            " CASE WHEN t.summary IS NULL THEN b.raw_markdown END,"
            f" {of_session('b.session_id')} FROM (SELECT project_id, ifnull(at, updated_at) AS at"
            f" FROM {newest} ORDER BY 2 DESC LIMIT :limit) p"
            " LEFT JOIN briefings b ON b.briefing_id = (SELECT briefing_id FROM briefings"
            f" WHERE project_id = p.project_id {of_machine}"
            f" ORDER BY {ENDED} DESC, briefing_id DESC LIMIT 1)"
            " LEFT JOIN turns t ON t.rowid ="
            " (SELECT min(rowid) FROM turns WHERE briefing_id = b.briefing_id)"
            " ORDER BY p.at DESC",
            {"machine": machine, "limit": -1 if limit is None else limit},
        ).fetchall()

    def count(self, *, include_archived: bool = False, machine: str | None = None) -> int:
        """How many `last_active` has without a limit."""
        if machine is None:
            sql = f"SELECT count(*) FROM projects WHERE {'1' if include_archived else _ACTIVE}"
        else:
            of_machine = f"AND {machine_of('b.session_id')} = :machine"
            sql = (
                f"SELECT count(*) FROM projects WHERE {'1' if include_archived else _ACTIVE}"
                " AND EXISTS (SELECT 1 FROM briefings b INDEXED BY briefings_by_project_machine"
                f" WHERE b.project_id = projects.project_id {of_machine})"
            )
        return int(self._connection.execute(sql, {"machine": machine}).fetchone()[0])

    def find_by_repo_root(self, repo_root: str) -> Project | None:
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM projects WHERE repo_root = ? ORDER BY created_at LIMIT 1",
            (repo_root,),
        ).fetchone()
        return _from_row(row) if row else None

    def find_by_forms(self, canonical: Sequence[str]) -> Project | None:
        """The project whose remote is known by one of these forms."""
        return self._find_by_remote(canonical, "")

    def add_remote_one(
        self, project_id: str, repo_name: str, git_remote: str | None, canonical: Sequence[str]
    ) -> None:
        """A project of another machine, unless it is here: no folder of this machine holds it
        yet. Once one does, `ensure_project` finds it by its remote."""
        now = clock.now()
        cursor = self._connection.execute(
            "INSERT INTO projects (project_id, repo_name, repo_root, git_remote, status,"
            " created_at, updated_at) VALUES (?, ?, '', ?, 'active', ?, ?)"
            " ON CONFLICT (project_id) DO NOTHING",
            (project_id, repo_name, git_remote, now, now),
        )
        if cursor.rowcount == 1 and git_remote:
            self._remember(project_id, canonical)

    def find_around(self, folder: str) -> str | None:
        """The id of the project whose root is this folder or the nearest one above it."""
        for place in with_parents(folder):
            if found := self.find_by_repo_root(place):
                return found.project_id
        return None

    def find(self, name: str) -> list[Project]:
        """The projects that a person may mean: by id, else by repository name, or by name and
        machine, as `web@laptop`."""
        exact = self.get(name)
        if exact:
            return [exact]
        own_name, mark, machine = name.rpartition("@")
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM projects WHERE lower(repo_name) = lower(?1)"
            " OR (lower(repo_name) = lower(?2) AND substr(project_id, -length(?3)) = ?3)"
            " ORDER BY project_id",
            (name, own_name, mark + machine or "@"),
        )
        found = [_from_row(row) for row in rows]
        # A project of another machine, whose id ends in `@laptop`, gives way to one of this one.
        return [project for project in found if "@" not in project.project_id] or found

    def beginning_with(self, text: str, limit: int) -> list[Project]:
        """The projects whose name or id begins so, the latest first."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM projects WHERE substr(lower(repo_name), 1, length(?1)) = ?1"
            " OR substr(project_id, 1, length(?1)) = ?1"
            " ORDER BY updated_at DESC, project_id LIMIT ?2",
            (text.lower(), limit),
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

    def _find_by_remote(self, canonical: Sequence[str], repo_root: str) -> Project | None:
        """The project that is known by one of these forms. Of several, which were made before their
        addresses were known to be one, a clone keeps its own; else the surest form counts, then
        age."""
        if not canonical:
            return None
        self._complete_forms()
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM project_remotes r JOIN projects p USING (project_id)"
            f" WHERE r.canonical IN ({', '.join('?' * len(canonical))})"
            " ORDER BY p.repo_root = ? DESC, r.canonical = ? DESC, p.created_at, p.project_id"
            " LIMIT 1",
            (*canonical, repo_root, canonical[0]),
        ).fetchone()
        return _from_row(row) if row else None

    def _complete_forms(self) -> None:
        """Work out the forms of rows that another program, or an earlier Fleet, has written. A
        trigger lists these rows; SQL alone cannot read an address."""
        rows = self._connection.execute(
            "SELECT r.project_id, p.git_remote FROM project_remotes r LEFT JOIN projects p"
            " USING (project_id) WHERE r.canonical IS NULL"
        ).fetchall()
        for project_id, remote in rows:
            self._remember(project_id, (canonical_remote(remote),) if remote else ())

    def _remember(self, project_id: str, canonical: Sequence[str]) -> None:
        self._connection.executemany(
            "INSERT OR IGNORE INTO project_remotes (project_id, canonical) VALUES (?, ?)",
            [(project_id, form) for form in canonical],
        )
        self._connection.execute(
            "DELETE FROM project_remotes WHERE project_id = ? AND canonical IS NULL", (project_id,)
        )


def _with_newest(machine: str | None) -> tuple[str, str]:
    """In SQL: (a condition on briefings, the active projects with the end `at` of their newest
    briefing of which it holds; with a machine, only those that have one)."""
    of_machine = f"AND {machine_of('session_id')} = :machine" if machine is not None else ""
    is_wanted = "at IS NOT NULL" if machine is not None else "1"
    return of_machine, (
        f"(SELECT project_id, updated_at, (SELECT {ENDED} FROM briefings"
        f" WHERE project_id = p.project_id {of_machine} ORDER BY {ENDED} DESC LIMIT 1) AS at"
        f" FROM projects p WHERE ifnull(status, 'active') = 'active') WHERE {is_wanted}"
    )


def _from_row(row: sqlite3.Row) -> Project:
    return Project(*row)
