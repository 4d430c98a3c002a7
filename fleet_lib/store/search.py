"""Searching the briefings. Reads only; what the index holds is search_index.py's.

The index gives the newest hits, and these are ranked here: FTS5's own rank reads every hit of a
common word, half a million of them. Briefings that changed since are compared one by one, so that a
search is right before the next drain too.
"""

import sqlite3
from collections.abc import Iterable

from fleet_lib.machines import apart, is_here, of_session
from fleet_lib.records import Record
from fleet_lib.store import search_index
from fleet_lib.words import Phrase

RANKED = 1000  # hits, the newest ones

_CHANGES = 900  # of which each briefing is compared; SQLite takes 999 values
_SAMPLE, _SCAN = 1000, 10_000  # briefings that are read to see how common a beginning is
_TEXT_LIMIT = 8000  # characters of a text by which it is ranked
_TITLE_WEIGHT = 4
_USUAL_LENGTH = 1000  # characters of a text
# A doc is about the second at which the turn ended, so it bounds the time.
_NEWEST_HITS = (
    "SELECT rowid AS doc FROM search_fts WHERE search_fts MATCH :match AND rowid >= :since{}"
    " ORDER BY rowid DESC LIMIT :limit"
)
_NEWEST = "SELECT doc FROM search_text h WHERE doc >= :since{} ORDER BY doc DESC LIMIT :limit"
# The index has no word for a machine, so each hit's briefing is looked at.
_OF_MACHINE = (
    " AND EXISTS (SELECT 1 FROM search_text x JOIN briefings b USING (briefing_id)"
    " WHERE x.doc = {}"
    f" AND CASE :machine WHEN '' THEN {is_here('b.session_id')}"
    f" ELSE {of_session('b.session_id')} = :machine END)"
)
_COLUMNS = f"doc, briefing_id, title, substr(body, 1, {_TEXT_LIMIT})"


class _Filters(Record):
    words: tuple[str, ...]  # of the index
    since: int  # Unix time
    machine: str | None  # another one's name; "" for this one

    def values(self) -> dict[str, str | int | None]:
        return {"since": self.since, "machine": self.machine}

    def hits(self) -> str:
        """The newest hits in SQL."""
        return _NEWEST_HITS.format(self._on_machine("search_fts.rowid"))

    def newest(self) -> str:
        """The newest briefings in SQL."""
        return _NEWEST.format(self._on_machine("h.doc"))

    def _on_machine(self, doc: str) -> str:
        return "" if self.machine is None else _OF_MACHINE.format(doc)


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
        first. `since` is the Unix time after which their turns ended; `machine` is another
        machine's name, or "" for this one. Nothing is found for no phrases."""
        if not phrases:
            return []
        words = []
        if project_id is not None:
            words.append(search_index.project_word(project_id))
        if status is not None:
            words.append(search_index.status_word(status))
        filters = _Filters(tuple(words), since, machine)
        changed = self._changed()
        hits = self._in_index(phrases, filters, changed) + self._in_changes(
            phrases, filters, changed
        )
        hits.sort(key=lambda hit: (hit.score, hit.second, hit.briefing_id), reverse=True)
        return self._existing([hit.briefing_id for hit in hits], limit)

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
                and self._is_from(filters.machine, briefing_id)
            ):
                found.append(_Hit(briefing_id, document.second, _score(phrases, *texts)))
        return found

    def _is_from(self, machine: str | None, briefing_id: int) -> bool:
        if machine is None:
            return True
        row = self._connection.execute(
            "SELECT session_id FROM briefings WHERE briefing_id = ?", (briefing_id,)
        ).fetchone()
        return row is not None and apart(row[0])[1] == machine

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
        if filters.machine and self._has_few(filters.machine):
            return self._of_few(phrases, filters)
        whole = [Phrase(phrase.words) for phrase in phrases]
        rows = self._match(whole, filters, RANKED)
        if len(rows) == RANKED or not phrases[-1].is_begun:
            return rows
        found = {row[0]: row for row in [*rows, *self._begun(phrases, filters)]}
        return list(found.values())

    def _has_few(self, machine: str) -> bool:
        """Whether another machine has so few briefings that each can be read. Walking the hits of a
        common word would take long to meet those."""
        row = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM relay_briefings r WHERE r.machine = ? LIMIT ?)",
            (machine, _SCAN + 1),
        ).fetchone()
        return bool(row[0] <= _SCAN)

    def _of_few(self, phrases: list[Phrase], filters: _Filters) -> list[sqlite3.Row]:
        """The newest briefings of another machine that have all phrases."""
        texts = [phrase.as_text() for phrase in phrases]
        conditions = [
            *("(instr(t.body, ?) OR instr(t.title, ?))" for _ in texts),
            *("instr(t.filters, ?)" for _ in filters.words),
        ]
        return self._connection.execute(
            "SELECT t.doc, t.briefing_id, t.title,"
            f" substr(t.body, 1, {_TEXT_LIMIT}) FROM relay_briefings r"
            " CROSS JOIN search_text t ON t.briefing_id = r.local_briefing_id"
            f" WHERE r.machine = ? AND t.doc >= ? AND {' AND '.join(conditions)}"
            f" ORDER BY t.doc DESC LIMIT {RANKED}",
            (
                *(filters.machine, filters.since),
                *(text for text in texts for _ in range(2)),
                *(f" {word} " for word in filters.words),
            ),
        ).fetchall()

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
            f"SELECT {_COLUMNS} FROM ({filters.hits()}) CROSS JOIN search_text USING (doc)",
            filters.values() | {"match": _expression(phrases, filters), "limit": limit},
        ).fetchall()

    def _scan(
        self, others: list[Phrase], last: Phrase, filters: _Filters, number: int
    ) -> tuple[int, list[sqlite3.Row]]:
        """(how many there are, those that have the last phrase) of the `number` newest briefings
        that have all else."""
        newest, values = filters.newest(), filters.values() | {"limit": number}
        if others or filters.words:
            newest = filters.hits()
            values["match"] = _expression(others, filters)
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM ({newest}) CROSS JOIN search_text USING (doc)"
            f" WHERE instr(body, :text) OR instr(title, :text) LIMIT {RANKED}",
            values | {"text": last.as_text()},
        ).fetchall()
        read = self._connection.execute(f"SELECT count(*) FROM ({newest})", values).fetchone()[0]
        return read, rows

    def _existing(self, ids: list[int], limit: int) -> list[int]:
        """The first of these that are there: the index may still have one that was deleted."""
        found: list[int] = []
        for briefing_id in ids:
            if len(found) == limit:
                break
            if self._connection.execute(
                "SELECT 1 FROM briefings WHERE briefing_id = ?", (briefing_id,)
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
