"""List prices as they were last asked for, and sums of tokens with their price. The price library
is slow to import, so every figure is made of the prices that are stored here;
views/list_prices.py fills the table."""

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple

from fleet_lib.records import Record
from fleet_lib.store.usage import QUARTER_SECONDS

By = Literal["day", "project", "session", "model", "turn", "day_and_project", "all"]

# What a token of each kind weighs in `usage_sessions`, as in migration 0020: the proportions of list
# prices.
_WEIGHTS = (20, 100, 2, 25, 40)
_END = 1 << 40  # a quarter of an hour that never comes
_COLUMNS = (
    "kind_id, from_quarter, to_quarter, input_usd, output_usd, cache_read_usd,"
    " cache_write_5m_usd, cache_write_1h_usd, library, priced_at"
)
# A rate as JSON, in the order of `_as_row`, under the names by which the sums use it.
_RATE_SQL = ", ".join(
    f"json_extract(value, '$[{place}]') AS {name}"
    for place, name in enumerate(
        (
            *("kind_id", "from_quarter", "to_quarter"),
            *("input", "output", "cache_read", "write_5m", "write_1h"),
        )
    )
)
# A person's day is the local one.
_DAY = f"strftime('%Y-%m-%d', u.quarter * {QUARTER_SECONDS}, 'unixepoch', 'localtime')"
_PROJECT = "ifnull(u.project_id, '')"
# {what usage is grouped by: its key}
_KEYS: dict[By, str] = {
    "day": _DAY,
    "project": _PROJECT,
    "session": "u.session_id",
    "model": "k.model",
    "day_and_project": f"{_DAY} || ' ' || {_PROJECT}",
    # A follow-up's prompt counts for its turn. Keys of turns are unique in their session only.
    "turn": "ifnull((SELECT f.turn_key FROM follow_ups f WHERE f.session_id = u.session_id"
    " AND f.prompt_id = u.turn_key), u.turn_key)",
    "all": "''",
}

# What is summed, with its rate. Those of all sessions, and of a project's, are summed up by quarter of
# an hour, hour and day; those of each turn are needed where a session is asked for.
_OF_TIMES = """days d CROSS JOIN usage_kinds k LEFT JOIN rates r ON r.kind_id = k.kind_id
  CROSS JOIN {table} u ON u.kind_id = k.kind_id {of}
    AND u.{at} >= max(d.from_quarter, ifnull(r.from_quarter, 0), :since_quarter) / {quarters}
    AND u.{at} < min(d.to_quarter, ifnull(r.to_quarter, d.to_quarter), :until_quarter) / {quarters}"""
_OF_QUARTERS = _OF_TIMES.format(table="usage_quarters", of="", at="quarter", quarters=1)
_OF_HOURS = _OF_TIMES.format(
    table="usage_rollups",
    of="AND u.quarters = 4 AND u.project_id = ifnull(:project_id, '*')",
    at="at",
    quarters=4,
)
_OF_PROJECTS = """usage_rollups u JOIN usage_kinds k ON k.kind_id = u.kind_id AND u.quarters = 96
    AND u.at >= :since_quarter / 96 AND u.at < :until_quarter / 96
  LEFT JOIN rates r ON r.kind_id = u.kind_id
    AND u.at >= r.from_quarter / 96 AND u.at < r.to_quarter / 96"""
_OF_TURNS = """usage_sums u JOIN usage_kinds k ON k.kind_id = u.kind_id
  LEFT JOIN rates r ON r.kind_id = u.kind_id
    AND u.quarter >= r.from_quarter AND u.quarter < r.to_quarter"""

_ALL_TOKENS = (
    "(u.input_tokens + u.output_tokens + u.cache_read_tokens"
    " + u.cache_write_5m_tokens + u.cache_write_1h_tokens)"
)
_ROWS_SQL = f"""WITH rates AS MATERIALIZED (SELECT {_RATE_SQL} FROM json_each(:rates)),
days AS MATERIALIZED (SELECT json_extract(value, '$[0]') AS day,
  CAST(json_extract(value, '$[1]') AS INTEGER) AS from_quarter,
  CAST(json_extract(value, '$[2]') AS INTEGER) AS to_quarter FROM json_each(:days))
SELECT {{key}} AS key,
  sum(u.input_tokens), sum(u.output_tokens), sum(u.cache_read_tokens),
  sum(u.cache_write_5m_tokens + u.cache_write_1h_tokens),
  sum((u.input_tokens * r.input + u.output_tokens * r.output
    + u.cache_read_tokens * r.cache_read + u.cache_write_5m_tokens * r.write_5m
    + u.cache_write_1h_tokens * r.write_1h) / 1e6),
  sum(r.input IS NULL AND {_ALL_TOKENS} > 0), sum(r.kind_id IS NULL AND {_ALL_TOKENS} > 0)
FROM {{source}} WHERE {{where}}
GROUP BY key HAVING sum({_ALL_TOKENS}) > 0"""


