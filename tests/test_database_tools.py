"""`fleet db studio` and `fleet db generate`."""

import contextlib
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
from support import ROOT, Fleet, make_repository, payload

from commander.cli import generate
from fleet_lib.errors import BadInput
from fleet_lib.extras import command_to_add
from fleet_lib.store import migrate, schema_difference


def get(url: str, *, browser: "urllib.request.OpenerDirector | None" = None) -> "tuple[int, str]":
    opener = browser or urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_studio_is_read_only_and_needs_the_token(
    fleet: Fleet,
) -> None:
    folder = make_repository(fleet.folder / "shop-api")
    fleet.hook("stop", payload("Stop") | {"last_assistant_message": "Refunds work."}, folder)
    studio = subprocess.Popen(
        [sys.executable, "-m", "commander", "db", "studio", "--no-browser"],
        env=fleet.env(PYTHONUNBUFFERED="1"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert studio.stdout
    try:
        output = ""
        while "running on" not in output:
            line = studio.stdout.readline()
            assert line, output
            output += line
        match = re.search(r"(http://127\.0\.0\.1:\d+)/-/auth-token\?token=\w+", output)
        assert match, output
        assert get(f"{match[1]}/fleet/briefings.json")[0] == 403
        jar = urllib.request.HTTPCookieProcessor(CookieJar())
        browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar)
        assert get(match[0], browser=browser)[0] == 200
        status, text = get(f"{match[1]}/fleet/briefings.json", browser=browser)
        assert status == 200 and "Refunds work." in text
        status, _ = get(f"{match[1]}/fleet.json?sql=delete+from+briefings", browser=browser)
        assert status == 400
        assert fleet.rows("SELECT count(*) FROM briefings") == [(1,)]
    finally:
        studio.send_signal(signal.SIGINT)
        studio.wait(20)


def test_studio_without_datasette_says_how_to_install_it(fleet: Fleet, tmp_path: Path) -> None:
    hide = (
        "import importlib.util as u, sys; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'datasette' else real(name, *a)\n"
        "from commander.__main__ import main; sys.argv = ['fleet', 'db', 'studio']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", hide],
        env=fleet.env(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and f"run `{command_to_add('studio')}`" in done.stderr


SCHEMA = (ROOT / "fleet_lib" / "store" / "schema.sql").read_text()


def with_statements(sql: str) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate.migrate(connection, None)
    for statement in migrate.statements(sql):
        connection.execute(statement)
    return connection


def test_unchanged_schema_needs_no_migration(tmp_path: Path) -> None:
    assert schema_difference.next_migration(SCHEMA) == ("", [])
    assert schema_difference.next_migration(SCHEMA.replace("  ", " ") + "-- a comment\n") == (
        "",
        [],
    )
    (tmp_path / "migrations").mkdir()
    (tmp_path / "schema.sql").write_text(SCHEMA)
    with pytest.raises(BadInput, match="change it first"):
        generate.write(tmp_path, "nothing")


def test_additions_become_sql_that_produces_the_schema(tmp_path: Path) -> None:
    new_schema = SCHEMA.replace(
        "  detail TEXT NOT NULL,", "  detail TEXT NOT NULL,\n  mood TEXT,", 1
    )
    new_schema = new_schema.replace(
        "  summary TEXT NOT NULL,",
        "  stars INTEGER NOT NULL DEFAULT 0,\n  summary TEXT NOT NULL,",
        1,
    )
    new_schema += "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);\n"
    new_schema += "CREATE INDEX notes_by_text ON notes(text);\n"
    new_schema = re.sub(r"CREATE INDEX turns_by_briefing[^;]*;", "", new_schema)
    (tmp_path / "migrations").mkdir()
    (tmp_path / "schema.sql").write_text(new_schema)
    output = generate.write(tmp_path, "notes_and_moods")
    version = migrate.latest_version() + 1
    written = (tmp_path / "migrations" / f"{version:04}_notes_and_moods.sql").read_text()
    assert "set SCHEMA_VERSION in" in output and f"to {version}, then" in output
    assert "To do by hand" not in output
    with contextlib.closing(with_statements(written)) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        assert {"notes", "notes_by_text"} <= names and "turns_by_briefing" not in names
        columns = {row[1] for row in connection.execute("PRAGMA table_info(sessions)")}
        assert "mood" in columns
        connection.execute("SELECT stars FROM turns")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  detail TEXT NOT NULL,", "  detail INTEGER NOT NULL,", "sessions changes in a way"),
        ("  detail TEXT NOT NULL,", "  detail TEXT NOT NULL,\n  must TEXT NOT NULL,", "sessions:"),
        ("  detail TEXT NOT NULL,", "", "sessions changes in a way"),
    ],
)
def test_unsupported_alterations_become_a_todo_that_does_not_run(
    old: str, new: str, message: str
) -> None:
    sql, todo = schema_difference.next_migration(SCHEMA.replace(old, new, 1))
    assert len(todo) == 1 and message in todo[0]
    with pytest.raises(sqlite3.OperationalError, match="not_finished"):
        with_statements(sql)


def test_removed_table_is_not_dropped() -> None:
    sql, todo = schema_difference.next_migration(
        re.sub(r"CREATE TABLE doc_drift_pairs.*?WITHOUT ROWID;", "", SCHEMA, flags=re.DOTALL)
    )
    assert todo == ["the table doc_drift_pairs is gone from the schema"]
    assert "DROP TABLE" not in sql


@pytest.mark.parametrize("name", ["", "Drop Table", "../x", "1st"])
def test_invalid_migration_name_is_refused(fleet: Fleet, name: str) -> None:
    done = fleet.console("db", "generate", name, check=False)
    assert done.returncode == 1 and "is not a migration's name" in done.stderr


@pytest.mark.parametrize("name", ["home#1", "100%25 home", "home?mode=ro"])
def test_db_check_opens_the_database_whatever_its_folder_is_called(
    tmp_path: Path, name: str
) -> None:
    fleet = Fleet(tmp_path / name, tmp_path)
    fleet.console("db", "migrate")

    done = fleet.console("db", "check")

    assert "ok" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [name]  # no file of another name


def test_an_index_that_is_missing_is_named_and_made_again(fleet: Fleet) -> None:
    fleet.rows("DROP INDEX sessions_open")
    fleet.rows("DROP INDEX briefings_by_project_machine")
    done = fleet.console("status", check=False)
    assert done.returncode == 1 and "run `fleet doctor`" in done.stderr
    assert "index: sessions_open is missing" in fleet.console("doctor", check=False).stdout
    done = fleet.console("db", "check", check=False)
    assert done.returncode == 1 and "briefings_by_project_machine is missing" in done.stdout
    assert fleet.console("db", "check", "--fix").stdout.endswith(": ok\n")
    fleet.console("status")
    assert fleet.console("db", "check").stdout.endswith(": ok\n")
