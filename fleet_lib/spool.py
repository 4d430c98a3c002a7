"""The inbox: a Maildir of hook payloads. Hot path: os, time and fcntl only.

An entry is written in `tmp/`, synced, and moved into `new/`. From then on it is never changed, only
read and removed. Nothing here knows what a payload means. If its writer is killed before the move,
a drainer moves it in: a file in `tmp/` that no writer has locked and that is whole is an entry.

An entry's file: header lines `key value` (the values percent-escaped), an empty line, the payload's
bytes as the hook got them, then the status file's bytes if there is one.
"""

import time

from fleet_lib import paths
from fleet_lib.small_os import os

VERSION = "1"
_FOLDERS = ("tmp", "bad", "new")
_LARGEST_BYTES = paths.MAX_PAYLOAD_BYTES + (2 << 20)  # payload, status file and header
_SESSION_ID_CHARS = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-")


class Malformed(ValueError):
    """The file is not a spool entry that this version can read."""


class Entry:
    """One captured hook call, read back from the spool."""

    __slots__ = (
        "client",
        "cwd",
        "event",
        "name",
        "payload",
        "project",
        "received_ns",
        "shown",
        "status",
        "worktree",
    )

    def __init__(
        self,
        name: str,
        event: str,
        received_ns: int,
        project: str,
        cwd: str,
        shown: "tuple[int, int] | None",
        payload: bytes,
        status: "bytes | None",
        client: str = "",
        worktree: str = "",
    ) -> None:
        self.name = name  # the file's name and the entry's id; name_parts() takes it apart
        self.event = event  # hook event name, e.g. "Stop"
        self.received_ns = received_ns  # Unix time, nanoseconds
        self.project = project  # CLAUDE_PROJECT_DIR, or ""
        self.cwd = cwd  # the hook's own working folder, or ""
        self.shown = shown  # (after, through) event ids that a printing hook showed, or None
        self.payload = payload  # bytes
        self.status = status  # the status file's bytes, or None
        self.client = client  # the Claude Code process of a Commander, or "" if it is not known
        self.worktree = worktree  # the git folder of the linked worktree that it came from, or ""


def safe_session_id(text: str) -> str:
    """The id if it may be part of a file name, else "". A payload may say anything."""
    return text if 0 < len(text) <= 64 and _SESSION_ID_CHARS.issuperset(text) else ""


def name_parts(name: str) -> "tuple[str, str, str]":
    """(nanoseconds when it was received, event, session id or "") of an entry's name: three texts,
    all "" if the name is not one that `put` gives."""
    parts = name.split(".")
    if len(parts) != 4 or not parts[0].isdecimal():
        return "", "", ""
    received_ns, event, session_id, _ = parts
    return received_ns, event, "" if session_id == "-" else session_id


def make_folders(home: str) -> None:
    """Make the home and the spool's folders, for the user alone. Raises OSError."""
    os.makedirs(home, mode=0o700, exist_ok=True)
    root = os.path.join(home, "spool")
    for folder in (home, root, *(os.path.join(root, name) for name in _FOLDERS)):
        _open_up(folder)
    is_made = False
    for folder in (root, *(os.path.join(root, name) for name in _FOLDERS)):
        try:
            os.mkdir(folder, 0o700)
            is_made = True
        except FileExistsError:
            pass  # another hook may make it at the same moment
    if is_made:
        # A new folder is durable once the folder that names it is synced.
        for folder in (root, home, os.path.dirname(home)):
            try:
                sync_folder(folder)
            except OSError:
                pass  # the parent folder may not be readable


def _open_up(folder: str) -> None:
    """Give a folder of ours that its owner cannot use, made under an unusual umask, its mode."""
    try:
        facts = os.stat(folder)
        if facts.st_mode & 0o777 == 0 and facts.st_uid == os.geteuid():
            os.chmod(folder, 0o700)
    except OSError:
        pass


def put(
    home: str,
    event: str,
    payload: bytes,
    session_id: str = "",
    project: str = "",
    cwd: str = "",
    status: "bytes | None" = None,
    shown: "tuple[int, int] | None" = None,
    client: str = "",
    worktree: str = "",
) -> str:
    """Make one hook call durable and return its entry's name. Raises OSError if that failed."""
    received_ns = time.time_ns()
    unique = f"{os.getpid()}-{os.urandom(4).hex()}"
    name = f"{received_ns:020d}.{event}.{safe_session_id(session_id) or '-'}.{unique}"
    header = [
        ("fleet-spool", VERSION),
        ("event", event),
        ("received", str(received_ns)),
        ("project", project),
        ("cwd", cwd),
        ("payload", str(len(payload))),
    ]
    if status is not None:
        header.append(("status", str(len(status))))
    if shown is not None:
        header.append(("shown", f"{shown[0]} {shown[1]}"))
    if client:
        header.append(("client", client))
    if worktree:
        header.append(("worktree", worktree))
    head = "".join(key + " " + _escape(value) + "\n" for key, value in header) + "\n"
    temporary = os.path.join(paths.spool(home, "tmp"), name)
    new = paths.spool(home, "new")
    if not (os.path.isdir(new) and os.path.isdir(os.path.dirname(temporary))):
        make_folders(home)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        _lock(descriptor)
        for part in (head.encode("utf-8", "surrogateescape"), payload, status or b""):
            _write(descriptor, part)
        os.fsync(descriptor)
        _move_in(temporary, os.path.join(new, name))
    except OSError:
        _remove(temporary)
        raise
    finally:
        os.close(descriptor)
    sync_folder(new)
    return name


