"""The movements of HEAD, as its reflog has them.

A reflog is a text file of one line a movement, in worktrees too, and reading its end costs less than
a process. Where there is no such file (reftable), git is asked (git.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fleet_lib.files import open_regular
from fleet_lib.lazy import lazy
from fleet_lib.outside import asking
from fleet_lib.records import Record

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any, overload

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


class Movements(Sequence[ReflogEntry]):
    """Those of a reflog's lines, in their order. A line is read only when it is asked for: most
    turns look at the newest one, and a file may have hundreds."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._more = _entries(lines)
        self._known: list[ReflogEntry] = []

    def __iter__(self) -> Iterator[ReflogEntry]:
        at = 0
        while at < len(self._known) or self._read_one():
            yield self._known[at]
            at += 1

    def _read_one(self) -> bool:
        found = next(self._more, None)
        if found is not None:
            self._known.append(found)
        return found is not None

    def __bool__(self) -> bool:
        return bool(self._known) or self._read_one()

    def __len__(self) -> int:
        while self._read_one():
            pass
        return len(self._known)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, at: int) -> ReflogEntry: ...
        @overload
        def __getitem__(self, at: slice) -> Sequence[ReflogEntry]: ...

    def __getitem__(self, at: Any) -> Any:
        return tuple(self)[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, ()  # what is in the files stays with the process that reads them


class MadeTimes(Mapping[str, int]):
    """{commit: when its object was made, in Unix nanoseconds}, of those that are no part of a pack.
    A file is asked when its time is wanted."""

    def __init__(self, objects: str) -> None:
        self._objects = objects
        self._known: dict[str, int | None] = {}

    def __getitem__(self, commit: str) -> int:
        if commit not in self._known:
            path = f"{self._objects}/{commit[:2]}/{commit[2:]}"
            asking(path)
            try:
                self._known[commit] = os.stat(path).st_mtime_ns
            except OSError:
                self._known[commit] = None
        made = self._known[commit]
        if made is None:
            raise KeyError(commit)
        return made

    def __iter__(self) -> Iterator[str]:
        return iter([commit for commit, made in self._known.items() if made is not None])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, ()


def read(git_dir: str) -> Movements | None:
    """The newest movements, newest first; None where there is no such file."""
    with open_regular(os.path.join(git_dir, "logs", "HEAD")) as descriptor:
        return None if descriptor is None else Movements(_last_lines(descriptor))


def _entries(lines: Iterable[bytes]) -> Iterator[ReflogEntry]:
    """At most LIMIT movements. Each says where HEAD was before, which the next line has."""
    newer: tuple[int, str, str] | None = None
    number = 0
    for line in lines:
        # One of zeros is the end of an unborn branch, and no commit.
        if not (match := _LINE.fullmatch(line)) or not match[1].strip(b"0"):
            continue
        subject = (match[3] or b"").decode("utf-8", "surrogateescape").strip()
        move = int(match[2]), match[1].decode("ascii"), subject
        if newer:
            number += 1
            yield ReflogEntry(*newer, move[1] if number < LIMIT else None)
        if number == LIMIT:
            return
        newer = move
    if newer:
        yield ReflogEntry(*newer)


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
