"""What the printing hooks do: each asks fleet_lib/prelude for its text, and of two registered
copies of a hook one prints it. Settings and a plugin may both have registered it; then both copies
run at once for the same call. Hot path.

The copies agree on a file of the spool's `tmp/`: the first one there writes the time and the call
into it, the other finds its own call in it."""

import sys
import time

from fleet_lib import paths, spool
from fleet_lib.small_os import os

TYPE_CHECKING = False  # mypy knows the name; typing itself would cost more than the whole hook
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    from hooks._hook import Call

_COPY_WINDOW_NS = 1_000_000_000


class _Finder:
    """Finds Fleet's modules in their packages' folders, for an import that takes a third less: the
    usual way first asks whether each folder has changed, and has a module of another kind."""

    spec: "Any" = type(__spec__)
    loader: "Any" = type(__spec__.loader)

    @classmethod
    def find_spec(
        cls, name: str, path: "Sequence[str] | None", _target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        package, _, module = name.rpartition(".")
        if package not in ("fleet_lib", "fleet_lib.prelude") or module == "prelude":
            return None
        if not path or cls.loader.__name__ != "SourceFileLoader":
            return None
        file = f"{path[0]}/{module}.py"
        spec = cls.spec(name, cls.loader(name, file), origin=file)
        spec.has_location = True
        return spec  # type: ignore[no-any-return]


def prompt(call: "Call") -> None:
    """Print what is new for a Commander, and spool what was shown."""
    sys.meta_path.insert(0, _Finder)
    from fleet_lib.prelude import commander, database, hook_json

    fields = _read_fields(call)
    is_commander = call.folder() or paths.is_commander(call.cwd, call.home)
    if fields.get("agent_id") or not is_commander:
        return
    try:
        text, shown = commander.commander_prompt(call.home, call.session_id, call.client())
    except database.Unavailable:
        return  # no prelude this time; the same events are there the next
    if text and _add_context(call, text, fields):
        # Only after it was printed: a cursor may only move over what was shown.
        receipt = hook_json.prompt_receipt(call.session_id, fields.get("prompt_id", ""))
        call.put(receipt, shown=shown)


def start(call: "Call") -> "tuple[int, int] | None":
    """Print what a session is shown when it starts; the events that a Commander was shown, else
    None."""
    sys.meta_path.insert(0, _Finder)
    from fleet_lib import hot_settings
    from fleet_lib.prelude import commander, database, workers

    fields = _read_fields(call)
    text, shown = "", None
    try:
        if paths.is_commander(call.folder(), call.home):
            text, shown = commander.commander_start(
                *(call.home, call.session_id, fields.get("source", "")),
                *(call.client(), fields.get("transcript_path", "")),
            )
        elif fields and hot_settings.has_worker_facts(call.home):
            text = workers.worker_facts(call.home, call.folder(), call.session_id)
    except database.Unavailable:
        return None  # no prelude this time; the same events are there the next
    return shown if not text or _add_context(call, text, fields) else None


def _read_fields(call: "Call") -> "dict[str, str]":
    """The payload's fields that a printing hook needs, parsed by SQLite."""
    from fleet_lib.prelude import hook_json

    names = ("session_id", "cwd", "source", "prompt_id", "agent_id", "transcript_path")
    fields = hook_json.payload_fields(call.payload, names)
    call.session_id = fields.get("session_id") or call.session_id
    call.cwd = fields.get("cwd") or call.cwd
    return fields


def _add_context(call: "Call", text: str, fields: "dict[str, str]") -> bool:
    """Print the text as context, if this copy of the hook is the one to print; whether Claude Code
    took it."""
    from fleet_lib.prelude import hook_json

    if not _claim(call, fields.get("prompt_id", ""), fields.get("source", "")):
        return False
    return call.print(hook_json.hook_output(call.event, text))


def _claim(call: "Call", prompt_id: str, source: str) -> bool:
    """Whether this copy is the one that prints."""
    import fcntl

    # A prompt's id names the call. Without one the copies run within the same second. Their parent
    # says nothing: it may be a shell of their own.
    mark = " ".join((prompt_id, source)).encode("utf-8", "replace")
    try:
        descriptor = _open(call.home, _file(call.home, call.event, call.session_id))
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        when, _, last = os.read(descriptor, 4096).partition(b" ")
        is_recent = when.isdigit() and 0 <= time.time_ns() - int(when) < _COPY_WINDOW_NS
        # A prompt is answered once, however late its copy runs. A session may start again within a
        # prompt, each time it is compacted.
        if last == mark and (is_recent or (prompt_id and call.event == "UserPromptSubmit")):
            return False
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(time.time_ns()).encode() + b" " + mark, 0)
    except OSError:
        pass  # better shown twice than never
    return True


def _open(home: str, path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:  # the spool's first use
        spool.make_folders(home)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def release_start(home: str, session_id: str) -> None:
    """Let a session that ended start again within the same second and be shown its prelude."""
    try:
        os.unlink(_file(home, "SessionStart", session_id))
    except OSError:
        pass


def _file(home: str, event: str, session_id: str) -> str:
    session = spool.safe_session_id(session_id) or "-"
    return os.path.join(paths.spool(home, "tmp"), f"printed.{event}.{session}")
