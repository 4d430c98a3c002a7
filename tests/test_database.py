"""The database file: the reference's tables, migrations, adoption of an original database, and
files that cannot be used."""

import contextlib
import hashlib
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

from fleet_lib.errors import DatabaseUnusable, NewerSchema
from fleet_lib.store import db, migrate, verify
from fleet_lib.store.briefings import BriefingRepo
from fleet_lib.store.jobs import JobRepo
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.store.projects import ProjectRepo
from fleet_lib.views.search import search

# The specification's DDL, letter for letter (reference/fleet-db-architecture.md).
REFERENCE = """
CREATE TABLE projects (
  project_id TEXT PRIMARY KEY,      -- Format: {repo_name}__{8-char-hash}
  repo_name TEXT NOT NULL,          -- Human-readable name
  repo_root TEXT NOT NULL,          -- Absolute filesystem path
  git_remote TEXT,                  -- Origin URL
  status TEXT DEFAULT 'active',     -- active|archived
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
);
CREATE TABLE briefings (
  briefing_id INTEGER PRIMARY KEY AUTOINCREMENT,
  project_id TEXT NOT NULL REFERENCES projects(project_id),
  session_id TEXT,
  task_id TEXT,
  status TEXT NOT NULL,             -- completed|blocked|failed|waiting_for_input
  started_at TEXT,
  ended_at TEXT,
  impact_level TEXT,                -- trivial|minor|moderate|major
  broadcast_level TEXT,             -- silent|mention|highlight
  doc_drift_risk TEXT,              -- low|medium|high
  base_commit TEXT,
  head_commit TEXT,
  branch TEXT,
  blockers_json TEXT,               -- JSON array of blockers
  next_steps_json TEXT,             -- JSON array of next steps
  docs_touched_json TEXT,           -- JSON array of doc paths
  files_touched_json TEXT,          -- JSON array of file paths
  raw_markdown TEXT NOT NULL,       -- Full briefing content
  created_at TEXT NOT NULL,
  UNIQUE(project_id, session_id, task_id, ended_at)
);
CREATE TABLE outbox_events (
  event_id INTEGER PRIMARY KEY AUTOINCREMENT,
  ts TEXT NOT NULL,                 -- ISO timestamp
  type TEXT NOT NULL,               -- See Event Types below
  project_id TEXT,
  briefing_id INTEGER,
  broadcast_level TEXT,             -- silent|mention|highlight (for prelude filtering)
  payload_json TEXT NOT NULL,       -- Event-specific data
  delivered INTEGER DEFAULT 0       -- Boolean: pushed to clients
);
CREATE TABLE jobs (
  job_id INTEGER PRIMARY KEY AUTOINCREMENT,
  ts_created TEXT NOT NULL,
  ts_started TEXT,
  ts_finished TEXT,
  type TEXT NOT NULL,               -- worker_task|skill_patch|doc_patch|commander_turn
  project_id TEXT,
  repo_root TEXT,
  model TEXT NOT NULL,              -- opus|sonnet|haiku
  status TEXT NOT NULL,             -- queued|running|completed|failed|canceled
  request_json TEXT NOT NULL,       -- Job input parameters
  stream_chunks_json TEXT,          -- Full stream output for replay
  result_json TEXT,                 -- Job result
  error TEXT
);
CREATE TABLE conversations (
  conversation_id TEXT PRIMARY KEY,     -- UUID we control
  kind TEXT NOT NULL,                   -- 'commander' | 'worker_session' (future)
  cwd TEXT NOT NULL,                    -- Working directory
  model TEXT NOT NULL,                  -- opus|sonnet|haiku
  claude_session_id TEXT,               -- Session ID from Claude CLI (for --resume)
  last_outbox_event_id_seen INTEGER DEFAULT 0,  -- Fleet prelude cursor
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
);
"""
TABLES = ("projects", "briefings", "outbox_events", "jobs", "conversations")
NOW = "2026-11-23T06:55:16.123Z"

