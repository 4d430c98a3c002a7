"""What Claude Code itself says of its sessions, in `sessions/<pid>.json` of its configuration
folder: reading these files, and correcting a stored state by them. Hot path.

The files are undocumented, so each is optional: one that is missing or odd says nothing. Nothing
here writes, and the `*.key` files beside them are never opened."""

import sys
import time

from fleet_lib import paths
from fleet_lib.rules import OPEN_ALERT_SECONDS, seconds_ago
from fleet_lib.small_os import os

TYPE_CHECKING = False  # mypy knows the name; typing itself would cost more than the whole hook
if TYPE_CHECKING:
    import sqlite3

SETTLED_MS = 1000  # a state stored less than this ago is newer than a file that was written before
_FILE_LIMIT = 64 * 1024  # bytes
_MOST_FILES = 1000  # of one folder; killed clients leave theirs
_CHILD_SECONDS = 0.3
_SILENT_SECONDS = 60.0  # a folder that did not answer is left alone
_CHILD = "import sys; sys.path.append(sys.argv[1]); from fleet_lib import live; live.print_folder()"
_POLL_SECONDS = 0.002
_LATEST_MS = 4_000_000_000_000  # in the year 2096; what is beyond is no time

# How much a state needs a person, for a session that several clients have open.
_NEED = {
    "waiting_for_permission": 5,
    "waiting_for_input": 4,
    "blocked": 3,
    "failed": 2,
    "working": 1,
    "completed": 0,
    "ended": -1,
}
_not_before: "dict[str, float]" = {}  # {folder: when it may be asked again, monotonic}

_WAITS = {"permission prompt": "waiting_for_permission", "input needed": "waiting_for_input"}

FIELDS = (
    *("sessionId", "pid", "procStart", "pidDomain", "entrypoint"),
    *("status", "waitingFor", "statusUpdatedAt"),
)
_FIELDS_SQL = (
    "SELECT "
    + ", ".join([f"json_extract(t, '$.{name}')" for name in FIELDS])
    + " FROM (SELECT CASE WHEN json_valid(?1) THEN ?1 END AS t) WHERE json_type(t) = 'object'"
)


class ClientFile:
    """One session file: what one client process said last."""

    __slots__ = (
        "domain",
        "entrypoint",
        "pid",
        "place",
        "session_id",
        "start",
        "status",
        "updated_ms",
        "waiting_for",
    )

    def __init__(self, fields: "tuple[object, ...]", place: str = "") -> None:
        session_id, pid, start, domain, entrypoint, status, waiting_for, updated = fields
        self.place = place  # its folder
        self.session_id = session_id if isinstance(session_id, str) else ""
        self.pid = pid if isinstance(pid, int) else 0
        self.start = str(start) if isinstance(start, (str, int)) else ""
        self.domain = domain if isinstance(domain, str) else ""
        self.entrypoint = entrypoint
        self.status = status
        self.waiting_for = waiting_for
        is_time = isinstance(updated, (int, float)) and 0 < updated < _LATEST_MS
        self.updated_ms = int(updated) if is_time else 0  # type: ignore[call-overload]

    def is_headless(self) -> bool:
        """Whether this is `claude -p`, which cannot be answered."""
        return self.entrypoint == "sdk-cli"

    def state(self, stored: "Stored") -> "str | None":
        """What the session is doing by this file; None if it says nothing against the stored
        state."""
        if self.is_headless():
            is_asking = stored.is_dialog or self.status in ("busy", "waiting")
            return "working" if is_asking else None
        if self.status == "busy":
            return "working"
        if self.status == "waiting":
            return _WAITS.get(str(self.waiting_for))
        if self.status == "idle" and (stored.is_dialog or stored.state == "working"):
            return "completed"  # answered with no, or interrupted: no hook says so
        return None

    def is_alive(self) -> "bool | None":
        """Whether the process lives; None if that cannot be known from here."""
        if self.pid <= 0 or not _is_our_domain(self.domain):
            return None
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except FileNotFoundError:
            return False if _has_proc() else _answers(self.pid)
        except OSError:
            return None
        if len(fields) < 20:
            return None
        return fields[0] not in (b"Z", b"X") and self.start in ("", fields[19].decode())


