"""The child's part of reader.py: it reads entries and asks the world, until its requests end. It is
forked from the drainer, and touches neither the database nor the drainer's lock."""

from __future__ import annotations

import _pickle as pickle
import _signal
import contextlib
import gc
import io
import mmap
import os
import select
import struct
import time
from collections.abc import Callable, Collection, Iterator
from types import FrameType

from fleet_lib import outside, spool
from fleet_lib.drain import bundle
from fleet_lib.drain.linger import memory_bytes
from fleet_lib.errors import BadEntry, NoAnswer
from fleet_lib.turn import remembered
from fleet_lib.turn.prepare import prepare, read_more
from fleet_lib.turn.prepared import NotRead, Prepared
from fleet_lib.turn.repositories import Repositories
from fleet_lib.turn.usage import read_usage, usage_files

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any, BinaryIO

ENTRY_SECONDS = 20.0
ENTRY_SECONDS_PER_MB = 1.0
NEWEST_PROTOCOL = -1  # of pickle, whose C half alone is imported
LENGTH = struct.Struct("<Q")  # before each request and reply
# "answer", "no answer", "waited", "slow", "malformed" or "refused", and what belongs to it.
Reply = tuple[str, "Any"]
_DESCRIPTORS = 65536  # more are never open


def serve(
    home: str, requests: int, replies: int, board: mmap.mmap, silent: Collection[str]
) -> None:
    """Answer requests until there are no more, in the child."""
    # A group of its own, which is killed with all that it started.
    os.setpgid(0, 0)
    # An inherited descriptor would hold the drainer's lock, or keep the reader of a pipe waiting, for
    # as long as this process hangs.
    _close_all_but(requests, replies)
    _signal.signal(_signal.SIGALRM, _expire)
    gc.freeze()  # the collector would copy every page that is shared with the drainer
    outside.note_on(board, silent)
    remembered.keep_in(home)
    child = _Child(home)
    asked = select.poll()
    asked.register(requests, select.POLLIN)
    with open(replies, "wb", 1 << 16) as sent:
        while True:
            while child.is_ahead and not asked.poll(0):
                child.work_ahead()
            if not (head := _read(requests, LENGTH.size)):
                return
            what, arguments = pickle.loads(_read(requests, LENGTH.unpack(head)[0]))
            if what == "forget":
                child.forget()
                bundle.keep()
            elif what == "rest":
                if memory_bytes(only_own=True) > arguments[0]:
                    return
            elif what == "ahead":
                child.begin_ahead(*arguments)
            elif what == "begin":
                outside.note_on(board, *arguments)
                child = _Child(home)
            elif what == "each":
                what, questions = arguments
                for each in questions:
                    if what == "prepare" and not child.has_prepared(each[0]):
                        sent.flush()  # what is done is not lost with an entry that hangs
                    _send(sent, child.reply(what, each))
            else:
                _send(sent, child.reply(what, arguments))
            sent.flush()


def _read(descriptor: int, size: int) -> bytes:
    """So many bytes; fewer where the other end is closed."""
    data = b""
    while len(data) < size and (part := os.read(descriptor, size - len(data))):
        data += part
    return data


def _send(sent: BinaryIO, data: bytes) -> None:
    sent.write(LENGTH.pack(len(data)))
    sent.write(data)


