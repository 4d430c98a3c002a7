"""Every message of the WebSocket and every body of the API, as pydantic models."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    model_serializer,
)

from fleet_lib import lines
from fleet_lib.jobs.request import PermissionMode
from fleet_lib.rules import OPEN_ALERT_SECONDS
from fleet_lib.store.jobs import PROMPT_LIMIT
from fleet_lib.store.outbox import OutboxEvent
from fleet_lib.views.events import job_number, payload_for_programs

# Characters. At four bytes each that is 1 MiB, the most that common WebSocket clients accept.
FRAME_LIMIT = 250_000
INTERNAL_ERROR = "The gateway failed; the reason is in its log, log/fleet.log."


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


# --- what a client sends ---


class Login(_Message):
    """The first message of a client that cannot send the Authorization header, as a browser."""

    type: Literal["login"]
    bearer: str = Field(max_length=1000)


class Subscribe(_Message):
    type: Literal["fleet.subscribe"]
    # Every event after this one is sent. Without it: the events that no client was ever sent.
    from_event_id: int | None = Field(default=None, ge=0, le=2**62)


class Ping(_Message):
    type: Literal["ping"]
    id: str | int | None = None


class JobWish(BaseModel):
    """A job to submit: a project and a task. No field names a program or a path."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["worker_task", "skill_patch", "doc_patch"] = "worker_task"
    project_id: str = Field(max_length=300)
    model: Literal["opus", "sonnet", "haiku"] = "sonnet"
    prompt: str = Field(min_length=1, max_length=PROMPT_LIMIT)
    allowed_tools: list[str] = Field(default=[], max_length=100)
    permission_mode: PermissionMode | None = None
    timeout_seconds: float | None = Field(default=None, gt=0, le=86400)
    max_usd: float | None = Field(default=None, gt=0, le=1000)


class JobCreate(_Message):
    type: Literal["job.create"]
    job: JobWish


class JobCancel(_Message):
    type: Literal["job.cancel"]
    job_id: int = Field(ge=1, le=2**62)


class JobWatch(_Message):
    """Send a job's stream from its beginning."""

    type: Literal["job.watch"]
    job_id: int = Field(ge=1, le=2**62)


ClientMessage = Annotated[
    Login | Subscribe | Ping | JobCreate | JobCancel | JobWatch, Field(discriminator="type")
]
client_message: TypeAdapter[ClientMessage] = TypeAdapter(ClientMessage)


# --- what the gateway sends ---


class EventBody(BaseModel):
    type: str
    project_id: str | None
    briefing_id: int | None
    job_id: int | None
    broadcast_level: str | None
    line: str  # the event in one line; "" if another program wrote none
    data: dict[str, Any]  # the payload; {} if another program wrote something unreadable


class OfMachine(BaseModel):
    """A row that may be another machine's: then it has its name, else no such field."""

    machine: str | None = None

    @model_serializer(mode="wrap")
    def _without_machine_of_here(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        record: dict[str, Any] = write(self)
        if record.get("machine") is None:
            record.pop("machine", None)
        return record


class FleetEvent(OfMachine):
    type: Literal["fleet.event"] = "fleet.event"
    event_id: int
    ts: str
    event: EventBody


class Live(BaseModel):
    """The replay ends here; every event from now on is new."""

    type: Literal["fleet.live"] = "fleet.live"
    cursor: int


class SessionsChanged(BaseModel):
    """The live state of a session has changed: what `/api/v1/overview` said is old."""

    type: Literal["fleet.sessions"] = "fleet.sessions"


class Pong(BaseModel):
    type: Literal["pong"] = "pong"
    id: str | int | None = None


class JobQueued(BaseModel):
    type: Literal["job.queued"] = "job.queued"
    job_id: int


class JobStarted(BaseModel):
    type: Literal["job.started"] = "job.started"
    job_id: int


class JobStream(BaseModel):
    type: Literal["job.stream"] = "job.stream"
    job_id: int
    chunk: dict[str, Any]  # one line of Claude Code's stream-json


class JobCompleted(BaseModel):
    type: Literal["job.completed"] = "job.completed"
    job_id: int
    status: str
    answer: str | None
    error: str | None


class Error(BaseModel):
    type: Literal["error"] = "error"
    code: str
    message: str


# --- the API ---


class EventPage(BaseModel):
    events: list[FleetEvent]
    has_more: bool


class Prelude(BaseModel):
    after_event_id: int
    through_event_id: int
    text: str


class SnoozeWish(_Message):
    seconds: int = Field(ge=60, le=OPEN_ALERT_SECONDS)


class Hidden(BaseModel):
    session_id: str
    hidden_until: str | None
    stays_here: bool  # other machines show it as before


class LoginCode(_Message):
    code: str = Field(max_length=1000)  # of a link


class Session(BaseModel):
    bearer: str  # for the Authorization header, until the gateway ends


class LinkWish(_Message):
    at: str = Field(default="", max_length=1000)  # another address of the gateway


class Link(BaseModel):
    link: str  # logs one browser in, once


class Health(BaseModel):
    status: Literal["ok"] = "ok"
    version: str
    schema_version: int
    last_event_id: int
    clients: int
    jobs: Literal["off", "read", "edit"]  # what a job that is submitted here may do at most


def wire_form(stored: OutboxEvent) -> tuple[FleetEvent, str]:
    """An event as a message, and its text for a WebSocket. A payload that is too large for common
    clients is replaced there; the message has it whole."""
    event = _event_of(stored)
    try:
        text = event.model_dump_json()
        if len(text) > FRAME_LIMIT:
            cut = event.event.model_copy(update={"data": {"cut": True, "characters": len(text)}})
            text = event.model_copy(update={"event": cut}).model_dump_json()
        return event, text
    except ValueError:  # another program's payload has half a character, or nests too deeply
        event.event.data = {}
        return event, event.model_dump_json()


def text_of(value: object) -> str:
    """The text of a column in which another program may have stored bytes or a number."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _event_of(stored: OutboxEvent) -> FleetEvent:
    payload = stored.payload or {}
    number = job_number(payload)
    return FleetEvent(
        event_id=stored.event_id,
        machine=stored.machine,
        ts=text_of(stored.ts),
        event=EventBody(
            type=text_of(stored.type),
            project_id=None if stored.project_id is None else text_of(stored.project_id),
            briefing_id=stored.briefing_id if isinstance(stored.briefing_id, int) else None,
            job_id=number if isinstance(number, int) else None,
            broadcast_level=None
            if stored.broadcast_level is None
            else text_of(stored.broadcast_level),
            line=lines.line_of(stored.type, payload),
            data=payload_for_programs(payload),
        ),
    )
