"""What a turn changed: between the commit at which it began and the one at which it ended, in any
folder that still has both."""

import re
import shlex
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from fleet_lib import apart
from fleet_lib.errors import GitTimeout, NoAnswer, NotFound
from fleet_lib.lines import listed
from fleet_lib.records import Record
from fleet_lib.store.briefings import BriefingRecord
from fleet_lib.store.projects import ProjectRepo
from fleet_lib.store.sessions import SessionRepo
from fleet_lib.turn import git_diff
from fleet_lib.turn.git_diff import Patch

_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")
_FOLDERS = 20  # that are looked at
_SESSIONS = 200  # whose folders are candidates
_LOOK_SECONDS = 6.0  # for one folder: its mount may be gone
_FILES_NAMED = 5
_SHORT = 10  # characters of a commit


class Range(Record):
    """Two commits that a folder has."""

    folder: str
    base: str  # a commit, or the empty tree
    head: str
    files: tuple[str, ...]  # that differ
    note: str  # where the base comes from, if the briefing does not name it

    @property
    def name(self) -> str:
        return f"{self.base[:_SHORT]}..{self.head[:_SHORT]}"


class Difference(Record):
    """What to show: a patch of a range, and what a reader must know; no patch if there is none."""

    range: Range | None
    patch: Patch | None
    notes: tuple[str, ...] = ()


def difference(
    connection: sqlite3.Connection,
    briefing: BriefingRecord,
    here: str,
    *,
    with_all: bool = False,
    stat: bool = False,
    color: bool = False,
    width: int = 80,
) -> Difference:
    """The turn's own files only, unless `with_all`. `here` is a folder that is looked at, too.
    Raises NotFound with the reason and what can be done, or GitTimeout."""
    number = f"briefing #{briefing.briefing_id}"
    own = [name for name in briefing.files_touched if not name.startswith(("/", "../"))]
    if not briefing.head_commit:
        raise NotFound(
            f"{number} names no commit: its folder was in no git repository, had no commit yet, or"
            f" was gone when the turn was read; `fleet show {briefing.briefing_id}` has its files"
        )
    for commit in (briefing.base_commit, briefing.head_commit):
        if commit and not _COMMIT.fullmatch(commit):  # a model may have written it
            raise NotFound(f"{number} names {commit[:60]!r}, which is no commit's id")
    if briefing.base_commit == briefing.head_commit:
        return Difference(None, None, (_uncommitted(connection, briefing, own),))
    found = _range(connection, briefing, here)
    chosen = list(found.files) if with_all else [name for name in found.files if name in set(own)]
    notes = [*_notes(found, own, chosen, with_all=with_all)]
    if not chosen:
        return Difference(found, None, tuple(notes))
    patch = git_diff.read_patch(
        *(found.folder, found.base, found.head, None if with_all else chosen),
        stat=stat,
        color=color,
        width=width,
    )
    if patch.is_cut:
        size = f"{git_diff.LIMIT_BYTES // 1_000_000} MB"
        notes.append(f"Cut after {size}; for all of it: git -C {found.folder} diff {found.name}")
    return Difference(found, patch, tuple(notes))


def _uncommitted(
    connection: sqlite3.Connection, briefing: BriefingRecord, own: Sequence[str]
) -> str:
    """Why there is nothing to show for a turn in which nothing was committed."""
    if not own:
        return "The turn committed nothing and touched no file of its repository."
    folder = next(_folders(connection, briefing, ""), "FOLDER")
    head = str(briefing.head_commit)[:_SHORT]
    return (
        f"The turn committed nothing. It touched {listed(own, _FILES_NAMED)}; what became of that"
        f" since: git -C {shlex.quote(folder)} diff {head}"
    )


def _notes(
    found: Range,
    own: Sequence[str],
    chosen: Sequence[str],
    *,
    with_all: bool,
) -> Iterator[str]:
    if found.note:
        yield found.note
    others = len(found.files) - len(chosen)
    if not with_all and others:
        files = f"{others} other file{'' if others == 1 else 's'}"
        none = "" if chosen else "None of the turn's own files differs. "
        yield f"{none}{files} changed in {found.name}, not by this turn; --all shows all."
    elif not chosen:
        yield f"No file differs in {found.name}."
    elif missing := [name for name in own if name not in found.files]:
        yield f"Touched by the turn, but the same in both commits: {listed(missing, _FILES_NAMED)}."


def _range(connection: sqlite3.Connection, briefing: BriefingRecord, here: str) -> Range:
    """The first folder that has both commits. Raises NotFound."""
    wanted = (briefing.base_commit, str(briefing.head_commit))
    reasons = []
    for folder in _folders(connection, briefing, here):
        try:
            found = apart.ask(
                lambda folder=folder: _look(folder, *wanted, briefing.started_at),  # type: ignore[misc]
                _LOOK_SECONDS,
                folder,
            )
        except (NoAnswer, GitTimeout, RuntimeError):
            found = "does not answer"
        if isinstance(found, Range):
            return found
        if found:
            reasons.append(f"{folder} {found}")
    raise NotFound(
        f"no known folder has the commits of briefing #{briefing.briefing_id} any more:"
        f" {'; '.join(reasons[:3]) or 'there is none'}. If the repository was moved, run this in it;"
        " commits that were rebased away are gone once git has cleaned up"
    )


def _look(folder: str, base: str | None, head: str, started_at: str | None) -> Range | str:
    """The range, or why this folder cannot show it; "" where that says nothing. In a child."""
    if not Path(folder).is_dir():
        return "is gone"
    state = git_diff.has_commits(folder, [head, *([base] if base else [])])
    if state is None:
        return "is no repository that git reads"
    if not state:
        return f"lacks {(base or '')[:_SHORT]}{'..' if base else ''}{head[:_SHORT]}"
    note = ""
    if base is None:
        base, note = _base_of(folder, head, started_at)
    return Range(folder, base, head, tuple(git_diff.changed_files(folder, base, head)), note)


def _base_of(folder: str, head: str, started_at: str | None) -> tuple[str, str]:
    """Where a turn began whose base is not known, and what a reader must know of that."""
    nothing = git_diff.empty_tree(folder)
    base = git_diff.commit_before(folder, head, started_at) if started_at else nothing
    if base == nothing:
        return base, "Nothing says at which commit the turn began, so this is all up to its end."
    return base, (
        "Nothing says at which commit the turn began; this is from the last one before"
        f" {started_at}."
    )


def _folders(connection: sqlite3.Connection, briefing: BriefingRecord, here: str) -> Iterator[str]:
    """Where the commits may be: the session's folder, those of the project, and `here`."""
    repo = SessionRepo(connection)
    session = repo.get(briefing.session_id) if briefing.session_id else None
    project = ProjectRepo(connection).get(briefing.project_id)
    candidates = [
        *([session.folder] if session else []),
        *([project.repo_root] if project else []),
        *repo.folders_of(briefing.project_id, _SESSIONS),
    ]
    yield from list(dict.fromkeys(folder for folder in candidates if folder))[:_FOLDERS]
    if here and here not in candidates:
        yield here
