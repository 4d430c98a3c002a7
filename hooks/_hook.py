"""What every hook shares: reading stdin, the guard that lets no failure out, spooling the payload,
and starting the drainer. Hot path.

A hook exits 0 whatever happens, and prints one JSON object or nothing. It decides nothing: the
drainer knows what a payload means, and fleet_lib/prelude what a session is shown.
"""

import _signal
import gc

from fleet_lib import paths, spool, wake
from fleet_lib.small_os import os

TYPE_CHECKING = False  # mypy knows the name; typing itself would cost more than the whole hook
if TYPE_CHECKING:
    from collections.abc import Callable

_STDIN_SECONDS = 8.0  # without a byte; the registration's limit is ten
_STATUS_FILE_LIMIT = 1024 * 1024  # bytes

# Claude Code shows no message of the others, and would take what PermissionRequest prints as an
# answer to the prompt.
_SILENT = ("PermissionRequest", "Notification", "SessionEnd")

# What makes a session or a briefing known. A worktree may be removed before the drainer looks.
_OF_A_WORKTREE = ("SessionStart", "Stop", "StopFailure")

_SHELLS = (b"sh", b"dash", b"bash", b"ash", b"zsh", b"busybox")


class Call:
    """One call of a hook: the payload, and what can be known of it without parsing it."""

    __slots__ = (
        "_client",
        "cwd",
        "event",
        "has_printed",
        "home",
        "payload",
        "project",
        "session_id",
    )

    def __init__(self, event: str, payload: bytes) -> None:
        self.event = event
        self.payload = payload
        self.has_printed = False
        self._client: "str | None" = None
        self.home = paths.home()
        self.session_id = field(payload, b"session_id") or os.environ.get(
            "CLAUDE_CODE_SESSION_ID", ""
        )
        self.cwd = field(payload, b"cwd")
        self.project = os.environ.get("CLAUDE_PROJECT_DIR", "")

    def folder(self) -> str:
        """The session's project folder: where it started, even after a `cd` in the Bash tool."""
        return self.project or self.cwd

    def client(self) -> str:
        """The Claude Code process, if this is a Commander's session: several may have one open, and
        each knows only what it was shown itself."""
        if self._client is None:
            self._client = ""
            if paths.is_commander(self.folder(), self.home):
                self._client = _calling_client()
        return self._client

    def put(
        self,
        payload: "bytes | None" = None,
        status: "bytes | None" = None,
        shown: "tuple[int, int] | None" = None,
    ) -> None:
        """Spool the payload, or the bytes that stand for it. A failure is logged and shown to the
        user once."""
        try:
            wake.end_stranger(self.home)
            spool.put(
                self.home,
                self.event,
                self.payload if payload is None else payload,
                self.session_id,
                self.project,
                self.cwd,
                status,
                shown,
                self.client(),
                worktree_of(self.folder()) if self.event in _OF_A_WORKTREE else "",
            )
        except OSError as error:
            self._report(error)
            return
        try:
            os.unlink(self._failure_mark())
        except OSError:
            pass

    def show_and_put(self, show: "Callable[[Call], tuple[int, int] | None]") -> None:
        """Spool the payload with the events that `show` printed, also if showing fails."""
        shown = None
        try:
            shown = show(self)
        finally:
            self.put(shown=shown)

    def print(self, data: bytes) -> bool:
        """Write to Claude Code; whether it took everything."""
        self.has_printed = True
        try:
            while data:
                data = data[os.write(1, data) :]
        except OSError:
            return False
        return True

    def _failure_mark(self) -> str:
        return os.path.join(self.home, "log", "spool-failing")

    def _report(self, error: OSError) -> None:
        from fleet_lib import log

        log.write(self.home, "hook", f"{self.event}: the payload could not be spooled: {error}")
        if self.has_printed or self.event in _SILENT:
            return
        try:
            os.close(os.open(self._failure_mark(), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return
        except OSError:
            pass
        reason = "".join([c for c in str(error.strerror) if c.isalnum() or c == " "])
        message = f"Fleet could not keep this turn ({reason}). Run: fleet status"
        self.print(b'{"systemMessage": "' + message.encode("ascii", "replace") + b'"}')


def run(event: str, handle: "Callable[[Call], None]") -> None:
    """Read stdin to its end, call `handle`, and exit 0 whatever happens in between."""
    try:
        gc.disable()  # it takes a thirtieth of the Commander's prompt and finds nothing
        os.umask(0o077)  # whatever the session's is: what is made here is the user's alone
        while os.open(os.devnull, os.O_RDONLY) < 3:
            pass  # a file must not get the number of a stream that is closed
        payload = _read_stdin()
        if payload is not None and os.environ.get("FLEET_HOOKS", "").lower() != "off":
            call = Call(event, payload)
            try:
                handle(call)
            finally:
                wake.wake_drainer(call.home)
    except BaseException as error:
        from fleet_lib import log

        log.write(paths.home(), "hook", f"{event}: {type(error).__name__}: {error}")
    os._exit(0)


def capture(call: Call) -> None:
    """Spool the payload as it is: all that a capturing hook does."""
    call.put()


def field(payload: bytes, key: bytes) -> str:
    """A plain string field of a JSON payload, found without parsing: "" if it is not there or has
    an escape in it. Good enough for names and hints; what is stored comes from the parser."""
    at = payload.find(b'"' + key + b'"')
    if at < 0:
        return ""
    head, quote, rest = payload[at + len(key) + 2 : at + len(key) + 8192].partition(b'"')
    value, end, _ = rest.partition(b'"')
    if head.strip() != b":" or not quote or not end or b"\\" in value or b"\0" in value:
        return ""
    return value.decode("utf-8", "replace")


def worktree_of(folder: str) -> str:
    """The git folder of the linked worktree around a folder, read from its `.git` file: it leads to
    the repository. "" anywhere else."""
    try:
        while folder:
            git = os.path.join(folder, ".git")
            try:
                kind = os.lstat(git).st_mode & 0o170000
            except FileNotFoundError:
                folder = os.path.dirname(folder) if folder != "/" else ""
                continue
            if kind != 0o100000:
                return ""
            descriptor = os.open(git, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                mark, _, named = os.read(descriptor, 8192).partition(b"gitdir: ")
            finally:
                os.close(descriptor)
            named_text = named.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
            is_worktree = not mark and "/worktrees/" in named_text
            return os.path.normpath(os.path.join(folder, named_text)) if is_worktree else ""
    except (OSError, ValueError):
        pass
    return ""


def _calling_client() -> str:
    """The process as PID:START, where START is in ticks since the system started; "" if it is not
    known. Newer clients name their process; else it is the parent, or the parent's parent if a
    shell runs the hook."""
    named = os.environ.get("CLAUDE_PID", "")
    pid = int(named) if named.isdecimal() else os.getppid()
    for _ in range(3):
        try:
            descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
            head, _, tail = os.read(descriptor, 4096).rpartition(b")")
            os.close(descriptor)
            fields = tail.split()
            if head.partition(b"(")[2] not in _SHELLS:
                return f"{pid}:{fields[19].decode('ascii')}"
            pid = int(fields[1])
        except (OSError, ValueError, IndexError):
            return ""
    return ""


def read_status_file(call: Call) -> "bytes | None":
    """The bytes of the session's status file in its project folder, or None."""
    session_id = spool.safe_session_id(call.session_id)
    if not session_id:
        return None
    # If the payload's folder has escapes in it, the hook's own is the same one.
    path = os.path.join(call.folder() or os.getcwd(), ".claude", f"status.v5.{session_id}.md")
    try:
        # Neither through a planted link, nor waiting on a planted pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    try:
        if os.fstat(descriptor).st_mode & 0o170000 != 0o100000:
            return None
        return os.read(descriptor, _STATUS_FILE_LIMIT + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)


class _Silence(Exception):
    """Nothing came on stdin for a while."""


def _read_stdin() -> "bytes | None":
    """Everything up to the end: of the file, or of a payload as Claude Code writes it, whose only
    newline is its last byte, since some clients leave the pipe open. Anything else ends when
    nothing came for a while: a hook ignores the signals that would end it. None if nothing came at
    all.

    What is over the limit is read and dropped, so that the writer never gets a broken pipe; one
    byte over the limit is kept to show that there was more."""
    parts: list[bytes] = []
    size, newlines, end, limit = 0, 0, b"", paths.MAX_PAYLOAD_BYTES
    _signal.signal(_signal.SIGALRM, _be_silent)
    try:
        os.set_blocking(0, True)
        while newlines != 1 or end != b"}\n":
            _signal.setitimer(_signal.ITIMER_REAL, _STDIN_SECONDS)
            part = os.read(0, 1 << 20)
            if not part:
                break
            if size <= limit:
                parts.append(part[: limit + 1 - size])
            size += len(part)
            newlines += part.count(b"\n")
            end = (end + part)[-2:]
    except _Silence:
        if not parts:
            return None
    except OSError:
        pass
    finally:
        _signal.setitimer(_signal.ITIMER_REAL, 0)
    return b"".join(parts)


def _be_silent(_number: int, _frame: object) -> None:
    raise _Silence