class Kind(Record):
    """What has a price of its own."""

    kind_id: int
    model: str
    speed: str
    tier: int


class Prices(NamedTuple):
    """What a million tokens of each kind cost, in USD; None for an unknown model."""

    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write_5m: float | None = None
    cache_write_1h: float | None = None


class Rate(Record):
    """The prices of a kind in a time."""

    kind_id: int
    from_quarter: int
    to_quarter: int  # excluded
    usd: Prices
    library: str
    priced_at: str


class UsageRow(Record):
    """Tokens and their list price."""

    key: str
    input_tokens: int  # without the cache's
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    usd: float | None  # of all that has a price; None if nothing has
    is_partly_priced: bool  # some of it has no price
    is_to_be_priced: bool  # some of it is of a model whose price was not asked for yet

    def tokens(self) -> int:
        return (
            self.input_tokens
            + self.output_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
        )

    def plus(self, other: "UsageRow") -> "UsageRow":
        """What both say of the same key."""
        prices = [row.usd for row in (self, other) if row.usd is not None]
        return UsageRow(
            key=self.key,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            usd=round(sum(prices), 6) if prices else None,
            is_partly_priced=self.is_partly_priced or other.is_partly_priced,
            is_to_be_priced=self.is_to_be_priced or other.is_to_be_priced,
        )


class _Part(NamedTuple):
    """A part of the time that is asked for, and what is read of it."""

    source: str
    since: int  # quarters
    until: int


