"""`fleet status --watch`: the status on the terminal's other screen. It follows the files that a
change touches, rings the bell when a session begins to need you, and goes there with one key."""

import contextlib
import os
import select
import signal
import sqlite3
import sys
import termios
import time
import tty
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commander.cli._database import drain_spool, require_usable
from commander.cli._display import Cell, Harmless, Line, Part, is_interactive, terminal
from commander.cli._screen import FOLDED, nothing_yet, screen, waiting
from commander.cli.resuming import go
from fleet_lib import live, paths, spool
from fleet_lib.errors import DatabaseUnusable, FleetError, NotFound
from fleet_lib.notify.due import start_if_due
from fleet_lib.store import db
from fleet_lib.store.relay import RelayRepo
from fleet_lib.store.sessions import SessionRepo
from fleet_lib.views import overview

if TYPE_CHECKING:
    from rich.console import Console

_DRAIN_AGAIN_SECONDS = 30.0  # after a failed drain
_GLANCE_SECONDS = 0.2
_END_KEYS = ("q", "Q")


def watch(home: str, seconds: float, shows_all: bool, machine: str | None = None) -> None:
    """Until Ctrl-C or q. Raises UsageError where nothing can be redrawn."""
    if not is_interactive():
        raise click.UsageError("--watch needs a terminal; use `fleet events tail --json` in a pipe")
    console = terminal()
    if console.is_dumb_terminal:
        raise click.UsageError("--watch needs a terminal that can redraw, and TERM is dumb")
    require_usable(home)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the terminal stays as it is now
    watching = _Watch(home, seconds, shows_all, machine, console)
    with contextlib.suppress(KeyboardInterrupt):
        while session_id := watching.until_chosen():
            watching.note = _go(home, session_id)


def _go(home: str, session_id: str) -> str:
    """Show the session, and come back; what there is to say about it."""
    try:
        with contextlib.closing(db.connect_read_only(paths.database(home))) as connection:
            session = SessionRepo(connection).get(session_id)
            return go(connection, session, comes_back=True) if session else ""
    except (FleetError, sqlite3.Error, OSError) as error:
        return str(error)


class _Watch:
    """What is on the screen, and which alerts the bell was rung for."""

    def __init__(
        self,
        home: str,
        seconds: float,
        shows_all: bool,
        machine: str | None,
        console: "Console",
    ) -> None:
        self.note = ""
        self._home, self._seconds, self._shows_all = home, seconds, shows_all
        self._machine = machine
        self._console = console
        self._drawn = ""
        self._known: set[tuple[str, str]] | None = None  # (session, reason) of the last look
        self._not_before = 0.0  # when the spool may be drained again
        self._folders: list[str] = []  # of the clients' own files

    def until_chosen(self) -> str:
        """Redraw until a session is chosen, whose id is returned; "" at the end."""
        self._drawn = ""
        with _keys() as keys, self._console.screen():
            while True:
                size, traces = self._console.size, self._traces()
                chosen = self._look()
                until = time.monotonic() + self._seconds
                while time.monotonic() < until:
                    for key in keys(min(_GLANCE_SECONDS, self._seconds)):
                        if key in _END_KEYS:
                            return ""
                        if key in chosen:
                            return chosen[key]
                    if self._console.size != size:
                        self._drawn = ""
                        break
                    if self._traces() != traces:
                        break

    def _look(self) -> dict[str, str]:
        """Draw what is so now; {key: the session that it leads to}."""
        undrained = ""
        if spool.pending(self._home) and time.monotonic() >= self._not_before:
            undrained = drain_spool(self._home, timeout=5.0)
            self._not_before = time.monotonic() + (_DRAIN_AGAIN_SECONDS if undrained else 0)
        parts, report = self._current()
        if undrained:
            parts.append(Line((Cell(f"New captures could not be applied: {undrained}", "red"),)))
        rows = waiting(report)[:9] if report else []
        keys = {str(at): row["session_id"] for at, row in enumerate(rows, start=1)}
        there = (
            f"Press {'1' if len(keys) == 1 else f'1 to {len(keys)}'} to go there. " if keys else ""
        )
        note = Cell(f"{self.note} " if self.note else "", "yellow")
        parts.append(Line((note, Cell(f"{there}Stop with Ctrl-C or q.", "dim"))))
        self._draw(parts)
        self._ring(report)
        return keys

    def _current(self) -> tuple[list[Part], Mapping[str, Any] | None]:
        """The status as it is now. An error is shown and does not end the watch."""
        if not os.path.lexists(paths.database(self._home)):
            return nothing_yet(), None
        try:
            path = paths.database(self._home)
            with contextlib.closing(db.connect_read_only(path)) as connection:
                start_if_due(connection, self._home)
                self._folders = live.near_session_folders(connection)
                wanted = RelayRepo(connection).machine_filter(self._machine)
                most = None if self._shows_all else FOLDED
                report = overview.overview(connection, self._home, wanted, most)
                parts = screen(
                    connection, report, shows_all=self._shows_all, marks=True, machine=wanted
                )
                return parts, report
        except (DatabaseUnusable, NotFound, sqlite3.Error, OSError) as error:
            return [Line((Cell(f"{error}; run `fleet doctor` for details", "red"),))], None

    def _draw(self, parts: list[Part]) -> None:
        drawn = _frame(self._console, parts)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        # One write clears the rest of each line and of the screen, so nothing flickers.
        cleared = drawn.replace("\r\n", "\x1b[K\r\n")
        click.echo(f"\x1b[H{cleared}\x1b[K\x1b[J", nl=False, color=True)

    def _ring(self, report: Mapping[str, Any] | None) -> None:
        """The bell, once for each session that began to need you since the last look."""
        if report is None:
            return
        needing = {(row["session_id"], row["reason"]) for row in report["needs_you"]}
        if self._known is not None and needing - self._known:
            click.echo("\a", nl=False, color=True)
        self._known = needing

    def _traces(self) -> list[tuple[str, int, int]]:
        """What a change of the status leaves: times of files, and of those in a folder."""
        database = paths.database(self._home)
        files = [database, f"{database}-wal", f"{self._home}/spool/new"]
        traces = []
        for folder in self._folders:
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                files += [entry.path for entry in entries if entry.name.endswith(".json")]
        for file in files:
            with contextlib.suppress(OSError):
                found = Path(file).stat()
                traces.append((file, found.st_mtime_ns, found.st_size))
        return sorted(traces)


@contextlib.contextmanager
def _keys() -> Iterator[Any]:
    """A function that waits so many seconds for keys: their characters, "" for none and for one like
    an arrow. The terminal shows none of them meanwhile."""
    if not sys.stdin.isatty():
        yield _no_key
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def wait(seconds: float) -> str:
        if not select.select([descriptor], [], [], seconds)[0]:
            return ""
        typed = os.read(descriptor, 32)
        if not typed:
            raise KeyboardInterrupt  # the terminal is gone
        return "" if typed.startswith(b"\x1b") else typed.decode("ascii", "replace")

    try:
        tty.setcbreak(descriptor)
        yield wait
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _frame(console: "Console", parts: list[Part]) -> str:
    """The parts as lines that fit the terminal; the last one is always shown."""
    with console.capture() as captured:
        console.print(Harmless(*(part.rich(console.width) for part in parts)), end="")
    lines = captured.get().splitlines()
    if len(lines) > console.height:
        left = len(lines) - console.height + 2
        lines = [*lines[: console.height - 2], f"… {left} more lines", lines[-1]]
    return "\r\n".join(lines)
