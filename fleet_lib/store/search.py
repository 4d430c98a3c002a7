"""Searching the briefings. Reads only; what the index holds is search_index.py's.

The index gives the newest hits, and these are ranked here: FTS5's own rank reads every hit of a
common word, half a million of them. Briefings that changed since are compared one by one, so that a
search is right before the next drain too.
"""

import sqlite3
from collections.abc import Iterable

from fleet_lib.machines import machine_of
from fleet_lib.records import Record
from fleet_lib.store import search_index
from fleet_lib.words import Phrase

RANKED = 1000  # hits, the newest ones

_CHANGES = 900  # of which each briefing is compared; SQLite takes 999 values
_SAMPLE, _SCAN = 1000, 10_000  # briefings that are read to see how common a beginning is
_TEXT_LIMIT = 8000  # characters of a text by which it is ranked
_TITLE_WEIGHT = 4
_USUAL_LENGTH = 1000  # characters of a text
# A doc is about the second at which the turn ended, so `?3` bounds the time.
_NEWEST_HITS = (
    "SELECT rowid AS doc FROM search_fts WHERE search_fts MATCH ?1 AND rowid >= ?3"
    " ORDER BY rowid DESC LIMIT ?2"
)
_NEWEST = "SELECT doc FROM search_text WHERE ?1 IS NULL AND doc >= ?3 ORDER BY doc DESC LIMIT ?2"
_COLUMNS = f"doc, briefing_id, title, substr(body, 1, {_TEXT_LIMIT})"


class _Filters(Record):
    words: tuple[str, ...]  # of the index
    since: int  # Unix time


class _Hit(Record):
    briefing_id: int
    second: int  # or a little later
    score: float


