"""The repository that a folder lay in which is gone by now: a worktree is often removed before the
drainer looks."""

import os

from fleet_lib.files import with_parents
from fleet_lib.spool import Entry
from fleet_lib.turn.git import GitState
from fleet_lib.turn.plain_repository import common_folder, repository_around
from fleet_lib.turn.repositories import Repositories


def repository_of(folder: str, entry: Entry, repositories: Repositories) -> GitState | None:
    """The state of the repository that the folder was a linked worktree of, if the hook has noted
    its git folder; else of the repository in which the folder lay."""
    common = common_folder(entry.worktree)
    if common and (state := repositories.state(common, entry.received_ns)):
        return state
    left = _what_is_left(folder) if folder else ""
    # Mostly there is none, and looking at a few names is much quicker than asking git.
    is_inside = left and repository_around(left)
    return repositories.state(left, entry.received_ns) if is_inside else None


def _what_is_left(folder: str) -> str:
    return next((place for place in with_parents(folder) if os.access(place, os.F_OK)), "/")


def lay_inside(folder: str, state: GitState) -> bool:
    """Whether the folder lay in the state's working tree."""
    return state.toplevel in with_parents(os.path.realpath(folder))
