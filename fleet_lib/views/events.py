"""Events as records for programs, and what one says in a line. An event may come from another
program: its payload may hold anything."""

from dataclasses import asdict
from typing import Any

from fleet_lib.store.outbox import OutboxEvent

# Where each type of event keeps its one line; the first text that is not empty is used.
_TEXTS = (
    ("briefing", "summary"),
    ("error", "message"),
    ("session", "detail"),
    ("docDrift", "docPath"),
    ("skill", "path"),
    ("job", "error"),
    ("job", "summary"),
    ("job", "type"),
)
_STATUSES = (("briefing", "status"), ("session", "status"), ("job", "status"))


def event_record(event: OutboxEvent) -> dict[str, Any]:
    """The event with its payload as an object; with `payload_json` as stored if it is no JSON
    object."""
    record = asdict(event)
    payload = event.payload
    if payload is not None:
        record["payload"] = payload
        del record["payload_json"]
    return record


def event_text(payload: dict[str, Any]) -> object:
    """What happened in one line, "" if the payload does not say."""
    return _first_text(payload, _TEXTS) or payload.get("summary") or payload.get("message") or ""


def event_status(payload: dict[str, Any]) -> str:
    """The status of the briefing, session or job that the event is about, or ""."""
    return _first_text(payload, _STATUSES)


def revision_of(payload: dict[str, Any]) -> int:
    """Which revision of its briefing the event announces."""
    briefing = payload.get("briefing")
    revision = briefing.get("revision") if isinstance(briefing, dict) else None
    return revision if isinstance(revision, int) else 1


def job_number(payload: dict[str, Any]) -> object:
    job = payload.get("job")
    return job.get("jobId") if isinstance(job, dict) else None


def _first_text(payload: dict[str, Any], places: tuple[tuple[str, str], ...]) -> str:
    for outer, inner in places:
        part = payload.get(outer)
        if isinstance(part, dict) and isinstance(part.get(inner), str) and part[inner]:
            return str(part[inner])
    return ""
