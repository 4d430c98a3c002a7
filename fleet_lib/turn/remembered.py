"""Git's answers that hold as long as some files are as they were: where a repository's parts are, and
its settings. They are kept in the home, so that no later drain of a day need ask for them again."""

import os
import stat
from collections.abc import Callable, Iterable
from time import time_ns

from fleet_lib import outside
from fleet_lib.digests import sha256
from fleet_lib.turn import kept
from fleet_lib.turn.git_environment import git_environment

_SETTLED_NS = 2_000_000_000  # a file that is younger may change again within one tick of its clock
_ANSWERS = 60
_CHARACTERS = 100_000  # of one answer
_KEPT_NS = 86400 * 1_000_000_000  # how long an answer holds; not all files of git's own are known
_FOLDERS = ("HOME", "XDG_CONFIG_HOME")  # variables that name where settings are
_FILE = "git"  # where they are kept
_SYSTEM = ("/etc/gitconfig", "/usr/local/etc/gitconfig", "/opt/homebrew/etc/gitconfig")

Facts = tuple[tuple[int, ...] | None, ...]
# {question: (files, as they were, the answer, when it was given)}
Answers = dict[tuple[str, ...], tuple[list[str], Facts, str, int]]

_known: Answers = {}
_home = ""


def keep_in(home: str) -> None:
    """Keep the answers in this home from now on. What another process kept there holds here, too."""
    global _home
    _home = home
    _known.clear()
    _known.update(kept.read(home, _FILE) or {})


def answer(
    question: tuple[str, ...],
    files_of: Callable[[str], list[str]],
    ask: Callable[[], str | None],
) -> str | None:
    """What `ask()` returns, or what it returned while the files that the answer depends on were as
    they are. The first of them must be there; an answer without files is not remembered."""
    question = (_environment(), *question)
    began = time_ns()
    if question in _known:
        files, facts, said, asked_ns = _known[question]
        if began - _KEPT_NS < asked_ns <= began and _facts(files) == facts:
            return said
    now = ask()
    files = files_of(now) if now is not None and len(now) <= _CHARACTERS else []
    facts = _facts(files)
    youngest = max((time for each in facts if each for time in each[3:]), default=0)
    # If they are older than the question, they were the same while git read them.
    if now is not None and files and facts[0] and youngest < began - _SETTLED_NS:
        _known[question] = (files, facts, now, began)
        if len(_known) > _ANSWERS:
            del _known[next(iter(_known))]
        if _home:
            kept.write(
                _home, _FILE, {ask: each for ask, each in _known.items() if _is_public(each)}
            )
    return now


def _is_public(each: tuple[list[str], Facts, str, int]) -> bool:
    """Whether the answer, which may have addresses in it, may stand in another file than git's."""
    after = each[2].replace("\0", "/").replace("\n", "/").split("://")[1:]
    return not any("@" in part.partition("/")[0] for part in after)


def _environment() -> str:
    """What the answers depend on beside files, as one word."""
    given = git_environment(os.environ)
    named = [name for name in given if name.startswith("GIT_") or name in _FOLDERS]
    values = [(name, given[name]) for name in sorted(named)]
    return sha256(repr((os.getuid(), values)).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def settings_files(git_folder: str, common: str) -> list[str]:
    """The files that git's settings in this repository come from. [] where they name others, which
    are not known."""
    inherited = os.environ
    home = inherited.get("HOME", "")
    settings = inherited.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    files = [os.path.join(common, "config"), os.path.join(git_folder, "config.worktree")]
    if named := inherited.get("GIT_CONFIG_GLOBAL"):
        files.append(named)
    else:
        files += [os.path.join(home, ".gitconfig"), os.path.join(settings, "git", "config")]
    named = inherited.get("GIT_CONFIG_SYSTEM")
    files += [named] if named else _SYSTEM
    return [] if any("[include" in text(file).lower() for file in files) else files


def text(file: str) -> str:
    """What a small file says; "" if it cannot be read."""
    outside.asking(file)
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as opened:
            return opened.read(1 << 20)
    except OSError:
        return ""


def _facts(files: Iterable[str]) -> Facts:
    return tuple(_facts_of(file) for file in files)


def _facts_of(file: str) -> tuple[int, ...] | None:
    outside.asking(file)
    try:
        facts = os.stat(file)
    except OSError:
        return None
    if stat.S_ISDIR(facts.st_mode):
        return facts.st_dev, facts.st_ino, facts.st_uid
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
