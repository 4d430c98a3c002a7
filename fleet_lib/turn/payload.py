"""A hook's input as Fleet reads it: parsed and checked at the boundary, nothing looked up."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from fleet_lib import paths
from fleet_lib.errors import BadEntry
from fleet_lib.spool import Entry
from fleet_lib.turn.stored_text import storable

EVENTS = (
    *("SessionStart", "UserPromptSubmit", "Stop", "StopFailure"),
    *("PermissionRequest", "Notification", "SessionEnd"),
)
TURN_ENDS = ("Stop", "StopFailure")
# A prompt holds the whole session up, also where a subagent asks.
SESSION_WIDE = ("PermissionRequest", "Notification")
ID_LIMIT = 200  # characters
_TASKS_LIMIT = 200

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


class Payload(BaseModel):
    """The fields that Fleet reads; all others are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

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

    @field_validator("*", mode="before")
    @classmethod
    def _text_or_none(cls, value: object, info: ValidationInfo) -> object:
        """Only session_id must have the right type: a turn is not lost to another field's new form."""
        if info.field_name == "last_assistant_message" and isinstance(value, list):
            blocks = (block.get("text") for block in value if isinstance(block, dict))
            return "\n".join(text for text in blocks if isinstance(text, str))
        if info.field_name == "background_tasks":
            return _running_subagents(value) if isinstance(value, list) else None
        kind = dict if info.field_name == "tool_input" else str
        return value if info.field_name == "session_id" or isinstance(value, kind) else None

    @field_validator("*", mode="after")
    @classmethod
    def _storable(cls, value: object) -> object:
        return storable(value) if isinstance(value, str) else value

    @field_validator("session_id", "prompt_id", mode="after")
    @classmethod
    def _id(cls, value: str | None) -> str | None:
        if value is not None and len(value) > ID_LIMIT:
            raise ValueError("is longer than an id")
        return value or None


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
        value = json.loads(entry.payload.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise BadEntry(f"the payload is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadEntry(f"the payload is not a JSON object but {_json_kind(value)}")
    try:
        payload = Payload.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadEntry(
            f"the payload has the wrong shape: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from None
    return payload, digest([entry.event, value])


def digest(value: object) -> str:
    """SHA-256 (hex) of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(_canonical.encode(value).encode()).hexdigest()


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
