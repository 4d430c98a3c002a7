"""Homes with a history of any size, made by SQL: a million events take a minute."""

import multiprocessing
import sqlite3
import time
from pathlib import Path

from fleet_lib import paths, spool
from fleet_lib.store import db
from fleet_lib.store.search_index import project_word, status_word

PROJECTS = 30
COMMON, RARE, ONLY = "other", "refund parser", "turn37"  # what searches look for
WORDS = 40  # of a briefing's text
SECONDS_APART = 30  # two turns: a million events are half a year of a busy fleet
EVENTS_OF_A_SESSION = 20

_WORDS = "refund client staging deploy review token login page tests branch merge cache".split()
_TEXTS = 500  # different ones
_FILLED = (
    *("outbox_events", "briefings", "turns", "sessions", "jobs", "job_runs", "usage_sums"),
    "search_text",
)
# The numbers 1 to :count, and a time for each: the last one is now.
_NUMBERS = (
    "WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :count)"
)
_AT = "strftime('%Y-%m-%dT%H:%M:%S.000Z', :now - (:count - i) * :apart, 'unixepoch')"
_PROJECT = "'repo-' || (i % :projects) || '__00000000'"


def fill(home: Path, events: int, projects: int = PROJECTS) -> None:
    """A home with so many events: 2% alerts, 3% highlights, 45% mentions, the rest silent. Every
    second event has a briefing and a turn, every twentieth a session, every tenth a job. The
    Commander has not seen the last tenth."""
    # In a process of its own: each later fork of one that has become so large takes longer.
    process = multiprocessing.get_context("fork").Process(
        target=_fill, args=(home, events, projects)
    )
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError("the history could not be made")


