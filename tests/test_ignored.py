"""projects.ignore: a session in such a folder leaves nothing behind."""

import json
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import HOOKS, Fleet, captured_payloads, event_of, git, make_repository, payload

from fleet_lib import config, ignored
from fleet_lib.errors import BadInput
from fleet_lib.store import db


def contents(fleet: Fleet) -> dict[str, int]:
    """{table: rows} of every table that has any."""
    connection = db.connect(fleet.home / "fleet.db")
    names = [
        row[0]
        for row in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE%'"
        )
    ]
    counts = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}  # fmt: skip
    connection.close()
    # The search index is never without rows of its own.
    own = ("search_fts", "search_progress")
    return {name: count for name, count in counts.items() if count and not name.startswith(own)}


def set_ignored(fleet: Fleet, *globs: str) -> None:
    fleet.console("config", "set", "projects.ignore", *globs)


def turn(fleet: Fleet, folder: Path, session: str = "s1", **fields: Any) -> None:
    call = payload("Stop") | {"session_id": session, "prompt_id": session, "cwd": str(folder)}
    fleet.hook("stop", call | {"transcript_path": ""} | fields, project=folder)
    fleet.drain()


def test_fresh_installation_ignores_nothing(fleet: Fleet) -> None:
    assert config.get(str(fleet.home), "projects.ignore").value == ()
    turn(fleet, make_repository(fleet.folder / "app"))
    assert fleet.rows("SELECT count(*) FROM briefings") == [(1,)]


@pytest.mark.parametrize("with_project", [True, False])
def test_no_event_of_an_ignored_folder_leaves_a_row(fleet: Fleet, with_project: bool) -> None:
    folder = make_repository(fleet.folder / "customer" / "app", "https://github.com/c/app.git")
    set_ignored(fleet, str(fleet.folder / "customer"))
    for name in captured_payloads(*HOOKS):
        call = payload(name) | {"cwd": str(folder)}
        fleet.hook(HOOKS[event_of(name)], call, project=folder if with_project else None)
    fleet.hook("stop", b'{"cwd": "' + bytes(folder) + b'", not json', project=folder)
    assert fleet.waiting()
    fleet.drain()
    assert contents(fleet) == {}
    assert fleet.waiting() == [] and fleet.quarantine() == {}


def test_worktree_elsewhere_of_an_ignored_repository_is_ignored(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "customer")
    git(repository, "worktree", "add", "-q", "-b", "topic", str(fleet.folder / "topic"))
    set_ignored(fleet, str(repository))
    turn(fleet, fleet.folder / "topic")
    fleet.hook("stop", payload("Stop") | {"cwd": str(fleet.folder / "topic")}, fleet.folder / "topic")  # fmt: skip
    git(repository, "worktree", "remove", "--force", str(fleet.folder / "topic"))
    fleet.drain()
    assert "projects" not in contents(fleet)


def test_other_folders_are_recorded_as_before(fleet: Fleet) -> None:
    set_ignored(fleet, str(fleet.folder / "customer"))
    turn(fleet, make_repository(fleet.folder / "customer-portal"))
    turn(fleet, make_repository(fleet.folder / "app"), "s2")
    assert fleet.rows("SELECT repo_name FROM projects ORDER BY 1") == [("app",), ("customer-portal",)]  # fmt: skip


def test_session_of_an_ignored_folder_is_shown_no_facts(fleet: Fleet) -> None:
    start = payload("SessionStart-startup")
    set_ignored(fleet, str(fleet.folder / "customer"))
    for number, (folder, is_shown) in enumerate((("customer", False), ("app", True))):
        (fleet.folder / folder).mkdir()
        call = start | {"session_id": f"s{number}", "cwd": str(fleet.folder / folder)}
        done = fleet.hook("session_start", call, project=fleet.folder / folder)
        assert bool(fleet.context(done)) == is_shown


def test_commander_is_never_ignored(fleet: Fleet) -> None:
    set_ignored(fleet, "/**")
    turn(fleet, fleet.folder)
    assert "briefings" not in contents(fleet)
    start = payload("SessionStart-startup") | {"session_id": "c1", "cwd": str(fleet.home)}
    fleet.hook("session_start", start, project=fleet.home)
    turn(fleet, fleet.home, "c1")
    assert "commander_sessions" in contents(fleet)