class Stored:
    """What the hooks said last of a session."""

    __slots__ = ("at", "ended_at", "is_dialog", "state")

    def __init__(self, state: str, at: str, ended_at: "str | None", is_dialog: bool) -> None:
        self.state = state
        self.at = at
        self.ended_at = ended_at
        self.is_dialog = is_dialog  # whether the state is a dialog that waits for an answer


def corrected(
    stored: Stored, files: "list[ClientFile]", now_ms: int, is_thorough: bool = False
) -> "tuple[str, str, int]":
    """(state, since, time of the file that says it in milliseconds, 0 if the stored state holds).
    The state is one of the stored ones, or `ended`.

    Processes are looked at only where the answer would be that the session needs a person, unless
    `is_thorough`."""
    held = ("ended", stored.ended_at) if stored.ended_at else (stored.state, stored.at)
    if not files:
        return held[0], held[1], 0
    # A stored time in the future says that the clock was ahead: it says nothing about which is
    # newer.
    is_settled = not iso(now_ms - SETTLED_MS) < held[1] <= iso(now_ms + SETTLED_MS)
    answers = []
    for file in files:
        said = file.state(stored) if is_settled or iso(file.updated_ms) > held[1] else None
        if said is not None:
            since = iso(file.updated_ms) if file.updated_ms else stored.at
            answers.append((_NEED[said], said, since, file.updated_ms or now_ms, file))
        elif is_settled:
            # A session that has ended goes on in a client that has it open too.
            need = _NEED.get(stored.state, 0)
            answers.append((need, stored.state, stored.at, 0, file))
        else:
            answers.append((_NEED.get(held[0], 0), held[0], held[1], 0, file))
    answers.sort(key=lambda answer: -answer[0])
    for need, state, since, updated_ms, file in answers:
        is_looked_at = is_thorough or need > _NEED["working"] or stored.ended_at is not None
        if not is_looked_at or file.is_alive() is not False:
            return state, since, updated_ms
    return "ended", held[1], 0


def read(connection: "sqlite3.Connection") -> "dict[str, list[ClientFile]]":
    """{session id: its files} of all configuration folders that are known."""
    by_session: dict[str, list[ClientFile]] = {}
    for place, text in _texts(connection):
        row = connection.execute(
            _FIELDS_SQL, (text.decode("utf-8", "replace").replace("\0", ""),)
        ).fetchone()
        if row is None:
            continue
        file = ClientFile(tuple(row), place)
        # Only a plain id goes into a statement's JSON; another one is no session's.
        if file.session_id.replace("-", "").replace("_", "").isalnum():
            by_session.setdefault(file.session_id, []).append(file)
    return by_session


def iso(milliseconds: int) -> str:
    """Unix milliseconds in the database's form."""
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
    return f"{seconds}.{milliseconds % 1000:03d}Z"


def near_session_folders(connection: "sqlite3.Connection") -> "list[str]":
    """The folders of session files that are on the database's own device."""
    return [_place(folder) for folder, is_near in _folders(connection) if is_near]


def readable_session_folders(connection: "sqlite3.Connection") -> "list[str]":
    """Those of them that can be read: only there a missing file says something."""
    return [place for place in near_session_folders(connection) if os.access(place, os.R_OK)]


def _folders(connection: "sqlite3.Connection") -> "list[tuple[str, bool]]":
    """(configuration folder, whether it may be asked directly) of those that the drainer looked
    into lately; before it has looked into any, the one of this environment. A folder on another
    device than the database may be on a mount that is gone."""
    rows = connection.execute(
        "SELECT folder, device FROM client_folders WHERE checked_at > ? ORDER BY folder",
        (seconds_ago(OPEN_ALERT_SECONDS),),
    ).fetchall()
    if not rows:
        named = os.environ.get("CLAUDE_CONFIG_DIR") or os.path.join("~", ".claude")
        return [(os.path.expanduser(named), True)]
    try:
        device = os.stat(connection.execute("PRAGMA database_list").fetchone()[2]).st_dev
    except OSError:
        device = -1
    return [(row[0], row[1] == device) for row in rows]