# Payloads that another program may have stored. None of them is a JSON object.
HOSTILE_PAYLOADS = (
    "not json",
    "",
    "{",
    "[1, 2]",
    "null",
    '"text"',
    "{'single': 1}",
    '{"a": NaN}',
    "[" * 5000,
    b"\x00\xff\xfe",
    b'{"briefing": {"status": "blocked"}}',
    '{"briefing": "not an object"}',
    '{"sessionId": {"nested": 1}}',
    "\x00{}",
    12345,
)


def columns(connection: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    """(name, type, not null, default, primary key) of every column, in order."""
    return [tuple(row)[1:] for row in connection.execute(f"PRAGMA table_info({table})")]


def master(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """The schema without its whitespace."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name")
    return [(kind, name, re.sub(r"\s+", " ", sql or "")) for kind, name, sql in rows]


def original(path: Path, ddl: str = REFERENCE) -> sqlite3.Connection:
    """A database as the original system leaves it: WAL, no user_version."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(ddl)
    return connection


def fill(connection: sqlite3.Connection) -> None:
    """Rows as the original and other programs wrote them."""
    execute = connection.execute
    for name in ("mimesis__607a7a7c", "other__00000000"):
        execute(
            "INSERT INTO projects (project_id, repo_name, repo_root, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, ?)",
            (name, name.partition("__")[0], f"/code/{name}", NOW, NOW),
        )
    execute("UPDATE projects SET status = NULL WHERE repo_name = 'other'")
    for text in ("# Done\n\nRewrote the zeppelin scheduler", "the same again", ""):
        execute(
            "INSERT INTO briefings (project_id, session_id, status, raw_markdown, created_at)"
            " VALUES ('mimesis__607a7a7c', NULL, 'completed', ?, ?)",
            (text, NOW),
        )
    execute(
        "INSERT INTO briefings (project_id, session_id, task_id, status, ended_at, raw_markdown,"
        " blockers_json, files_touched_json, created_at)"
        " VALUES ('other__00000000', 's1', 't1', 'blocked', ?, 'waiting', 'not json', '[\"a.py\"]', ?)",
        (NOW, NOW),
    )
    for payload in HOSTILE_PAYLOADS:
        execute(
            "INSERT INTO outbox_events (ts, type, payload_json) VALUES (?, 'briefing_added', ?)",
            (NOW, payload),
        )
    execute(
        "INSERT INTO jobs (ts_created, type, model, status, request_json)"
        " VALUES (?, 'worker_task', 'opus', 'queued', '{}')",
        (NOW,),
    )
    execute(
        "INSERT INTO conversations (conversation_id, kind, cwd, model, created_at, updated_at)"
        " VALUES ('c1', 'commander', '/home', 'opus', ?, ?)",
        (NOW, NOW),
    )


def dump(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    """Every row of the five tables, by the columns that an original has."""
    connection.row_factory = None
    connection.text_factory = bytes
    rows = {}
    for table in TABLES:
        names = [
            row[1].decode() if isinstance(row[1], bytes) else row[1]
            for row in connection.execute(f"PRAGMA table_info({table})")
        ]
        selected = ", ".join(n for n in names if (table, n) != ("outbox_events", "broadcast_level"))
        rows[table] = connection.execute(f"SELECT {selected} FROM {table} ORDER BY 1").fetchall()
    return rows


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "fleet.db"


@contextlib.contextmanager
def common_user() -> Iterator[Path]:
    """A separate folder, as a user who is bound by file modes (root is not)."""
    folder = Path(tempfile.mkdtemp(prefix="fleet-", dir="/tmp"))
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(0)
            shutil.rmtree(folder, ignore_errors=True)
    else:
        try:
            yield folder
        finally:
            subprocess.run(["chmod", "-R", "u+rwX", str(folder)], check=False)
            shutil.rmtree(folder, ignore_errors=True)


# --- the schema -------------------------------------------------------------------------------


def test_five_tables_match_the_reference_columns_types_and_order(path: Path) -> None:
    connection = db.connect(path)
    with contextlib.closing(sqlite3.connect(":memory:")) as reference:
        reference.executescript(REFERENCE)
        for table in TABLES:
            assert columns(connection, table) == columns(reference, table), table


def test_five_tables_have_the_reference_keys(path: Path) -> None:
    connection = db.connect(path)
    for table, column in (("briefings", "briefing_id"), ("outbox_events", "event_id")):
        sql = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()[0]
        assert f"{column} INTEGER PRIMARY KEY AUTOINCREMENT" in sql
    foreign = [tuple(row)[2:5] for row in connection.execute("PRAGMA foreign_key_list(briefings)")]
    assert foreign == [("projects", "project_id", "project_id")]
    unique = {
        tuple(row[2] for row in connection.execute(f"PRAGMA index_info('{index[1]}')"))
        for index in connection.execute("PRAGMA index_list(briefings)")
        if index[2]
    }
    assert unique == {("project_id", "session_id", "task_id", "ended_at")}


def test_new_database_has_its_schema_version_and_pragmas(path: Path) -> None:
    connection = db.connect(path)
    pragmas = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("user_version", "journal_mode", "auto_vacuum", "foreign_keys", "synchronous")
    }
    assert pragmas == {
        "user_version": migrate.latest_version(),
        "journal_mode": "wal",
        "auto_vacuum": 2,
        "foreign_keys": 1,
        "synchronous": 2,
    }


def test_deleted_pages_go_back_on_an_incremental_vacuum(path: Path) -> None:
    connection = db.connect(path)
    with db.transaction(connection):
        connection.executemany(
            "INSERT INTO outbox_events (ts, type, payload_json) VALUES ('', 'error', ?)",
            [("x" * 3000,) for _ in range(500)],
        )
    before = connection.execute("PRAGMA page_count").fetchone()[0]
    with db.transaction(connection):
        connection.execute("DELETE FROM outbox_events")
    # Not execute(): it steps a statement without columns only once, which frees a single page.
    connection.executescript("PRAGMA incremental_vacuum")
    assert connection.execute("PRAGMA page_count").fetchone()[0] < before / 2


@pytest.mark.parametrize("umask", [0o022, 0o000, 0o077])
def test_database_file_and_its_companions_are_private(path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        connection = db.connect(path)
        connection.execute("INSERT INTO outbox_events (ts, type, payload_json) VALUES ('', '', '')")
    finally:
        os.umask(old)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"fleet.db": 0o600, "fleet.db-wal": 0o600, "fleet.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_adopted_file_readable_by_others_becomes_private(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    connection = original(path)
    fill(connection)
    connection.close()
    path.chmod(0o644)
    connection = db.connect(path)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.glob("fleet.db*")}
    assert set(modes.values()) == {0o600}, modes


def test_schema_file_equals_the_result_of_the_migrations(path: Path) -> None:
    text = (ROOT / "fleet_lib" / "store" / "schema.sql").read_text()
    header = "".join(re.findall(r"\A(?:--[^\n]*\n|\n)+", text))
    assert "Generated" in header
    assert text.removeprefix(header) == migrate.schema_of(db.connect(path))


def test_schema_file_alone_creates_the_same_database(path: Path, tmp_path: Path) -> None:
    script = (ROOT / "fleet_lib" / "store" / "schema.sql").read_text()
    with contextlib.closing(sqlite3.connect(tmp_path / "from-schema.db")) as other:
        for statement in migrate.statements(script):
            other.execute(statement)
        assert master(other) == master(db.connect(path))


def test_reopening_changes_nothing(path: Path) -> None:
    db.connect(path).close()
    before = digest(path)
    db.connect(path).close()
    assert digest(path) == before
    assert not (path.parent / "backups").exists()


# --- migrations -------------------------------------------------------------------------------


def migrate_midway(path: Path, upto: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = migrate.scripts()
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "scripts", lambda: tuple(s for s in scripts if s[0] <= upto))
        connection = db.connect(path)
        fill(connection)
        connection.close()


def test_file_migrated_midway_with_old_rows_ends_like_a_fresh_one(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, _ in migrate.scripts()[:-1]:
        midway = tmp_path / f"midway{version}" / "fleet.db"
        migrate_midway(midway, version, monkeypatch)
        with contextlib.closing(sqlite3.connect(midway)) as connection:
            before = dump(connection)
        connection = db.connect(midway)
        assert master(connection) == master(db.connect(path))
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert dump(connection) == before


def test_failed_migration_leaves_everything_unchanged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.connect(path).close()
    scripts = migrate.scripts()
    broken = (
        *scripts,
        (scripts[-1][0] + 1, "CREATE TABLE half (x);\nINSERT INTO nowhere VALUES (1);"),
    )
    monkeypatch.setattr(migrate, "scripts", lambda: broken)
    monkeypatch.setattr(migrate, "latest_version", lambda: broken[-1][0])
    with pytest.raises(sqlite3.OperationalError):
        db.connect(path)
    monkeypatch.undo()
    connection = db.connect(path)
    assert migrate.version_of(connection) == migrate.latest_version()
    assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchall()


def test_backup_is_made_before_a_file_with_content_is_migrated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate_midway(path, 1, monkeypatch)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        before = dump(connection)
    db.connect(path).close()
    (copy,) = (path.parent / "backups").iterdir()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        assert migrate.version_of(connection) == 1
        assert dump(connection) == before


def test_backups_are_rotated_and_the_newest_are_kept(path: Path) -> None:
    db.connect(path).close()
    copies = [
        migrate.backup(path, path.parent / "backups") for _ in range(migrate.BACKUPS_KEPT + 3)
    ]
    assert sorted((path.parent / "backups").iterdir()) == copies[-migrate.BACKUPS_KEPT :]


def test_backup_includes_the_write_ahead_log(path: Path) -> None:
    connection = db.connect(path)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("INSERT INTO outbox_events (ts, type, payload_json) VALUES ('', 'x', '')")
    copy = migrate.backup(path, path.parent / "backups")
    with contextlib.closing(sqlite3.connect(f"file:{copy}?immutable=1", uri=True)) as other:
        assert other.execute("SELECT type FROM outbox_events").fetchall() == [("x",)]


def test_concurrent_creation_and_migration_all_succeed(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from fleet_lib.store import db\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "connection = db.connect(sys.argv[1])\n"
        "with db.transaction(connection):\n"
        '    connection.execute("INSERT INTO outbox_events (ts, type, payload_json)'
        " VALUES ('', 'error', '{}')\")\n"
        "print(connection.execute('PRAGMA auto_vacuum').fetchone()[0])\n"
    )
    for round_number in range(4):
        path = tmp_path / f"round{round_number}" / "fleet.db"
        if round_number % 2:  # an original database, adopted by all processes at once
            path.parent.mkdir()
            connection = original(path)
            fill(connection)
            connection.close()
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(path), str(ROOT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(8)
        ]
        for racer in racers:
            assert racer.stdout is not None and racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        results = [(*racer.communicate(timeout=60), racer.returncode) for racer in racers]
        assert [code for _, _, code in results] == [0] * 8, results
        connection = db.connect(path)
        count = connection.execute("SELECT count(*) FROM outbox_events WHERE ts = ''").fetchone()[0]
        assert count == 8
        backups = path.parent / "backups"
        assert len(list(backups.iterdir()) if backups.exists() else []) == round_number % 2
        if not round_number % 2:
            assert {out.strip() for out, _, _ in results} == {"2"}


# --- statements and transactions --------------------------------------------------------------


def test_statement_splitter_keeps_a_trigger_whole() -> None:
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM b;\n  SELECT 1;\nEND;"
    script = f"CREATE TABLE a (x);\n{trigger}\nCREATE TABLE b (y);\n"
    assert migrate.statements(script) == ["CREATE TABLE a (x);", trigger, "CREATE TABLE b (y);"]


def test_semicolon_in_a_comment_or_string_does_not_end_a_statement() -> None:
    script = (
        "-- first; a comment\n\n/* and; a\nblock; */\nCREATE TABLE a (x TEXT DEFAULT 'p;\nq', -- y; z\n"
        "  w);\n-- the end; really\n"
    )
    (statement,) = migrate.statements(script)
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(statement)
        assert [c[0] for c in columns(connection, "a")] == ["x", "w"]


@pytest.mark.parametrize("script", ["", "\n\n", "-- nothing\n", "  -- nothing"])
def test_empty_sql_has_no_statements(script: str) -> None:
    assert migrate.statements(script) == []


@pytest.mark.parametrize("script", ["CREATE TABLE a (x)", "SELECT 1;\nSELECT 'open;\n"])
def test_unterminated_statement_is_refused(script: str) -> None:
    with pytest.raises(ValueError, match="middle"):
        migrate.statements(script)


def test_migrations_split_into_single_statements() -> None:
    for _, script in migrate.scripts():
        for statement in migrate.statements(script):
            assert sqlite3.complete_statement(statement)


def test_transaction_that_raises_is_rolled_back(path: Path) -> None:
    connection = db.connect(path)
    with pytest.raises(KeyboardInterrupt), db.transaction(connection):
        connection.execute("INSERT INTO outbox_events (ts, type, payload_json) VALUES ('', '', '')")
        raise KeyboardInterrupt
    assert not connection.in_transaction
    assert connection.execute("SELECT count(*) FROM outbox_events").fetchone()[0] == 0


def test_transaction_handles_an_error_that_already_rolled_back(path: Path) -> None:
    connection = db.connect(path)
    with pytest.raises(ZeroDivisionError), db.transaction(connection):
        connection.execute("ROLLBACK")
        raise ZeroDivisionError
    with db.transaction(connection):
        connection.execute("INSERT INTO outbox_events (ts, type, payload_json) VALUES ('', '', '')")
    assert connection.execute("SELECT count(*) FROM outbox_events").fetchone()[0] == 1


def test_second_writer_waits_at_the_start_of_its_transaction(path: Path) -> None:
    first, second = db.connect(path), db.connect(path, busy_timeout=0.05)
    with db.transaction(first):
        first.execute("SELECT 1 FROM projects").fetchall()
        with pytest.raises(sqlite3.OperationalError) as raised, db.transaction(second):
            raise AssertionError("the second writer did not wait")
        assert db.is_busy(raised.value) and db.is_unusable(raised.value)


# --- an original database ---------------------------------------------------------------------

WITHOUT_LEVEL = re.sub(r"  broadcast_level TEXT,             -- silent\|mention\|highlight \(f.*\n", "", REFERENCE)  # fmt: skip


@pytest.mark.parametrize("ddl", [REFERENCE, WITHOUT_LEVEL], ids=["whole", "without_level"])
def test_original_database_is_adopted_without_losing_a_row(path: Path, ddl: str) -> None:
    path.parent.mkdir()
    connection = original(path, ddl)
    assert ("broadcast_level" in dict.fromkeys(c[0] for c in columns(connection, "outbox_events"))) == (
        ddl is REFERENCE
    )  # fmt: skip
    fill(connection)
    before = dump(connection)
    connection.close()

    connection = db.connect(path)
    assert migrate.version_of(connection) == migrate.latest_version()
    assert {c[0] for c in columns(connection, "outbox_events")} >= {"broadcast_level", "delivered"}
    assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    (found,) = search(connection, "zeppelin").records
    assert found["raw_markdown"][:6] == "# Done"
    assert dump(connection) == before
    (copy,) = (path.parent / "backups").iterdir()
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        assert migrate.version_of(connection) == 0
        assert dump(connection) == before


def test_half_created_original_database_is_adopted(path: Path) -> None:
    path.parent.mkdir()
    first_tables = REFERENCE.partition("CREATE TABLE jobs")[0]
    original(path, first_tables).close()
    connection = db.connect(path)
    with contextlib.closing(sqlite3.connect(":memory:")) as reference:
        reference.executescript(REFERENCE)
        for table in TABLES:
            assert columns(connection, table) == columns(reference, table)


def test_adopted_database_keeps_its_extra_tables_and_columns(path: Path) -> None:
    path.parent.mkdir()
    connection = original(path)
    connection.executescript(
        "CREATE TABLE __drizzle_migrations (id INTEGER PRIMARY KEY, hash TEXT);"
        "INSERT INTO __drizzle_migrations VALUES (1, 'abc');"
        "CREATE INDEX idx_outbox_delivered ON outbox_events(delivered);"
        "ALTER TABLE projects ADD COLUMN theirs TEXT DEFAULT 'x';"
    )
    fill(connection)
    connection.close()
    connection = db.connect(path)
    assert connection.execute("SELECT hash FROM __drizzle_migrations").fetchone()[0] == "abc"
    assert {project.project_id for project in ProjectRepo(connection).get_active()} == {
        "mimesis__607a7a7c",
        "other__00000000",
    }


def test_repositories_read_rows_of_the_original_system(path: Path) -> None:
    path.parent.mkdir()
    connection = original(path, WITHOUT_LEVEL)
    fill(connection)
    connection.close()
    connection = db.connect(path)
    events = OutboxRepo(connection).get_after(0)
    assert len(events) == len(HOSTILE_PAYLOADS)
    for event in events:
        assert isinstance(event.payload_json, str)
        assert event.payload is None or isinstance(event.payload, dict)
        assert event.delivered is False and event.broadcast_level is None
    assert len(BriefingRepo(connection).get_recent(50)) == 4
    assert BriefingRepo(connection).query(session_id="s1")[0].blockers == ()
    assert [job.status for job in JobRepo(connection).get_pending()] == ["queued"]
    other = ProjectRepo(connection).get("other__00000000")
    assert other is not None and other.status == "active"


def test_original_writers_still_work_after_adoption(path: Path) -> None:
    path.parent.mkdir()
    daemon = original(path, WITHOUT_LEVEL)  # it stays open, as in a daemon
    fill(daemon)
    connection = db.connect(path)
    before = daemon.execute("SELECT count(*) FROM outbox_events").fetchone()[0]
    for payload in HOSTILE_PAYLOADS:
        daemon.execute(
            "INSERT INTO outbox_events (ts, type, project_id, payload_json) VALUES (?, ?, ?, ?)",
            (NOW, "briefing_added", "unknown", payload),
        )
        daemon.execute("UPDATE outbox_events SET delivered = 1, payload_json = ?", (payload,))
    daemon.execute(
        "INSERT INTO briefings (project_id, status, raw_markdown, created_at)"
        " VALUES ('mimesis__607a7a7c', 'completed', 'the daemon wrote of quasars', ?)",
        (NOW,),
    )
    daemon.execute("UPDATE briefings SET blockers_json = '[\"pulsar\"]' WHERE briefing_id = 5")
    daemon.execute("UPDATE projects SET updated_at = ?", (NOW,))
    daemon.execute("UPDATE conversations SET last_outbox_event_id_seen = 7")
    daemon.execute("DELETE FROM briefings WHERE briefing_id = 1")
    after = connection.execute("SELECT count(*) FROM outbox_events").fetchone()[0]
    assert after == before + len(HOSTILE_PAYLOADS)
    for word, number in {"quasars": 1, "pulsar": 1, "zeppelin": 0}.items():
        assert len(search(connection, word).records) == number
    assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert verify.search_index_problems(path) == []


def test_raw_bytes_in_any_text_column_do_not_stop_a_reader(path: Path) -> None:
    connection = db.connect(path)
    connection.execute(
        "INSERT INTO outbox_events (ts, type, payload_json) VALUES ('', CAST(x'ff41' AS TEXT),"
        " CAST(x'7bff7d' AS TEXT))"
    )
    (event,) = OutboxRepo(connection).get_after(0)
    assert event.type == "\ufffdA" and event.payload is None


# --- what cannot be used ----------------------------------------------------------------------


def newer(path: Path) -> None:
    connection = db.connect(path)
    fill(connection)
    connection.execute(f"PRAGMA user_version = {migrate.latest_version() + 1}")
    connection.close()


@pytest.mark.parametrize("open_it", [db.connect, db.connect_read_only])
def test_newer_schema_is_refused_in_one_line_and_left_alone(path: Path, open_it) -> None:
    newer(path)
    before = digest(path)
    with pytest.raises(NewerSchema) as raised:
        open_it(path)
    line = str(raised.value)
    assert "\n" not in line and "upgrade" in line and str(migrate.latest_version() + 1) in line
    assert isinstance(raised.value, DatabaseUnusable)
    assert digest(path) == before
    assert not (path.parent / "backups").exists()


def test_reader_creates_and_migrates_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatabaseUnusable):
        db.connect_read_only(path)
    assert not path.parent.exists()
    migrate_midway(path, 1, monkeypatch)
    before = digest(path)
    with pytest.raises(DatabaseUnusable, match="migrate"):
        db.connect_read_only(path)
    assert digest(path) == before


def test_a_reader_cannot_write(path: Path) -> None:
    db.connect(path).close()
    reader = db.connect_read_only(path)
    with pytest.raises(sqlite3.OperationalError) as raised:
        reader.execute("DELETE FROM projects")
    assert db.is_unusable(raised.value)


def assert_unusable(path: Path) -> None:
    try:
        connection = db.connect(path, busy_timeout=0.2)
        try:
            with db.transaction(connection):
                connection.execute(
                    "INSERT INTO outbox_events (ts, type, payload_json) VALUES ('', '', '')"
                )
        finally:
            connection.close()
    except DatabaseUnusable as error:
        assert "\n" not in str(error)
    except sqlite3.Error as error:
        assert db.is_unusable(error), error
    else:
        raise AssertionError("the database was usable")


def test_file_that_is_not_a_database_is_unusable_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    for content in (b"not a database at all\n" * 500, b"\0" * 8192, os.urandom(8192)):
        path.write_bytes(content)
        assert_unusable(path)
        assert path.read_bytes() == content


def test_database_damaged_in_the_middle_is_unusable(path: Path) -> None:
    connection = db.connect(path)
    fill(connection)
    connection.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    assert_unusable(path)


def test_folder_at_the_database_path_is_unusable(path: Path) -> None:
    path.mkdir(parents=True)
    assert_unusable(path)


def test_file_at_the_home_folder_path_is_unusable(path: Path) -> None:
    path.parent.write_text("a file")
    assert_unusable(path)


def test_a_read_only_file_is_unusable() -> None:
    with common_user() as folder:
        path = folder / "home" / "fleet.db"
        db.connect(path).close()
        path.chmod(0o400)
        assert_unusable(path)


def test_a_read_only_folder_is_unusable() -> None:
    with common_user() as folder:
        path = folder / "home" / "fleet.db"
        db.connect(path).close()
        path.parent.chmod(0o500)
        assert_unusable(path)


def test_home_that_cannot_be_created_is_unusable() -> None:
    with common_user() as folder:
        folder.chmod(0o500)
        assert_unusable(folder / "home" / "fleet.db")


@pytest.mark.parametrize("name", ["a home?mode=ro", "100%25 home", "home#1", "heim ünï", "a'b\"c"])
def test_database_works_under_any_folder_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "fleet.db"
    db.connect(path).close()
    db.connect_read_only(path).close()
    assert verify.search_index_problems(path) == []
    assert path.stat().st_size > 0
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
