"""The HTTP API under /api/v1. A request that reads opens the database read-only for itself."""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from commander.gateway import messages, usage
from commander.gateway.address import Address
from commander.gateway.jobs import JobQueue
from commander.gateway.logins import Logins
from commander.gateway.markdown import to_html
from commander.gateway.openapi import Endpoint
from commander.gateway.openapi import describe as describe_endpoints
from commander.gateway.queries import (
    BriefingQuery,
    EventQuery,
    JobQuery,
    NoQuery,
    PreludeQuery,
    SearchQuery,
)
from fleet_lib import log, paths
from fleet_lib.errors import BadInput, FleetError, NotFound
from fleet_lib.jobs.stream import describe
from fleet_lib.records import as_dict, replace
from fleet_lib.redact import redact
from fleet_lib.store import db
from fleet_lib.store.briefings import BriefingRecord, BriefingRepo
from fleet_lib.store.conversations import Conversation, ConversationRepo
from fleet_lib.store.jobs import JobRepo
from fleet_lib.store.migrate import latest_version
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.store.projects import Project, ProjectRepo
from fleet_lib.store.relay import RelayRepo
from fleet_lib.views import overview
from fleet_lib.views import search as search_view
from fleet_lib.views.briefings import as_markdown, briefing_record
from fleet_lib.views.preview import prelude_preview
from fleet_lib.views.projects import project_names
from fleet_lib.views.sessions import open_sessions
from fleet_lib.views.usage import briefing_in_words, in_words, of_briefing, today


class NamedProject(Project):
    name: str  # the repository's, or the id if several projects share that name


for record in (BriefingRecord, Conversation, Project, NamedProject):
    dataclass(init=False, repr=False, eq=False)(record)  # so that pydantic knows its fields


class BriefingLine(messages.OfMachine):
    """A briefing without its text."""

    briefing_id: int
    project_id: str
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
    """A whole briefing; `html` is its markdown, rendered and sanitised. `usage` is in words."""

    briefing: BriefingRecord
    title: str | None
    summary: str
    html: str
    usage: dict[str, str]


async def no_such_page(request: Request, error: Exception) -> Response:
    """The answer to an address that no route has, or a method that its route does not have."""
    status = getattr(error, "status_code", 404)
    return _error(
        status, "not_found" if status == 404 else "refused", str(getattr(error, "detail", ""))
    )