class SearchRepo:
    """Takes a connection; sqlite3.Error is raised also for a damaged index."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def find(
        self,
        phrases: list[Phrase],
        *,
        project_id: str | None = None,
        status: str | None = None,
        since: int = 0,
        machine: str | None = None,
        limit: int = 20,
    ) -> list[int]:
        """The ids of the briefings that have all phrases, best first; equally good ones newest
        first. `since` is the Unix time after which their turns ended, `machine` another
        machine or "" for this one. Nothing is found for no phrases."""
        if not phrases:
            return []
        words = []
        if project_id is not None:
            words.append(search_index.project_word(project_id))
        if status is not None:
            words.append(search_index.status_word(status))
        filters = _Filters(tuple(words), since)
        changed = self._changed()
        hits = self._in_index(phrases, filters, changed) + self._in_changes(
            phrases, filters, changed
        )
        hits.sort(key=lambda hit: (hit.score, hit.second, hit.briefing_id), reverse=True)
        return self._existing([hit.briefing_id for hit in hits], machine, limit)

    def require_sound_index(self) -> None:
        """Raises sqlite3.DatabaseError if the index has lost its words: FTS5 then finds nothing and
        says nothing."""
        for order in ("ASC", "DESC"):
            for doc, filters in self._connection.execute(
                f"SELECT doc, filters FROM search_text ORDER BY doc {order} LIMIT 1"
            ).fetchall():
                found = self._connection.execute(
                    "SELECT 1 FROM search_fts WHERE search_fts MATCH ? AND rowid = ?",
                    (f"filters : {filters.split()[0]}", doc),
                ).fetchone()
                if not found:
                    raise sqlite3.DatabaseError("it does not find what it holds")

    def _changed(self) -> list[int]:
        """The latest changed briefings, of which the index does not know how they are now."""
        rows = self._connection.execute(
            "SELECT briefing_id FROM search_changes ORDER BY rowid DESC LIMIT ?", (_CHANGES,)
        )
        return list(dict.fromkeys(row[0] for row in rows))

    def _in_changes(
        self, phrases: list[Phrase], filters: _Filters, changed: list[int]
    ) -> list[_Hit]:
        found = []
        for briefing_id, document in search_index.documents(self._connection, changed).items():
            texts = (document.title, document.body)
            if (
                document.second >= filters.since
                and all(f" {word} " in document.filters for word in filters.words)
                and all(any(phrase.as_text() in text for text in texts) for phrase in phrases)
            ):
                found.append(_Hit(briefing_id, document.second, _score(phrases, *texts)))
        return found

    def _in_index(
        self, phrases: list[Phrase], filters: _Filters, changed: Iterable[int]
    ) -> list[_Hit]:
        known = set(changed)
        return [
            _Hit(briefing_id, doc, _score(phrases, title, body))
            for doc, briefing_id, title, body in self._rows(phrases, filters)
            if briefing_id not in known
        ]

    def _rows(self, phrases: list[Phrase], filters: _Filters) -> list[sqlite3.Row]:
        """The newest hits: those of whole words, and if these are not enough, those of words that
        begin with the last one."""
        whole = [Phrase(phrase.words) for phrase in phrases]
        rows = self._match(whole, filters, RANKED)
        if len(rows) == RANKED or not phrases[-1].is_begun:
            return rows
        found = {row[0]: row for row in [*rows, *self._begun(phrases, filters)]}
        return list(found.values())

    def _begun(self, phrases: list[Phrase], filters: _Filters) -> list[sqlite3.Row]:
        """The newest hits, where the last word may be incomplete. FTS5 gives whole words from the
        newest on; but for the beginning of a word it first collects the hits of all words that
        begin so, which takes long for a common one. So that comes last, when the newest briefings
        have shown that it is not common."""
        *others, last = phrases
        for number in (_SAMPLE, _SCAN):
            read, rows = self._scan(others, last, filters, number)
            if read < number or len(rows) == RANKED:
                return rows
            if len(rows) < number // 10:
                break
        return self._match(phrases, filters, RANKED)

    def _match(self, phrases: list[Phrase], filters: _Filters, limit: int) -> list[sqlite3.Row]:
        return self._connection.execute(
            f"SELECT {_COLUMNS} FROM ({_NEWEST_HITS}) CROSS JOIN search_text USING (doc)",
            (_expression(phrases, filters), limit, filters.since),
        ).fetchall()

    def _scan(
        self, others: list[Phrase], last: Phrase, filters: _Filters, number: int
    ) -> tuple[int, list[sqlite3.Row]]:
        """(how many there are, those that have the last phrase) of the `number` newest briefings
        that have all else."""
        if others or filters.words:
            newest = counted = _NEWEST_HITS
            first: str | None = _expression(others, filters)
        else:
            newest, first = _NEWEST, None
            counted = "SELECT briefing_id FROM search_text WHERE ?1 IS NULL AND doc >= ?3 LIMIT ?2"
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM ({newest}) CROSS JOIN search_text USING (doc)"
            f" WHERE instr(body, ?4) OR instr(title, ?4) LIMIT {RANKED}",
            (first, number, filters.since, last.as_text()),
        ).fetchall()
        read = self._connection.execute(
            f"SELECT count(*) FROM ({counted})", (first, number, filters.since)
        ).fetchone()[0]
        return read, rows

    def _existing(self, ids: list[int], machine: str | None, limit: int) -> list[int]:
        """The first of these that are there, and of the machine: the index may still have one that
        was deleted."""
        of_machine = f"AND {machine_of('session_id')} = :machine" if machine is not None else ""
        found: list[int] = []
        for briefing_id in ids:
            if len(found) == limit:
                break
            if self._connection.execute(
                f"SELECT 1 FROM briefings WHERE briefing_id = :id {of_machine}",
                {"id": briefing_id, "machine": machine},
            ).fetchone():
                found.append(briefing_id)
        return found


def _expression(phrases: list[Phrase], filters: _Filters) -> str:
    """In FTS5's query language. Words have nothing but letters, marks and digits."""
    parts = [
        f'{{title body}} : "{" ".join(phrase.words)}"{" *" if phrase.is_begun else ""}'
        for phrase in phrases
    ]
    parts += [f"filters : {word}" for word in filters.words]
    return " AND ".join(parts)


def _score(phrases: list[Phrase], title: str, body: str) -> float:
    """BM25, except that every word has the same weight: more hits are better, each adding less than
    the one before, and a hit in a short text or in the title is worth more than another."""
    length = 0.25 + 0.75 * len(body) / _USUAL_LENGTH
    score = 0.0
    for phrase in phrases:
        text = phrase.as_text()
        number = body.count(text) + _TITLE_WEIGHT * title.count(text)
        if phrase.is_begun:  # a whole word is better than its beginning
            number += body.count(f"{text} ") + _TITLE_WEIGHT * title.count(f"{text} ")
        score += number / (number + 1.2 * length)
    return score
