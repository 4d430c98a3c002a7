"""Where a session can be reached: the process, terminal and tmux pane in which it is open, or how it
is opened again. Asks the system and tmux, so it is no part of a list."""

import os
import shlex
import sqlite3
from glob import escape
from pathlib import Path

import psutil

from fleet_lib import live
from fleet_lib.records import Record
from fleet_lib.store.sessions import Session

_TMUX_SECONDS = 2.0
_PANE_FORMAT = (
    "#{pane_tty}\t#{pane_id}\t#{session_id}\t#{session_name}:#{window_index}.#{pane_index}"
)


class Pane(Record):
    """A pane of tmux."""

    socket: str  # of its server, "" for the usual one
    id: str  # %3
    session: str  # $1
    name: str  # work:1.0, for a person

    def command(self, *arguments: str) -> list[str]:
        server = ["-S", self.socket] if self.socket else []
        return ["tmux", *server, *arguments]

    def is_of_this_server(self) -> bool:
        """Whether we are inside of the pane's server."""
        ours = os.environ.get("TMUX", "").partition(",")[0]
        return bool(ours) and self.socket in ("", ours)


class Client(Record):
    """A Claude Code that has a session open now."""

    pid: int
    is_near: bool  # its process is one of this machine and container
    is_headless: bool  # `claude -p`: no one can be taken there
    terminal: str = ""  # /dev/pts/3
    pane: Pane | None = None

    def in_words(self) -> str:
        """After "is open" or "runs"."""
        if not self.is_near:
            return "in another container or on another machine"
        place = f"in terminal {self.terminal}" if self.terminal else "without a terminal"
        if self.pane:
            place = f"in tmux pane {self.pane.name}"
        return f"{place} (process {self.pid})"


def living_client(connection: sqlite3.Connection, session_id: str) -> Client | None:
    """The client that has the session open. Of several the one that can be reached best; None if it
    has ended, or if nothing says that it lives."""
    found = []
    for file in live.read(connection).get(session_id, []):
        is_alive = file.is_alive()
        if is_alive is None:
            found.append(Client(file.pid, False, file.is_headless()))
        elif is_alive:
            found.append(_near(file))
    found.sort(key=lambda one: (one.is_near, not one.is_headless, one.pane is not None))
    return found[-1] if found else None


def configuration_folder(connection: sqlite3.Connection, session_id: str) -> Path | None:
    """Claude Code's configuration folder that holds the session's transcript, if one is known."""
    for folder in _configuration_folders(connection):
        if any(folder.glob(f"projects/*/{escape(session_id)}.jsonl")):
            return folder
    return None


def is_transcript_gone(connection: sqlite3.Connection, session_id: str) -> bool:
    """Whether the session had a transcript, and none of the folders that are known has it now."""
    ((known,),) = connection.execute("SELECT count(*) FROM client_folders")
    folders = _configuration_folders(connection)
    if not known or known > len(folders) or not all(map(_has_projects, folders)):
        return False  # one that we cannot look into may have it
    was_read = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM turns WHERE session_id = ?1 AND title IS NOT NULL)"
        " OR EXISTS (SELECT 1 FROM usage_sums WHERE session_id = ?1)",
        (session_id,),
    ).fetchone()[0]
    return bool(was_read) and configuration_folder(connection, session_id) is None


def resume_line(session: Session, configuration: Path | None) -> str:
    """What opens the session again when it is typed in a shell."""
    variable = ""
    if configuration and configuration != usual_configuration():
        variable = f"CLAUDE_CONFIG_DIR={shlex.quote(str(configuration))} "
    folder, session_id = shlex.quote(session.folder), shlex.quote(session.session_id)
    return f"cd {folder} && {variable}claude --resume {session_id}"


def usual_configuration() -> Path:
    named = os.environ.get("CLAUDE_CONFIG_DIR")
    return Path(named) if named else Path.home() / ".claude"


def _configuration_folders(connection: sqlite3.Connection) -> list[Path]:
    """Those of this device: another one may not answer."""
    return [Path(place).parent for place in live.near_session_folders(connection)]


def _has_projects(folder: Path) -> bool:
    return os.access(folder / "projects", os.R_OK | os.X_OK)


def _near(file: live.ClientFile) -> Client:
    terminal, server = "", ""
    try:
        process = psutil.Process(file.pid)
        terminal = _terminal(process)
        # Nothing else of its environment is looked at.
        server = process.environ().get("TMUX", "").partition(",")[0] if terminal else ""
    except psutil.Error:
        pass
    return Client(file.pid, True, file.is_headless(), terminal, _pane(terminal, server))


def _terminal(process: psutil.Process) -> str:
    """Its standard input, else what psutil says, which knows only the terminals that there were when
    it was first asked."""
    try:
        name = str(Path(f"/proc/{process.pid}/fd/0").readlink())
    except OSError:
        name = ""
    return name if name.startswith(("/dev/pts/", "/dev/tty")) else process.terminal() or ""


def _pane(terminal: str, socket: str) -> Pane | None:
    """The pane of this terminal, in the server of tmux with this socket or, for "", in the usual."""
    import shutil  # these two are for `fleet resume` alone
    import subprocess

    if not terminal or not shutil.which("tmux"):
        return None
    server = ["-S", socket] if socket else []
    try:
        done = subprocess.run(
            ["tmux", *server, "list-panes", "-a", "-F", _PANE_FORMAT],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TMUX_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [row.split("\t", 3) for row in done.stdout.splitlines()]
    found = [row for row in rows if len(row) == 4 and row[0] == terminal]
    return Pane(socket, *found[0][1:]) if found else None
