"""Git's answers that hold as long as some files are as they were: what the index lists, the reflog, the
settings. A drainer that lingers need not ask for them again: its readers are forked from it, and
hand it what they were answered (drain/lessons.py)."""

import os
from collections.abc import Callable, Iterable
from time import time_ns

from fleet_lib import outside

_SETTLED_NS = 2_000_000_000  # a file that is younger may change again within one tick of its clock
_ANSWERS = 60
_CHARACTERS = 2_000_000  # of one answer: the list of 20,000 files
_ALL_CHARACTERS = 4_000_000
_SYSTEM = ("/etc/gitconfig", "/usr/local/etc/gitconfig", "/opt/homebrew/etc/gitconfig")

Facts = tuple[tuple[int, ...] | None, ...]
Answers = dict[tuple[str, ...], tuple[Facts, str]]

_known: Answers = {}
fresh: Answers = {}  # what was answered in this process


def learn(answers: Answers) -> None:
    """Remember what another process, forked from this one, was answered."""
    _known.update(answers)
    while _known and (len(_known) > _ANSWERS or _size() > _ALL_CHARACTERS):
        del _known[next(iter(_known))]


def answer(
    question: tuple[str, ...], files: Iterable[str], ask: Callable[[], str | None]
) -> str | None:
    """What `ask()` returns, or what it returned while these files were the same. The first of them
    must be there."""
    before = tuple(_facts(file) for file in files)
    if before[0] is None:
        return ask()
    if question in _known and _known[question][0] == before:
        return _known[question][1]
    said = ask()
    youngest = max(max(facts[3:]) for facts in before if facts)
    if said is not None and len(said) <= _CHARACTERS and youngest < time_ns() - _SETTLED_NS:
        _known[question] = fresh[question] = (before, said)
    return said


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
    return [] if any(_names_others(file) for file in files) else files


def _names_others(file: str) -> bool:
    outside.asking(file)
    try:
        with open(file, "rb") as opened:
            return b"[include" in opened.read(1 << 20).lower()
    except OSError:
        return False


def _facts(file: str) -> tuple[int, ...] | None:
    outside.asking(file)
    try:
        facts = os.stat(file)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _size() -> int:
    return sum(len(said) for _, said in _known.values())
