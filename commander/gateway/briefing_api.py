"""The API's endpoints about briefings."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from commander.gateway import messages, usage_api
from commander.gateway.context import Context, number_of
from commander.gateway.markdown import to_html
from commander.gateway.openapi import Endpoint
from commander.gateway.queries import BriefingPageQuery, BriefingQuery, SearchQuery
from fleet_lib.errors import NotFound
from fleet_lib.records import replace
from fleet_lib.store.briefings import BriefingRecord, BriefingRepo
from fleet_lib.store.projects import ProjectRepo
from fleet_lib.store.relay import RelayRepo
from fleet_lib.views import search as search_view
from fleet_lib.views.briefings import as_markdown, body_of, briefing_record
from fleet_lib.views.places import Place, places_of
from fleet_lib.views.projects import NamesOnDemand
from fleet_lib.views.usage import briefing_in_words, of_briefing

dataclass(init=False, repr=False, eq=False)(BriefingRecord)  # so that pydantic knows its fields


class BriefingLine(messages.OfMachine):
    """A briefing without its text."""

    briefing_id: int
    project_id: str
    project: str  # its name
    session_id: str | None
    status: str
    impact_level: str | None
    broadcast_level: str | None
    ended_at: str | None
    created_at: str
    title: str | None
    summary: str
    excerpt: str | None = None


class BriefingPage(messages.OfMachine):
    """A whole briefing; `html` is its markdown, rendered and sanitised. `usage` is in words.
    `places` says where a file or commit can be opened, by its name."""

    briefing: BriefingRecord
    project: str  # its name
    title: str | None
    summary: str
    question: str | None
    html: str
    usage: dict[str, str]
    resume: str | None  # the command line that opens its session again
    places: dict[str, Place]
    warnings: list[str]
    before: int | None  # the briefings of the turns before and after it in its session
    after: int | None


def briefings(context: Context, request: Request, query: BriefingQuery) -> list[BriefingLine]:
    with context.reading() as connection:
        machine = RelayRepo(connection).machine_filter(query.machine)
        filters = query.model_dump() | {"machine": machine}
        found = BriefingRepo(connection).query(**filters)
        names = NamesOnDemand(connection)
        return [_line(briefing_record(connection, briefing), names) for briefing in found]


def search(context: Context, request: Request, query: SearchQuery) -> list[BriefingLine]:
    with context.reading() as connection:
        machine = RelayRepo(connection).machine_filter(query.machine)
        results = search_view.search(
            connection,
            query.q,
            project_id=query.project_id,
            status=query.status,
            since=query.since,
            machine=machine,
            limit=query.limit,
        )
        names = NamesOnDemand(connection)
        return [_line(record, names) for record in results.records]


def briefing(context: Context, request: Request, query: BriefingPageQuery) -> BriefingPage:
    number = number_of(request, "briefing")
    with context.reading() as connection:
        repo = BriefingRepo(connection)
        found = repo.get(number)
        if found is None:
            raise NotFound(f"there is no briefing {number}")
        usage_api.look_up_prices(connection, context.home)
        record = briefing_record(connection, found)
        shown = record | {"raw_markdown": messages.text_of(found.raw_markdown)}
        turn = repo.turn_of(number)
        before, after = repo.neighbours(found)
        project = ProjectRepo(connection).get(found.project_id)
        places, resume = places_of(connection, found, project)
        return BriefingPage.model_construct(
            briefing=replace(found, session_id=record["session_id"]),
            machine=record.get("machine"),
            project=NamesOnDemand(connection).get(found.project_id, found.project_id),
            title=record["title"],
            summary=record["summary"],
            question=turn.question if turn else None,
            html=to_html(as_markdown(shown) if query.front_matter else body_of(shown)),
            usage=briefing_in_words(of_briefing(connection, found)),
            resume=resume,
            places=places,
            warnings=record["warnings"],
            before=before,
            after=after,
        )


def _line(record: dict[str, Any], names: dict[str, str]) -> BriefingLine:
    project = names.get(record["project_id"], record["project_id"])
    fields = {"excerpt": None, "machine": None} | record | {"project": project}
    # Unchecked: another program may have stored a value that no field here allows.
    return BriefingLine.model_construct(
        **{name: fields[name] for name in BriefingLine.model_fields}
    )


ENDPOINTS = [
    Endpoint("/briefings", "Briefings, newest first", BriefingQuery, list[BriefingLine], briefings),
    Endpoint(
        "/briefings/search",
        "Briefings that hold every word, best match first",
        SearchQuery,
        list[BriefingLine],
        search,
    ),
    Endpoint(
        "/briefings/{briefing_id}",
        "One briefing in full; its html without the front matter if front_matter is false",
        BriefingPageQuery,
        BriefingPage,
        briefing,
    ),
]