class Api:
    def __init__(
        self,
        home: str,
        queue: JobQueue,
        clients: Callable[[], int],
        address: Address,
        logins: Logins,
    ) -> None:
        self._home = home
        self._queue = queue
        self._address = address
        self._logins = logins
        self._clients = clients

    def routes(self) -> list[Route]:
        found = [self._route(endpoint) for endpoint in ENDPOINTS]
        return [*found, Route("/openapi.json", self._openapi)]

    def _route(self, endpoint: Endpoint) -> Route:
        adapter: TypeAdapter[Any] = TypeAdapter(endpoint.answer)

        async def answer(request: Request) -> Response:
            try:
                given = endpoint.query.model_validate(dict(request.query_params))
                if endpoint.body:
                    given = endpoint.body.model_validate_json(await request.body())
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                place = ".".join(str(part) for part in first["loc"])
                return _error(422, "bad_request", f"{place}: {first['msg']}")
            except ClientDisconnect:  # the guard cuts a body that is too large
                return _error(413, "too_large", "the body is too large")
            try:
                result = await run_in_threadpool(endpoint.call, self, request, given)
                body = _json(adapter, result)
            except NotFound as error:
                return _error(404, "not_found", str(error))
            except BadInput as error:
                return _error(400, "refused", str(error))
            except (FleetError, sqlite3.Error, OSError) as error:
                return _error(503, "unavailable", str(error))
            except Exception as error:
                reason = f"{request.url.path} failed: {type(error).__name__}: {error}"
                log.write(self._home, "gateway", redact(reason))
                return _error(500, "internal", messages.INTERNAL_ERROR)
            return Response(body, media_type="application/json")

        return Route(endpoint.path, answer, methods=[endpoint.method])

    # --- the endpoints ---

    def health(self, request: Request, query: NoQuery) -> messages.Health:
        with self._reading() as connection:
            return messages.Health(
                version=version("fleet"),
                schema_version=latest_version(),
                last_event_id=OutboxRepo(connection).latest_id(),
                clients=self._clients(),
                jobs=self._queue.most(),
            )

    def overview(self, request: Request, query: NoQuery) -> dict[str, Any]:
        with self._reading() as connection:
            usage.look_up_prices(connection, self._home)
            report = overview.overview(connection, self._home)
            used = today(connection)
            return report | {
                "sessions": open_sessions(connection),
                "usage_today": in_words(used) if used else None,
            }

    def projects(self, request: Request, query: NoQuery) -> list[NamedProject]:
        with self._reading() as connection:
            names = project_names(connection)
            return [
                NamedProject(**as_dict(project), name=names[project.project_id])
                for project in ProjectRepo(connection).get_all()
            ]

    def briefings(self, request: Request, query: BriefingQuery) -> list[BriefingLine]:
        with self._reading() as connection:
            machine = RelayRepo(connection).machine_filter(query.machine)
            filters = query.model_dump() | {"machine": machine}
            found = BriefingRepo(connection).query(**filters)
            return [_line(briefing_record(connection, briefing)) for briefing in found]

    def search(self, request: Request, query: SearchQuery) -> list[BriefingLine]:
        with self._reading() as connection:
            results = search_view.search(
                connection,
                query.q,
                project_id=query.project_id,
                status=query.status,
                limit=query.limit,
            )
            return [_line(record) for record in results.records]

    def briefing(self, request: Request, query: NoQuery) -> BriefingPage:
        number = _number(request, "briefing")
        with self._reading() as connection:
            briefing = BriefingRepo(connection).get(number)
            if briefing is None:
                raise NotFound(f"there is no briefing {number}")
            usage.look_up_prices(connection, self._home)
            record = briefing_record(connection, briefing)
            text = messages.text_of(briefing.raw_markdown)
            return BriefingPage.model_construct(
                machine=record.get("machine"),
                briefing=replace(briefing, session_id=record["session_id"]),
                title=record["title"],
                summary=record["summary"],
                html=to_html(as_markdown(record | {"raw_markdown": text})),
                usage=briefing_in_words(of_briefing(connection, briefing)),
            )

    def usage(self, request: Request, query: usage.UsageQuery) -> list[usage.UsageLine]:
        with self._reading() as connection:
            return usage.lines(connection, self._home, query)

    def events(self, request: Request, query: EventQuery) -> messages.EventPage:
        with self._reading() as connection:
            found = OutboxRepo(connection).get_after(query.after, query.limit + 1)
        return messages.EventPage(
            events=[messages.wire_form(event)[0] for event in found[: query.limit]],
            has_more=len(found) > query.limit,
        )

    def jobs(self, request: Request, query: JobQuery) -> list[dict[str, Any]]:
        with self._reading() as connection:
            found = JobRepo(connection).query(**query.model_dump())
            return [describe(connection, job) for job in found]

    def job(self, request: Request, query: NoQuery) -> dict[str, Any]:
        number = _number(request, "job")
        with self._reading() as connection:
            job = JobRepo(connection).get(number)
            if job is None:
                raise NotFound(f"there is no job {number}")
            return describe(connection, job)

    def submit(self, request: Request, wish: messages.JobWish) -> messages.JobQueued:
        return messages.JobQueued(job_id=self._queue.submit(wish))

    def cancel(self, request: Request, query: NoQuery) -> dict[str, Any]:
        self._queue.cancel(_number(request, "job"))
        return self.job(request, query)

    def log_in(self, request: Request, given: messages.LoginCode) -> messages.Session:
        if session := self._logins.exchange(given.code):
            return messages.Session(bearer=session)
        raise BadInput("this link was used already, or it is too old")

    def link(self, request: Request, wish: messages.LinkWish) -> messages.Link:
        return messages.Link(link=self._address.link(self._logins.new_code(), wish.at))

    def conversations(self, request: Request, query: NoQuery) -> list[Conversation]:
        with self._reading() as connection:
            return ConversationRepo(connection).get_all()

    def prelude(self, request: Request, query: PreludeQuery) -> messages.Prelude:
        return messages.Prelude(**prelude_preview(self._home, with_recap=query.recap))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(db.connect_read_only(paths.database(self._home))) as connection:
            yield connection

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(describe_endpoints(ENDPOINTS))


