"""What git and the documents of a turn's repository say, cached for one drain."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence

from fleet_lib import outside
from fleet_lib.errors import GitTimeout, NoAnswer
from fleet_lib.lazy import lazy
from fleet_lib.turn.git import (
    GitState,
    read_commit_files,
    read_git_state,
    read_reflog,
)
from fleet_lib.turn.reflog import ReflogEntry

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from fleet_lib.turn.documents import Documents

_STATUS_FILE = lazy(r"(?:^|/)\.claude/status\.v5\.[\w-]+\.md$")


class Repositories:
    """Git states for one drain. A state serves every entry that was received before it was read.
    With a home, what is found of documents is kept there for the next drain."""

    def __init__(self, home: str = "") -> None:
        self._home = home
        self._states: dict[str, GitState | None] = {}
        self._read_at: dict[str, int] = {}
        self._commit_files: dict[str, tuple[str, ...]] = {}
        self._documents: dict[str, tuple[int, Documents]] = {}
        self._silent: set[str] = set()

    def state(self, folder: str, received_ns: int) -> GitState | None:
        """The state of the repository around a folder; None if there is none, or git is silent."""
        if self._read_at.get(folder, -1) < received_ns:
            self._read_at[folder] = time.time_ns()
            self._states[folder] = None
            self._silent.discard(folder)
            try:
                self._states[folder] = read_git_state(folder)
            except GitTimeout:
                self._silent.add(folder)
        return self._states[folder]

    def is_silent(self, folder: str) -> bool:
        """Whether git did not answer for this folder, so that it may or may not be a repository."""
        return folder in self._silent

    def files_of_commits(
        self, toplevel: str, entries: Sequence[ReflogEntry], objects: str = ""
    ) -> dict[str, tuple[str, ...]]:
        """{commit: the files that it changed, relative to the repository}; no files where git is
        silent. `objects` is the folder of the repository's loose objects, if that is known."""
        missing = [entry for entry in entries if entry.commit not in self._commit_files]
        if missing:
            with contextlib.suppress(GitTimeout):
                self._commit_files.update(read_commit_files(toplevel, missing, objects))
        return {entry.commit: self._commit_files.get(entry.commit, ()) for entry in entries}

    def reflog(self, toplevel: str) -> Sequence[ReflogEntry]:
        """The reflog of another repository than the session's own; none where git is silent."""
        with contextlib.suppress(GitTimeout, NoAnswer):
            return read_reflog(toplevel)
        return ()

    def documents(self, state: GitState) -> Documents:
        """The index of the working tree's documents, read again for each newer state."""
        from fleet_lib.turn.documents import Documents  # most turns of a talk touch no file

        read_at, known = self._documents.get(state.toplevel, (-1, None))
        if known is None or read_at < state.read_at_ns:
            known = Documents(state, self._home)
            self._documents[state.toplevel] = (time.time_ns(), known)
        return known


def is_status_file(path: str) -> bool:
    """Whether this is a worker's own status file, which is no work."""
    return bool(_STATUS_FILE.search(path))


def relative_files(paths: Sequence[str], state: GitState | None, folder: str) -> list[str]:
    """Edited paths relative to the repository (or the folder, where there is none); what lies
    elsewhere stays absolute. Status files are left out."""
    if not paths:
        return []
    bases = [state.toplevel, state.root] if state else [folder]
    bases += [outside.real(base) for base in bases]
    found: list[str] = []
    for path in paths:
        if is_status_file(path):
            continue
        name = path
        for candidate in (path, outside.real(path)):
            inside = next((b for b in bases if candidate.startswith(b.rstrip("/") + "/")), None)
            if inside:
                name = os.path.relpath(candidate, inside)
                break
        if name not in found:
            found.append(name)
    return found