def _place(folder: str) -> str:
    return os.path.join(folder, "sessions")


def _texts(connection: "sqlite3.Connection") -> "list[tuple[str, bytes]]":
    """(folder, content) of all session files. A child asks a folder that may hang, and is abandoned
    if it does."""
    found: list[tuple[str, bytes]] = []
    for folder, is_near in _folders(connection):
        texts = read_folder(folder) if is_near else _ask_child(folder)
        found += [(_place(folder), text) for text in texts]
    return found


def read_folder(folder: str) -> "list[bytes]":
    """The contents of the session files of one configuration folder."""
    place = _place(folder)
    try:
        names = os.listdir(place)
    except (OSError, ValueError):
        return []
    found: list[bytes] = []
    for name in [name for name in names if name.endswith(".json") and name[:-5].isdigit()]:
        if len(found) == _MOST_FILES:
            break
        try:
            descriptor = os.open(
                os.path.join(place, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            )
        except OSError:
            continue  # the client has ended
        try:
            found.append(os.read(descriptor, _FILE_LIMIT))
        except OSError:
            pass
        finally:
            os.close(descriptor)
    return found


def _ask_child(folder: str) -> "list[bytes]":
    """`read_folder` in a process of its own; [] if it does not answer in time."""
    if time.monotonic() < _not_before.get(folder, 0.0):
        return []
    reading, writing = os.pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, writing, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_RDWR, 0),
    ]
    command = [sys.executable, "-I", "-S", "-c", _CHILD, paths.PROGRAM, folder]
    try:
        child = os.posix_spawn(sys.executable, command, os.environ, file_actions=actions)
    except OSError:
        os.close(reading)
        return []
    finally:
        os.close(writing)
    answer, is_whole = _answer(reading)
    os.close(reading)
    if not is_whole:
        _not_before[folder] = time.monotonic() + _SILENT_SECONDS
        os.kill(child, 9)  # if it hangs on a dead mount, it ends when it can
    os.waitpid(child, 0 if is_whole else os.WNOHANG)
    return answer.split(b"\0")[:-1]


def print_folder() -> None:
    """The child's part: the files of the folder that it was named, each with a zero byte."""
    os.write(1, b"".join([text + b"\0" for text in read_folder(sys.argv[2])]))


def _answer(descriptor: int) -> "tuple[bytes, bool]":
    """(what comes until the end, True), or (b"", False) when the time is over."""
    os.set_blocking(descriptor, False)
    deadline = time.monotonic() + _CHILD_SECONDS
    parts: list[bytes] = []
    while time.monotonic() < deadline:
        try:
            part = os.read(descriptor, 1 << 20)
        except BlockingIOError:
            time.sleep(_POLL_SECONDS)
            continue
        if not part:
            return b"".join(parts), True
        parts.append(part)
    return b"", False


def _is_our_domain(domain: str) -> bool:
    """Whether a pid of this domain, `linux:<machine id>:pid:[<inode>]`, is one of our pids. Older
    clients name no domain."""
    if not domain:
        return True
    try:
        ours = os.readlink("/proc/self/ns/pid")
    except OSError:
        return not domain.startswith("linux:")
    system, _, rest = domain.partition(":")
    machine, _, namespace = rest.partition(":")
    return system == "linux" and namespace == ours and machine in ("", _machine() or machine)


def _machine() -> str:
    try:
        with open("/etc/machine-id", encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _has_proc() -> bool:
    return os.path.exists("/proc/self/stat")


def _answers(pid: int) -> "bool | None":
    """Whether there is a process of this number, where the system has no /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True
