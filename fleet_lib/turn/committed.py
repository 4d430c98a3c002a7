"""The files of the commits that a turn made, in its session's repository, its submodules, and the
other repositories and worktrees that its commands went to. Which commits are the turn's own is
decided in own_commits; here git is asked, and only if a command may have committed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence

from fleet_lib.errors import GitTimeout
from fleet_lib.records import MutableRecord, field, replace
from fleet_lib.turn import git
from fleet_lib.turn.git import GitState
from fleet_lib.turn.own_commits import Call, commits_during, is_around, own_commits
from fleet_lib.turn.reflog import ReflogEntry
from fleet_lib.turn.repositories import Repositories, is_status_file, relative_files
from fleet_lib.turn.tool_calls import MAKES_COMMITS, ToolCall

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from fleet_lib.turn.shell_commits import CommitCommand, Reading

_PLACES_LIMIT = 8  # repositories that the commands of one turn went to
_SUBMODULES_LIMIT = 50


def committed_files(
    repositories: Repositories,
    state: GitState | None,
    calls: Sequence[ToolCall],
    edited: Iterable[str],
    folder: str,
    until_ns: int,
) -> list[str]:
    """The files of the turn's own commits, as `relative_files` has them. `edited` are those that it
    edited in this form. What runs in the background counts until `until_ns` (Unix nanoseconds)."""
    calls = [replace(call, ended=min(call.ended, until_ns / 1e9)) for call in calls]
    reflog, made_ns = (state.reflog, state.made_ns) if state else ((), {})
    entries = commits_during(calls, reflog, made_ns)
    involved = [
        call
        for call in calls
        if call.made
        or MAKES_COMMITS.search(call.command)
        or any(is_around(call, entry, made_ns.get(entry.commit)) for entry in entries)
    ]
    if not involved:
        return []
    turn = _Turn(repositories, state, folder, tuple(edited), _read(involved))
    found = [file for file in turn.files_of(turn.main) if not is_status_file(file)]
    others = [f"{top}/{file}" for top in turn.other_places() for file in turn.files_of(top)]
    return list(dict.fromkeys([*found, *relative_files(others, state, folder)]))


def _read(calls: Sequence[ToolCall]) -> list[tuple[ToolCall, Reading]]:
    # Only a turn that may have committed needs them.
    from fleet_lib.turn.scripts import read_script_commits
    from fleet_lib.turn.shell_commits import read_command

    readings = []
    for call in calls:
        reading = read_command(call.command, call.folder)
        if not (reading.commits or call.made or call.is_background):
            reading = replace(reading, commits=read_script_commits(call.command, call.folder))
        readings.append((call, reading))
    return readings


class _Turn(MutableRecord):
    """The calls of a turn that may have committed, and what is known of them so far."""

    repositories: Repositories
    state: GitState | None
    folder: str
    edited: tuple[str, ...]
    readings: list[tuple[ToolCall, Reading]]
    reflogs: dict[str, Sequence[ReflogEntry]] = field(default_factory=dict)

    @property
    def main(self) -> str:
        """The top of the session's working tree; its folder, where that is in none."""
        return self.state.toplevel if self.state else self.folder

    def files_of(self, top: str) -> list[str]:
        """The files of the turn's own commits in the repository at this folder."""
        reflog, made_ns = self._reflog(top), self.state.made_ns if self.state else {}
        calls = [
            Call(
                call,
                tuple(c for c in reading.commits if c.message or self._is_in(c, top)),
                reading.words,
            )
            for call, reading in self.readings
        ]
        below = os.path.realpath(top).rstrip("/") + "/"
        main = os.path.realpath(self.main)
        edited = {os.path.join(main, file).removeprefix(below) for file in self.edited}

        objects = self.state.objects if self.state and self._is_main(top) else ""

        def files_of(entries: Sequence[ReflogEntry]) -> dict[str, tuple[str, ...]]:
            return self.repositories.files_of_commits(top, entries, objects)

        own = own_commits(reflog, made_ns, calls, edited, files_of)
        return [file for files in (files_of(own) if own else {}).values() for file in files]

    def other_places(self) -> list[str]:
        """The other repositories in which the calls committed: those that a command names; for ids
        that are in none of these, the working folder's, then the submodules."""
        tops = [_top(command.folder) for _, reading in self.readings for command in reading.commits]
        tops += [_top(call.folder) for call, _ in self.readings if self._unknown(call)]
        found = [top for top in dict.fromkeys(tops) if top and not self._is_main(top)]
        found = found[:_PLACES_LIMIT]
        unknown = {made for call, _ in self.readings for made in self._unknown(call)}
        for top in found:
            unknown -= _known(unknown, self._reflog(top))
        for top in self._submodules() if unknown else ():
            if not unknown:
                break
            if top not in found and (known := _known(unknown, self._reflog(top))):
                unknown -= known
                found.append(top)
        return found

    def _unknown(self, call: ToolCall) -> set[str]:
        """The ids that git showed, and that are not of this repository."""
        return set(call.made) - _known(set(call.made), self._reflog(self.main))

    def _is_main(self, top: str) -> bool:
        return os.path.realpath(top) == os.path.realpath(self.main)

    def _is_in(self, command: CommitCommand, top: str) -> bool:
        place = _top(command.folder) or self.main
        return os.path.realpath(place) == os.path.realpath(top)

    def _reflog(self, top: str) -> Sequence[ReflogEntry]:
        if self._is_main(top):
            return self.state.reflog if self.state else ()
        if top not in self.reflogs:
            self.reflogs[top] = self.repositories.reflog(top)
        return self.reflogs[top]

    def _submodules(self) -> list[str]:
        top = self.main
        if not os.path.lexists(f"{top}/.gitmodules"):
            return []
        paths = None
        with contextlib.suppress(GitTimeout):
            pattern = r"^submodule\..*\.path$"
            paths = git.ask(top, "config", "-z", "--file", ".gitmodules", "--get-regexp", pattern)
        names = [pair.partition("\n")[2] for pair in (paths or "").split("\0") if pair]
        tops = [os.path.normpath(os.path.join(top, name)) for name in names]
        return [top for top in tops if os.path.lexists(f"{top}/.git")][:_SUBMODULES_LIMIT]


def _known(ids: set[str], reflog: Sequence[ReflogEntry]) -> set[str]:
    return {id for id in ids if any(entry.commit.startswith(id) for entry in reflog)}


def _top(folder: str) -> str:
    """The top of the working tree around a folder, "" if there is none."""
    while not os.path.lexists(f"{folder.rstrip('/')}/.git"):
        folder, below = os.path.dirname(folder), folder
        if folder == below:
            return ""
    return folder
