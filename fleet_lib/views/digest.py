"""What happened in a time, by day and project, without a model: what was done, what failed, which
documents went stale. How it looks is the console's.

A turn that a later one of its session in this time went on from is not named as open or failed.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from fleet_lib import clock
from fleet_lib.json_text import json_array_or_none, json_object_or_none
from fleet_lib.lines import summary_of
from fleet_lib.machines import apart, machine_of, record_ids
from fleet_lib.prelude.database import quick_texts
from fleet_lib.rules import ALERT, CLASS
from fleet_lib.store.briefings import ENDED
from fleet_lib.store.usage import QUARTER_SECONDS
from fleet_lib.text import one_line
from fleet_lib.views.sessions import SessionsNow, left_open, needs_you
from fleet_lib.views.usage import figures
from fleet_lib.words import words

TURNS = 5000  # that are read, the newest
_WARNINGS = 500  # that are read, the newest
_JOBS = 200  # that are read, the newest that failed
_TEXT = 200  # characters of what one turn did
_LEAST = 12  # characters: a shorter summary ("Done.") says less than the title
_OPEN = ("waiting_for_input", "blocked", "failed")
_IMPACTS = ("major", "moderate", "minor", "trivial")

_TURNS_SQL = f"""
SELECT b.briefing_id, b.project_id, b.session_id, b.status, b.impact_level, b.base_commit,
  b.head_commit, b.files_touched_json, b.docs_touched_json, b.next_steps_json, n.at,
  t.title, t.summary, t.question,
  CASE WHEN t.summary IS NULL THEN substr(b.raw_markdown, 1, 2000) END AS beginning
FROM (SELECT briefing_id, {ENDED} AS at FROM briefings
  WHERE {ENDED} >= :since AND {ENDED} < :until {{filters}}
  ORDER BY {ENDED} DESC, briefing_id DESC LIMIT :limit) n
