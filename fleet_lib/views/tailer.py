"""Follows the outbox from a cursor: every event once, in order, whichever program wrote it. It
blocks, so the gateway runs it in a thread of its own.

An idle tailer costs nothing: where watchdog is installed (an extra) it watches the database's
folder, and polls only every two seconds in case a change went unseen.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fleet_lib.store import db
from fleet_lib.store.outbox import OutboxEvent, OutboxRepo

PAGE = 500
_SLOW_POLL_SECONDS = 2.0  # with a watch
_POLL_SECONDS = 0.2  # without a watch
_CHANGES = ("created", "modified", "moved", "deleted")
_FIRST_PAUSE_SECONDS, SHORT_PAUSE_SECONDS = 0.001, 0.02


def identity(database: Path | str) -> tuple[int, int] | None:
    """Which file is there; None without one. After a restore it is another. The file is not opened:
    only SQLite may open it, or its locks would be lost."""
    try:
        found = Path(database).stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


class Tailer:
    """Follows the outbox of one database, until `stop` is called from another thread."""

    def __init__(self, database: str | Path) -> None:
        self._database = Path(database)
        self._changed = threading.Event()
        self._followed: tuple[int, int] | None = None
        self.is_stopped = False

    def stop(self) -> None:
        self.is_stopped = True
        self._changed.set()

    def pause(self, seconds: float) -> None:
        """Wait, at most until `stop` is called."""
        deadline = time.monotonic() + seconds
        while not self.is_stopped and time.monotonic() < deadline:
            time.sleep(SHORT_PAUSE_SECONDS)

    def follow(self, after: int) -> Iterator[list[OutboxEvent]]:
        """Pages of the events after a cursor as they come, without an end. An empty page means that
        the database was replaced or set back to an earlier state; the next events are those after
        the cursor or after the database's newest event, whichever is less.

        Raises DatabaseUnusable if there is no database, sqlite3.Error if it cannot be read."""
        database = self._database.resolve()
        wal = f"{database}-wal"
        with watching(database.parent, wal.__eq__, self._changed.set) as is_watched:
            while not self.is_stopped:
                opened = identity(self._database)
                with contextlib.closing(db.connect_read_only(self._database)) as connection:
                    newest = OutboxRepo(connection).latest_id()
                    if newest < after or self._followed not in (None, opened):
                        after = min(after, newest)
                        yield []
                    self._followed = opened
                    for page in self._pages(connection, after, is_watched):
                        after = page[-1].event_id
                        yield page

    def _pages(
        self, connection: sqlite3.Connection, after: int, is_watched: bool
    ) -> Iterator[list[OutboxEvent]]:
        """The pages of this database, until it is replaced or set back to an earlier state."""
        outbox = OutboxRepo(connection)
        checked_at = time.monotonic()
        pauses: Iterator[float] = iter(())
        while not self.is_stopped:
            page = outbox.get_after(after, PAGE)
            if page:
                after = page[-1].event_id
                yield page
                continue
            now = time.monotonic()
            if now - checked_at > _SLOW_POLL_SECONDS:
                checked_at = now
                if identity(self._database) != self._followed or outbox.latest_id() < after:
                    return
            pause = next(pauses, _SLOW_POLL_SECONDS if is_watched else _POLL_SECONDS)
            if pause <= SHORT_PAUSE_SECONDS:
                time.sleep(pause)
            elif self._changed.wait(pause):
                self._changed.clear()
                pauses = pauses_after_change()


def pauses_after_change() -> Iterator[float]:
    """How long to wait before each look at a database whose file has just changed, in seconds. A
    commit can be read only once it is on the disk, and no further change of the file says so: that
    is a moment after the change, or seconds on a busy disk. The pauses grow with the time that has
    passed, until the regular look comes."""
    passed, pause = 0.0, _FIRST_PAUSE_SECONDS
    while passed < _SLOW_POLL_SECONDS:
        yield pause
        passed += pause
        pause = max(min(2 * pause, SHORT_PAUSE_SECONDS), passed / 4)


@contextlib.contextmanager
def watching(
    folder: Path, is_wanted: Callable[[str], bool], changed: Callable[[], None]
) -> Iterator[bool]:
    """Call `changed` when a file of the folder changes whose path is wanted. Yields False if
    nothing can watch it."""
    try:
        from watchdog.events import FileSystemEvent, FileSystemEventHandler
        from watchdog.observers import Observer
    except ImportError:
        yield False
        return
    import logging

    # It is always stopped while it reads, and would log an error each time.
    logging.getLogger("watchdog").setLevel(logging.CRITICAL)

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            # Not the events of reading: the callback itself reads.
            if event.event_type in _CHANGES and (
                is_wanted(str(event.src_path)) or is_wanted(str(event.dest_path))
            ):
                changed()

    observer, is_watched = None, False
    try:
        observer = Observer()  # may hold one of the few inotify instances of a user from here on
        observer.schedule(Handler(), str(folder))
        observer.start()
        is_watched = True
    except OSError:  # there is no such folder, or the system allows no more watches
        if observer:
            observer.stop()
    try:
        yield is_watched
    finally:
        if observer and is_watched:
            observer.stop()
