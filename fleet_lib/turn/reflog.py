"""The movements of HEAD, as its reflog has them.

A reflog is a text file of one line a movement, in worktrees too, and reading its end costs less than
a process. Where there is no such file (reftable), git is asked (git.py).
"""

import os
from collections.abc import Iterable
from itertools import zip_longest

from fleet_lib.files import open_regular
from fleet_lib.lazy import lazy
from fleet_lib.records import Record

LIMIT = 500  # movements that are read, the newest
_BLOCK_BYTES = 1 << 15
_LINE = lazy(
    rb"(?:[0-9a-f]{40}|[0-9a-f]{64}) ([0-9a-f]{40}|[0-9a-f]{64}) [^\n]*?> ([0-9]+) [-+][0-9]{4}"
    rb"(?:\t([^\n]*))?"
)
_SELECTOR = lazy(r"@\{(\d+)")
_COMMIT_SUBJECT = lazy(r"(commit|cherry-pick|revert|am)(?: \([\w-]+\))?:")


class ReflogEntry(Record):
    """One movement of HEAD."""

    time: int  # Unix seconds
    commit: str  # where HEAD went
    subject: str  # e.g. "commit: message", "pull: Fast-forward"
    previous: str | None = None  # where HEAD was before, None if the reflog does not say

    @property
    def is_commit(self) -> bool:
        """Whether it was made here. A merge, a pull and a rebase bring commits that were made
        before; what was resolved in them by hand is a commit of its own."""
        return bool(self.kind) and self.message != "fast-forward"

    @property
    def kind(self) -> str:
        """The subcommand of git that made the commit, "" if none did."""
        found = _COMMIT_SUBJECT.match(self.subject)
        return found[1] if found else ""

    @property
    def amends(self) -> bool:
        return self.subject.startswith("commit (amend)")

    @property
    def message(self) -> str:
        """The first line of the commit's message."""
        return self.subject.partition(": ")[2]


def read(git_dir: str) -> tuple[ReflogEntry, ...] | None:
    """The newest movements, newest first; None where there is no such file."""
    with open_regular(os.path.join(git_dir, "logs", "HEAD")) as descriptor:
        if descriptor is None:
            return None
        return _entries(_last_lines(descriptor))


def _entries(lines: Iterable[bytes]) -> tuple[ReflogEntry, ...]:
    """The movements of a reflog's lines, in their order."""
    moves: list[tuple[int, str, str]] = []
    for line in lines:
        # One of zeros is the end of an unborn branch, and no commit.
        if (match := _LINE.fullmatch(line)) and match[1].strip(b"0"):
            subject = (match[3] or b"").decode("utf-8", "surrogateescape").strip()
            moves.append((int(match[2]), match[1].decode("ascii"), subject))
    before = [commit for _, commit, _ in moves[1:LIMIT]]
    found = zip_longest(moves[:LIMIT], before)
    return tuple(ReflogEntry(time, commit, what, old) for (time, commit, what), old in found)


def _last_lines(descriptor: int) -> list[bytes]:
    """The last lines of a file, the last one first."""
    position = os.fstat(descriptor).st_size
    data = b""
    while position > 0 and data.count(b"\n") <= LIMIT:
        size = min(_BLOCK_BYTES, position)
        position -= size
        data = os.pread(descriptor, size, position) + data
    lines = data.split(b"\n")
    # The first one is cut, unless it is the file's.
    return lines[: 0 if position > 0 else None : -1]


def parse(text: str) -> tuple[ReflogEntry, ...]:
    """The same of git's answer, with a NUL between records of commit, selector and subject."""
    entries: list[ReflogEntry] = []
    for record in reversed(text.split("\0")):
        commit, _, rest = record.partition("\n")
        selector, _, subject = rest.partition("\n")
        if match := _SELECTOR.search(selector):
            previous = entries[-1].commit if entries else None
            entries.append(ReflogEntry(int(match[1]), commit, subject.strip(), previous))
    return tuple(reversed(entries))