CROSS JOIN briefings b ON b.briefing_id = n.briefing_id
LEFT JOIN turns t ON t.briefing_id = b.briefing_id
"""
_AT = 10  # the place of `at` in such a row

_Place = tuple[str, str]  # a project, and the machine of its turns; "" for this one


class _Turn(NamedTuple):  # of which there are thousands
    briefing_id: int
    place: "_Place"
    session_id: str | None
    at: str
    day: str  # the local one
    status: str
    impact: str
    is_committed: bool
    files: tuple[str, ...]
    docs: tuple[str, ...]
    next_steps: tuple[str, ...]
    title: str
    summary: str
    is_open: bool  # it is in no final state, and no turn of its session in this time is later


def digest(
    connection: sqlite3.Connection,
    names: dict[str, str],
    *,
    since: str,
    until: str | None = None,
    project_id: str | None = None,
    machine: str | None = None,
) -> dict[str, Any]:
    """`since` and `until` are ISO times, the second excluded; `names` is {project_id: name},
    `machine` another machine's name, or "" for this one.

    `needs_you` and `left_open`: empty if the time has an end; `days`, newest first, each with
    its `projects`, which have `machine` if that is another one; `usage`: a figure, which is this
    machine's, or None; `read_since`: later than `since` if there were more
    turns than are read."""
    end = until or "9999"
    turns = _turns(connection, since, end, project_id, machine)
    stale = {
        at: docs
        for at, docs in _stale(connection, since, end, project_id, turns).items()
        if machine in (None, at[1][1])
    }
    jobs = {} if machine else _failed_jobs(connection, since, end, project_id)
    is_cut = len(turns) > TURNS
    turns = turns[:TURNS]
    of_days: dict[str, list[_Turn]] = {day: [] for day, _ in (*stale, *jobs)}
    for turn in turns:
        of_days.setdefault(turn.day, []).append(turn)
    return {
        "since": since,
        "until": until,
        "read_since": turns[-1].at if is_cut else since,
        **_waiting(connection, names, project_id, machine, is_now=until is None),
        "days": [
            {
                "day": day,
                "projects": _projects(
                    of_days[day],
                    names,
                    {place: docs for (at, place), docs in stale.items() if at == day},
                    {place: some for (at, place), some in jobs.items() if at == day},
                ),
            }
            for day in sorted(of_days, reverse=True)
        ],
        "usage": None if machine else _usage(connection, since, until, project_id),
    }


def _turns(
    connection: sqlite3.Connection,
    since: str,
    until: str,
    project_id: str | None,
    machine: str | None,
) -> list[_Turn]:
    """Newest first; one more than TURNS if there are more."""
    filters = "AND project_id = :project_id" if project_id else ""
    if machine is not None:
        filters += f" AND {machine_of('session_id')} = :machine"
    values = {"since": since, "until": until, "limit": TURNS + 1}
    values |= {"project_id": project_id, "machine": machine}
    statement = _TURNS_SQL.format(filters=filters)
    return quick_texts(connection, lambda: _read_turns(connection, statement, values))


def _read_turns(
    connection: sqlite3.Connection, statement: str, values: dict[str, Any]
) -> list[_Turn]:
    cursor = connection.cursor()
    cursor.row_factory = None  # a plain tuple is quicker to read
    found: dict[int, _Turn] = {}
    sessions: set[str] = set()
    days = _Days()
    # In the order of the inner query: a CROSS JOIN keeps it as the outer loop.
    for row in cursor.execute(statement, values):
        briefing_id, session_id = row[0], row[2]
        if briefing_id not in found:
            day = days.of(row[_AT])
            found[briefing_id] = _turn(row, day, is_last=session_id not in sessions)
            if session_id is not None:
                sessions.add(session_id)
    return list(found.values())


def _turn(row: tuple[Any, ...], day: str, *, is_last: bool) -> _Turn:
    """`row` as in _TURNS_SQL; `is_last`: no turn of its session in this time is later."""
    (
        briefing_id, project_id, session_id, status, impact, base, head, files, docs, steps, at,
        title, summary, question, beginning,
    ) = row  # fmt: skip
    place = project_id, apart(session_id)[1]
    title, summary = one_line(title, _TEXT), one_line(summary_of(summary, beginning), _TEXT)
    if question and title and not is_last:
        summary = title  # what was asked has been answered since; what was wanted is a result
    if impact not in _IMPACTS:
        impact = "minor"
    files = _texts(files)
    is_committed = bool(files and base and head and base != head)
    is_open = is_last and status in _OPEN
    # In the order of the fields: with their names it would take twice as long.
    return _Turn(
        briefing_id, place, session_id, at, day, status, impact, is_committed, files, _texts(docs),
        _texts(steps), title, summary, is_open,
    )  # fmt: skip


def _texts(stored: str | None) -> tuple[str, ...]:
    if stored is None or stored == "[]":  # most are
        return ()
    return tuple(map(str, json_array_or_none(stored) or ()))


class _Days:
    """The local days of many times: the calendar is asked once for each day."""

    def __init__(self) -> None:
        self._day, self._begin, self._end = "", "", ""  # the last one that was asked for

    def of(self, moment: str) -> str:
        """As `local_day`."""
        if self._begin <= moment < self._end and moment.endswith("Z"):
            return self._day
        self._day, self._begin, self._end = local_day(moment), "", ""
        with contextlib.suppress(ValueError, OverflowError, OSError):  # the text is no time
            midnight = datetime.fromisoformat(self._day)
            self._begin = f"{midnight.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
            self._end = f"{(midnight + timedelta(days=1)).astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
        return self._day


def local_day(moment: str) -> str:
    """The local day of a stored time, `2026-11-25`; its first ten characters if it is none."""
    try:
        return f"{clock.parse(moment).astimezone():%Y-%m-%d}"
    except (ValueError, OverflowError, OSError):
        return moment[:10]


def _projects(
    turns: Sequence[_Turn],
    names: dict[str, str],
    stale: dict[_Place, list[str]],
    jobs: dict[_Place, list[dict[str, Any]]],
) -> list[dict[str, Any]]:
    """A day's projects, the one with the latest turn first; what another machine did in one
    apart."""
    of_places: dict[_Place, list[_Turn]] = {}
    for turn in turns:
        of_places.setdefault(turn.place, []).append(turn)
    return [
        _project(
            of_places.get(place, []),
            {
                "project_id": place[0],
                "project": names.get(place[0], place[0]),
                **({"machine": place[1]} if place[1] else {}),
            },
            stale.get(place, []),
            jobs.get(place, []),
        )
        for place in dict.fromkeys([*of_places, *stale, *jobs])
    ]


def _project(
    turns: Sequence[_Turn],
    head: dict[str, Any],
    stale: list[str],
    jobs: list[dict[str, Any]],
) -> dict[str, Any]:
    """What one project did in a day; `done` is in the order of time."""
    open_turns: list[_Turn] = []
    large: list[_Turn] = []
    small: list[_Turn] = []
    sessions: set[str | None] = set()
    files: set[str] = set()
    steps: tuple[str, ...] = ()
    commits = 0
    for turn in turns:
        if turn.is_open:
            open_turns.append(turn)
        else:
            (large if turn.impact != "trivial" and turn.status != "failed" else small).append(turn)
        sessions.add(turn.session_id)
        files.update(turn.files)
        commits += turn.is_committed
        steps = steps or turn.next_steps
    done = _without_duplicates(reversed(large))
    # One that failed and was tried again is no result.
    succeeded = [turn for turn in reversed(small) if turn.status != "failed"]
    return head | {
        "turns": len(turns),
        "sessions": len(sessions - {None}),
        "files": len(files),
        "turns_with_commits": commits,
        "done": done,
        "small": len(small),
        "small_turns": [] if done else _without_duplicates(succeeded),
        "open": [_item(turn) for turn in open_turns if turn.status != "failed"],
        "failed": [_item(turn) for turn in open_turns if turn.status == "failed"] + jobs,
        "stale_documents": stale,
        "next_steps": list(steps),
    }


def _without_duplicates(turns: Iterable[_Turn]) -> list[dict[str, Any]]:
    """The turns as items. Of those with the same words, the last; of one whose words are the
    beginning of another's, the other."""
    chosen: dict[str, _Turn] = {}
    for turn in turns:
        key = " ".join(words(_text(turn)))
        chosen.pop(key, None)
        chosen[key] = turn
    keys = sorted(chosen)
    # "a b" comes right before all that go on from it: no character of a word is below a blank.
    begun = {key for key, after in pairwise(keys) if key and after.startswith(f"{key} ")}
    return [_item(turn) for key, turn in chosen.items() if key not in begun]


