"""`fleet usage`: tokens and their list price."""

import sqlite3
from collections.abc import Mapping
from typing import Any, get_args

import click

from commander.cli._app import json_option, left_out
from commander.cli._database import reading
from commander.cli._display import Cell, Line, Table, is_interactive, print_json, say, show
from commander.cli._params import project_option, since_option
from fleet_lib import paths
from fleet_lib.store.usage_rates import By, UsageRateRepo, UsageRow
from fleet_lib.views.projects import project_id_of, project_names
from fleet_lib.views.sessions import title_of
from fleet_lib.views.usage import as_record, dollars, name_of, short_number, total, usage_rows

_SHORT_ID = 8  # characters of a session's id
_ROWS = 50  # of sessions or projects; a day and a model each have a row
_COUNTED = 100_000  # sessions that are left out are counted exactly up to here


@click.command()
@click.option(
    "--by",
    type=click.Choice([by for by in get_args(By) if by not in ("turn", "day_and_project", "all")]),
    default="day",
    show_default=True,
    help="What one row stands for.",
)
@since_option("tokens")
@project_option
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1),
    help=f"Maximum number of rows.  [default: {_ROWS} sessions or projects; all with --json]",
)
@json_option
def usage(by: By, since: str | None, project: str | None, limit: int | None, as_json: bool) -> None:
    """Show tokens used and their list price.

    They are counted from the transcripts, subagents included, each message once. The list price is
    that of the API on the day of each message. It is not your bill: with a subscription you do not
    pay by token. Where Claude Code itself says what a session cost, --by session shows that beside
    it. A model that the price list does not know has tokens and no price. Days are your local days.

    \b
    Examples:
      fleet usage --since monday
      fleet usage --by project --since 30d
      fleet usage --by session --project api-svc
      fleet usage --by model --json | jq '.[].usd'
    """
    from fleet_lib.views.list_prices import current_rates  # slow to import

    if limit is None and by in ("session", "project") and not as_json:
        limit = _ROWS
    with reading() as connection:
        project_id = project_id_of(connection, project)
        rates = current_rates(connection, paths.home())
        found = usage_rows(connection, by, rates, since=since, project_id=project_id, limit=limit)
        rows = found[:limit]
        if as_json:
            print_json([as_record(row) for row in rows])
            return
        names = {} if by != "project" else project_names(connection, [row.key for row in rows])
        more = _of_sessions(connection, rows) if by == "session" else {}
        rest: list[Line] = []
        whole = total(found)
        if limit is not None and len(found) > limit:
            if by == "session" and since is None:
                (whole,) = usage_rows(connection, "all", rates, project_id=project_id)
                number = UsageRateRepo(connection).count_sessions(_COUNTED, project_id)
            else:
                number = len(found)
            order = "the newest" if by == "day" else "the dearest"
            rest = left_out(limit, number, order, "more than " if number == _COUNTED else "")
    if not rows:
        say("No tokens were used." if project or since else "No tokens were counted yet.")
    else:
        show(*_parts(rows, whole, by, names, more), *rest)


def look_up_prices(connection: sqlite3.Connection, figure: dict[str, Any] | None) -> bool:
    """Look up the list prices that a figure lacks, and store them; whether it lacked any."""
    if not figure or not figure["is_to_be_priced"]:
        return False
    from fleet_lib.views.list_prices import current_rates  # slow to import

    current_rates(connection, paths.home())
    return True


def _of_sessions(
    connection: sqlite3.Connection, rows: list[UsageRow]
) -> dict[str, dict[str, object]]:
    """Further columns: what Claude Code says that a session cost, and what the session is called."""
    more: dict[str, dict[str, object]] = {}
    costs = {row.key: UsageRateRepo(connection).client_cost(row.key) for row in rows}
    if own := {key: cost for key, cost in costs.items() if cost is not None}:
        more["Claude Code's own"] = {
            key: Cell(dollars(cost), "", f"{cost:.6f}", whole=True) for key, cost in own.items()
        }
    if is_interactive():  # a program knows sessions by their ids
        more["title"] = {row.key: title_of(connection, row.key) or "-" for row in rows}
    return more


def _parts(
    rows: list[UsageRow],
    whole: UsageRow,
    by: By,
    names: dict[str, str],
    more: Mapping[str, Mapping[str, object]],
) -> list[Line | Table]:
    """The rows and the total of all. `more` is {heading of a further column: {key: its cell}}."""
    headings = [by, "input", "output", "cache read", "cache write", "list price", *more]
    table = [
        [
            _key(row.key, by, names),
            *_figures(row),
            *(cells.get(row.key, "-") for cells in more.values()),
        ]
        for row in rows
    ]
    if len(rows) > 1:
        table.append([Cell("total", "bold"), *_figures(whole), *[""] * len(more)])
    # A figure is shown whole or not at all.
    optional = (*(name for name in more if name != "title"), "cache write", "cache read")
    parts: list[Line | Table] = [Table(headings, table, optional)]
    if any(row.is_partly_priced for row in rows):
        parts.append(Line((Cell("+ some of it is of a model without a list price.", "dim"),)))
    return parts


def _key(key: str, by: By, names: dict[str, str]) -> Cell:
    if by == "project":
        return Cell(name_of(names, key), "", key)
    return Cell(key[:_SHORT_ID] if by == "session" else key, "", key, whole=True)


def _figures(row: UsageRow) -> list[Any]:
    price = "-" if row.usd is None else dollars(row.usd)
    more = "+" if row.is_partly_priced and row.usd is not None else ""
    counts = (
        *(row.input_tokens, row.output_tokens),
        *(row.cache_read_tokens, row.cache_write_tokens),
    )
    return [
        *(Cell(short_number(count), "", count, whole=True) for count in counts),
        Cell(f"{price}{more}", "", "-" if row.usd is None else f"{row.usd:.6f}{more}", whole=True),
    ]
