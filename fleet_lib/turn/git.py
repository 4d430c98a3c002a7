"""What git says about one working tree.

Git is asked: SHA-256 objects, reftable refs and worktrees are its business. But a process costs as much
as a fifth of what starting Python does, so what is a plain file in almost every repository is read
as one: the reflog (reflog.py), HEAD (plain_head.py), the files of a new commit (new_objects.py) and
the index (git_index.py). Each of them leaves to git what it does not know. A repository's own
configuration may name programs to run; the switches in `ask` keep them off.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from fleet_lib.errors import GitTimeout
from fleet_lib.files import with_parents
from fleet_lib.lazy import lazy
from fleet_lib.outside import asking
from fleet_lib.records import Record
from fleet_lib.turn import git_process, plain_head, reflog, remembered, remote_names
from fleet_lib.turn.git_environment import git_environment
from fleet_lib.turn.plain_repository import repository_around
from fleet_lib.turn.reflog import ReflogEntry

TIMEOUT_SECONDS = 5.0
_FILES_LIMIT = 1000
_NS = 1_000_000_000
_OBJECT_ID = lazy(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NO_REPOSITORY = "not a git repository"


class GitState(Record):
    """One working tree at one moment."""

    toplevel: str  # this worktree's top folder
    root: str  # the main worktree's, or the folder that holds a bare repository
    remote: str | None  # as configured, credentials and all
    head: str | None  # commit id, None before the first commit
    branch: str | None  # None when detached
    reflog: Sequence[ReflogEntry]  # newest first
    # When each commit of the reflog was made, in Unix nanoseconds, unless it is packed by now. The
    # reflog counts in seconds, and a turn may commit within the second in which the turn before it
    # ended.
    made_ns: Mapping[str, int]
    read_at_ns: int
    canonical_remotes: tuple[str, ...] = ()  # the forms by which it is known, the surest first
    git_folder: str = ""  # of this worktree; "" if git refuses the repository
    objects: str = ""  # the folder of its loose objects
    refusal: str = ""  # why git does not read this repository, in git's words; "" if it does

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of a briefing must know of the state that it comes from."""
        if not self.refusal:
            return ()
        return (
            f"git does not read this repository: {self.refusal}. Its commits and branch are"
            " unknown; `fleet doctor` suggests a fix.",
        )


def read_git_state(folder: str) -> GitState | None:
    """The state of the repository around a folder; None if there is none. Of a repository that git
    refuses, only where it is."""
    read_at_ns = time.time_ns()
    asking(folder)
    if repository_around(folder) is None:
        return None
    places = _read_places(folder)
    here = os.path.realpath(folder)
    common = os.path.normpath(os.path.join(here, places.common_dir if places else ""))
    where = _read_head(folder, places.git_dir, common) if places else None
    if places is None or where is None:
        return _refused_state(folder, read_at_ns)
    git_folder, toplevel = places.git_dir, places.toplevel
    if os.path.realpath(git_folder) == os.path.realpath(common) and toplevel:
        root = toplevel  # the main worktree, or a submodule: its own top level
    elif not toplevel or places.bare == "true" or os.path.basename(common) == ".git":
        root = os.path.dirname(common)
    else:
        root = _main_worktree(folder, common)
    settings = _read_settings(folder, git_folder, common)
    remote, canonical = remote_names.remote_of(settings, toplevel or root)
    head, branch = where
    moves = read_reflog(folder, git_folder) if head else ()
    objects = os.path.join(here, places.objects)
    made_ns = reflog.MadeTimes(objects)
    return GitState(
        *(toplevel or root, root, remote, head or None, branch or None, moves, made_ns),
        *(read_at_ns, canonical),
        git_folder=git_folder,
        objects=objects,
    )


def _refused_state(folder: str, read_at_ns: int) -> GitState | None:
    """Where a repository is that git does not read, because it belongs to another user or is
    damaged; None if the folder is in no repository."""
    try:
        done = run(folder, "rev-parse", "--git-dir")
    except FileNotFoundError:
        refusal = "git is not installed"
    else:
        if done is None or done.returncode == 0 or _NO_REPOSITORY in done.stderr:
            return None
        refusal = next(
            (line for line in done.stderr.splitlines() if line.startswith("fatal: ")), "no reason"
        )
    found = repository_around(folder)
    if found is None:
        return None
    toplevel, root = found
    return GitState(
        *(toplevel, root, None, None, None, (), {}, read_at_ns),
        refusal=refusal.removeprefix("fatal: "),
    )


