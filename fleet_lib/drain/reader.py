"""Reading entries, and what the world says of them, in a child that can be abandoned.

The drainer forks it once its modules are imported, and asks it for one thing after the other. The fork
is cheap, but every page that either of them writes afterwards is copied: most of what a turn would
cost. So the child of a drainer that lingers stays for a while, and holds nothing meanwhile.

While a batch is written, the child prepares the next one. That is work which nothing waits for: what
fails in it is asked again when its batch comes, and only then counts.

Where the child waits for an answer that does not come, it is killed and never waited for: on a mount
that is gone not even SIGKILL ends a process. The place is noted as silent, another child goes on,
and asks nothing there. An entry that ends its child is tried in another one; the third time it is
refused.

A thread would hang with the whole process, and asking only for mounts that are not local needs to
know them: there is no list of mounts on macOS, and a local disk can hang, too.
"""

from __future__ import annotations

import _pickle as pickle
import _signal
import contextlib
import io
import mmap
import os
import select
import time
from collections.abc import Callable

from fleet_lib import log, outside, spool
from fleet_lib.drain.linger import LARGEST_BYTES, memory_bytes
from fleet_lib.drain.put_off import PutOff, place_to_note
from fleet_lib.drain.reader_child import LENGTH, NEWEST_PROTOCOL, Reply, serve
from fleet_lib.errors import BadEntry, NoAnswer
from fleet_lib.store.usage import FilePlace, UsageReading
from fleet_lib.turn.prepared import NotRead, Prepared

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

POLL_SECONDS = 0.25
_LONGEST_SECONDS = 100.0  # for one answer of a child that works all the time
_CRASHES = 3  # in which an entry may end its child
_KILLS = 10  # the same by a signal that comes from elsewhere, too: the system lacks memory
_HANGS = 5  # of one question, each at another place
_UNSEEN_SECONDS = 10.0  # for an answer where the system does not say what a process does


_HAS_PROC = os.path.exists("/proc/self/stat")


class TookTooLong(BadEntry):
    """An entry's time is over, and its child was not waiting for anything."""