def _fill(home: Path, events: int, projects: int) -> None:
    spool.make_folders(str(home))
    connection = db.connect(paths.database(str(home)))
    for pragma in ("synchronous = OFF", "cache_size = -200000", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    with db.transaction(connection):
        # Made again at the end, when all rows are there: that takes a third of the time.
        put_aside = _put_aside(connection)
        values = {"now": int(time.time()), "projects": projects, "apart": SECONDS_APART}
        _fill_texts(connection)
        for statement, count, apart in _statements(events, projects):
            row = values | {"count": max(1, count), "apart": apart}
            connection.execute(f"{_NUMBERS} {statement}", row)
        _fill_search(connection, projects)
        connection.execute(
            "INSERT INTO conversations VALUES ('c', 'commander', ?, 'opus', NULL, ?, '', '')",
            (str(home), events - events // 10),
        )
        for sql in put_aside:
            connection.execute(sql)
    connection.close()


def _put_aside(connection: sqlite3.Connection) -> list[str]:
    """Drop the indexes of the tables that are filled, and the triggers that note each row for the
    search index; return their SQL."""
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE (type = 'index' OR name LIKE 'search_%')"
        " AND type IN ('index', 'trigger') AND sql IS NOT NULL"
        f" AND tbl_name IN ({', '.join('?' * len(_FILLED))})",
        _FILLED,
    ).fetchall()
    for kind, name, _ in rows:
        connection.execute(f"DROP {kind} {name}")
    return [row[2] for row in rows]


def _fill_texts(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TEMP TABLE texts (number INTEGER PRIMARY KEY, text TEXT)")
    for number in range(_TEXTS):
        words = [
            _WORDS[(number * 7 + place * 3) % len(_WORDS)] + str((number + place) % 50)
            for place in range(WORDS - 3)
        ]
        connection.execute("INSERT INTO texts VALUES (?, ?)", (number, " ".join(words)))


def _statements(events: int, projects: int) -> list[tuple[str, int, int]]:
    """(an INSERT with a SELECT of `numbers`, how many rows, seconds between two)."""
    apart = SECONDS_APART
    turns, sessions, jobs = events // 2, events // EVENTS_OF_A_SESSION, events // 10
    return [
        (
            "INSERT INTO projects (project_id, repo_name, repo_root, status, created_at, updated_at)"
            f" SELECT {_PROJECT}, 'repo-' || (i % :projects), '/code/repo-' || (i % :projects),"
            " 'active', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z'"
            " FROM numbers",
            projects,
            apart,
        ),
        (
            "INSERT INTO briefings (briefing_id, project_id, session_id, task_id, status,"
            " impact_level, broadcast_level, raw_markdown, created_at, ended_at)"
            f" SELECT i, {_PROJECT}, 's-' || (i / 10), 't-' || i,"
            " CASE WHEN i % 50 = 0 THEN 'blocked' ELSE 'completed' END,"
            " CASE WHEN i % 1000 = 7 THEN 'major' ELSE 'minor' END, 'mention',"
            f" text || CASE WHEN i % 100 = 0 THEN ' {RARE}' ELSE ' {COMMON} words' END"
            f" || ' turn' || i, {_AT}, {_AT} FROM numbers JOIN texts ON number = i % {_TEXTS}",
            turns,
            apart,
        ),
        (
            "INSERT INTO turns (session_id, turn_key, briefing_id, revision, summary, meaning,"
            " source, facts_partial, warnings_json, title) SELECT 's-' || (i / 10), 't-' || i, i, 1,"
            " 'Turn ' || i || ' changed a few files', 'm' || i, 'message', 0, '[]',"
            " 'Change the files of turn ' || i FROM numbers",
            turns,
            apart,
        ),
        (
            "INSERT INTO outbox_events (ts, type, project_id, briefing_id, broadcast_level,"
            f" payload_json) SELECT {_AT}, CASE WHEN i % 100 < 2 THEN 'session_blocked'"
            f" ELSE 'briefing_added' END, {_PROJECT}, CASE WHEN i % 2 THEN i / 2 + 1 END,"
            " CASE WHEN i % 100 < 5 THEN 'highlight' WHEN i % 100 < 50 THEN 'mention'"
            " ELSE 'silent' END, json_object('briefing', json_object('status', CASE WHEN i % 100 < 2"
            " THEN 'blocked' ELSE 'completed' END, 'summary', line), 'sessionId', 's-' || (i / 20),"
            " 'line', line) FROM (SELECT i, 'Turn ' || i || ' changed a few files and said so in one"
            " line' AS line FROM numbers)",
            events,
            apart // 2,
        ),
        (
            "INSERT INTO sessions (session_id, project_id, folder, state, state_at, detail,"
            " briefing_id, last_seen_at, ended_at)"
            f" SELECT 's-' || i, {_PROJECT}, '/code/repo-' || (i % :projects),"
            " CASE WHEN i % 20 = 0 THEN 'blocked' ELSE 'completed' END, "
            f"{_AT}, 'No access', i * 10, {_AT}, {_AT} FROM numbers",
            sessions,
            apart * EVENTS_OF_A_SESSION // 2,
        ),
        (
            "INSERT INTO usage_kinds (kind_id, model, speed, tier)"
            " SELECT i, CASE i WHEN 1 THEN 'claude-sonnet-4-5' ELSE 'claude-opus-4-5' END,"
            " 'standard', 0 FROM numbers",
            2,
            apart,
        ),
        (
            "INSERT INTO usage_sums (session_id, turn_key, project_id, quarter, kind_id,"
            " input_tokens, output_tokens, cache_read_tokens, cache_write_5m_tokens,"
            " cache_write_1h_tokens) SELECT 's-' || (i / 10), 't-' || i,"
            " 'repo-' || (i / 10 % :projects) || '__00000000', (:now - (:count - i) * :apart) / 900, 1 + i % 2,"
            " 100, 200, 3000, 400, 0 FROM numbers",
            turns,
            apart,
        ),
        (
            "INSERT INTO jobs (job_id, ts_created, ts_started, ts_finished, type, project_id, model,"
            f" status, request_json, result_json) SELECT i, {_AT}, {_AT}, {_AT}, 'worker_task',"
            f" {_PROJECT}, 'sonnet', 'completed', '{{\"prompt\":\"Do it\"}}', '{{}}' FROM numbers",
            jobs,
            apart * 5,
        ),
        (
            "INSERT INTO job_runs (job_id, attempt, runner, lease_until, budget_usd, session_id,"
            f" cost_usd, started_at, ended_at) SELECT i, 1, 'r', {_AT}, 1, 'j-' || i, 0.1, {_AT},"
            f" {_AT} FROM numbers",
            jobs,
            apart * 5,
        ),
    ]


def _fill_search(connection: sqlite3.Connection, projects: int) -> None:
    """The full-text index as the drainer fills it: words without case and punctuation."""
    connection.execute("CREATE TEMP TABLE words (project_id TEXT PRIMARY KEY, word TEXT)")
    connection.executemany(
        "INSERT INTO words VALUES (?, ?)",
        [(name, project_word(name)) for name in (f"repo-{n}__00000000" for n in range(projects))],
    )
    connection.execute(
        "INSERT INTO search_text (doc, briefing_id, title, body, filters)"
        " SELECT CAST(strftime('%s', ended_at) AS INTEGER), briefing_id, ' change the files of turn '"
        " || briefing_id || ' turn ' || briefing_id || ' changed a few files ', ' ' || raw_markdown"
        " || ' t ' || briefing_id || ' ', ' ' || word || ' ' || CASE status WHEN 'blocked' THEN ?"
        " ELSE ? END || ' ' FROM briefings JOIN words USING (project_id)",
        (status_word("blocked"), status_word("completed")),
    )
    connection.execute("INSERT INTO search_fts (search_fts) VALUES ('rebuild')")
    connection.execute("INSERT INTO search_progress (id, filled_from) VALUES (1, 0)")