def test_import_leaves_ignored_folders_out(fleet: Fleet) -> None:
    set_ignored(fleet, str(fleet.folder / "customer"))
    transcripts = fleet.folder / "transcripts" / "-x"
    transcripts.mkdir(parents=True)
    for name in ("customer", "app"):
        (fleet.folder / name).mkdir()
        common = {"sessionId": name, "cwd": str(fleet.folder / name), "promptId": name}
        at = {"timestamp": "2026-01-02T03:04:05.000Z"}
        said = {"role": "assistant", "stop_reason": "end_turn", "content": [{"type": "text", "text": "Done it."}]}  # fmt: skip
        lines = (
            {"type": "user", "uuid": "1", "message": {"role": "user", "content": "go"}},
            {"type": "assistant", "uuid": "2", "parentUuid": "1", "message": said},
        )
        (transcripts / f"{name}.jsonl").write_text(
            "".join(json.dumps(common | at | line) + "\n" for line in lines)
        )
    report = json.loads(fleet.console("import", "--json", str(transcripts)).stdout)
    assert (report["imported"], report["ignored"]) == (1, 1)
    assert fleet.rows("SELECT repo_name FROM projects") == [("app",)]
    again = fleet.console("import", str(transcripts)).stdout
    assert "Left out 1 turn in folders of projects.ignore." in again


def test_job_in_an_ignored_folder_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    program = tmp_path / "claude"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    fleet.console("config", "set", "claude.program", str(program))
    turn(fleet, make_repository(fleet.folder / "customer"))
    set_ignored(fleet, str(fleet.folder / "customer"))
    done = fleet.console("jobs", "submit", "go", "--project", "customer", check=False)
    assert done.returncode == 1 and "projects.ignore" in done.stderr
    assert fleet.rows("SELECT count(*) FROM jobs") == [(0,)]


# --- globs ----------------------------------------------------------------------------------------

GLOBS = [
    ("/w/customer", "/w/customer", True),
    ("/w/customer", "/w/customer/app/src", True),
    ("/w/customer/", "/w/customer", True),
    ("/w/customer", "/w/customer2", False),
    ("/w/customer", "/w", False),
    ("/w/*", "/w/a/b", True),
    ("/w/*", "/w", False),
    ("/w/*/app", "/w/a/app", True),
    ("/w/*/app", "/w/a/b/app", False),
    ("/w/**/app", "/w/a/b/app/x", True),
    ("/w/**/app", "/w/app", True),
    ("/w/**", "/w", True),
    ("/w/**", "/v", False),
    ("/**", "/", True),
    ("/w/a**z", "/w/abcz", True),
    ("/w/c?st", "/w/cast", True),
    ("/w/c?st", "/w/ct", False),
    ("/w/[a-c]x", "/w/bx", True),
    ("/w/[!a-c]x", "/w/bx", False),
    ("/w/[]x", "/w/[]x", True),
    ("/w/[*]", "/w/*", True),
    ("/w/[*]", "/w/a", False),
    ("/w/Customer", "/w/customer", False),
    ("observer-*", "/w/x/observer-7/y", True),
    ("observer-*", "/w/x/my-observer-7", False),
    ("a/b", "/x/a/b/c", True),
    ("~/work", "~/work/app", True),
    ("~", "~/x", True),
    ("~/**/old", "~/a/b/old", True),
    ("/w/日本*", "/w/日本語", True),
    ("/w/a,b", "/w/a,b", True),
]


@pytest.mark.parametrize(("pattern", "folder", "expected"), GLOBS)
def test_glob_matches_a_folder_and_those_below_it(
    fleet: Fleet, pattern: str, folder: str, expected: bool
) -> None:
    home = str(fleet.home)
    config.put(home, "projects.ignore", "/none", pattern)
    assert ignored.is_ignored(home, str(Path(folder).expanduser())) is expected