def head_at(state: GitState, moment_ns: int) -> str | None:
    """Where HEAD was at a moment (Unix nanoseconds), for an entry that is applied later."""
    for entry in state.reflog:
        if not _is_after(entry, state.made_ns, moment_ns):
            return entry.commit
    return None if state.reflog else state.head


def _is_after(entry: ReflogEntry, made_ns: Mapping[str, int], moment_ns: int) -> bool:
    if entry.time == moment_ns // _NS and entry.is_commit:
        return made_ns.get(entry.commit, 0) > moment_ns
    return entry.time > moment_ns // _NS


def ask(folder: str, *arguments: str, stdin: str | None = None, **variables: str) -> str | None:
    """Git's answer, None where it says no. Raises GitTimeout: silence is no answer."""
    try:
        done = run(folder, *arguments, stdin=stdin, **variables)
    except FileNotFoundError:
        return None
    return done.stdout if done and done.returncode == 0 else None


def command_line(folder: str, *arguments: str) -> list[str]:
    """The command that asks git, so that no program of the repository's configuration runs."""
    switches = (
        "--no-optional-locks",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "log.showSignature=false",
    )
    return ["git", *switches, "-C", folder, *arguments]


def run(
    folder: str, *arguments: str, stdin: str | None = None, **variables: str
) -> git_process.Answer | None:
    """What git says, also where it says no; None where it cannot be asked. `variables` are more of
    its environment. Raises GitTimeout, or FileNotFoundError where git is not installed."""
    asking(folder, TIMEOUT_SECONDS + 1)
    environment = git_environment(os.environ) | variables
    command = command_line(folder, *arguments)
    try:
        return git_process.run(command, environment, stdin, TIMEOUT_SECONDS)
    except TimeoutError:
        raise GitTimeout(f"git {arguments[0]} took more than {TIMEOUT_SECONDS:.0f} s") from None
    except FileNotFoundError:
        raise
    except (OSError, ValueError):
        return None


class _Places(Record):
    """Where the parts of a repository are, "" for what there is not."""

    bare: str
    git_dir: str
    common_dir: str  # as the folder sees it
    objects: str  # as the folder sees it
    toplevel: str  # none of a bare repository


_QUESTIONS = (
    *("--is-bare-repository", "--absolute-git-dir", "--git-common-dir", "--git-path", "objects"),
    "--show-toplevel",
)


def _read_places(folder: str) -> _Places | None:
    """None where git reads no repository."""
    question = (folder, "rev-parse", *_QUESTIONS)
    said = remembered.answer(question, lambda said: _files_of(folder, said), lambda: ask(*question))
    lines = _lines(said)
    if len(lines) == len(_Places.__annotations__):
        return _Places(*lines)
    # There is no working tree, or a folder's name has a line break: one by one.
    if ask(folder, "rev-parse", *_QUESTIONS[:-1]) is None:
        return None
    bare, git_dir, common_dir, _, _, toplevel = _QUESTIONS
    questions = ((bare,), (git_dir,), (common_dir,), ("--git-path", "objects"), (toplevel,))
    answers = [(ask(folder, "rev-parse", *each) or "").removesuffix("\n") for each in questions]
    return _Places(*answers)


def _read_head(folder: str, git_folder: str, common: str) -> tuple[str, str] | None:
    """(commit, branch), "" for what there is not; None where git reads no repository any more."""
    found = plain_head.read_head(git_folder, common)
    if found is None:
        # A branch's full name: the short one of a branch that a tag is called like is `heads/<name>`.
        commit = ask(folder, "rev-parse", "-q", "--verify", "HEAD^{commit}")
        branch = ask(folder, "symbolic-ref", "-q", "HEAD")
        if commit is None and branch is None and ask(folder, "rev-parse", "--git-dir") is None:
            return None
        found = (commit or "").removesuffix("\n"), (branch or "").removesuffix("\n")
    return found[0], _short(found[1])


def _short(reference: str) -> str:
    """A branch by its full name; "" of a HEAD that is detached."""
    return "" if reference == "HEAD" else reference.removeprefix("refs/").removeprefix("heads/")


def _lines(said: str | None) -> list[str]:
    return (said or "").removesuffix("\n").split("\n")


