"""Whether the reader's child (reader_child.py) still works: it may wait for an answer that never
comes, or never end."""

from __future__ import annotations

import _signal
import mmap
import os
from collections.abc import Callable

from fleet_lib import outside

_LONGEST_SECONDS = 100.0  # for one answer of a child that works all the time
_UNSEEN_SECONDS = 10.0  # for an answer where the system does not say what a process does
POLL_SECONDS = 0.25


class NeverEnds(Exception):
    """The child works all the time, and not even its alarm ends that."""


class Hangs(Exception):
    """The child waits for an answer that does not come: to a question of an entry ("" for none)
    about this path."""

    def __init__(self, path: str, entry: str) -> None:
        super().__init__(path)
        self.path, self.entry = path, entry


class Watch:
    """How long a child has been waiting: its time counts only while it neither works nor asks
    something new."""

    def __init__(self, child: int, board: mmap.mmap, on_wait: Callable[[str], None]) -> None:
        self._child = child
        self._board = board
        self._on_wait = on_wait
        self._seen: tuple[int, int] | None = None
        self._polls = self._silent_polls = 0

    def note_silence(self) -> None:
        """Nothing came for a moment. Raises Hangs or NeverEnds when that was one too many."""
        # In polls and not by the clock: if this process was stopped, the child was not asked.
        self._polls += 1
        asked, seconds, path = outside.read_board(self._board)
        seconds = max(seconds, outside.QUESTION_SECONDS)  # before the first question it is 0
        state, cpu_ticks = _activity(self._child)
        if state == b"T":  # stopped by a signal, which is no place's silence: another child goes on
            os.kill(self._child, _signal.SIGKILL)
        is_silent = state != b"R" and self._seen == (asked, cpu_ticks)
        self._seen = (asked, cpu_ticks)
        self._silent_polls = self._silent_polls + 1 if is_silent else 0
        waited = self._silent_polls * POLL_SECONDS
        if waited >= 1.0:
            self._on_wait(path)
        if waited >= (seconds if cpu_ticks >= 0 else max(seconds, _UNSEEN_SECONDS)):
            raise Hangs(path, outside.entry_on(self._board))
        if self._polls * POLL_SECONDS >= _LONGEST_SECONDS:
            raise NeverEnds


def _activity(child: int) -> tuple[bytes, int]:
    """(the letter of a process's state, the CPU time that it has used); (b"", -1) if that is
    unknown."""
    try:
        with open(f"/proc/{child}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return fields[0], int(fields[11]) + int(fields[12])
    except (OSError, IndexError, ValueError):
        return b"", -1
