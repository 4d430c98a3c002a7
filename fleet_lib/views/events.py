"""Events as records for programs, and fields of their payloads. An event may come from another
program: its payload may hold anything."""

import sqlite3
from typing import Any

from fleet_lib.machines import apart
from fleet_lib.records import as_dict
from fleet_lib.store.event_search import Wanted, ids_of
from fleet_lib.store.outbox import OutboxEvent, OutboxRepo


def latest_events(
    connection: sqlite3.Connection, limit: int, wanted: Wanted | None = None
) -> list[OutboxEvent]:
    """The newest events that pass the filter, oldest of them first."""
    repo = OutboxRepo(connection)
    return repo.get_all(ids_of(connection, wanted or Wanted(), limit, is_newest=True))


def events_after(
    connection: sqlite3.Connection, after: int, limit: int, wanted: Wanted | None = None
) -> list[OutboxEvent]:
    """The first `limit` events after an id that pass the filter, oldest first."""
    repo = OutboxRepo(connection)
    return repo.get_all(ids_of(connection, wanted or Wanted(), limit, after=after))


def event_record(event: OutboxEvent) -> dict[str, Any]:
    """The event with its payload as an object; with `payload_json` as stored if it is no JSON
    object."""
    record = as_dict(event)
    payload = event.payload
    if payload is not None:
        record["payload"] = payload_for_programs(payload)
        del record["payload_json"]
        if event.machine:
            record["machine"] = event.machine
    return record


def payload_for_programs(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload with the session's own id, which in an event of another machine is marked."""
    own_id, machine = apart(text_or_none(payload.get("sessionId")))
    if not machine:
        return payload
    return {name: value for name, value in payload.items() if name != "sessionId"} | (
        {"sessionId": own_id} if own_id else {}
    )


def text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def revision_of(payload: dict[str, Any]) -> int:
    """Which revision of its briefing the event announces."""
    briefing = payload.get("briefing")
    revision = briefing.get("revision") if isinstance(briefing, dict) else None
    return revision if isinstance(revision, int) else 1


def job_number(payload: dict[str, Any]) -> object:
    job = payload.get("job")
    return job.get("jobId") if isinstance(job, dict) else None
