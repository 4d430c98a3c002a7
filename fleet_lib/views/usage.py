"""What was used, as people and programs look at it: rows for a report, and the figures of a day, a
turn and a session. Prices are those that are stored: see views/list_prices.py."""

import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fleet_lib import clock
from fleet_lib.json_text import json_object_or_none
from fleet_lib.machines import apart
from fleet_lib.store.briefings import BriefingRecord, BriefingRepo, Turn
from fleet_lib.store.relay_rows import RelayRowRepo
from fleet_lib.store.usage import COMMANDER, QUARTER_SECONDS
from fleet_lib.store.usage_rates import By, Rate, UsageRateRepo, UsageRow

_OLD_PRICES_SECONDS = 30 * 86400
_NO_PRICE = "no list price is known"
_NO_PRICE_YET = "no list price yet (`fleet usage` looks it up)"


def usage_rows(
    connection: sqlite3.Connection,
    by: By,
    rates: Iterable[Rate],
    *,
    since: str | None = None,
    project_id: str | None = None,
    limit: int | None = None,
) -> list[UsageRow]:
    """Usage since a time of the database's form: days newest first, else the dearest first. `limit`
    is a number of rows that must be right: there may be more."""
    since_quarter = clock.nanoseconds(since) // (QUARTER_SECONDS * 10**9) if since else None
    repo = UsageRateRepo(connection)
    found: Iterable[UsageRow]
    if by == "session" and limit is not None and since is None:
        found = repo.dearest_sessions(rates, project_id, limit)
    else:
        found = repo.rows(by, rates, since_quarter=since_quarter, project_id=project_id)
    if by == "day":
        return sorted(found, key=lambda row: row.key, reverse=True)
    return sorted(found, key=lambda row: (row.usd or 0.0, row.tokens(), row.key), reverse=True)


def as_record(row: UsageRow) -> dict[str, Any]:
    """A row as programs get it."""
    return {
        "key": row.key,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cache_read_tokens": row.cache_read_tokens,
        "cache_write_tokens": row.cache_write_tokens,
        "usd": row.usd,
    }


def total(rows: Iterable[UsageRow]) -> UsageRow:
    """The sum of rows that do not overlap."""
    rows = list(rows)
    prices = [row.usd for row in rows if row.usd is not None]
    return UsageRow(
        key="total",
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        cache_read_tokens=sum(row.cache_read_tokens for row in rows),
        cache_write_tokens=sum(row.cache_write_tokens for row in rows),
        usd=round(sum(prices), 6) if prices else None,
        is_partly_priced=any(row.is_partly_priced for row in rows),
        is_to_be_priced=any(row.is_to_be_priced for row in rows),
    )


def name_of(names: dict[str, str], project_id: str) -> str:
    """A project's name; one for the Commander and for unknown projects too."""
    others = {"": "(unknown)", COMMANDER: "the Commander"}
    return names.get(project_id) or others.get(project_id, project_id)


def today(connection: sqlite3.Connection) -> dict[str, Any] | None:
    """The local day's figure; None if nothing was used."""
    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    return _figure(connection, since_quarter=int(midnight.timestamp()) // QUARTER_SECONDS)


def of_briefing(connection: sqlite3.Connection, briefing: BriefingRecord) -> dict[str, Any]:
    """{"turn": its figure, "session": its session's}, None where nothing was counted. The session's
    has `client_usd`, what the client itself says that the session cost."""
    turn = BriefingRepo(connection).turn_of(briefing.briefing_id)
    if apart(briefing.session_id)[1]:
        return {"turn": _of_other_machine(connection, briefing.briefing_id), "session": None}
    turn_figure = of_turn(connection, turn) if turn else None
    return {"turn": turn_figure, "session": of_session(connection, briefing.session_id)}


def of_turn(connection: sqlite3.Connection, turn: Turn) -> dict[str, Any] | None:
    """A turn's figure; None if nothing was counted."""
    return _figure(connection, session_id=turn.session_id, turn_key=turn.turn_key)


def _of_other_machine(connection: sqlite3.Connection, briefing_id: int) -> dict[str, Any] | None:
    """What the machine that ran the turn says of it, at its prices."""
    stored = json_object_or_none(RelayRowRepo(connection).usage_of(briefing_id))
    more = {"is_partly_priced": False, "is_to_be_priced": False, "priced_at": clock.now()}
    return stored | more if stored else None


def of_session(connection: sqlite3.Connection, session_id: str | None) -> dict[str, Any] | None:
    """A session's figure with `client_usd`; None where nothing was counted."""
    figure = _figure(connection, session_id=session_id) if session_id else None
    if figure is None or session_id is None:
        return None
    return figure | {"client_usd": UsageRateRepo(connection).client_cost(session_id)}


def briefing_in_words(usage: dict[str, Any]) -> dict[str, str]:
    """{"usage": the turn's, "session's usage": …}, without what was not counted."""
    words = {}
    if usage["turn"]:
        words["usage"] = in_words(usage["turn"])
    if session := usage["session"]:
        words["session's usage"] = session_in_words(session)
    return words


def session_in_words(figure: dict[str, Any]) -> str:
    """The same of a session, with what Claude Code itself says that it cost."""
    own = figure["client_usd"]
    more = "" if own is None else f" (Claude Code's own total: {dollars(own)})"
    return in_words(figure) + more


def in_words(figure: dict[str, Any]) -> str:
    """`1.2M tokens, list price $3.40`."""
    words = f"{short_number(_all_of(figure))} tokens"
    if figure["usd"] is None:
        return f"{words}, {_NO_PRICE_YET if figure['is_to_be_priced'] else _NO_PRICE}"
    least = "at least " if figure["is_partly_priced"] else ""
    words = f"{words}, list price {least}{dollars(figure['usd'])}"
    if clock.seconds_since(figure["priced_at"]) > _OLD_PRICES_SECONDS:
        words += f" (prices of {figure['priced_at'][:10]})"
    return words


def short_number(number: int) -> str:
    """`950`, `12.3k`, `4.5M`."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)


def dollars(usd: float) -> str:
    """Dollars and cents for a person; less than a cent is not shown as nothing."""
    return f"${usd:,.2f}" if usd >= 0.01 or usd == 0 else "under $0.01"


def figures(connection: sqlite3.Connection, by: By, **filters: Any) -> dict[str, dict[str, Any]]:
    """{key: a row without it, by the stored prices, and when those were asked for}. The filters are
    those of `UsageRateRepo.rows`."""
    repo = UsageRateRepo(connection)
    rates = repo.rates()
    priced_at = min((rate.priced_at for rate in rates), default=None)
    found = {}
    for row in repo.rows(by, rates, **filters):
        record = as_record(row)
        found[str(record.pop("key"))] = record | {
            "is_partly_priced": row.is_partly_priced,
            "is_to_be_priced": row.is_to_be_priced,
            "priced_at": priced_at,
        }
    return found


def _figure(connection: sqlite3.Connection, **filters: Any) -> dict[str, Any] | None:
    """All of it as one figure; None if nothing was used."""
    return figures(connection, "all", **filters).get("")


def _all_of(figure: dict[str, Any]) -> int:
    """All tokens of a record or figure."""
    return sum(count for name, count in figure.items() if name.endswith("_tokens"))