class _Child:
    def __init__(self, home: str) -> None:
        self._home = home
        self._repositories = Repositories(home)
        self._answers: dict[str, Callable[..., Any]] = {
            "prepare": self._prepare,
            "read_more": self._read_more,
            "usage_files": lambda *arguments: _within_limit(0, usage_files, *arguments),
            "read_usage": lambda *arguments: _within_limit(0, read_usage, *arguments),
        }
        self._ahead: list[str] = []  # to be prepared before they are asked for, the first one last
        self._early: dict[str, Prepared] = {}  # that are prepared, and were not asked for yet
        self.forget()

    @property
    def is_ahead(self) -> bool:
        """Whether there is work that was not asked for yet."""
        return bool(self._ahead)

    def has_prepared(self, name: str) -> bool:
        return name in self._early

    def begin_ahead(self, names: list[str]) -> None:
        """These entries will be asked for next."""
        self._ahead = names[::-1]
        self._early.clear()

    def work_ahead(self) -> None:
        """Prepare one of them. Where that is not an ordinary answer, it ends: the entry is read
        again, and its trouble is seen, when it is asked for."""
        name = self._ahead.pop()
        kind, prepared = self._answer("prepare", (name,))
        if kind == "answer" and prepared is not None:
            self._early[name] = self._prepared.pop(name)
        else:
            self._ahead.clear()

    def forget(self) -> None:
        self._prepared: dict[str, Prepared] = {}
        self._pickled = io.BytesIO()
        self._pickler = pickle.Pickler(self._pickled, NEWEST_PROTOCOL)

    def reply(self, what: str, arguments: tuple[Any, ...]) -> bytes:
        self._pickler.dump(self._answer(what, arguments))
        data = self._pickled.getvalue()
        self._pickled.seek(0)
        self._pickled.truncate()
        return data

    def _answer(self, what: str, arguments: tuple[Any, ...]) -> Reply:
        is_of_entry = what in ("prepare", "read_more")
        outside.note_entry(arguments[0] if is_of_entry else "")
        try:
            return "answer", self._answers[what](*arguments)
        except NoAnswer as error:
            return "no answer", (error.place, error.reason, error.is_silent)
        except spool.Malformed as error:
            return "malformed", str(error)
        except BadEntry as error:
            return "refused", str(error)
        except _Waited:
            return "waited", (outside.last_question(), arguments[0] if is_of_entry else "")
        except _TookTooLong:
            return "slow", None
        except OSError as error:
            if outside.is_trouble(error):
                # The path of the last question is what it was about.
                path = os.fsdecode(error.filename or "") or outside.last_question()
                return "no answer", (path, error.strerror or "an error of the disk", False)
            return "refused", f"{type(error).__name__}: {error}"
        except Exception as error:  # a bug of ours: quarantine this entry and go on
            return "refused", f"{type(error).__name__}: {error}"

    def _prepare(self, name: str) -> Prepared | None:
        if early := self._early.pop(name, None):
            self._prepared[name] = early
            return early
        try:
            entry = spool.read_pending(self._home, name)
        except FileNotFoundError:
            return None
        size = len(entry.payload)
        prepared: Prepared = _within_limit(size, prepare, entry, self._home, self._repositories)
        self._prepared[name] = prepared
        entry.payload = b""  # it is parsed, and can be long
        return prepared

    def _read_more(self, name: str, missing: dict[str, Any]) -> Prepared | None:
        # Another child than this one may have prepared it.
        prepared = self._prepared.get(name) or self._prepare(name)
        if prepared is not None:
            lacks = NotRead(**missing)
            prepared = _within_limit(0, read_more, prepared, lacks, self._repositories)
            self._prepared[name] = prepared
        return prepared


class _TookTooLong(Exception):
    """An entry's time is over. Not an OSError: code that reads files may catch that."""


class _Waited(Exception):
    """The same of a process that waited for most of it."""


def _within_limit(size: int, work: Callable[..., Any], *arguments: object) -> Any:
    """What the work returns. Raises _TookTooLong or _Waited when the time for a payload of this size
    is over."""
    seconds = ENTRY_SECONDS + ENTRY_SECONDS_PER_MB * size / (1 << 20)
    worked = time.process_time()
    try:
        with _alarm(seconds):
            return work(*arguments)
    except _TookTooLong:
        if time.process_time() - worked < seconds / 2:
            raise _Waited from None
        raise


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    _signal.setitimer(_signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        _signal.setitimer(_signal.ITIMER_REAL, 0)


def _expire(_signal: int, _frame: FrameType | None) -> None:
    raise _TookTooLong


def _close_all_but(*kept: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, _DESCRIPTORS)