def _text(turn: _Turn) -> str:
    says_little = len(turn.summary) < _LEAST and turn.title not in ("", turn.summary)
    text = f"{turn.title}: {turn.summary}" if says_little else turn.summary or turn.title
    return text.rstrip(": ") or "(without words)"


def _item(turn: _Turn) -> dict[str, Any]:
    return {
        "briefing_id": turn.briefing_id,
        **record_ids(turn.session_id),
        "status": turn.status,
        "impact_level": turn.impact,
        "text": _text(turn),
    }


def _stale(
    connection: sqlite3.Connection,
    since: str,
    until: str,
    project_id: str | None,
    turns: Sequence[_Turn],
) -> dict[tuple[str, _Place], list[str]]:
    """{(day, place): documents that went stale}, without those that a later turn touched."""
    touched: dict[tuple[str, str], str] = {}
    for turn in reversed(turns):
        for doc in turn.docs:
            touched[turn.place[0], doc] = turn.at
    rows = connection.execute(
        f"SELECT ts, project_id, payload_json FROM outbox_events WHERE ({CLASS}) = {ALERT}"
        f" AND type = 'doc_drift_warning' ORDER BY event_id DESC LIMIT {_WARNINGS}"
    )
    found: dict[tuple[str, _Place], dict[str, None]] = {}
    for ts, project, text in rows:
        if not since <= ts < until or project is None or project_id not in (None, project):
            continue
        payload = json_object_or_none(text) or {}
        drift, of_machine = payload.get("docDrift"), str(payload.get("machine") or "")
        docs = drift.get("docs") if isinstance(drift, dict) else None
        for doc in docs if isinstance(docs, list) else []:
            if isinstance(doc, str) and touched.get((project, doc), "") <= ts:
                found.setdefault((local_day(ts), (project, of_machine)), {})[doc] = None
    return {place: list(docs) for place, docs in found.items()}


def _failed_jobs(
    connection: sqlite3.Connection, since: str, until: str, project_id: str | None
) -> dict[tuple[str, _Place], list[dict[str, Any]]]:
    """{(day, place): its jobs that failed without a turn of their own}."""
    rows = connection.execute(
        "SELECT j.job_id, j.project_id, j.ts_finished, j.error FROM jobs j WHERE status = 'failed'"
        " AND NOT EXISTS (SELECT 1 FROM job_runs r JOIN briefings b USING (session_id)"
        f"   WHERE r.job_id = j.job_id) ORDER BY j.job_id DESC LIMIT {_JOBS}"
    )
    found: dict[tuple[str, _Place], list[dict[str, Any]]] = {}
    for job_id, project, finished, error in rows:
        if not project or not finished or not since <= finished < until:
            continue
        if project_id in (None, project):
            text = one_line(error, _TEXT) or "without a reason"
            item = {"job_id": job_id, "briefing_id": None, "status": "failed", "text": text}
            found.setdefault((local_day(finished), (project, "")), []).append(item)
    return found


def _waiting(
    connection: sqlite3.Connection,
    names: dict[str, str],
    project_id: str | None,
    machine: str | None,
    *,
    is_now: bool,
) -> dict[str, list[dict[str, Any]]]:
    if not is_now:
        return {"needs_you": [], "left_open": []}
    now = SessionsNow(connection)
    waits = {"needs_you": needs_you(now, names), "left_open": left_open(now, names)}
    return {
        name: [
            row
            for row in rows
            if project_id in (None, row["project_id"]) and machine in (None, row.get("machine", ""))
        ]
        for name, rows in waits.items()
    }


def _usage(
    connection: sqlite3.Connection, since: str, until: str | None, project_id: str | None
) -> dict[str, Any] | None:
    def quarter(moment: str) -> int:
        return clock.nanoseconds(moment) // (QUARTER_SECONDS * 10**9)

    return figures(
        connection,
        "all",
        since_quarter=quarter(since),
        until_quarter=quarter(until) if until else None,
        project_id=project_id,
    ).get("")
