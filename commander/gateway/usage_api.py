"""The API's endpoints about tokens and their list price. The gateway looks up the prices of models
that are new, so that everything else has them."""

import sqlite3
from collections import defaultdict
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field
from starlette.requests import Request

from commander.gateway.context import Context
from commander.gateway.openapi import Endpoint
from fleet_lib import clock
from fleet_lib.store.usage_rates import Rate, UsageRow
from fleet_lib.views.projects import project_names
from fleet_lib.views.usage import as_record, name_of, total, usage_rows


class UsageQuery(BaseModel):
    by: Literal["day", "project", "session", "model"] = "day"
    since: Annotated[str, AfterValidator(clock.normal)] | None = None  # ISO 8601
    project_id: str | None = None
    limit: int | None = Field(default=None, ge=1, le=100_000)  # all, unless it is given


class DaysQuery(BaseModel):
    since: Annotated[str, AfterValidator(clock.normal)]  # ISO 8601
    top: int = Field(default=7, ge=1, le=50)  # projects with lines of their own


class UsageLine(BaseModel):
    """Tokens and their list price; `usd` is null for a model that has none."""

    key: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    usd: float | None


class DayLine(UsageLine):
    """What one project used on one local day."""

    day: str
    project_id: str | None  # None: all that have no lines of their own; "": unknown
    project: str


def usage(context: Context, request: Request, query: UsageQuery) -> list[UsageLine]:
    with context.reading() as connection:
        rates = look_up_prices(connection, context.home)
        rows = usage_rows(connection, rates=rates, **query.model_dump())
        return [UsageLine(**as_record(row)) for row in rows[: query.limit]]


def days(context: Context, request: Request, query: DaysQuery) -> list[DayLine]:
    with context.reading() as connection:
        rates = look_up_prices(connection, context.home)
        names = project_names(connection)
        dearest = usage_rows(connection, "project", rates, since=query.since)[: query.top]
        named = {row.key for row in dearest}
        found: dict[tuple[str, str | None], list[UsageRow]] = defaultdict(list)
        for row in usage_rows(connection, "day_and_project", rates, since=query.since):
            day, _, project_id = row.key.partition(" ")
            found[day, project_id if project_id in named else None].append(row)
    return [
        DayLine(
            **as_record(total(rows)) | {"key": f"{day} {project_id or ''}".strip()},
            day=day,
            project_id=project_id,
            project="all others" if project_id is None else name_of(names, project_id),
        )
        for (day, project_id), rows in sorted(found.items(), key=lambda one: one[0][0])
    ]


def look_up_prices(connection: sqlite3.Connection, home: str) -> list[Rate]:
    """The list prices, looked up and stored where a model is new."""
    from fleet_lib.views.list_prices import current_rates  # slow to import

    return current_rates(connection, home)


ENDPOINTS = [
    Endpoint(
        "/usage",
        "Tokens and their list price, by day, project, session or model",
        UsageQuery,
        list[UsageLine],
        usage,
    ),
    Endpoint(
        "/usage/days",
        "Tokens and their list price on each local day, oldest first: of each of the dearest projects,"
        " and of all others together",
        DaysQuery,
        list[DayLine],
        days,
    ),
]
