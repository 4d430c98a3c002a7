"""Where a repository is that git refuses to read: found by looking at files, since git says no. Only
where it is; what is in it stays unread."""

import os

from fleet_lib.files import read_regular_file, with_parents

_POINTER_BYTES = 8192


def repository_around(folder: str) -> tuple[str, str] | None:
    """(top level, root of the main worktree) of the repository that a folder is in."""
    try:
        for candidate in with_parents(os.path.realpath(folder)):
            git = os.path.join(candidate, ".git")
            if os.path.isdir(git) and _is_git_folder(git):
                return candidate, candidate
            if pointer := pointer_in(git):
                common = common_folder(pointer)
                return candidate, os.path.dirname(common) or candidate
            if _is_git_folder(candidate):  # bare, or a `.git` folder itself
                return os.path.dirname(candidate), os.path.dirname(candidate)
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


def _is_git_folder(folder: str) -> bool:
    return all(os.path.exists(os.path.join(folder, name)) for name in ("HEAD", "objects", "refs"))