def recover(home: str) -> "list[str]":
    """Move in the whole entries of `tmp/` whose writer was killed; their names. Raises OSError."""
    temporary, new = paths.spool(home, "tmp"), paths.spool(home, "new")
    try:
        names = [name for name in os.listdir(temporary) if name_parts(name)[0]]
    except (FileNotFoundError, NotADirectoryError):
        return []
    moved = []
    for name in sorted(names):
        path = os.path.join(temporary, name)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue  # its writer has moved it in, or it is nothing that `put` writes
        try:
            if _lock(descriptor):
                read(path)
                os.fsync(descriptor)
                _move_in(path, os.path.join(new, name))
                moved.append(name)
        except (Malformed, OSError):
            pass  # half an entry: its writer may just have begun it
        finally:
            os.close(descriptor)
    if moved:
        sync_folder(new)
    return moved


def pending(home: str, session_id: "str | None" = None) -> "list[str]":
    """Names of the entries that wait, oldest first; only those of one session if it is given."""
    try:
        names = os.listdir(paths.spool(home, "new"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    if session_id is not None:
        session_id = safe_session_id(session_id)
        names = [name for name in names if name_parts(name)[2] == session_id]
    return sorted(name for name in names if not name.startswith("."))


def read(path: str, name: "str | None" = None) -> Entry:
    """The entry at `path`. Raises Malformed, or OSError (FileNotFoundError once it is applied)."""
    # Anything else in its place (a pipe, a device, a folder) must not block the reader.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        facts = os.fstat(descriptor)
        if facts.st_mode & 0o170000 != 0o100000 or facts.st_size > _LARGEST_BYTES:
            raise Malformed("not a spool entry: not a plain file, or too large")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read()
    finally:
        os.close(descriptor)
    head, separator, body = data.partition(b"\n\n")
    fields = {}
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        fields[key] = value
    if not separator or fields.get(b"fleet-spool") != VERSION.encode():
        raise Malformed("not a spool entry of version " + VERSION)
    try:
        length = int(fields[b"payload"])
        status_length = int(fields[b"status"]) if b"status" in fields else None
        after, _, through = fields.get(b"shown", b"").partition(b" ")
        shown = (int(after), int(through)) if after else None
        event = _unescape(fields[b"event"])
        received_ns = int(fields[b"received"])
        project, cwd = _unescape(fields[b"project"]), _unescape(fields[b"cwd"])
    except (KeyError, ValueError) as error:
        raise Malformed("the entry's header is damaged: " + repr(error)) from None
    if length < 0 or len(body) != length + (status_length or 0):
        raise Malformed("the entry is cut short")
    status = body[length:] if status_length is not None else None
    client = _unescape(fields.get(b"client", b""))
    worktree = _unescape(fields.get(b"worktree", b""))
    name = name or os.path.basename(path)
    payload = body[:length]
    return Entry(name, event, received_ns, project, cwd, shown, payload, status, client, worktree)


def read_pending(home: str, name: str) -> Entry:
    """The waiting entry of this name. Raises as `read` does."""
    return read(os.path.join(paths.spool(home, "new"), name), name)


def acknowledge(home: str, names: "list[str]") -> None:
    """Remove applied entries. Call it only after their transaction was committed."""
    new = paths.spool(home, "new")
    for name in names:
        _remove(os.path.join(new, name))


def sync_folder(path: str) -> None:
    """Make the folder's new and removed names durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Take the lock that says that an entry has a writer; False if another process holds it. A file
    system without locks stops no capture: moving a whole entry in twice does no harm."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _move_in(temporary: str, entry: str) -> None:
    """Rename a whole entry of `tmp/` into `new/`. Raises OSError."""
    try:
        os.rename(temporary, entry)
    except FileNotFoundError:
        # Another process may have moved it in before, and a drainer may have applied it since.
        if os.path.lexists(temporary) or not os.path.isdir(os.path.dirname(entry)):
            raise


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _escape(value: str) -> str:
    return value.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")


def _unescape(value: bytes) -> str:
    plain = value.replace(b"%0D", b"\r").replace(b"%0A", b"\n").replace(b"%25", b"%")
    return plain.decode("utf-8", "surrogateescape")
