"""A hook's input as Fleet reads it: parsed and checked at the boundary, nothing looked up."""

from __future__ import annotations

from collections.abc import Mapping

from fleet_lib import json_text, paths
from fleet_lib.digests import sha256
from fleet_lib.errors import BadEntry
from fleet_lib.records import Record
from fleet_lib.spool import Entry
from fleet_lib.text import storable

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any, Self

EVENTS = (
    *("SessionStart", "UserPromptSubmit", "Stop", "StopFailure"),
    *("PermissionRequest", "Notification", "SessionEnd"),
)
TURN_ENDS = ("Stop", "StopFailure")
# A prompt holds the whole session up, also where a subagent asks.
SESSION_WIDE = ("PermissionRequest", "Notification")
ID_LIMIT = 200  # characters
_TASKS_LIMIT = 200
_TEXTS = (
    *("session_id", "prompt_id", "cwd", "transcript_path", "hook_event_name", "agent_id"),
    *("last_assistant_message", "error", "source", "session_title", "notification_type"),
    *("message", "tool_name"),
)


class Payload(Record):
    """The fields that Fleet reads; all others are ignored."""

    session_id: str | None = None
    prompt_id: str | None = None
    cwd: str | None = None
    transcript_path: str | None = None
    hook_event_name: str | None = None
    agent_id: str | None = None
    last_assistant_message: str | None = None
    error: str | None = None
    source: str | None = None
    session_title: str | None = None
    notification_type: str | None = None
    message: str | None = None
    tool_name: str | None = None
    tool_input: dict[str, Any] | None = None
    # The ids of the subagents that run; None where the client does not say.
    background_tasks: tuple[str, ...] | None = None

    @classmethod
    def read(cls, values: Mapping[str, object]) -> Self:
        """The fields that have the right type. Raises BadEntry if an id is none: a turn is not lost
        to the new form of any other field."""
        found = {
            name: storable(value) for name in _TEXTS if isinstance(value := values.get(name), str)
        }
        session_id, message = values.get("session_id"), values.get("last_assistant_message")
        tool_input, tasks = values.get("tool_input"), values.get("background_tasks")
        if session_id is not None and not isinstance(session_id, str):
            raise BadEntry("the payload has the wrong shape: session_id: not a string")
        if isinstance(message, list):
            blocks = (block.get("text") for block in message if isinstance(block, dict))
            texts = (text for text in blocks if isinstance(text, str))
            found["last_assistant_message"] = storable("\n".join(texts))
        for name in ("session_id", "prompt_id"):
            if len(found.get(name, "")) > ID_LIMIT:
                raise BadEntry(f"the payload has the wrong shape: {name}: is longer than an id")
            if not found.get(name):
                found.pop(name, None)
        return cls(
            **found,
            tool_input=tool_input if isinstance(tool_input, dict) else None,
            background_tasks=_running_subagents(tasks) if isinstance(tasks, list) else None,
        )


def parse_payload(entry: Entry) -> tuple[Payload, str]:
    """(payload, digest): the digest is the same for every copy of one hook call.

    Raises BadEntry, with the reason in one line.
    """
    if entry.event not in EVENTS:
        raise BadEntry(f"Fleet does not capture {entry.event or 'this event'}")
    if len(entry.payload) > paths.MAX_PAYLOAD_BYTES:
        raise BadEntry(f"the payload is larger than {paths.MAX_PAYLOAD_BYTES >> 20} MB")
    if not entry.payload.strip():
        raise BadEntry("the payload is empty")
    try:
        value = json_text.loads(entry.payload.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise BadEntry(f"the payload is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadEntry(f"the payload is not a JSON object but {_json_kind(value)}")
    return Payload.read(value), digest([entry.event, value])


def digest(value: object) -> str:
    """SHA-256 (hex) of a JSON value, whatever the order of its keys."""
    return sha256(
        json_text.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def _running_subagents(tasks: list[Any]) -> tuple[str, ...]:
    """A background shell is left out: it may be a server, and does not mean that the turn goes on."""
    wanted = ("subagent", "running")
    ids = [
        task.get("id")
        for task in tasks
        if isinstance(task, dict) and (task.get("type"), task.get("status")) == wanted
    ]
    return tuple(storable(each) for each in ids if isinstance(each, str) and each)[:_TASKS_LIMIT]


def _json_kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
