"""The API's endpoints about events: as they are stored, and as a timeline."""

from dataclasses import asdict
from typing import Any

from starlette.requests import Request

from commander.gateway import messages
from commander.gateway.context import Context
from commander.gateway.openapi import Endpoint
from commander.gateway.queries import EventQuery, TimelineQuery
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.store.relay import RelayRepo
from fleet_lib.views.timeline import Timeline, timeline


def events(context: Context, request: Request, query: EventQuery) -> messages.EventPage:
    with context.reading() as connection:
        found = OutboxRepo(connection).get_after(query.after, query.limit + 1)
    return messages.EventPage(
        events=[messages.wire_form(event)[0] for event in found[: query.limit]],
        has_more=len(found) > query.limit,
    )


def show_timeline(
    context: Context, request: Request, query: TimelineQuery
) -> Timeline | dict[str, Any]:
    with context.reading() as connection:
        machine = RelayRepo(connection).machine_filter(query.machine)
        found = timeline(
            connection,
            before=query.before,
            project_id=query.project_id,
            type=query.type,
            level=query.level,
            machine=machine,
            until=query.until,
            limit=query.limit,
        )
    record = asdict(found)
    for row in record["rows"]:
        if row["machine"] is None:  # of this one
            del row["machine"]
    return record


ENDPOINTS = [
    Endpoint(
        "/events",
        "The events after a cursor, oldest first",
        EventQuery,
        messages.EventPage,
        events,
    ),
    Endpoint(
        "/timeline",
        "What happened, newest first, a turn with all its events in one row; started sessions only"
        " if their type is asked for. `next` is the `before` of the next page",
        TimelineQuery,
        Timeline,
        show_timeline,
    ),
]
