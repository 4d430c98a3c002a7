"""A search and its results, once for the console, the API and MCP."""

import contextlib
import sqlite3
import time
import unicodedata
from typing import Any

from fleet_lib import clock, words
from fleet_lib.errors import DatabaseUnusable
from fleet_lib.records import Record
from fleet_lib.store import db, search_index
from fleet_lib.store.briefings import BriefingRepo
from fleet_lib.store.search import SearchRepo
from fleet_lib.views.briefings import LISTS, body_of, briefing_record

_CATCH_UP_SECONDS = 0.5
_BEFORE, _AFTER = 60, 80  # characters that an excerpt shows around a match


class Results(Record):
    records: list[dict[str, Any]]  # a briefing's record, with an `excerpt`
    pattern: str  # a regular expression that finds what was searched for, for highlighting
    note: str  # for people: what the search could not look at, or why it looked at nothing; or ""


def search(
    connection: sqlite3.Connection,
    query: str,
    *,
    project_id: str | None = None,
    status: str | None = None,
    since: str | None = None,
    machine: str | None = None,
    limit: int = 20,
) -> Results:
    """The briefings that have all words of the query, best first. `since` is an ISO time after
    which their turns ended; `machine` is another machine's name, or "" for this one. Raises
    DatabaseUnusable where the index is damaged and cannot be repaired now."""
    phrases = words.phrases(query)
    if not phrases:
        return Results([], "", "A search needs a letter or a digit.")
    _catch_up(connection)
    repo = SearchRepo(connection)
    filters: dict[str, Any] = {"project_id": project_id, "status": status, "limit": limit}
    filters["machine"] = machine
    filters["since"] = clock.nanoseconds(since) // 10**9 if since else 0
    try:
        repo.require_sound_index()
        ids = repo.find(phrases, **filters)
    except (sqlite3.Error, MemoryError) as error:
        if not search_index.is_damage(error) or not _catch_up(connection, is_damaged=True):
            raise DatabaseUnusable(
                f"the search index cannot be read: {error}; run `fleet db check --fix`"
            ) from None
        ids = repo.find(phrases, **filters)
    records = []
    briefings = BriefingRepo(connection)
    for briefing_id in ids:
        if briefing := briefings.get(briefing_id):
            record = briefing_record(connection, briefing)
            records.append(record | {"excerpt": _excerpt(record, phrases)})
    return Results(records, words.pattern(phrases), _note(connection))


def _excerpt(record: dict[str, Any], phrases: list[words.Phrase]) -> str:
    """The text around the first match, which is not looked for in the front matter. The summary if
    there is none, as where the branch's name matches."""
    for text in (
        body_of(record),
        str(record["title"] or ""),
        *(item for name in LISTS for item in record[name]),
    ):
        composed = unicodedata.normalize("NFC", text)
        if place := words.find(composed, phrases):
            return _around(composed, *place)
    return str(record["summary"])


def _around(text: str, first: int, last: int) -> str:
    start, end = max(0, first - _BEFORE), min(len(text), last + _AFTER)
    if start:
        start = text.find(" ", start, first) + 1 or start
    if end < len(text):
        blank = text.rfind(" ", last, end)
        end = end if blank < 0 else blank
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


def _catch_up(connection: sqlite3.Connection, *, is_damaged: bool = False) -> bool:
    """Index a little of what is not in the index yet, or rebuild a damaged index. False if that
    is impossible now, and not needed otherwise: a search finds the latest changes without it."""
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    with contextlib.suppress(sqlite3.Error):
        if (
            not is_damaged
            and search_index.is_whole(connection)
            and search_index.is_complete(connection)
        ):
            return True
    if not path or connection.in_transaction:
        return False
    try:
        with contextlib.closing(db.connect(path, busy_timeout=_CATCH_UP_SECONDS)) as writer:
            if is_damaged:
                with db.transaction(writer):
                    search_index.rebuild(writer)
            end = time.monotonic() + _CATCH_UP_SECONDS
            search_index.catch_up(writer, stop=lambda: time.monotonic() > end)
    except (sqlite3.Error, DatabaseUnusable):
        return False
    return True


def _note(connection: sqlite3.Connection) -> str:
    if search_index.is_complete(connection):
        return ""
    progress = search_index.progress_of(connection)
    if not progress.waiting:
        return ""
    return (
        f"The search index has {progress.total - progress.waiting:,} of {progress.total:,}"
        " briefings so far. Each turn that ends adds more; `fleet drain` adds all now."
    )
