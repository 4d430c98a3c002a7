"""Whether the program is still the one that a drainer began with.

Its hundred files are compared with what they were, but where the system says when a folder changes,
only once it has said so: to ask for each of them after a rest takes a third of a turn's CPU.

Standard library only: it begins before the drainer imports the rest.
"""

import _signal
import fcntl
import os
import sys

from fleet_lib.drain.mounts import is_shared

# The rooms that no drainer imports: what needs them is a process of its own.
_OTHER_ROOMS = ("views", "jobs", "history_import", "relay")

Facts = tuple[object, ...]


class Program:
    """The program's files as they are now, and whether they stay so."""

    def __init__(self, root: str) -> None:
        self._place = os.path.join(root, "fleet_lib")
        self._folders, self._files = _contents(self._place)
        self._watched: list[int] = []  # folders, open: the system says when they change
        self._may_have_changed = True
        self._facts = self._facts_now()
        self._identities = self._identities_now()

    def close(self) -> None:
        for folder in self._watched:
            os.close(folder)
        self._watched.clear()

    def is_same(self) -> bool:
        """Whether no file was changed since it began."""
        if self._identities_now() != self._identities:
            return False  # another one stands in its place
        if self._may_have_changed:
            self._may_have_changed = not self._watch()  # before the files are looked at
            if self._facts_now() != self._facts:
                self._may_have_changed = True  # to whatever asks again
                return False
        return True

    def _watch(self) -> bool:
        """Have the system say once when something in the folders changes. False where it cannot, and
        where other kernels change files: it does not see that."""
        if not hasattr(fcntl, "F_NOTIFY") or is_shared(self._place):
            return False
        _signal.signal(_signal.SIGURG, self._note_change)  # which without a handler does nothing
        changes = fcntl.DN_CREATE | fcntl.DN_DELETE | fcntl.DN_MODIFY | fcntl.DN_RENAME
        try:
            for folder in [] if self._watched else self._folders:
                self._watched.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
                fcntl.fcntl(self._watched[-1], fcntl.F_SETSIG, _signal.SIGURG)
            for descriptor in self._watched:
                fcntl.fcntl(descriptor, fcntl.F_NOTIFY, changes)
        except OSError:
            self.close()
            return False
        return True

    def _note_change(self, _number: int, _frame: object) -> None:
        self._may_have_changed = True

    def _facts_now(self) -> Facts:
        try:
            return tuple((facts.st_ino, facts.st_mtime_ns) for facts in map(os.stat, self._files))
        except OSError:
            return ()

    def _identities_now(self) -> Facts:
        return identity(self._place), identity(sys.executable)


def _contents(place: str) -> tuple[list[str], list[str]]:
    """(the folders, the files) that a drainer may have imported from."""
    found: list[str] = []
    folders = [place]
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.endswith(".py"):
                        found.append(entry.path)
                    elif entry.is_dir() and entry.name not in ("__pycache__", *_OTHER_ROOMS):
                        folders.append(entry.path)
        except OSError:
            pass  # it is being replaced: that is seen when the files are compared
    return folders, found


def identity(path: str) -> Facts:
    """Which file it is; () if there is none."""
    try:
        facts = os.stat(path)
    except OSError:
        return ()
    return facts.st_dev, facts.st_ino