def _files_of(folder: str, said: str) -> list[str]:
    """The files that make true what rev-parse said of a repository's places; [] if there may be
    others."""
    lines = _lines(said)
    if len(lines) != len(_Places.__annotations__) or os.path.realpath(folder) != folder:
        return []
    places, parents = _Places(*lines), with_parents(folder)
    if places.toplevel not in parents:
        return []
    # Below the top level, a folder that becomes a repository is another one.
    below = parents[: parents.index(places.toplevel)]
    found = [os.path.join(inside, name) for inside in below for name in (".git", "HEAD")]
    common = os.path.normpath(os.path.join(folder, places.common_dir))
    settings = remembered.settings_files(places.git_dir, common)
    objects = os.path.join(folder, places.objects)
    found += [os.path.join(places.git_dir, "commondir"), os.path.join(places.toplevel, ".git")]
    found += [
        folder,
        places.toplevel,
        places.git_dir,
        common,
        objects,
        os.path.join(common, "refs"),
    ]
    return [*settings, *found] if settings else []


def _main_worktree(folder: str, common: str) -> str:
    """The main worktree where the git folder lies apart from it (a submodule's linked worktree)."""
    file = os.path.join(common, "config")
    question = ("--file", file, "core.worktree")
    named = _remembered_settings(folder, (folder,), question, lambda: [file]).strip()
    return os.path.normpath(os.path.join(common, named)) if named else os.path.dirname(common)


def _read_settings(folder: str, git_folder: str, common: str) -> str:
    question = ("-z", "--get-regexp", remote_names.SETTINGS)
    # A folder may come to be in another repository, whose settings are in other files.
    where = (folder, git_folder, common)
    files = partial(remembered.settings_files, git_folder, common)
    return _remembered_settings(folder, where, question, files)


def _remembered_settings(
    folder: str, where: tuple[str, ...], question: tuple[str, ...], files: Callable[[], list[str]]
) -> str:
    """What `git config` says, "" where there is no such setting."""

    def asked() -> str | None:
        try:
            done = run(folder, "config", *question)
        except FileNotFoundError:
            return None
        return done.stdout if done and done.returncode in (0, 1) else None  # 1: there is none

    return remembered.answer((*where, "config", *question), lambda _: files(), asked) or ""


def read_reflog(folder: str, git_dir: str = "") -> Sequence[ReflogEntry]:
    """The movements of HEAD, newest first; none where there is no repository. `git_dir` is the
    folder's own git folder, if that is known: git need not be asked then."""
    if git_dir and (entries := reflog.read(git_dir)) is not None:
        return entries
    text = ask(
        folder,
        "log",
        "-g",
        f"-n{reflog.LIMIT}",
        "-z",
        "--date=raw",
        "--format=%H%n%gd%n%gs",
        "HEAD",
    )
    return reflog.parse(text or "")


def read_commit_files(
    folder: str, entries: Sequence[ReflogEntry], objects: str = ""
) -> dict[str, tuple[str, ...]]:
    """{commit: the files that it changed}. An amended commit counts with what was amended. If the
    folder of loose objects is given, git is asked only about what is not there."""
    from fleet_lib.turn.new_objects import changed_files  # few turns commit

    parents = {e.commit: e.previous if e.amends else None for e in entries}
    known: dict[str, tuple[str, ...]] = {}
    for commit, parent in parents.items() if objects else ():
        files = changed_files(objects, commit, parent, _FILES_LIMIT)
        if files is not None:
            known[commit] = files
    left = {commit: parent for commit, parent in parents.items() if commit not in known}
    # Git would read the index for nothing; there is none of this name.
    variables = {"GIT_INDEX_FILE": os.path.join(objects, "no-index")} if objects else {}
    return known | (_ask_commit_files(folder, left, variables) if left else {})


def _ask_commit_files(
    folder: str, parents: Mapping[str, str | None], variables: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    # --cc: of a merge, only what was resolved by hand.
    answer = ask(
        folder,
        *("diff-tree", "--stdin", "--root", "-r", "-z", "--cc", "--name-status", "--no-renames"),
        stdin="".join(
            f"{commit} {parent or ''}".strip() + "\n" for commit, parent in parents.items()
        ),
        **variables,
    )
    found: dict[str, list[str]] = {commit: [] for commit in parents}
    current: list[str] = []
    parts = iter((answer or "").split("\0"))
    for part in parts:
        if _OBJECT_ID.fullmatch(part):
            current = found.setdefault(part, [])
        elif part and (file := next(parts, "")) and len(current) < _FILES_LIMIT:
            current.append(file)
    return {commit: tuple(files) for commit, files in found.items()}
