"""What changed between two commits, in git's words. Nothing here runs a program that a repository's
configuration names: no external diff, no textconv, no filter, no file system monitor."""

import os
import subprocess
import threading
from collections.abc import Sequence

from fleet_lib.errors import GitTimeout, NotFound
from fleet_lib.records import Record
from fleet_lib.turn import git
from fleet_lib.turn.git_environment import git_environment

TIMEOUT_SECONDS = 30.0
LIMIT_BYTES = 20_000_000
_PATHS_BYTES = 100_000  # of a command line; more files than that are not named
_SAFE = ("--no-ext-diff", "--no-textconv", "--submodule=short", "--no-relative")


class Patch(Record):
    """Git's answer."""

    text: bytes
    is_cut: bool  # it was longer than LIMIT_BYTES


def has_commits(folder: str, commits: Sequence[str]) -> bool | None:
    """Whether the repository around a folder has all of these commits; None if there is no
    repository, or git refuses it. Raises GitTimeout."""
    if git.ask(folder, "rev-parse", "--git-dir") is None:
        return None
    return all(_commit(folder, commit) for commit in commits)


def commit_before(folder: str, head: str, moment: str) -> str:
    """The last commit of `head`'s history that was made before a time (ISO); the empty tree if the
    history began later. Raises GitTimeout."""
    found = git.ask(folder, "rev-list", "-1", f"--before={moment}", head, "--")
    return (found or "").strip() or empty_tree(folder)


def empty_tree(folder: str) -> str:
    """The id of the tree without files, in the repository's own kind of hash."""
    return (git.ask(folder, "hash-object", "-t", "tree", "--stdin", stdin="") or "").strip()


def changed_files(folder: str, base: str, head: str) -> list[str]:
    """The files that differ, relative to the repository. Raises GitTimeout."""
    answer = git.ask(folder, "diff", *_SAFE, "--name-only", "--no-renames", "-z", base, head, "--")
    return [name for name in (answer or "").split("\0") if name]


def read_patch(
    folder: str,
    base: str,
    head: str,
    files: Sequence[str] | None,
    *,
    stat: bool = False,
    color: bool = False,
    width: int = 80,
) -> Patch:
    """The difference, of these files only unless that is None. Raises GitTimeout, or NotFound with
    git's own words."""
    options = [*_SAFE, "--color=always" if color else "--color=never"]
    options += [f"--stat={width}"] if stat else []
    paths = [f":(top,literal){name}" for name in files or ()]
    if sum(map(len, paths)) > _PATHS_BYTES:
        paths = []
    command = git.command_line(folder, "diff", *options, base, head, "--", *paths)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=git_environment(os.environ),
    ) as child:
        assert child.stdout and child.stderr
        timer = threading.Timer(TIMEOUT_SECONDS, child.kill)
        timer.start()
        try:
            text = child.stdout.read(LIMIT_BYTES + 1)
            is_cut = len(text) > LIMIT_BYTES
            if is_cut:
                child.kill()
            stderr = child.stderr.read(10_000).decode("utf-8", "replace")
            status = child.wait()
            is_late = not timer.is_alive()
        finally:
            timer.cancel()
    if is_late:
        raise GitTimeout(f"git diff took more than {TIMEOUT_SECONDS:.0f} s")
    if status and not is_cut:
        raise NotFound(f"git diff failed in {folder}: {stderr.strip() or 'without a reason'}")
    return Patch(text[:LIMIT_BYTES], is_cut)


def _commit(folder: str, commit: str) -> bool:
    return git.ask(folder, "cat-file", "-e", f"{commit}^{{commit}}") is not None
