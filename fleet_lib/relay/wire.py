"""What goes over the wire: one JSON object a message. The models are strict about what another
machine sent, since a peer is untrusted input: every text has a limit, every id a form. What a text
says is cleaned in incoming.py."""

import hashlib
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fleet_lib import clock
from fleet_lib.errors import FleetError
from fleet_lib.levels import BroadcastLevel, DocDriftRisk, ImpactLevel, SessionState, Status
from fleet_lib.relay import names

VERSION = 1
BODY_LIMIT = 512 * 1024  # bytes of a message
EVENT_HEADER, DIGEST_HEADER = "Fleet-Event", "Fleet-Digest"
_ITEMS_KEPT = 20  # of a list that is cut
_TEXT_KEPT = 200_000  # bytes of a text that is cut
_TEXTS = ("raw_markdown",)
_LINE, _TEXT, _ITEMS = 2000, 600_000, 5000
_ID = 200

# The events that are sent; a started session is silent, and of no use elsewhere.
EventKind = Literal[
    "briefing_added",
    "session_blocked",
    "doc_drift_warning",
    "skill_updated",
    "file_overlap",
    "job_completed",
    "error",
]


class Unreadable(FleetError):
    """The message can never be applied; why."""


class NewerVersion(FleetError):
    """A later Fleet sent the message."""


class _Part(BaseModel):
    # Unknown fields are dropped: a later Fleet of the same version may add some.
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, cache_strings="keys")


_Number = Annotated[int, Field(ge=1, le=2**53)]
_Count = Annotated[int, Field(ge=0, le=2**53)]
_Line = Annotated[str, Field(max_length=_LINE)]
_Name = Annotated[str, Field(max_length=_ID)]
_Lines = Annotated[tuple[_Line, ...], Field(max_length=_ITEMS)]
_Time = Annotated[str, Field(min_length=10, max_length=40)]


class ProjectPart(_Part):
    id: Annotated[str, Field(pattern=f"^{names.PROJECT.pattern}$")]
    name: _Name
    remote: Annotated[str | None, Field(max_length=1000)] = None
    remotes: Annotated[tuple[_Line, ...], Field(max_length=8)] = ()


class EventPart(_Part):
    ts: _Time
    type: EventKind
    level: BroadcastLevel | Literal["alert"] | None
    payload: dict[str, Any]


class BriefingPart(_Part):
    id: _Number
    session_id: _Name | None
    task_id: Annotated[str | None, Field(max_length=_LINE)]
    status: Status
    started_at: _Time | None
    ended_at: _Time | None
    impact_level: ImpactLevel | None
    broadcast_level: BroadcastLevel | None
    doc_drift_risk: DocDriftRisk | None
    base_commit: _Name | None
    head_commit: _Name | None
    branch: Annotated[str | None, Field(max_length=_LINE)]
    blockers: _Lines
    next_steps: _Lines
    docs_touched: _Lines
    files_touched: _Lines
    raw_markdown: Annotated[str, Field(max_length=_TEXT)]


class UsagePart(_Part):
    input_tokens: _Count
    output_tokens: _Count
    cache_read_tokens: _Count
    cache_write_tokens: _Count
    usd: Annotated[float | None, Field(ge=0, le=1e9, allow_inf_nan=False)]


class TurnPart(_Part):
    key: _Name
    summary: _Line
    question: Annotated[str | None, Field(max_length=_LINE)]
    revision: Annotated[int, Field(ge=0, le=10**6)]
    source: _Name
    facts_partial: bool
    usage: UsagePart | None = None


class _Message(_Part):
    v: Annotated[int, Field(ge=1)]
    machine: str
    epoch: str
    project: ProjectPart


class EventMessage(_Message):
    event_id: _Number
    digest: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    session_id: _Name | None
    event: EventPart
    briefing: BriefingPart | None
    turn: TurnPart | None
    cut: _Lines = ()


class StateMessage(_Message):
    session_id: _Name
    state: SessionState
    state_at: _Time
    detail: _Line
    last_seen_at: _Time
    ended_at: _Time | None
    briefing_id: _Number | None
    event_id: _Number | None


class HeartbeatMessage(_Part):
    v: Annotated[int, Field(ge=1)]
    sent_event_id: _Count = 0
    sent_event_at: Annotated[str, Field(max_length=40)] = ""


