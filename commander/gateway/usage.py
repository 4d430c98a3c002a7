"""What the API says of tokens and their list price. The gateway looks up the prices of models that
are new, so that everything else has them."""

import sqlite3
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel

from fleet_lib import clock
from fleet_lib.store.usage_rates import Rate
from fleet_lib.views.usage import as_record, usage_rows


class UsageQuery(BaseModel):
    by: Literal["day", "project", "session", "model"] = "day"
    since: Annotated[str, AfterValidator(clock.normal)] | None = None  # ISO 8601
    project_id: str | None = None


class UsageLine(BaseModel):
    """Tokens and their list price; `usd` is null for a model that has none."""

    key: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    usd: float | None


def lines(connection: sqlite3.Connection, home: str, query: UsageQuery) -> list[UsageLine]:
    rates = look_up_prices(connection, home)
    rows = usage_rows(connection, query.by, rates, since=query.since, project_id=query.project_id)
    return [UsageLine(**as_record(row)) for row in rows]


def look_up_prices(connection: sqlite3.Connection, home: str) -> list[Rate]:
    """The list prices, looked up and stored where a model is new."""
    from fleet_lib.views.list_prices import current_rates  # slow to import

    return current_rates(connection, home)
