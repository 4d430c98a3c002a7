"""What the dashboard asks the API for, answered in the test's own process."""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from starlette.testclient import TestClient
from support import Fleet, make_repository, payload
from test_live import DIALOG, STOP, Sessions

from commander.gateway import address, app, logins, vendored
from fleet_lib import clock
from fleet_lib.levels import Status
from fleet_lib.machines import MARK
from fleet_lib.store import db
from fleet_lib.store.outbox import COLLEAGUE_NEWS, EVENT_TYPES
from fleet_lib.views import places, timeline

STATIC = Path(app.STATIC)
BLOCKED = (
    "I wait.\n\n```briefing\nstatus: blocked\nsummary: Stuck on a key\nblockers: [the key]\n```"
)


@pytest.fixture
def alpha(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "alpha", "https://github.com/acme/alpha.git")


@pytest.fixture
def beta(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "beta")


class Api:
    def __init__(self, fleet: Fleet) -> None:
        place = address.make("127.0.0.1", 8737, (), is_plain=True)
        users = logins.Logins("t" * 40)
        self._client = TestClient(
            app.make(str(fleet.home), place, users),
            base_url="http://127.0.0.1:8737",
            headers={"Authorization": "Bearer " + "t" * 40},
        )

    def get(self, path: str, status: int = 200, **query: object) -> Any:
        answer = self._client.get(f"/api/v1{path}", params={k: str(v) for k, v in query.items()})
        assert answer.status_code == status, answer.text
        return answer.json()

    def post(self, path: str, status: int = 200, **body: object) -> Any:
        answer = self._client.post(f"/api/v1{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def page(self, path: str) -> tuple[int, str]:
        answer = self._client.get(path)
        return answer.status_code, answer.headers["content-type"]


@pytest.fixture
def api(fleet: Fleet) -> Iterator[Api]:
    db.connect(fleet.home / "fleet.db").close()
    yield Api(fleet)


def stop(fleet: Fleet, project: Path, number: int, message: str, session: str) -> None:
    call = payload("Stop") | {"prompt_id": f"p-{number}", "session_id": session}
    call |= {"cwd": str(project), "last_assistant_message": message}
    fleet.hook("stop", call, project)


def groups(api: Api) -> list[tuple[str, list[tuple[str, str]]]]:
    return [
        (project["project"], [(one["session_id"], one["group"]) for one in project["sessions"]])
        for project in api.get("/roster")["projects"]
    ]


def test_roster_has_each_project_and_each_session_once_the_waiting_ones_first(
    api: Api, fleet: Fleet, alpha: Path, beta: Path, tmp_path: Path
) -> None:
    stop(fleet, alpha, 1, "The parser is fixed.", "done")
    stop(fleet, beta, 2, "Shall I go on?", "ended")
    fleet.hook("session_end", payload("SessionEnd-other") | {"session_id": "ended"}, beta)
    stop(fleet, beta, 3, "Quiet work is done.", "open")
    stop(fleet, alpha, 4, BLOCKED, "stuck")
    fleet.drain()
    fleet.rows(
        "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 30)"
        " INSERT INTO projects SELECT 'quiet' || v, 'quiet' || v, '/q', NULL, 'active',"
        " '2026-01-01', printf('2026-01-01T00:%02d', v) FROM n"
    )
    found = groups(api)
    assert found[:2] == [
        ("alpha", [("stuck", "needs_you"), ("done", "open")]),
        ("beta", [("ended", "left_open"), ("open", "open")]),
    ]
    assert [name for name, _ in found[2:5]] == ["quiet30", "quiet29", "quiet28"]
    answer = api.get("/roster", quiet=5)
    assert len(answer["projects"]) == 7 and answer["quiet_projects"] == 30
    assert answer["counts"] == {"needs_you": 1, "left_open": 1, "working": 0, "open": 2}
    (stuck,) = [one for one in answer["projects"][0]["sessions"] if one["group"] == "needs_you"]
    assert (stuck["state"], stuck["text"]) == ("blocked", "the key")
    assert stuck["resume"] == f"cd {alpha} && claude --resume stuck"
    assert answer["projects"][0]["web"] == "https://github.com/acme/alpha"


def test_session_is_dismissed_snoozed_and_shown_again(api: Api, fleet: Fleet, alpha: Path) -> None:
    stop(fleet, alpha, 1, BLOCKED, "stuck")
    fleet.drain()

    def needs() -> list[str]:
        return [one["session_id"] for one in api.get("/overview")["needs_you"]]

    assert needs() == ["stuck"]
    assert api.post("/sessions/stuck/dismiss")["hidden_until"].startswith("9999")
    assert needs() == [] and groups(api) == [("alpha", [("stuck", "open")])]
    assert [one["session_id"] for one in api.get("/roster")["hidden"]] == ["stuck"]
    api.post("/sessions/stuck/show")
    assert needs() == ["stuck"]
    until = api.post("/sessions/stuck/snooze", seconds=3600)["hidden_until"]
    assert clock.ahead(3590) < until < clock.ahead(3610) and needs() == []
    api.post("/sessions/stuck/show")
    week = 7 * 86400
    assert "older than seven days" in api.post("/sessions/stuck/snooze", 400, seconds=week)["error"]["message"]  # fmt: skip
    api.post("/sessions/stuck/snooze", 422, seconds=week + 1)
    api.post("/sessions/unknown/dismiss", 404)
    # An id of another program may hold anything.
    fleet.rows("UPDATE sessions SET session_id = 'a/b c' WHERE session_id = 'stuck'")
    fleet.rows("UPDATE briefings SET session_id = 'a/b c'")
    assert len(api.get("/sessions/a%2Fb%20c")["turns"]) == 1
    assert not api.post("/sessions/a%2Fb%20c/dismiss")["stays_here"]
    assert needs() == []
    # Of another machine, which learns of it only from a machine that shares a project.
    fleet.rows(f"UPDATE sessions SET session_id = 's{MARK}desk', hidden_until = NULL")
    fleet.rows(f"UPDATE briefings SET session_id = 's{MARK}desk'")
    assert api.post(f"/sessions/s{MARK.replace('/', '%2F')}desk/dismiss")["stays_here"]
    fleet.rows("UPDATE sessions SET session_id = 'stuck', hidden_until = NULL")
    stop(fleet, alpha, 2, "It goes on.", "stuck")
    fleet.drain()
    api.post("/sessions/stuck/dismiss", 404)


def test_command_leads_to_the_client_that_has_the_session_open(api: Api, fleet: Fleet) -> None:
    sessions = Sessions(fleet)
    sessions.hook("stop", STOP)
    sessions.age()
    with subprocess.Popen(["sleep", "600"]) as worker:
        sessions.file(worker.pid, **DIALOG)
        (project,) = api.get("/roster")["projects"]
        (session,) = project["sessions"]
        assert (session["group"], session["state"]) == ("needs_you", "waiting_for_permission")
        assert re.fullmatch(r"fleet resume \S+", session["resume"])
        page = api.get(f"/sessions/{session['session_id']}")
        assert page["resume"] == session["resume"] and str(worker.pid) in page["where"]
        worker.kill()
    assert "claude --resume" in api.get(f"/sessions/{session['session_id']}")["resume"]


def test_timeline_is_paged_to_its_beginning_with_one_row_for_a_turn(
    api: Api, fleet: Fleet, alpha: Path, beta: Path
) -> None:
    fleet.hook("session_start", payload("SessionStart-startup") | {"session_id": "s-1"}, alpha)
    stop(fleet, alpha, 1, BLOCKED, "s-1")
    for number in range(2, 14):
        stop(fleet, beta if number % 3 else alpha, number, f"Turn {number}.", f"s-{number}")
    fleet.drain()
    for kind, text in (("doc_drift_warning", "docs/a.md"), ("skill_updated", "skills/x.md")):
        fleet.rows(
            "INSERT INTO outbox_events (ts, type, project_id, briefing_id, broadcast_level,"
            " payload_json) SELECT ts, ?, project_id, briefing_id, 'mention', ? FROM outbox_events"
            " WHERE briefing_id = 5",
            kind,
            json.dumps({"line": text}),
        )
    fleet.rows(  # of other programs
        "INSERT INTO outbox_events (ts, type, project_id, payload_json) VALUES"
        " ('x', x'FF', x'FE', 'no JSON'), ('2026-01-01', 'their_type', NULL, '[]')"
    )

    def all_rows(**query: object) -> list[dict[str, Any]]:
        rows, before = [], {}
        while True:
            page = api.get("/timeline", limit=4, **query, **before)
            assert len(page["rows"]) <= 4
            rows += page["rows"]
            if page["next"] is None:
                return rows
            before = {"before": page["next"]}

    rows = all_rows()
    of_turns = [row["briefing_id"] for row in rows if row["briefing_id"]]
    assert sorted(of_turns) == list(range(1, 14)) and "their_type" in {row["type"] for row in rows}
    turn = next(row for row in rows if row["briefing_id"] == 5)
    assert (turn["type"], turn["line"]) == ("briefing_added", "Turn 5.")
    assert {(one["type"], one["line"]) for one in turn["also"]} == {
        ("doc_drift_warning", "docs/a.md"),
        ("skill_updated", "skills/x.md"),
    }
    blocked = next(row for row in rows if row["briefing_id"] == 1)
    assert (blocked["status"], blocked["also"]) == ("blocked", [])
    assert "session_started" not in {row["type"] for row in rows}
    assert [row["session_id"] for row in all_rows(type="session_started")] == ["s-1"]
    (drift,) = all_rows(type="doc_drift_warning")
    assert drift["line"] == "docs/a.md"
    project = turn["project_id"]
    assert {row["project_id"] for row in all_rows(project_id=project)} == {project}
    assert all_rows(project_id=project) == [row for row in rows if row["project_id"] == project]
    assert {row["briefing_id"] for row in all_rows(level="alert")} >= {1, 5}
    assert all_rows(until="2020-01-01") == []
    # A turn that had another event later is there, too.
    fleet.rows(
        "UPDATE outbox_events SET ts = '2026-01-03T00:00:00.000Z' WHERE event_id <= (SELECT"
        " min(event_id) FROM outbox_events WHERE briefing_id = 5)"
    )
    assert 5 in {row["briefing_id"] for row in all_rows(until="2026-01-04")}
    assert len(all_rows(until=clock.ahead(60))) == len(rows)


def test_timeline_costs_the_same_however_long_the_history_is(api: Api, fleet: Fleet) -> None:
    connection = db.connect(fleet.home / "fleet.db")
    with db.transaction(connection):
        connection.executemany(
            "INSERT INTO outbox_events (ts, type, project_id, payload_json) VALUES (?, ?, 'p', '{}')",
            [
                (f"2026-01-{1 + n // 100:02d}", "error" if n == 7 else "briefing_added")
                for n in range(3000)
            ],
        )
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    filters = ({"type": "error"}, {"project_id": "p"}, {"until": "2026-01-09"})
    for query in ({}, *filters, {"machine": ""}, {"machine": "box"}):
        steps[0] = 0
        connection.set_progress_handler(count, 100)  # instructions of SQLite's machine
        timeline.timeline(connection, limit=10, **query)  # type: ignore[arg-type]
        connection.set_progress_handler(None, 0)
        assert steps[0] < 150, (query, "3,000 events would be more than that")
    connection.close()


@pytest.mark.parametrize(
    ("remote", "web"),
    [
        ("https://github.com/Acme/Alpha.git", "https://github.com/acme/alpha"),
        ("git@github.com:acme/alpha.git", "https://github.com/acme/alpha"),
        ("https://user:secret@git.example.com/team/alpha", "https://git.example.com/team/alpha"),
        ("git@git.example.com:team/alpha.git", None),
        ("http://git.example.com/team/alpha", None),
        ("/srv/git/alpha.git", None),
        ("https://evil.example/x/../../y", None),
        ("https://evil.example/<script>alert(1)</script>", None),
        ('https://evil.example/a" onclick="x', None),
        ("javascript://github.com/%0aalert(1)", None),
        ("https://localhost/a", None),
        (None, None),
        (b"https://github.com/a/b", None),
    ],
)
def test_repository_has_a_web_address_only_if_it_is_safe(remote: object, web: str | None) -> None:
    assert places.web_address(remote) == web


def test_files_and_commits_have_addresses_only_where_they_can_be_opened() -> None:
    web, commit = "https://github.com/a/b", "0123456789abcdef"
    assert places.commit_address(web, commit) == f"{web}/commit/{commit}"
    assert places.commit_address("https://bitbucket.org/a/b", commit).endswith(f"/commits/{commit}")  # type: ignore[union-attr]
    assert places.file_address(web, commit, "src/a b#.py") == f"{web}/blob/{commit}/src/a%20b%23.py"
    for bad in ("../up", "/etc/passwd"):
        assert places.file_address(web, commit, bad) is None
        assert places.absolute_path("/code", bad) is None
    assert (
        places.commit_address(web, "main; rm") is None
        and places.commit_address(None, commit) is None
    )
    assert places.absolute_path("/code", "src/a.py") == "/code/src/a.py"
    assert places.absolute_path("not/absolute", "src/a.py") is None


def test_briefing_page_has_its_prose_without_front_matter_and_where_things_are(
    api: Api, fleet: Fleet, alpha: Path
) -> None:
    text = "```briefing\n---\nsummary: One\nfiles_touched: [app.py, ../up.py]\n---\nIt is **done**.\n```"
    stop(fleet, alpha, 1, text, "s-1")
    stop(fleet, alpha, 2, "More.", "s-1")
    fleet.drain()
    found = api.get("/briefings/1", front_matter="false")
    assert "<strong>done</strong>" in found["html"] and "summary" not in found["html"]
    assert "summary: One" in api.get("/briefings/1")["html"]
    assert (found["project"], found["before"], found["after"]) == ("alpha", None, 2)
    assert found["resume"] == f"cd {alpha} && claude --resume s-1"
    head = found["briefing"]["head_commit"]
    assert found["places"]["app.py"] == {
        "path": f"{alpha}/app.py",
        "web": f"https://github.com/acme/alpha/blob/{head}/app.py",
    }
    assert found["places"]["../up.py"] == {"path": None, "web": None}
    assert api.get("/sessions/s-1")["places"]["app.py"] == found["places"]["app.py"]
    assert found["places"][head]["web"] == f"https://github.com/acme/alpha/commit/{head}"
    (turns, page) = (api.get("/sessions/s-1")["turns"], api.get("/sessions"))
    assert [turn["briefing_id"] for turn in turns] == [1, 2]
    assert [one["session_id"] for one in page] == ["s-1"]


def test_search_and_list_can_be_limited_to_a_time(api: Api, fleet: Fleet, alpha: Path) -> None:
    for number in (1, 2):
        stop(fleet, alpha, number, f"The parser is fixed, {number}.", f"s-{number}")
    fleet.drain()
    fleet.rows("UPDATE briefings SET ended_at = '2026-01-01T00:00:00.000Z' WHERE briefing_id = 1")
    fleet.console("drain")
    for path, query in (("/briefings/search", {"q": "pars"}), ("/briefings", {})):
        assert {one["briefing_id"] for one in api.get(path, **query)} == {1, 2}
        found = api.get(path, since="2026-02-01", **query)
        assert [(one["briefing_id"], one["project"]) for one in found] == [(2, "alpha")]


def test_home_and_search_are_limited_to_a_machine_among_all_that_there_is(
    api: Api, fleet: Fleet, alpha: Path
) -> None:
    """More than a page of this machine's briefings is newer and has the word too."""
    stop(fleet, alpha, 1, BLOCKED, "here")
    fleet.drain()
    fleet.rows(
        "INSERT INTO projects VALUES ('beta__1', 'beta', '/b', NULL, 'active', '2026', '2026'),"
        " ('gamma__1', 'gamma', '/g', NULL, 'active', '2026', '2026')"
    )
    fleet.rows(
        "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 120)"
        " INSERT INTO briefings (project_id, session_id, task_id, status, raw_markdown, created_at,"
        " ended_at) SELECT 'beta__1', 's' || v, 't' || v, 'completed', 'The parser is fixed',"
        " '2026-01-01T00:00:00.000Z', printf('2026-01-01T00:%02d:%02d.000Z', v / 60, v % 60) FROM n"
    )
    fleet.rows("UPDATE briefings SET session_id = 's1@relay/box' WHERE session_id = 's1'")
    fleet.rows(
        "INSERT INTO relay_briefings SELECT 'box', 'e', 1, briefing_id, 1, NULL, NULL FROM briefings"
        " WHERE session_id = 's1@relay/box'"
    )
    fleet.rows(
        "INSERT INTO relay_machines VALUES"
        " ('box', 'e', 1, '2026-01-01T00:00:00.000Z', 0, '', 0, 0, 0, ''),"
        " ('desk', 'e', 1, '2026-01-01T00:00:00.000Z', 0, '', 0, 0, 0, '')"
    )
    fleet.rows(
        "INSERT INTO sessions (session_id, project_id, folder, state, state_at, detail,"
        " briefing_id, last_seen_at) SELECT 's9@relay/box', 'gamma__1', '', 'waiting_for_input',"
        " ?1, 'Shall I?', NULL, ?1",
        clock.now(),
    )
    fleet.rows(
        "INSERT INTO relay_events SELECT 'box', 'e', event_id, 'd', event_id, '2026'"
        " FROM outbox_events WHERE briefing_id = (SELECT briefing_id FROM briefings"
        " WHERE session_id = 's1@relay/box')"
    )
    fleet.rows(
        "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 120)"
        " INSERT INTO outbox_events (ts, type, project_id, broadcast_level, payload_json)"
        " SELECT '2026-01-01T00:00:00.000Z', CASE v % 2 WHEN 0 THEN 'error' ELSE 'session_started'"
        " END, 'beta__1', 'mention', '{}' FROM n"
    )
    fleet.rows(
        "INSERT INTO relay_events SELECT 'box', 'e', event_id, 'd', event_id, '2026'"
        " FROM outbox_events WHERE event_id IN (SELECT max(event_id) FROM outbox_events"
        " UNION SELECT max(event_id) - 1 FROM outbox_events)"
    )
    fleet.console("drain")
    for query, number in (({}, 1), ({"project_id": "gamma__1"}, 0), ({"type": "error"}, 1)):
        of_box = api.get("/timeline", machine="box", **query)["rows"]
        assert len(of_box) == number and all(row["project_id"] == "beta__1" for row in of_box)
        here = api.get("/timeline", machine="-", limit=500, **query)["rows"]
        everything = api.get("/timeline", limit=500, **query)["rows"]
        ids = [row["event_id"] for row in (*here, *of_box)]
        assert sorted(ids) == sorted(row["event_id"] for row in everything)
    assert len(api.get("/timeline", machine="box", type="session_started")["rows"]) == 1
    assert api.get("/timeline", machine="desk")["rows"] == []
    for path in ("/timeline", "/sessions"):
        assert "box, desk" in api.get(path, 404, machine="none")["error"]["message"]
    assert [one["session_id"] for one in api.get("/sessions", machine="box")] == ["s9", "s1"]
    here = api.get("/sessions", machine="-", limit=500)
    assert len(here) > 50 and not any("machine" in one for one in here)
    for path, query in (("/briefings/search", {"q": "parser"}), ("/briefings", {})):
        (found,) = api.get(path, machine="box", limit=50, **query)
        assert (found["session_id"], found["machine"]) == ("s1", "box")
        here = api.get(path, machine="-", limit=50, **query)
        assert len(here) == 50 and not any("machine" in one for one in here)
        assert api.get(path, machine="desk", limit=50, **query) == []
        assert "box, desk" in api.get(path, 404, machine="none", **query)["error"]["message"]
    answer = api.get("/roster")
    assert answer["machines"] == ["box", "desk"]
    assert (answer["counts"]["needs_you"], answer["quiet_projects"]) == (2, 1)
    of_box = api.get("/roster", machine="box")
    assert [one["project"] for one in of_box["projects"]] == ["gamma"]
    assert (of_box["counts"]["needs_you"], of_box["quiet_projects"]) == (1, 0)
    of_here = api.get("/roster", machine="-", quiet=0)
    assert [one["project"] for one in of_here["projects"]] == ["alpha"]
    assert (of_here["counts"]["needs_you"], of_here["quiet_projects"]) == (1, 1)
    assert api.get("/roster", machine="desk")["projects"] == []


def test_long_session_is_given_with_as_many_turns_as_are_asked_for(api: Api, fleet: Fleet) -> None:
    fleet.rows("INSERT INTO projects VALUES ('a__1', 'a', '/a', NULL, 'active', '2026', '2026')")
    fleet.rows(
        "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 305)"
        " INSERT INTO briefings (project_id, session_id, task_id, status, raw_markdown, created_at,"
        " ended_at) SELECT 'a__1', 's', 't' || v, 'completed', 'x', '2026', printf('2026-%03d', v)"
        " FROM n"
    )
    page = api.get("/sessions/s")
    assert (len(page["turns"]), page["earlier_turns"], page["turns_in_all"]) == (300, 5, 305)
    page = api.get("/sessions/s", turns=1000)
    assert (len(page["turns"]), page["earlier_turns"]) == (305, 0)


def test_days_of_usage_name_the_dearest_projects_and_add_the_others(api: Api, fleet: Fleet) -> None:
    fleet.rows("INSERT INTO usage_kinds VALUES (1, 'claude-opus-4-6', 'standard', 0)")
    quarter = int(clock.nanoseconds("2026-03-01T12:00:00Z") // 10**9 // 900)
    for number, project in enumerate(("a", "b", "c"), 1):
        fleet.rows("INSERT INTO projects VALUES (?1, ?1, '/', NULL, 'active', 'x', 'x')", project)
        fleet.rows(
            "INSERT INTO usage_sums (session_id, turn_key, project_id, quarter, kind_id,"
            " input_tokens, output_tokens, cache_read_tokens, cache_write_5m_tokens,"
            " cache_write_1h_tokens) VALUES (?1, '', ?1, ?2, 1, 0, ?3, 0, 0, 0)",
            project,
            quarter,
            number * 1000,
        )
    rows = api.get("/usage/days", since="2026-02-01", top=1)
    assert [(row["project"], row["output_tokens"]) for row in rows] == [
        ("c", 3000),
        ("all others", 3000),
    ]
    assert sum(row["usd"] for row in rows) == pytest.approx(
        sum(row["usd"] for row in api.get("/usage", since="2026-02-01"))
    )
    assert api.get("/usage/days", since="2026-04-01") == []


def test_address_without_a_page_is_said_with_its_status(api: Api) -> None:
    for path in ("/", "/timeline", "/session/x", "/briefing/1", "/jobs", "/commander", "/prelude"):
        assert api.page(path) == (200, "text/html; charset=utf-8"), path
    for path in ("/no/such/page", "/timeline/x", "/session", "/briefing/", "/constructor"):
        assert api.page(path) == (404, "text/html; charset=utf-8"), path
    shell = (STATIC / "shell.js").read_text()
    for name, known in (("LISTS", app.LISTS), ("SINGLE", app.SINGLE)):
        table = shell.partition(f"const {name} = [")[2].partition("]")[0]
        assert set(re.findall(r'"(\w*)"', table)) == known
    views = re.findall(
        r'^  (?:"(\w*)"|(\w+)): \[',
        shell.partition("const VIEWS = {")[2].partition("};")[0],
        re.MULTILINE,
    )
    assert {quoted or plain for quoted, plain in views} == app.LISTS | app.SINGLE
    for path in ("/api/none", "/api/v1/none"):
        assert api.page(path) == (404, "application/json"), path


def test_page_names_every_type_of_event_and_status() -> None:
    text = (STATIC / "words.js").read_text()

    def names(table: str) -> set[str]:
        return set(re.findall(r"^  (\w+):", text.partition(table)[2].partition("};")[0], re.M))

    assert names("export const EVENT_TYPES = {") == {*EVENT_TYPES, COLLEAGUE_NEWS}
    statuses = text.partition("export const STATUSES = [")[2].partition("]")[0]
    assert set(re.findall(r'"(\w+)"', statuses)) == set(get_args(Status))


def test_vendored_files_are_those_that_were_recorded() -> None:
    record = json.loads(vendored.RECORD.read_text())
    files = {path.name for path in vendored.FOLDER.iterdir()} - {vendored.RECORD.name}
    assert files == set(record)
    assert {module.file for module in vendored.MODULES} <= files
    for name, entry in record.items():
        text = (vendored.FOLDER / name).read_bytes()
        assert hashlib.sha256(text).hexdigest() == entry["sha256"], name
        assert entry["version"] == vendored.PACKAGES[entry["package"]], name
    for package in vendored.PACKAGES:
        assert any(
            one["package"] == package and one["from"] == "LICENSE" for one in record.values()
        )


def test_page_loads_all_its_modules_at_once_and_none_of_another_place() -> None:
    page = (STATIC / "index.html").read_text()
    modules = {path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.js")}
    preloaded = set(re.findall(r'modulepreload" href="/static/(\S+)"', page))
    assert preloaded == modules - {"app.js", "theme.js"}
    assert "<script>" not in page and "style=" not in page
    for path in STATIC.rglob("*.js"):
        text = path.read_text()
        for name in re.findall(r'\bfrom ?"([^"\n]+\.js)"', text):
            assert (path.parent / name).is_file() and name.startswith("."), (path, name)
        assert not re.search(r"\beval\(|new Function\b", text), path