class Hidden(_Part):
    """Until when a state of a session is hidden; a time that is over: it is shown again."""

    machine: Annotated[str, Field(pattern=f"^{names.MACHINE.pattern}$")]
    session_id: _Name
    until: _Time
    state_at: _Time
    version: _Number = 1


class OwnMessage(_Part):
    """What one person's machines say to each other of a session: its name, the titles of its turns
    by briefing, and that it was dismissed."""

    v: Annotated[int, Field(ge=1)]
    session_id: _Name | None = None
    title: Annotated[str | None, Field(max_length=_LINE)] = None
    titles: Annotated[dict[str, _Line], Field(max_length=100)] = {}
    hidden: Hidden | None = None


def read_event(body: bytes, sender: names.Sender) -> EventMessage:
    """Raises Unreadable or NewerVersion."""
    message = _read(EventMessage, body)
    _require_sender(message, sender)
    return message


def read_state(body: bytes, sender: names.Sender) -> StateMessage:
    """Raises Unreadable or NewerVersion."""
    message = _read(StateMessage, body)
    _require_sender(message, sender)
    return message


def read_heartbeat(body: bytes) -> HeartbeatMessage:
    """Raises Unreadable or NewerVersion."""
    return _read(HeartbeatMessage, body)


def read_own(body: bytes) -> OwnMessage:
    """Raises Unreadable or NewerVersion."""
    return _read(OwnMessage, body)


class _Versioned(BaseModel):
    v: Annotated[int, Field(ge=1, strict=True)]


_Model = TypeVar("_Model", bound=BaseModel)


def _read(model: type[_Model], body: bytes) -> _Model:
    if len(body) > BODY_LIMIT:
        raise Unreadable(f"the message has {len(body)} bytes; at most {BODY_LIMIT} are read")
    try:
        if _Versioned.model_validate_json(body).v > VERSION:
            raise NewerVersion("a later version of Fleet sent it")
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Unreadable(f"{place}: {first['msg']}" if place else str(first["msg"])) from None


def _require_sender(message: _Message, sender: names.Sender) -> None:
    """A message that speaks for another machine, epoch or project than its subject is none."""
    if (message.machine, message.epoch) != (sender.machine, sender.epoch):
        raise Unreadable("it names another machine or epoch than its subject")
    if message.project.id != sender.project_id:
        raise Unreadable("it names another project than its subject")


def encode(message: EventMessage) -> bytes:
    """The message in at most BODY_LIMIT bytes: of one that is larger files, then lists, then the
    text are cut, and it says so."""
    cut: list[str] = []
    for fields in (("files_touched", "docs_touched"), ("blockers", "next_steps"), _TEXTS):
        body, briefing = _bytes(message), message.briefing
        if len(body) <= BODY_LIMIT or briefing is None:
            return body
        cut += fields
        shorter = {name: _shortened(getattr(briefing, name)) for name in fields}
        briefing = briefing.model_copy(update=shorter)
        message = message.model_copy(update={"briefing": briefing, "cut": tuple(cut)})
    body = _bytes(message)
    if len(body) > BODY_LIMIT:
        bare = message.model_copy(update={"briefing": None, "turn": None, "cut": ("briefing",)})
        body = _bytes(bare)
    return body


def _shortened(value: Any) -> Any:
    if not isinstance(value, str):
        return value[:_ITEMS_KEPT]
    return value.encode()[:_TEXT_KEPT].decode("utf-8", "ignore") + "\n\n(The text was cut.)"


def _bytes(message: BaseModel) -> bytes:
    return message.model_dump_json().encode()


def row_digest(ts: object, type: object, payload_json: object) -> str:
    """What tells whether two homes hold the same row of the outbox."""
    text = f"{ts}\0{type}\0{payload_json}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def event_header(event_id: int, digest: str) -> str:
    return f"{event_id} {digest}"


def read_event_header(value: str | None) -> tuple[int, str]:
    """(event id, digest); (0, "") where there is none."""
    number, _, digest = (value or "").partition(" ")
    return (int(number), digest) if number.isdecimal() and len(number) < 17 else (0, "")


def oldest_sent() -> str:
    """The server keeps nothing that is older than this."""
    return clock.ago(names.EVENT_DAYS * 86400)


def session_token(session_id: str) -> str:
    """A session in a subject."""
    if names.SESSION.fullmatch(session_id) and session_id != names.HEARTBEAT:
        return session_id
    return token_of(session_id)


def token_of(text: str) -> str:
    """What stands for an id that cannot be used as it is."""
    return "x" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:40]
