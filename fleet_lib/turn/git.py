"""What git says about one working tree.

Git is asked, never read by hand: SHA-256 objects, reftable refs and worktrees are its business. The
one exception is a reflog that is a plain file (reflog.py). A repository's own configuration may name programs to run; the switches in `ask` keep them off.
"""

import os
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fleet_lib.errors import GitTimeout
from fleet_lib.lazy import lazy
from fleet_lib.outside import asking
from fleet_lib.records import Record
from fleet_lib.turn import git_process, reflog, remembered, remote_names
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
    facts = _read_facts(folder)
    if facts is None:
        return _refused_state(folder, read_at_ns)
    here = os.path.realpath(folder)
    objects = os.path.join(here, facts.objects)
    common = os.path.normpath(os.path.join(here, facts.common_dir))
    toplevel = facts.toplevel
    if os.path.realpath(facts.git_dir) == os.path.realpath(common) and toplevel:
        root = toplevel  # the main worktree, or a submodule: its own top level
    elif not toplevel or facts.bare == "true" or os.path.basename(common) == ".git":
        root = os.path.dirname(common)
    else:
        root = _main_worktree(folder, common)
    settings = _read_settings(folder, os.path.join(here, facts.git_dir), common)
    remote, canonical = remote_names.remote_of(settings, toplevel or root)
    head, branch = facts.head or None, facts.branch or None
    moves = read_reflog(folder, facts.git_dir) if head else ()
    made_ns = reflog.MadeTimes(objects)
    return GitState(
        toplevel or root, root, remote, head, branch, moves, made_ns, read_at_ns, canonical
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


def ask(folder: str, *arguments: str, stdin: str | None = None) -> str | None:
    """Git's answer, None where it says no. Raises GitTimeout: silence is no answer."""
    try:
        done = run(folder, *arguments, stdin=stdin)
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


def run(folder: str, *arguments: str, stdin: str | None = None) -> git_process.Answer | None:
    """What git says, also where it says no; None where it cannot be asked. Raises GitTimeout, or
    FileNotFoundError where git is not installed."""
    asking(folder, TIMEOUT_SECONDS + 1)
    try:
        return git_process.run(
            command_line(folder, *arguments), git_environment(os.environ), stdin, TIMEOUT_SECONDS
        )
    except TimeoutError:
        raise GitTimeout(f"git {arguments[0]} took more than {TIMEOUT_SECONDS:.0f} s") from None
    except FileNotFoundError:
        raise
    except (OSError, ValueError):
        return None


class _Facts(NamedTuple):
    """What rev-parse says of a repository, "" for what there is not."""

    bare: str
    git_dir: str
    common_dir: str  # as the folder sees it
    objects: str  # as the folder sees it
    toplevel: str  # none of a bare repository
    head: str
    branch: str


_PLACES = ("--is-bare-repository", "--absolute-git-dir", "--git-common-dir")


def _read_facts(folder: str) -> _Facts | None:
    """None where git reads no repository."""
    # A branch's full name: the short one of a branch that a tag is called like is `heads/<name>`.
    more = ("--git-path", "objects", "--show-toplevel", "HEAD^{commit}", "--symbolic-full-name")
    question = (folder, "rev-parse", *_PLACES, *more, "HEAD")
    said = remembered.answer(question, lambda said: _files_of(folder, said), lambda: ask(*question))
    lines = (said or "").removesuffix("\n").split("\n")
    if len(lines) == len(_Facts._fields):
        return _Facts(*lines)._replace(branch=_short(lines[-1]))
    # There is no commit or no working tree, or a folder's name has a line break: one by one.
    if ask(folder, "rev-parse", *_PLACES) is None:
        return None
    questions: list[tuple[str, ...]] = [
        *(("rev-parse", place) for place in _PLACES),
        ("rev-parse", "--git-path", "objects"),
        ("rev-parse", "--show-toplevel"),
        ("rev-parse", "-q", "--verify", "HEAD^{commit}"),
        ("symbolic-ref", "-q", "HEAD"),
    ]
    facts = _Facts(*((ask(folder, *each) or "").removesuffix("\n") for each in questions))
    return facts._replace(branch=_short(facts.branch))


def _short(reference: str) -> str:
    """A branch by its full name; "" of a HEAD that is detached."""
    return "" if reference == "HEAD" else reference.removeprefix("refs/").removeprefix("heads/")


def _files_of(folder: str, said: str) -> list[str]:
    """The files that make what rev-parse said true, of a folder that is a plain repository's top;
    [] of any other."""
    lines = said.removesuffix("\n").split("\n")
    git = os.path.join(folder, ".git")
    if len(lines) != len(_Facts._fields) or _Facts(*lines).git_dir != git:
        return []
    head, branch = lines[-2:]
    if branch == "HEAD" or remembered.text(f"{git}/HEAD") != f"ref: {branch}\n":
        return []
    reference = os.path.join(git, branch)
    if remembered.text(reference) != f"{head}\n":
        return []  # packed, or of another kind of storage
    places = [f"{git}/objects", git, folder]
    settings = remembered.settings_files(git, git)
    return [reference, f"{git}/HEAD", *settings, *places] if settings else []


def _main_worktree(folder: str, common: str) -> str:
    """The main worktree where the git folder lies apart from it (a submodule's linked worktree)."""
    named = (ask(folder, "config", "--file", f"{common}/config", "core.worktree") or "").strip()
    return os.path.normpath(os.path.join(common, named)) if named else os.path.dirname(common)


def _read_settings(folder: str, git_folder: str, common: str) -> str:
    question = ("config", "-z", "--get-regexp", remote_names.SETTINGS)

    def asked() -> str | None:
        return ask(folder, *question)

    def files(_answer: str) -> list[str]:
        return remembered.settings_files(git_folder, common)

    # A folder may come to be in another repository, whose settings are in other files.
    where = (folder, git_folder, common)
    return remembered.answer((*where, *question), files, asked) or ""


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


def read_commit_files(folder: str, entries: Sequence[ReflogEntry]) -> dict[str, tuple[str, ...]]:
    """{commit: the files that it changed}. An amended commit counts with what was amended."""
    parents = {e.commit: e.previous if e.amends else None for e in entries}
    # --cc: of a merge, only what was resolved by hand.
    answer = ask(
        folder,
        *("diff-tree", "--stdin", "--root", "-r", "-z", "--cc", "--name-status", "--no-renames"),
        stdin="".join(
            f"{commit} {parent or ''}".strip() + "\n" for commit, parent in parents.items()
        ),
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