ENDPOINTS = [
    Endpoint("/health", "Health check", NoQuery, messages.Health, Api.health),
    Endpoint(
        "/overview",
        "Sessions that need you or are left open, and each project's latest briefing",
        NoQuery,
        dict[str, Any],
        Api.overview,
    ),
    Endpoint("/projects", "All projects", NoQuery, list[NamedProject], Api.projects),
    Endpoint(
        "/briefings", "Briefings, newest first", BriefingQuery, list[BriefingLine], Api.briefings
    ),
    Endpoint(
        "/briefings/search",
        "Briefings that hold every word, best match first",
        SearchQuery,
        list[BriefingLine],
        Api.search,
    ),
    Endpoint(
        "/briefings/{briefing_id}", "One briefing in full", NoQuery, BriefingPage, Api.briefing
    ),
    Endpoint(
        "/usage",
        "Tokens and their list price, by day, project, session or model",
        usage.UsageQuery,
        list[usage.UsageLine],
        Api.usage,
    ),
    Endpoint(
        "/events",
        "The events after a cursor, oldest first",
        EventQuery,
        messages.EventPage,
        Api.events,
    ),
    Endpoint("/jobs", "Jobs, newest first", JobQuery, list[dict[str, Any]], Api.jobs),
    Endpoint(
        "/jobs",
        "Submit a job",
        NoQuery,
        messages.JobQueued,
        Api.submit,
        "POST",
        messages.JobWish,
    ),
    Endpoint("/jobs/{job_id}", "One job", NoQuery, dict[str, Any], Api.job),
    Endpoint("/jobs/{job_id}/cancel", "Cancel a job", NoQuery, dict[str, Any], Api.cancel, "POST"),
    Endpoint(
        "/conversations",
        "The Commander's conversation",
        NoQuery,
        list[Conversation],
        Api.conversations,
    ),
    Endpoint(
        "/session",
        "A session for the code of a link, under the page's own host name",
        NoQuery,
        messages.Session,
        Api.log_in,
        "POST",
        messages.LoginCode,
    ),
    Endpoint(
        "/links",
        "Another link for a browser; only for the token",
        NoQuery,
        messages.Link,
        Api.link,
        "POST",
        messages.LinkWish,
    ),
    Endpoint(
        "/prelude",
        "The text that the Commander's next prompt would be given",
        PreludeQuery,
        messages.Prelude,
        Api.prelude,
    ),
]


def _line(record: dict[str, Any]) -> BriefingLine:
    fields = {"excerpt": None, "machine": None} | record
    # Unchecked: another program may have stored a value that no field here allows.
    return BriefingLine.model_construct(
        **{name: fields[name] for name in BriefingLine.model_fields}
    )


def _number(request: Request, kind: str) -> int:
    """The number in the address. Raises NotFound for a text that cannot be one."""
    text = str(request.path_params[f"{kind}_id"])
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound(f"there is no {kind} {text[:30]}")
    return int(text)


def _json(adapter: TypeAdapter[Any], result: Any) -> bytes:
    try:
        return adapter.dump_json(result, warnings=False)
    except ValueError:  # another program stored bytes, or half a character
        plain = adapter.dump_python(result, warnings=False)
        return json.dumps(plain, default=messages.text_of).encode()


def _error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message}}, status)
