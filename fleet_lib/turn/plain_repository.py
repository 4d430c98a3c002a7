"""Where a repository is that git refuses to read: found by looking at files, since git says no. Only
where it is; what is in it stays unread."""

import os
from pathlib import Path

from fleet_lib.files import read_regular_file

_POINTER_BYTES = 8192


def repository_around(folder: str) -> tuple[str, str] | None:
    """(top level, root of the main worktree) of the repository that a folder is in."""
    try:
        place = Path(os.path.realpath(folder))
        for candidate in (place, *place.parents):
            git = candidate / ".git"
            if git.is_dir() and _is_git_folder(git):
                return str(candidate), str(candidate)
            if pointer := pointer_in(str(git)):
                common = common_folder(pointer)
                return str(candidate), os.path.dirname(common) or str(candidate)
            if _is_git_folder(candidate):  # bare, or a `.git` folder itself
                return str(candidate.parent), str(candidate.parent)
    except (OSError, ValueError):
        pass
    return None


def pointer_in(path: str) -> str:
    """The git folder that a worktree's `.git` file names, as an absolute path; "" if it is none."""
    text = (read_regular_file(path, _POINTER_BYTES) or b"").decode("utf-8", "surrogateescape")
    if not text.startswith("gitdir: "):
        return ""
    named = text.removeprefix("gitdir: ").rstrip("\r\n")
    return os.path.normpath(os.path.join(os.path.dirname(path), named))


def common_folder(pointer: str) -> str:
    """The git folder of the repository that has this linked worktree's git folder, which may be
    gone by now; "" for the git folder of anything else, as of a submodule."""
    folder, mark, name = pointer.rpartition("/worktrees/")
    return "" if not mark or "/" in name or "/.git/modules/" in folder else folder


def _is_git_folder(folder: Path) -> bool:
    return all((folder / name).exists() for name in ("HEAD", "objects", "refs"))