class _Died(Exception):
    """The child ended, by this signal or 0."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _NeverEnds(Exception):
    """The child works all the time, and not even its alarm ends that."""


class _Hangs(Exception):
    """The child waits for an answer that does not come: to a question of an entry ("" for none)
    about this path."""

    def __init__(self, path: str, entry: str) -> None:
        super().__init__(path)
        self.path, self.entry = path, entry


class Reader:
    """Asks a child, once `begin` was called. Each method raises NoAnswer, BadEntry or
    spool.Malformed, and notes a place that hangs in `put_off`. `on_wait(what)` is called when an
    answer takes long."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._board = mmap.mmap(-1, outside.BOARD_BYTES)
        self._child = 0
        self._requests = self._replies = -1
        self._unread = bytearray()  # of the replies
        self._poll = select.poll()
        self._abandoned: list[int] = []
        self._begin_batch()

    def begin(self, put_off: PutOff, on_wait: Callable[[str], None] = lambda _: None) -> None:
        """A drain begins. A child that stayed asks everything anew."""
        self._put_off = put_off
        self._on_wait = on_wait
        if self._child:
            try:
                self._begin_batch()
                self._send("begin", (put_off.silent_places(),))
            except _Died:  # it was killed while it waited, which says nothing about an entry
                self._drop()

    def rest(self) -> None:
        """A drain has ended, and another may follow: the child stays, unless it became large."""
        if self._coming:  # the drain failed before it had taken all of them
            self.end_child()
        if self._child:
            try:
                self._send("memory", ())
                is_large = self._result(self._receive()) + memory_bytes() > LARGEST_BYTES
            except (_Died, _Hangs, _NeverEnds, BadEntry, NoAnswer):
                is_large = True
            if is_large:
                self.end_child()

    def prepare_all(self, names: list[str]) -> None:
        """Ask for these entries at once. `prepare` returns each, in this order."""
        if not self._child:
            self._fork()
        try:
            self._send("prepare_all", (names,))
            self._coming = names[::-1]
        except _Died:  # `prepare` asks for each
            self._drop()

    def work_ahead(self, names: list[str]) -> None:
        """These entries will be asked for next. The child prepares them while nothing is asked."""
        if self._child and names:
            try:
                self._send("ahead", (names,))
            except _Died:
                self._drop()

    def prepare(self, name: str) -> Prepared | None:
        """The entry with what was read for it; None if another program removed it."""
        prepared: Prepared | None = self._ask("prepare", name)
        return prepared

    def read_more(self, prepared: Prepared, missing: NotRead) -> Prepared | None:
        """The same entry with what was missing."""
        name = prepared.entry.name
        more: Prepared | None = self._ask("read_more", name, vars(missing))
        return more

    def usage_files(self, transcript: str) -> dict[str, int]:
        """As turn.usage.usage_files; {} where nothing answers."""
        with contextlib.suppress(NoAnswer):
            found: dict[str, int] = self._ask("usage_files", transcript)
            return found
        return {}

    def read_usage(self, path: str, place: FilePlace, session_id: str) -> UsageReading | None:
        """As turn.usage.read_usage; None where nothing answers."""
        with contextlib.suppress(NoAnswer):
            reading: UsageReading | None = self._ask("read_usage", path, place, session_id)
            return reading
        return None

    def forget(self) -> None:
        """A batch is done: what was read for it is not asked for again."""
        if self._child:
            try:
                self._send("forget", ())
            except _Died:  # it had answered everything
                self._drop()
            self._begin_batch()

    def close(self) -> None:
        self.end_child()
        self._board.close()

    def end_child(self) -> None:
        """It ends by itself when its requests end."""
        self._close_pipes()
        if self._child:
            end = time.monotonic() + 1.0
            while time.monotonic() < end and not _is_reaped(self._child):
                time.sleep(0.002)
            self._child = 0

    def _ask(self, what: str, *arguments: object) -> Any:
        crashes = hangs = kills = 0
        while True:
            self._abandoned = [child for child in self._abandoned if not _is_reaped(child)]
            try:
                if not self._child:
                    self._fork()
                if self._coming and (what, self._coming[-1]) == ("prepare", arguments[0]):
                    self._coming.pop()
                else:
                    self._send(what, arguments)
                return self._result(self._receive())
            except _Died as died:
                self._drop()
                kills += died.number in (_signal.SIGKILL, _signal.SIGTERM)
                crashes += died.number not in (_signal.SIGKILL, _signal.SIGTERM)
                if crashes >= _CRASHES or kills >= _KILLS:
                    raise BadEntry(
                        f"it ended the process that read it {crashes + kills} times"
                        f" (the last time by signal {died.number})"
                    ) from None
            except _Hangs as question:
                hangs += 1
                place = self._abandon(question)
                if hangs >= _HANGS:
                    raise NoAnswer(place, "it does not answer", is_silent=True) from None
            except _NeverEnds:
                entry = outside.entry_on(self._board)
                self._kill()
                if entry in ("", *arguments):  # else the child was ahead, and the next one is not
                    raise TookTooLong("reading it took too long") from None

    def _result(self, reply: Reply) -> Any:
        kind, value = reply
        if kind == "answer":
            return value
        if kind == "slow":
            raise TookTooLong("reading it took too long")
        if kind == "waited":
            raise _Hangs(*value)
        if kind == "no answer":
            place, reason, is_silent = value
            raise NoAnswer(place, reason, is_silent=is_silent)
        raise spool.Malformed(value) if kind == "malformed" else BadEntry(value)

    # --- the child's process ---

    def _fork(self) -> None:
        requests, replies = os.pipe(), os.pipe()
        self._begin_batch()
        silent = self._put_off.silent_places()
        child = os.fork()
        if child == 0:
            try:
                serve(self._home, requests[0], replies[1], self._board, silent)
            except BrokenPipeError:
                pass  # the drainer was killed
            except Exception as error:
                what = f"the reader failed: {type(error).__name__}: {error}"
                log.write(self._home, "drain", what)
            finally:
                os._exit(0)
        with contextlib.suppress(OSError):  # the child does it, too, and may have ended
            os.setpgid(child, child)
        os.close(requests[0])
        os.close(replies[1])
        self._child, self._requests, self._replies = child, requests[1], replies[0]
        self._poll.register(self._replies, select.POLLIN)

    def _abandon(self, question: _Hangs) -> str:
        """Kill the child and what it started, and note what it asked; the place that is silent."""
        child = self._child
        self._kill()
        time.sleep(0.1)
        place = place_to_note(question.path, self._folder_of(question.entry), self._home)
        self._put_off.note_hang(place, _left_of_group(child))
        if not _is_reaped(child):
            self._abandoned.append(child)
        return place

    def _kill(self) -> None:
        """Kill the child and what it started, without waiting for its end."""
        with contextlib.suppress(OSError):
            os.killpg(self._child, _signal.SIGKILL)
        self._drop()

    def _folder_of(self, entry: str) -> str:
        with contextlib.suppress(OSError, spool.Malformed):
            if entry:
                found = spool.read_pending(self._home, entry)
                return found.project or found.cwd
        return ""

    def _drop(self) -> None:
        self._close_pipes()
        self._child = 0
        self._coming.clear()

    def _begin_batch(self) -> None:
        self._coming = list[str]()  # entries that were asked for at once, the next one last
        self._received = io.BytesIO()
        self._unpickler = pickle.Unpickler(self._received)

    def _close_pipes(self) -> None:
        if self._replies >= 0:
            self._poll.unregister(self._replies)
        for descriptor in (self._requests, self._replies):
            if descriptor >= 0:
                os.close(descriptor)
        self._requests = self._replies = -1
        self._unread.clear()

    # --- what is said ---

    def _send(self, what: str, arguments: tuple[object, ...]) -> None:
        data = pickle.dumps((what, arguments), NEWEST_PROTOCOL)
        data = LENGTH.pack(len(data)) + data
        try:
            while data:
                data = data[os.write(self._requests, data) :]
        except BrokenPipeError:
            raise self._death() from None

    def _receive(self) -> Any:
        watch = _Watch(self._child, self._board, self._on_wait)
        length = LENGTH.unpack(self._read(LENGTH.size, watch))[0]
        self._received.seek(0)
        self._received.truncate()
        self._received.write(self._read(length, watch))
        self._received.seek(0)
        # What was sent before in this batch is only referred to, as a repository's state.
        return self._unpickler.load()

    def _read(self, size: int, watch: _Watch) -> bytes:
        while len(self._unread) < size:
            if not self._poll.poll(POLL_SECONDS * 1000):
                watch.note_silence()
                continue
            part = os.read(self._replies, 1 << 16)
            if not part:
                raise self._death()
            self._unread += part
        data = bytes(self._unread[:size])
        del self._unread[:size]
        return data

    def _death(self) -> _Died:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            pid, status = os.waitpid(self._child, os.WNOHANG)
            if pid:
                return _Died(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
            time.sleep(0.002)
        return _Died(0)


class _Watch:
    """How long a child has been waiting: its time counts only while it neither works nor asks
    something new."""

    def __init__(self, child: int, board: mmap.mmap, on_wait: Callable[[str], None]) -> None:
        self._child = child
        self._board = board
        self._on_wait = on_wait
        self._seen: tuple[int, int] | None = None
        self._polls = self._silent_polls = 0

    def note_silence(self) -> None:
        """Nothing came for a moment. Raises _Hangs or _NeverEnds when that was one too many."""
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
            raise _Hangs(path, outside.entry_on(self._board))
        if self._polls * POLL_SECONDS >= _LONGEST_SECONDS:
            raise _NeverEnds


def _activity(child: int) -> tuple[bytes, int]:
    """(the letter of a process's state, the CPU time that it has used); (b"", -1) if that is
    unknown."""
    try:
        with open(f"/proc/{child}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return fields[0], int(fields[11]) + int(fields[12])
    except (OSError, IndexError, ValueError):
        return b"", -1


def _left_of_group(group: int) -> list[tuple[int, float]]:
    """The processes of a group that was killed and that did not end: (pid, when it started)."""
    # Only where something hangs, because its import takes as long as a query.
    from fleet_lib.processes import name_of

    left = []
    named = os.listdir("/proc") if _HAS_PROC else [str(group)]
    for pid in [int(name) for name in named if name.isdigit()]:
        with contextlib.suppress(OSError):
            if os.getpgid(pid) == group and (process := name_of(pid)):
                left.append((pid, process.started))
    return left


def _is_reaped(child: int) -> bool:
    try:
        return os.waitpid(child, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True