class UsageRateRepo:
    """Uses the caller's connection and transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def kinds(self) -> list[Kind]:
        rows = self._connection.execute("SELECT kind_id, model, speed, tier FROM usage_kinds")
        return [Kind(*row) for row in rows]

    def rates(self) -> list[Rate]:
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM usage_rates")
        return [Rate(row[0], row[1], row[2], Prices(*row[3:8]), row[8], row[9]) for row in rows]

    def save(self, rates: Iterable[Rate]) -> None:
        """Replace all stored rates by these."""
        self._connection.execute("DELETE FROM usage_rates")
        self._connection.executemany(
            f"INSERT INTO usage_rates ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [_as_row(rate) for rate in rates],
        )

    def rows(
        self,
        by: By,
        rates: Iterable[Rate],
        *,
        since_quarter: int | None = None,
        until_quarter: int | None = None,
        project_id: str | None = None,
        session_id: str | None = None,
        turn_key: str | None = None,
        session_ids: Collection[str] | None = None,
    ) -> Iterator[UsageRow]:
        """Usage by one of its keys, in no order. A turn's is that of its follow-ups, too."""
        rates = list(rates)
        since, until = since_quarter or 0, _END if until_quarter is None else until_quarter
        days = self._days(since) if by == "day" and not session_id else [("", 0, _END)]
        bounds = [bound for rate in rates for bound in (rate.from_quarter, rate.to_quarter)]
        bounds += [bound for day in days for bound in day[1:]]
        values = {
            "rates": json.dumps([_as_row(rate) for rate in rates]),
            "days": json.dumps(days),
            "project_id": project_id,
            "session_id": session_id,
            "turn_key": turn_key,
            "session_ids": None if session_ids is None else json.dumps(list(session_ids)),
        }
        found: dict[str, UsageRow] = {}
        for part in _parts(by, since, until, bounds, project_id, session_id):
            for row in self._rows_of(by, part, values):
                found[row.key] = found[row.key].plus(row) if row.key in found else row
        yield from found.values()

    def _rows_of(self, by: By, part: _Part, values: dict[str, Any]) -> Iterator[UsageRow]:
        where, key = ["1"], _KEYS[by]
        if part.source == _OF_PROJECTS:
            key = "u.project_id"
            where += ["u.project_id = :project_id"] if values["project_id"] else []
        elif part.source != _OF_TURNS:
            key = "d.day" if by == "day" else key
        else:
            conditions = {
                "u.quarter >= :since_quarter": part.since > 0,
                "u.quarter < :until_quarter": part.until < _END,
                "u.project_id = :project_id": values["project_id"],
                "u.session_id = :session_id": values["session_id"],
                "u.session_id IN (SELECT value FROM json_each(:session_ids))": values[
                    "session_ids"
                ],
                "u.turn_key IN (SELECT :turn_key UNION ALL SELECT prompt_id FROM follow_ups"
                " WHERE session_id = :session_id AND turn_key = :turn_key)": values["turn_key"],
            }
            where += [sql for sql, value in conditions.items() if value not in (None, False)]
        found = self._connection.execute(
            _ROWS_SQL.format(key=key, source=part.source, where=" AND ".join(where)),
            values | {"since_quarter": part.since, "until_quarter": part.until},
        )
        for row in found:
            usd = None if row[5] is None else round(row[5], 6)
            yield UsageRow(row[0], row[1], row[2], row[3], row[4], usd, row[6] > 0, row[7] > 0)

    def dearest_sessions(
        self, rates: Iterable[Rate], project_id: str | None, limit: int
    ) -> list[UsageRow]:
        """At least the `limit` dearest sessions of all time, in no order, and not many more.

        Only those with the largest weights are read and priced: a session that is not among them
        costs no more than what weighs as much as the last one does at the dearest rates."""
        rates = list(rates)
        dearest = {kind.kind_id: 0.0 for kind in self.kinds()}  # USD for a million of the weight
        for rate in rates:
            of_rate = [
                (usd or 0.0) / weight for usd, weight in zip(rate.usd, _WEIGHTS, strict=True)
            ]
            dearest[rate.kind_id] = max(dearest.get(rate.kind_id, 0.0), *of_rate)
        where = "kind_id = ?" + (" AND project_id = ?" if project_id else "")
        values = (project_id,) if project_id else ()
        number = limit
        while True:
            bound, are_all, sessions = 0.0, True, set[str]()
            for kind_id, usd in dearest.items():
                rows = self._connection.execute(
                    f"SELECT session_id, weight FROM usage_sessions WHERE {where}"
                    " ORDER BY weight DESC LIMIT ?",
                    (kind_id, *values, number),
                ).fetchall()
                sessions |= {row[0] for row in rows}
                if len(rows) == number:
                    are_all = False
                    bound += usd * rows[-1][1] / 1e6
            found = list(self.rows("session", rates, project_id=project_id, session_ids=sessions))
            prices = sorted((row.usd or 0.0 for row in found), reverse=True)
            if are_all or (len(prices) >= limit and prices[limit - 1] >= bound - 1e-6):
                return found
            number *= 4

    def count_sessions(self, at_most: int, project_id: str | None = None) -> int:
        """How many sessions used something, exactly up to a number."""
        where = "project_id = :project_id" if project_id else "1"
        row = self._connection.execute(
            "SELECT count(*) FROM (SELECT DISTINCT session_id FROM usage_sessions"
            f" WHERE {where} LIMIT :at_most)",
            {"at_most": at_most, "project_id": project_id},
        ).fetchone()
        return int(row[0])

    def _days(self, since_quarter: int) -> list[tuple[str, int, int]]:
        """(a local day, its first quarter, the next day's) of each day on which something was used.
        To ask SQLite for the day of each quarter would take most of a report's time."""
        days: list[tuple[str, int, int]] = []
        query = "SELECT min(quarter) FROM usage_sums WHERE quarter >= ?"
        after = since_quarter
        with contextlib.suppress(ValueError, OverflowError, OSError):  # the end of the calendar
            while (quarter := self._connection.execute(query, (after,)).fetchone()[0]) is not None:
                day = datetime.fromtimestamp(quarter * QUARTER_SECONDS).date()
                begin, after = _first_quarter(day), _first_quarter(day + timedelta(days=1))
                days.append((day.isoformat(), begin, after))
        return days

    def client_cost(self, session_id: str) -> float | None:
        """What the client itself says that a session cost: its own total, else that of the jobs that
        ran it."""
        row = self._connection.execute(
            "SELECT coalesce((SELECT cost_usd FROM client_costs WHERE session_id = ?1),"
            " (SELECT sum(cost_usd) FROM job_runs WHERE session_id = ?1))",
            (session_id,),
        ).fetchone()
        return None if row is None else row[0]


def _parts(
    by: By,
    since: int,
    until: int,
    bounds: Iterable[int],
    project_id: str | None,
    session_id: str | None,
) -> Iterator[_Part]:
    """The parts of a time. What is summed up by hour or day is read wherever the time has whole ones
    and no price, and no day, begins within one."""
    source, length, exact = _OF_TURNS, 1, _OF_TURNS
    if by == "project" and not session_id:
        source, length = _OF_PROJECTS, 96
    elif by in ("day", "model", "all") and not session_id:
        source, length = _OF_HOURS, 4
        exact = _OF_TURNS if project_id else _OF_QUARTERS
    begin = -(-since // length) * length
    end = until if until == _END else until // length * length
    if begin >= end or any(bound % length for bound in bounds if bound != _END):
        begin, end = until, until
    if since < begin:
        yield _Part(exact, since, begin)
    if begin < end:
        yield _Part(source, begin, end)
    if end < until:
        yield _Part(exact, end, until)


def _first_quarter(day: date) -> int:
    """The first quarter of an hour that begins on a local day."""
    midnight = datetime(day.year, day.month, day.day).timestamp()
    return -int(-midnight // QUARTER_SECONDS)


def _as_row(rate: Rate) -> tuple[Any, ...]:
    times = (rate.kind_id, rate.from_quarter, rate.to_quarter)
    return (*times, *rate.usd, rate.library, rate.priced_at)
