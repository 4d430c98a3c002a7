"""A drainer that lingers: between batches it waits on a FIFO, `spool/wake`, for the next entry. The
drainer opens it as soon as it has its lock, so that a hook need not start another one, and closes
it before it releases the lock.

Standard library only: it is opened before the drainer imports the rest. While it waits, the drainer
has no database open. Its reader stays with it: to fork another one costs more than a turn.
"""

import _signal
import fcntl
import os
import select
import sys
import time
from collections.abc import Callable

from fleet_lib import hot_settings, paths, wake
from fleet_lib.drain.mounts import is_shared
from fleet_lib.drain.program import Facts, Program, identity

LOOK_SECONDS = 5.0  # after which it looks by itself, where no wake can come
# The same where the system says that the FIFO changed. Little but the entry of a hook that was killed
# before it rang is found by such a look, and it costs a quarter of a turn: memory that rested is slow.
SELDOM_SECONDS = 30.0
LONGEST_LIFE_SECONDS = 600.0  # an updated plugin begins anew without a word
LARGEST_BYTES = 44 << 20  # of memory that a drainer, with its reader, keeps while it waits


class Bell:
    """The FIFO, and what the drainer began with."""

    def __init__(self, home: str, root: str, lingers: bool) -> None:
        self._home = home
        self._root = root
        self._program: Program | None = None  # where it lingers
        self._began = time.monotonic()
        self._is_to_end = False
        self._caller = ""  # another program, whose hooks rang
        self._home_file = identity(home)
        self._own: tuple[Facts, ...] = ((), identity(paths.drainer_of(root)))
        self._database: Facts = ()
        self._reader = self._writer = self._folder = -1
        if lingers and hot_settings.linger_seconds(home) and not is_shared(home):
            self._program = Program(root)
            self._open()

    def _open(self) -> None:
        path = paths.wake(self._home)
        try:
            try:
                os.mkfifo(path, 0o600)
            except FileExistsError:
                pass
            self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            if os.fstat(self._reader).st_mode & 0o170000 != 0o010000:
                raise OSError
            # Without a writer of its own, every poll would return at once after the first hook.
            self._writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            self._folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            self.close()  # a file system without FIFOs, or a full one: the drainer does not linger

    @property
    def lingers(self) -> bool:
        """Whether this drainer lingers."""
        return self._reader >= 0

    def close(self) -> None:
        """From now on hooks start a drainer."""
        for descriptor in (self._reader, self._writer, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._reader = self._writer = self._folder = -1
        if self._program:
            self._program.close()

    def wait(self, has_work: Callable[[], object]) -> bool:
        """Wait until there is work. False if it is time to end."""
        if self._reader < 0:
            return False
        self._database = self._database or identity(paths.database(self._home))
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        # Neither the clock on the wall nor a laptop's sleep counts.
        began = time.monotonic()
        while not self.is_called_by_other():
            if has_work():
                return True
            is_noticed = self._notice_change()  # once
            end = began + hot_settings.linger_seconds(self._home)
            left = min(end, self._began + LONGEST_LIFE_SECONDS) - time.monotonic()
            is_needed = left > 0 and not self._is_to_end and memory_bytes() <= LARGEST_BYTES
            if not is_needed or not self._is_in_place():
                return False
            is_seldom = is_noticed and not os.path.exists(paths.put_off(self._home))
            poll.poll(1000 * min(left, SELDOM_SECONDS if is_seldom else LOOK_SECONDS))
        return False

    def is_called_by_other(self) -> bool:
        """Read what was written to the FIFO; whether hooks of another program rang, as of a plugin's
        newer version: that one is to drain, since this one may not know what it stores."""
        try:
            said = os.read(self._reader, 1 << 16) if self._reader >= 0 else b""
        except BlockingIOError:
            said = b""
        for line in {*said.splitlines(keepends=True)} - {b"\n"}:
            program = os.fsdecode(line.rstrip(b"\n"))
            if line == wake.LEAVE:
                self._is_to_end = True
            elif program != self._root and identity(paths.drainer_of(program)) not in self._own:
                self._caller = program
        return bool(self._caller)

    def successors(self) -> list[tuple[str, str]]:
        """(home, program) of the drainers that are to go on where this one ends."""
        if self._caller:
            return [(self._home, self._caller)]
        return (
            [] if self.is_same() else [(home, self._root) for home in {self._home, self._there()}]
        )

    def _there(self) -> str:
        """Where the home is now. It may have been moved, and hooks there have rung this FIFO."""
        try:
            spool = os.readlink(f"/proc/self/fd/{self._folder}")
        except OSError:
            return self._home  # it did not linger, or the system does not say
        return os.path.dirname(spool)

    def is_same(self) -> bool:
        """Whether home, database and program are those that this drainer began with."""
        return not self._program or (
            self._is_in_place()
            and identity(self._home) == self._home_file
            and self._program.is_same()
            and self._database in ((), identity(paths.database(self._home)))
        )

    def _is_in_place(self) -> bool:
        """Whether hooks find this FIFO. Its removal wakes no poll."""
        if self._reader < 0:
            return True
        facts = os.fstat(self._reader)
        is_open = facts.st_mode & 0o600 == 0o600  # else no hook can ring
        return is_open and identity(paths.wake(self._home)) == (facts.st_dev, facts.st_ino)

    def _notice_change(self) -> bool:
        """Whether the system will say that the FIFO was removed, or can be opened no more: then it
        rings. Elsewhere the drainer sees it when it looks."""

        def ring(_number: int, _frame: object) -> None:
            try:
                os.write(self._writer, wake.WAKE)
            except OSError:
                pass

        if not hasattr(fcntl, "F_NOTIFY"):
            return False
        _signal.signal(_signal.SIGIO, ring)
        try:
            changes = fcntl.DN_DELETE | fcntl.DN_RENAME | fcntl.DN_ATTRIB
            fcntl.fcntl(self._folder, fcntl.F_NOTIFY, changes)
        except OSError:
            return False
        return True


def memory_bytes(*, only_own: bool = False) -> int:
    """The memory that this process has now, with `only_own` without what it shares with others; where
    the system does not say, the most that it had."""
    try:
        with open("/proc/self/statm", "rb") as file:
            _, all_pages, shared, *_ = map(int, file.read().split())
        return (all_pages - shared * only_own) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        import resource  # only where it is needed

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
