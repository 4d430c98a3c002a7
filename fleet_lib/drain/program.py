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
        self._folders: list[int] = []  # open, as long as the system says when they change
        self._may_have_changed = True
        folders, self._files = _contents(self._place)
        self._watch(folders)
        self._facts = self._facts_now()
        self._identities = self._identities_now()

    def close(self) -> None:
        for folder in self._folders:
            os.close(folder)
        self._folders.clear()

    def is_same(self) -> bool:
        """Whether no file was changed since it began."""
        if self._identities_now() != self._identities:
            return False  # another one stands in its place
        if self._may_have_changed:
            self._ask_for_notice()  # before the files are looked at
            if self._facts_now() != self._facts:
                self._may_have_changed = True  # to whatever asks again
                return False
        return True

    def _watch(self, folders: list[str]) -> None:
        """Have the system say when something in these folders changes, where it can. On a file system
        that several kernels use, it does not see what the others do."""
        if not hasattr(fcntl, "F_NOTIFY") or is_shared(self._place):
            return
        _signal.signal(_signal.SIGURG, self._note_change)  # which without a handler does nothing
        try:
            for folder in folders:
                self._folders.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
                fcntl.fcntl(self._folders[-1], fcntl.F_SETSIG, _signal.SIGURG)
        except OSError:
            self.close()
        self._ask_for_notice()

    def _ask_for_notice(self) -> None:
        """Each notice comes once."""
        try:
            for folder in self._folders:
                changes = fcntl.DN_CREATE | fcntl.DN_DELETE | fcntl.DN_MODIFY | fcntl.DN_RENAME
                fcntl.fcntl(folder, fcntl.F_NOTIFY, changes)
        except OSError:
            self.close()
        self._may_have_changed = not self._folders

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
