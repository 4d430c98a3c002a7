"""What every hook shares: stdin, the fail-open guard, the spool, the drainer's start. Hot path.

A hook exits 0 whatever happens and prints one JSON object or nothing. It decides nothing: what a
payload means is the drainer's business, what a session is told is prelude.py's.
"""

import os
import time

from fleet_lib import paths, spool, wake

_STATUS_FILE_LIMIT = 1024 * 1024
_COPY_WINDOW_NS = 1_000_000_000

# Claude Code shows no message of these.
_SILENT = ("Notification", "SessionEnd")


class Call:
    """One call of a hook: the payload, and what can be known of it without parsing."""

    __slots__ = ("cwd", "event", "home", "payload", "printed", "project", "session_id")

    def __init__(self, event, payload):
        self.event = event
        self.payload = payload
        self.printed = False
        self.home = paths.home()
        self.session_id = field(payload, b"session_id") or os.environ.get(
            "CLAUDE_CODE_SESSION_ID", ""
        )
        self.cwd = field(payload, b"cwd")
        self.project = os.environ.get("CLAUDE_PROJECT_DIR", "")

    def folder(self):
        """The session's project folder: where it was started, whatever the Bash tool did since."""
        return self.project or self.cwd

    def put(self, payload=None, status=None, shown=None):
        """Spool the payload, or what stands for it. A failure is logged and told to the user."""
        try:
            spool.put(
                self.home,
                self.event,
                self.payload if payload is None else payload,
                self.session_id,
                self.project,
                self.cwd,
                status,
                shown,
            )
        except OSError as error:
            self._tell_of_failure(error)
            return
        try:
            os.unlink(self._failure_mark())
        except OSError:
            pass

    def print(self, data):
        """Hand bytes to Claude Code and say whether it took them."""
        self.printed = True
        try:
            while data:
                data = data[os.write(1, data) :]
        except OSError:
            return False
        return True

    def read_fields(self):
        """The payload's fields that a printing hook needs, parsed by SQLite."""
        from fleet_lib.prelude import hook_json

        names = ("session_id", "cwd", "source", "prompt_id", "agent_id")
        fields = hook_json.payload_fields(self.payload, names)
        self.session_id = fields.get("session_id") or self.session_id
        self.cwd = fields.get("cwd") or self.cwd
        return fields

    def tell(self, text, fields):
        """Print the text as context, and say whether Claude Code took it from this copy."""
        from fleet_lib.prelude import hook_json

        return self.claim(fields.get("prompt_id", ""), fields.get("source", "")) and self.print(
            hook_json.hook_output(self.event, text)
        )

    def claim(self, prompt_id, source):
        """Whether this copy of a printing hook is the one that prints: settings and a plugin may
        both have registered it, and both then run at once for the same call."""
        import fcntl

        # A prompt's id is its own; else a copy shares its parent, Claude Code, and comes at once.
        call = " ".join((prompt_id or str(os.getppid()), source)).encode("utf-8", "replace")
        try:
            spool.make_folders(self.home)
            descriptor = os.open(self._claim(self.event), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            when, _, last = os.read(descriptor, 4096).partition(b" ")
            recent = when.isdigit() and 0 <= time.time_ns() - int(when) < _COPY_WINDOW_NS
            # A prompt is told once, whenever a copy comes; a session may start twice within a prompt,
            # each time it is compacted.
            if last == call and (recent or (prompt_id and self.event == "UserPromptSubmit")):
                return False
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(time.time_ns()).encode() + b" " + call, 0)
        except OSError:
            pass  # better shown twice than never
        return True

    def end_claims(self):
        """The session ended: it may start again at once, and is told again then."""
        try:
            os.unlink(self._claim("SessionStart"))
        except OSError:
            pass

    def _claim(self, event):
        session = spool.safe_session_id(self.session_id) or "-"
        return os.path.join(paths.spool(self.home, "tmp"), f"printed.{event}.{session}")

    def _failure_mark(self):
        return os.path.join(self.home, "log", "spool-failing")

    def _tell_of_failure(self, error):
        from fleet_lib import log

        log.write(self.home, "hook", f"{self.event}: the payload could not be spooled: {error}")
        if self.printed or self.event in _SILENT:
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


def run(event, handle):
    """Read stdin to its end, then `handle(call)`, and exit 0 whatever happens in between."""
    try:
        while os.open(os.devnull, os.O_RDONLY) < 3:
            pass  # a closed stream's number must not become a file's
        payload = _read_stdin()
        if os.environ.get("FLEET_HOOKS", "").lower() != "off":
            call = Call(event, payload)
            try:
                handle(call)
            finally:
                wake.start_drainer(call.home)
    except BaseException as error:
        from fleet_lib import log

        log.write(paths.home(), "hook", f"{event}: {type(error).__name__}: {error}")
    os._exit(0)


def capture(call):
    """What a hook does that only records: the raw bytes into the spool."""
    call.put()


def field(payload, key):
    """A plain string field of a JSON payload, found without parsing: "" if it is not there or has
    an escape in it. Good for names and hints; what is stored comes from the parser."""
    at = payload.find(b'"' + key + b'"')
    if at < 0:
        return ""
    head, quote, rest = payload[at + len(key) + 2 : at + len(key) + 8192].partition(b'"')
    value, end, _ = rest.partition(b'"')
    if head.strip() != b":" or not quote or not end or b"\\" in value or b"\0" in value:
        return ""
    return value.decode("utf-8", "replace")


def read_status_file(call):
    """The bytes of the session's status file in its project folder, or None."""
    session_id = spool.safe_session_id(call.session_id)
    if not session_id:
        return None
    # The hook's own folder, where the payload's has escapes in it.
    path = os.path.join(call.folder() or os.getcwd(), ".claude", f"status.v5.{session_id}.md")
    try:
        # Never through a planted link, and never waiting on a planted pipe.
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


def _read_stdin():
    try:
        os.set_blocking(0, True)
        return _read(0, paths.MAX_PAYLOAD_BYTES)
    except OSError:
        return b""


def _read(descriptor, limit):
    """Everything up to the end; what is over the limit is read and dropped, so that the writer is
    never left with a broken pipe. One byte over the limit is kept to show that it was."""
    parts, size = [], 0
    while True:
        part = os.read(descriptor, 1 << 20)
        if not part:
            return b"".join(parts)
        if size <= limit:
            parts.append(part[: limit + 1 - size])
        size += len(part)
