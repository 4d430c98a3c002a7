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
from collections.abc import Callable, Sequence

from fleet_lib import log, outside, spool
from fleet_lib.drain.linger import LARGEST_BYTES, memory_bytes
from fleet_lib.drain.put_off import PutOff, place_to_note
from fleet_lib.drain.reader_child import LENGTH, NEWEST_PROTOCOL, Reply, serve
from fleet_lib.drain.reader_watch import POLL_SECONDS, Hangs, NeverEnds, Watch
from fleet_lib.drain.usage import Question
from fleet_lib.errors import BadEntry, NoAnswer
from fleet_lib.store.usage import UsageReading
from fleet_lib.turn.prepared import NotRead, Prepared

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

_CRASHES = 3  # in which an entry may end its child
_KILLS = 10  # the same by a signal that comes from elsewhere, too: the system lacks memory
_HANGS = 5  # of one question, each at another place


_HAS_PROC = os.path.exists("/proc/self/stat")


class TookTooLong(BadEntry):
    """An entry's time is over, and its child was not waiting for anything."""


class _Died(Exception):
    """The child ended, by this signal or 0."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


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
        self._coming: list[tuple[Any, ...]] = []  # what was asked at once, the next one last
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
                self._send("rest", (LARGEST_BYTES - memory_bytes(),))
            except _Died:
                self._drop()

    def prepare_all(self, names: list[str]) -> None:
        """Ask for these entries at once. `prepare` returns each, in this order."""
        self._ask_each("prepare", [(name,) for name in names])

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

    def usage_files(self, transcripts: list[str]) -> list[dict[str, int]]:
        """As turn.usage.usage_files of each; {} where nothing answers."""
        return self._answers("usage_files", [(transcript,) for transcript in transcripts], {})

    def read_usage(self, questions: list[Question]) -> list[UsageReading | None]:
        """As turn.usage.read_usage of each; None where nothing answers."""
        return self._answers("read_usage", questions, None)

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

    def _ask_each(self, what: str, questions: Sequence[tuple[Any, ...]]) -> None:
        """Ask all of these at once. `_ask` returns the answers, in this order."""
        if not self._child:
            self._fork()
        try:
            self._send("each", (what, questions))
            self._coming = [(what, *arguments) for arguments in reversed(questions)]
        except _Died:  # `_ask` asks each
            self._drop()

    def _answers(self, what: str, questions: Sequence[tuple[Any, ...]], none: Any) -> list[Any]:
        """The answer to each of these; `none` where nothing answers."""
        self._ask_each(what, questions)
        found = []
        try:
            for arguments in questions:
                try:
                    found.append(self._ask(what, *arguments))
                except NoAnswer:
                    found.append(none)
        finally:
            if len(found) < len(questions):
                self.end_child()  # it has not said everything
        return found

    def _ask(self, what: str, *arguments: object) -> Any:
        crashes = hangs = kills = 0
        while True:
            self._abandoned = [child for child in self._abandoned if not _is_reaped(child)]
            try:
                if not self._child:
                    self._fork()
                if self._coming and self._coming[-1] == (what, *arguments):
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
            except Hangs as question:
                hangs += 1
                place = self._abandon(question)
                if hangs >= _HANGS:
                    raise NoAnswer(place, "it does not answer", is_silent=True) from None
            except NeverEnds:
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
            raise Hangs(*value)
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

    def _abandon(self, question: Hangs) -> str:
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
        self._coming.clear()
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
        watch = Watch(self._child, self._board, self._on_wait)
        length = LENGTH.unpack(self._read(LENGTH.size, watch))[0]
        self._received.seek(0)
        self._received.truncate()
        self._received.write(self._read(length, watch))
        self._received.seek(0)
        # What was sent before in this batch is only referred to, as a repository's state.
        return self._unpickler.load()

    def _read(self, size: int, watch: Watch) -> bytes:
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
