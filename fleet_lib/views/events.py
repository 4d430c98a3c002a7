"""Events as records for programs, and fields of their payloads. An event may come from another
program: its payload may hold anything."""

import sqlite3
from typing import Any

from fleet_lib.machines import apart
from fleet_lib.records import as_dict
from fleet_lib.store.outbox import OutboxEvent, OutboxRepo

_PAGE = 1000  # events


def latest_events(
    connection: sqlite3.Connection,
    limit: int,
    since: str | None = None,
    machine: str | None = None,
) -> list[OutboxEvent]:
    """The newest events, oldest of them first; `since` is an ISO time. The order of ids is that of
    time but for events that came late, so the first page of older ones ends the search."""
    repo = OutboxRepo(connection)
    if since is None:
        return repo.get_latest(limit, machine=machine)
    found: list[OutboxEvent] = []
    before: int | None = None
    while page := repo.get_latest(_PAGE, before, machine):
        newer = [event for event in page if event.ts >= since]
        found = [*newer, *found]
        before = page[0].event_id
        if not newer or len(found) >= limit:
            break
    return found[-limit:]


def events_after(
    connection: sqlite3.Connection,
    after: int,
    limit: int,
    since: str | None = None,
    machine: str | None = None,
) -> list[OutboxEvent]:
    """The first `limit` events after an id that also came since an ISO time, oldest first."""
    repo = OutboxRepo(connection)
    if since is None:
        return repo.get_after(after, limit, machine)
    found: list[OutboxEvent] = []
    while len(found) < limit and (page := repo.get_after(after, _PAGE, machine)):
        found += [event for event in page if event.ts >= since]
        after = page[-1].event_id
    return found[:limit]


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
