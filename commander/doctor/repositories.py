"""The check of the repositories in which sessions worked: whether git reads them."""

import contextlib
import os
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from commander.doctor.findings import Finding, Installation, open_untouched
from fleet_lib import paths
from fleet_lib.errors import GitTimeout
from fleet_lib.text import clean
from fleet_lib.turn.git import GitState, read_git_state, run

_NEWEST = 20  # projects that are looked at
_NAMED = 5  # problems that are shown
_NEWEST_SQL = (
    "SELECT p.repo_root FROM projects p JOIN (SELECT project_id, max(last_seen_at) AS seen"
    " FROM sessions GROUP BY project_id) s USING (project_id) WHERE p.repo_root <> ''"
    " ORDER BY s.seen DESC LIMIT ?"
)


def repositories(installation: Installation) -> Iterator[Finding]:
    folders = list(dict.fromkeys([os.path.realpath(Path.cwd()), *_newest(installation)]))
    problems = [finding for finding in map(_finding, folders) if finding]
    yield from problems[:_NAMED]
    if not problems:
        yield Finding("ok", "repositories", "git reads the repositories of the newest sessions.")
    elif len(problems) > _NAMED:
        more = len(problems) - _NAMED
        yield Finding("note", "repositories", f"{more} more repositories have such a problem.")


def _newest(installation: Installation) -> list[str]:
    path = Path(paths.database(str(installation.home)))
    if not path.exists():
        return []
    # A database that cannot be read is the database check's business.
    with (
        contextlib.suppress(sqlite3.Error, OSError),
        contextlib.closing(open_untouched(path)) as connection,
    ):
        return [str(row[0]) for row in connection.execute(_NEWEST_SQL, (_NEWEST,))]
    return []


def _finding(folder: str) -> Finding | None:
    try:
        state = _refused(folder)
    except GitTimeout as error:
        return Finding(
            "warning",
            "repositories",
            clean(f"git does not answer in '{folder}': {error}", 300),
            "Its turns are kept without branch and commits.",
            f"find out why: git -C {shlex.quote(folder)} status",
        )
    if state is None:
        return None
    if "dubious ownership" in state.refusal:
        fix = f"git config --global --add safe.directory {shlex.quote(state.toplevel)}"
    else:
        fix = f"repair what this names: git -C {shlex.quote(state.toplevel)} status"
    return Finding(
        "warning",
        "repositories",
        clean(f"git does not read the repository '{state.toplevel}': {state.refusal}.", 300),
        "Its turns are kept without branch, commits and drift warnings.",
        fix,
    )


def _refused(folder: str) -> GitState | None:
    """The state of a repository that git does not read; None where it does, or there is none."""
    try:
        done = run(folder, "rev-parse", "--git-dir")
    except FileNotFoundError:
        return None  # without git: the versions check says so
    if done is None or done.returncode == 0:
        return None
    return read_git_state(folder)