def test_glob_and_folder_may_lead_through_links(fleet: Fleet) -> None:
    real, link = fleet.folder / "real", fleet.folder / "link"
    (real / "app").mkdir(parents=True)
    link.symlink_to(real)
    for named in (real, link):
        config.put(str(fleet.home), "projects.ignore", f"{named}/*")
        for folder in (real / "app", link / "app"):
            assert ignored.is_ignored(str(fleet.home), str(folder))


def test_glob_of_many_stars_is_quick(fleet: Fleet) -> None:
    config.put(str(fleet.home), "projects.ignore", "/" + "a*" * 60 + "b", "/**" * 60 + "/b")
    assert not ignored.is_ignored(str(fleet.home), "/" + "a" * 200 + "/x" * 60)


# --- the setting ----------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)))
def test_hooks_read_the_same_list_as_the_console(
    tmp_path_factory: pytest.TempPathFactory, globs: list[str]
) -> None:
    home = str(tmp_path_factory.mktemp("home"))
    config.put(home, "worker.facts", "true")
    config.put(home, "projects.ignore", *globs)
    assert ignored.ignored_folders(home) == globs
    assert config.load(home).projects.ignore == tuple(globs)


@pytest.mark.parametrize(
    "text",
    [
        '[projects]\nignore = ["/a", "/b"]\n',
        "[projects] # mine\nignore=['/a','/b',]  # two",
        '[projects]\nignore = [\n  "/a",  # one ] of them\n  # "/c",\n  \'/b\',\n]\n[worker]\nfacts = true\n',
    ],
)
def test_list_may_be_written_by_hand(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    assert config.load(str(tmp_path)).projects.ignore == ("/a", "/b")
    assert ignored.ignored_folders(str(tmp_path)) == ["/a", "/b"]


@pytest.mark.parametrize(
    "text",
    [
        'projects.ignore = ["/a"]\n',
        'projects = { ignore = ["/a"] }\n',
        '[projects]\nignore = ["""\n/a"""]\n',
        '[projects]\nignore = ["\\u002fa"]\n',
    ],
)
def test_form_that_hooks_would_read_differently_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(BadInput, match=r"hooks read projects\.ignore line by line"):
        config.load(str(tmp_path))


@pytest.mark.parametrize("text", ['ignore = "/a"', 'ignore = [""]', "ignore = [1]"])
def test_wrong_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(f"[projects]\n{text}\n")
    with pytest.raises(BadInput, match=r"line 2: .*projects\.ignore"):
        config.load(str(tmp_path))


def test_console_sets_shows_and_empties_the_list(fleet: Fleet) -> None:
    set_ignored(fleet, "/a b", "~/c")
    assert fleet.console("config", "get", "projects.ignore").stdout == "/a b\n~/c\n"
    listed = json.loads(fleet.console("config", "list", "--json").stdout)
    assert {row["key"]: row["value"] for row in listed}["projects.ignore"] == ["/a b", "~/c"]
    assert "/a b, ~/c" in fleet.console("config", "list").stdout
    done = fleet.console("doctor", "--json", check=False)
    assert "'/a b', '~/c'" in done.stdout
    bundle = fleet.folder / "report.zip"
    fleet.console("doctor", "--report", str(bundle), check=False)
    with zipfile.ZipFile(bundle) as report:
        assert b"a b" not in report.read("doctor.json")
    fleet.console("config", "unset", "projects.ignore")
    assert fleet.console("config", "get", "projects.ignore").stdout == ""
    wrong = fleet.console("config", "set", "prelude.budget", "4000", "5000", check=False)
    assert wrong.returncode == 1 and "one value" in wrong.stderr


def test_ignored_session_does_not_hold_up_the_others(fleet: Fleet) -> None:
    set_ignored(fleet, str(fleet.folder / "customer"))
    for number in range(6):
        folder = fleet.folder / ("customer" if number % 2 else "app")
        folder.mkdir(exist_ok=True)
        call = payload("Stop") | {"session_id": f"s{number}", "prompt_id": f"p{number}"}
        fleet.hook("stop", call | {"cwd": str(folder), "transcript_path": ""}, project=folder)
    fleet.drain()
    assert fleet.rows("SELECT count(*) FROM briefings") == [(3,)]
    with pytest.raises(sqlite3.OperationalError):
        fleet.rows("SELECT * FROM ignored")  # what was left out is not even listed
