"""Searching briefings: what is found in which language, in what order, in rows of any program, and
whatever happened to the index."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, Fleet, make_repository, payload
from support_transcripts import Conversation

from fleet_lib import words
from fleet_lib.store import db, migrate, search_index, verify
from fleet_lib.store.briefings import BriefingRepo, Turn
from fleet_lib.store.projects import ProjectRepo
from fleet_lib.store.search import RANKED, SearchRepo
from fleet_lib.views import search as search_view

DATABASES = Path(__file__).resolve().parent / "databases"
NOW = "2026-11-23T06:55:16.123Z"


class Library:
    """A database with briefings, and the index over them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = db.connect(path)
        self.project = ProjectRepo(self.connection).ensure_project(repo_name="a", repo_root="/a")
        self.briefings = BriefingRepo(self.connection)

    def add(self, text: str, title: str | None = None, **fields: Any) -> int:
        number = self.connection.execute("SELECT count(*) FROM briefings").fetchone()[0]
        values = {"project_id": self.project, "status": "completed", "ended_at": NOW}
        values |= {"task_id": str(number), "raw_markdown": text} | fields
        briefing_id = self.briefings.insert(**values)  # type: ignore[arg-type]
        if title is not None:
            self.briefings.save_turn(
                Turn("s", str(number), briefing_id, 1, "", "", "message", False, (), title=title)
            )
        return briefing_id

    def index(self) -> None:
        assert search_index.catch_up(self.connection)
        assert verify.search_index_problems(self.path) == []

    def find(self, query: str, **more: Any) -> list[int]:
        return SearchRepo(self.connection).find(words.phrases(query), **more)

    def excerpts(self, query: str) -> list[str]:
        results = search_view.search(self.connection, query)
        return [record["excerpt"] for record in results.records]


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = Library(tmp_path / "fleet.db")
    yield library
    library.connection.close()


# --- languages --------------------------------------------------------------------------------

# (text, queries that find it, queries that do not)
LANGUAGES = [
    (
        "已修复登录页面的问题，并添加了测试。login 也可以用了",
        ["修复", "登录", "录", "登录页面", "修复 测试", "修复 login", "LOGIN 问题", "页面的问题"],
        ["登陆", "复修", "修复 注销", "测试login问"],
    ),
    ("修复login问题", ["login", "修复login", "修复 login", "log", "题"], ["logout", "login修复"]),
    (
        "ログイン画面のバグを直しました。テストは全部通ります",
        ["ログイン", "バグ", "直し", "画面", "テスト", "ﾛｸﾞｲﾝ", "全部通り"],
        ["ログアウト", "画像", "バク"],
    ),
    ("か\u3099くせい の ページ", ["がくせい", "ページ"], ["かくせい"]),
    (
        "แก้ไขหน้าเข้าสู่ระบบแล้ว และเพิ่มการทดสอบ",
        ["เข้าสู่ระบบ", "แก้ไข", "ทดสอบ", "ระบบ"],
        ["ออกจากระบบ", "เขาสู่"],
    ),
    ("ແກ້ໄຂໜ້າເຂົ້າສູ່ລະບົບແລ້ວ", ["ລະບົບ", "ແກ້ໄຂ"], ["ອອກ"]),
    ("បានជួសជុលទំព័រចូល", ["ជួសជុល", "ចូល"], ["ចេញ"]),
    ("ဝင်ရောက်စာမျက်နှာကိုပြင်ပြီးပါပြီ", ["စာမျက်နှာ", "ပြင်"], ["ထွက်"]),
    (
        "로그인을 고쳤고 자동로그인도 됩니다",
        ["로그인", "자동", "로그인 자동", "고쳤"],
        ["로그아웃"],
    ),
    ("लॉगिन पृष्ठ की समस्या ठीक की", ["लॉगिन", "समस्या ठीक", "समस्"], ["समासा", "लगान"]),
    (
        "Naprawiłem błąd w Zürich, größte Café",
        ["zurich", "CAFE", "grösste", "błąd", "blad"],
        ["brud"],
    ),
    ("Исправлена ошибка, ещё два теста", ["ошибка", "еще", "ОШИБ"], ["ошибок"]),
    ("Διορθώθηκε η σελίδα σύνδεσης", ["σελιδα", "ΣΎΝΔΕΣΗΣ", "συνδ"], ["σελίδες"]),
    ("تم إصلاح صفحة الدُّخول", ["اصلاح", "الدخول", "صفحة"], ["الخروج"]),
    ("תוקן דף הכְּנִיסָה", ["הכניסה", "תוקן"], ["יציאה"]),
    ("Đã sửa trang đăng nhập, kiểm thử xong", ["đăng nhập", "kiem thu", "Sửa"], ["đăng xuất"]),
    ("Ｆｕｌｌ　ｗｉｄｔｈ １２３ and half", ["full width", "123"], ["1234"]),
    ("İstanbul ile ilgili düzeltme", ["istanbul", "duzeltme"], ["ankara"]),
]


@pytest.mark.parametrize("is_indexed", [True, False], ids=["indexed", "before the drain"])
@pytest.mark.parametrize(("text", "found", "not_found"), LANGUAGES, ids=lambda v: str(v)[:8])
def test_words_of_any_language_are_found_where_they_stand(
    library: Library, text: str, found: list[str], not_found: list[str], is_indexed: bool
) -> None:
    library.add("another briefing with nothing of it")
    briefing = library.add(text)
    if is_indexed:
        library.index()
    assert [query for query in found if library.find(query) != [briefing]] == []
    assert [query for query in not_found if library.find(query)] == []


@pytest.mark.parametrize(("text", "found", "not_found"), LANGUAGES, ids=lambda v: str(v)[:8])
def test_excerpt_is_the_text_as_it_was_written_around_the_match(
    library: Library, text: str, found: list[str], not_found: list[str]
) -> None:
    library.add(text)
    for query in found:
        (excerpt,) = library.excerpts(query)
        assert excerpt == text or "か" in text


def test_excerpt_of_a_long_chinese_text_has_the_match_and_no_blanks(library: Library) -> None:
    library.add("这是一个很长的句子" * 60 + "已经修复登录页面" + "还有很多别的内容" * 60)
    (excerpt,) = library.excerpts("修复登录")
    assert "已经修复登录页面还有" in excerpt and " " not in excerpt
    assert excerpt.startswith("…") and excerpt.endswith("…") and len(excerpt) < 200


def test_korean_file_names_of_a_mac_are_found(library: Library) -> None:
    briefing = library.add("x", files_touched=["문서/읽어.md"])
    library.index()
    assert library.find("문서") == [briefing]


# --- what is searched, and how a query is read ------------------------------------------------


def test_titles_lists_branch_and_task_are_found(library: Library) -> None:
    briefing = library.add(
        "the answer",
        title="Kannst du den Zahlungsfehler beheben? 修复付款",
        task_id="task-walrus",
        blockers=["no credentials"],
        next_steps=["ask Martha"],
        files_touched=["src/billing/invoice.py"],
        docs_touched=["docs/pricing.md"],
        branch="feature/otter",
    )
    other = library.add("other", title="Something else")
    library.index()
    for query in (
        *("zahlungsfehler", "付款", "walrus", "credentials", "martha", "invoice.py"),
        *("billing/invoice", "pricing", "otter", "zahlungsfehler answer martha"),
    ):
        assert library.find(query) == [briefing], query
    assert library.find("something") == [other]
    assert "Zahlungsfehler" in library.excerpts("zahlungsfehler")[0]


def test_title_that_comes_later_is_found(library: Library) -> None:
    briefing = library.add("text", title="first name")
    library.index()
    turn = library.briefings.turn_of(briefing)
    assert turn
    library.connection.execute("UPDATE turns SET title = 'second name', question = 'Deploy it?'")
    library.index()
    assert library.find("first") == [] and library.find("second deploy") == [briefing]
    library.connection.execute("DELETE FROM turns")
    library.index()
    assert library.find("second") == [] and library.find("text") == [briefing]


def test_last_word_may_be_incomplete_and_others_not(library: Library) -> None:
    briefing = library.add("configured the parser")
    library.index()
    assert library.find("parser conf") == library.find("c") == [briefing]
    assert library.find("conf parser") == []


def test_quotation_marks_ask_for_words_side_by_side(library: Library) -> None:
    near, far = library.add("refresh the token now"), library.add("the token: now refresh")
    library.index()
    assert library.find('"the token"') == [near, far] or library.find('"the token"') == [far, near]
    assert library.find('"refresh the token"') == [near]
    assert library.find('"now refresh"') == [far]
    assert library.find('"refresh the tok"') == []
    assert len(library.find('"refresh the')) == 2, "a quotation that has no end is common words"


@pytest.mark.parametrize("query", ["!!!", "。、", "--- ***", '""', "🎉"])
def test_query_without_a_word_finds_nothing_and_says_why(fleet: Fleet, query: str) -> None:
    fleet.hook("stop", payload("Stop"), fleet.folder)
    done = fleet.console("briefings", "search", "--", query)
    assert "No briefings match" in done.stdout and "a letter or a digit" in done.stderr
    assert fleet.console("briefings", "search", "--json", "--", query).stdout.strip() == "[]"


def test_filters_and_other_words_of_a_project_are_not_mistaken(library: Library) -> None:
    other = ProjectRepo(library.connection).ensure_project(repo_name="b", repo_root="/b")
    here = library.add("the parser", status="blocked")
    there = library.add("the parser", project_id=other)
    library.index()
    assert library.find("parser", project_id=other) == [there]
    assert library.find("parser", status="blocked") == [here]
    assert library.find("parser", status="blocked", project_id=other) == []
    assert library.find("parser", project_id='x" OR "y') == []
    assert library.find(search_index.project_word(other)) == []
    library.connection.execute("UPDATE briefings SET status = 'failed'")
    assert library.find("parser", status="blocked") == []
    library.index()
    assert library.find("parser", status="blocked") == []
    assert set(library.find("parser", status="failed")) == {here, there}


def test_console_filters_by_project_and_status(fleet: Fleet) -> None:
    fleet.hook("stop", payload("Stop") | {"last_assistant_message": "The parser."}, fleet.folder)
    search = ("briefings", "search", "parser", "--json")
    assert len(json.loads(fleet.console(*search, "--status", "done").stdout)) == 1
    assert json.loads(fleet.console(*search, "--status", "blocked").stdout) == []
    assert len(json.loads(fleet.console(*search, "--since", "2h").stdout)) == 1
    fleet.rows("UPDATE briefings SET ended_at = '2020-01-01T00:00:00.000Z'")
    assert json.loads(fleet.console(*search, "--since", "2h").stdout) == []


# --- order ------------------------------------------------------------------------------------


def test_best_match_comes_first_and_among_equals_the_newest(library: Library) -> None:
    filler = "some other words that say nothing of it " * 5
    day = "2026-11-{:02d}T10:00:00.000Z".format
    once = library.add(f"{filler} refund", ended_at=day(20))
    newest = library.add(f"{filler} refund", ended_at=day(21))
    imported = library.add(f"{filler} refund", ended_at=day(3))
    often = library.add(f"refund refund refund {filler}", ended_at=day(1))
    titled = library.add(filler, title="The refund", ended_at=day(2))
    partly = library.add(f"{filler} refunds", ended_at=day(22))
    library.index()
    found = library.find("refund")
    assert set(found[:2]) == {often, titled}
    assert found[2:] == [newest, once, imported, partly]


def test_newest_hits_are_ranked_however_their_ids_are(library: Library) -> None:
    """An import gives old turns high ids."""
    best = library.add("common common common", ended_at="2026-11-24T00:00:00.000Z")
    for number in range(RANKED + 50):
        moment = f"2026-10-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000Z"
        library.add("a common word", ended_at=moment)
    ancient = library.add("common common common common", ended_at="2020-01-01T00:00:00.000Z")
    library.index()
    found = library.find("common", limit=2 * RANKED)
    assert found[0] == best and len(found) == RANKED and ancient not in found
    assert library.find("comm", limit=1) == [best]
    assert library.find("common", limit=5)[0] == best


def test_many_turns_of_one_second_are_all_found(library: Library) -> None:
    ids = {library.add(f"same second {number}") for number in range(300)}
    broken = {library.add("same second", ended_at=moment) for moment in ("", "never", "9999-99-99")}
    library.index()
    assert set(library.find("same second", limit=1000)) == ids | broken


def test_common_beginning_is_found_among_the_newest_and_a_rare_one_everywhere(
    library: Library,
) -> None:
    rare = library.add("zebrafish once, abc")
    whole = library.add("alph", ended_at="2020-01-01T00:00:00.000Z")
    with db.transaction(library.connection):
        for number in range(2500):
            library.add(f"alpha{number} beta")
    library.index()
    assert len(library.find("beta alph", limit=2 * RANKED)) == RANKED
    assert len(library.find("alph", limit=2 * RANKED)) == RANKED + 1
    assert library.find("alph", limit=1) == [whole], "it may be old, but it is the word itself"
    assert library.find("zebra") == library.find("abc zeb") == [rare]
    assert library.find("beta zeb") == []


# --- rows of other programs -------------------------------------------------------------------


def test_rows_of_other_programs_are_found_changed_and_forgotten(
    library: Library, tmp_path: Path
) -> None:
    other = sqlite3.connect(library.path, isolation_level=None)  # it knows nothing of Fleet
    insert = (
        "INSERT {} INTO briefings (briefing_id, project_id, session_id, status, raw_markdown,"
        " blockers_json, created_at) VALUES (?, ?, 's', 'completed', ?, ?, ?)"
    )
    other.execute(insert.format(""), (1, library.project, "about quasars", '["p\\u00fclsar"]', NOW))
    assert library.find("quasars") == [1], "before the index has it"
    library.index()
    assert library.find("quasars pulsar") == [1]
    other.execute("UPDATE briefings SET raw_markdown = 'about nebulas'")
    assert library.find("quasars") == [] and library.find("nebulas") == [1]
    library.index()
    assert library.find("quasars") == [] and library.find("nebulas") == [1]
    for conflict in ("OR REPLACE", "OR ABORT", "OR FAIL", "OR ROLLBACK", "OR IGNORE"):
        number = 2 if conflict == "OR REPLACE" else 10 + len(conflict)
        other.execute(insert.format(conflict), (number, library.project, "comets", None, NOW))
        other.execute(f"UPDATE {conflict} briefings SET status = status WHERE briefing_id = 1")
    library.index()
    assert len(library.find("comets")) == 5
    other.execute("DELETE FROM briefings")
    assert library.find("comets") == []
    library.index()
    assert library.find("comets") == library.find("nebulas") == []
    assert library.connection.execute("SELECT count(*) FROM search_text").fetchone()[0] == 0
    other.close()


@pytest.mark.parametrize(
    "value",
    [None, 7, 1.5, b"bytes \xff parser", "bad \ud800 parser", "null\0parser", "[1, null, {}]", ""],
)
def test_values_of_any_type_are_indexed(library: Library, value: object) -> None:
    stored = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    text = "CAST(? AS TEXT)" if isinstance(value, str) else "?"
    library.connection.execute(
        "INSERT INTO briefings (project_id, session_id, task_id, status, ended_at, branch,"
        " raw_markdown, blockers_json, files_touched_json, created_at)"
        f" VALUES (?, {text}, {text}, 'completed', {text}, {text}, ifnull({text}, 'x'), {text},"
        f" {text}, 'when')",
        (library.project, *[stored] * 7),
    )
    known = library.add("the parser")
    library.index()
    assert known in library.find("parser")
    for query in ("parser", "7", "null", "x"):
        assert all(isinstance(excerpt, str) for excerpt in library.excerpts(query))


def test_changes_of_a_rolled_back_transaction_are_no_changes(library: Library) -> None:
    briefing = library.add("stays")
    library.index()
    with pytest.raises(ZeroDivisionError), db.transaction(library.connection):
        library.connection.execute("UPDATE briefings SET raw_markdown = 'goes'")
        assert search_index.index_changes(library.connection)
        raise ZeroDivisionError
    library.index()
    assert library.find("stays") == [briefing] and library.find("goes") == []


# --- filling ----------------------------------------------------------------------------------


@pytest.fixture(params=["original", "v2", "v3", "v9"])
def old_home(request: pytest.FixtureRequest, fleet: Fleet) -> Fleet:
    fleet.home.mkdir()
    shutil.copy(DATABASES / f"{request.param}.db", fleet.home / "fleet.db")
    return fleet


def test_briefings_of_an_older_database_are_found_after_the_next_drain(old_home: Fleet) -> None:
    path = old_home.home / "fleet.db"
    with sqlite3.connect(path) as connection:
        texts = connection.execute("SELECT briefing_id, raw_markdown FROM briefings").fetchall()
    assert texts
    old_home.console("db", "migrate")
    reader = db.connect_read_only(path)
    assert reader.execute("SELECT count(*) FROM search_text").fetchone()[0] == 0
    old_home.hook("stop", payload("Stop"), old_home.folder)
    old_home.drain()
    assert search_index.is_complete(reader)
    for briefing_id, text in texts:
        parts = words.words(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)
        query = " ".join(parts[:6])
        assert briefing_id in SearchRepo(reader).find(words.phrases(query), limit=500), query
    reader.close()
    assert old_home.console("db", "check").returncode == 0


def test_search_right_after_an_upgrade_finds_old_briefings(old_home: Fleet) -> None:
    word = "work" if "original" in str(old_home.rows("SELECT 1") and old_home.home) else "e"
    found = old_home.console("briefings", "search", word, "--json").stdout
    assert json.loads(found) is not None
    assert search_index.is_complete(db.connect_read_only(old_home.home / "fleet.db"))


def test_damaged_index_of_an_older_database_does_not_stop_the_upgrade(fleet: Fleet) -> None:
    for damage in (
        "DELETE FROM briefings_fts_data",
        "DROP TABLE briefings_fts_config",
        "UPDATE briefings_fts_data SET block = x'00ff'",
        "DROP TABLE briefings_fts",
    ):
        fleet.home.mkdir(exist_ok=True)
        for file in fleet.home.glob("fleet.db*"):
            file.unlink()
        shutil.copy(DATABASES / "v9.db", fleet.home / "fleet.db")
        with sqlite3.connect(fleet.home / "fleet.db") as connection:
            connection.execute(damage)
        connection.close()
        fleet.console("db", "migrate")
        assert fleet.console("db", "check", "--fix").returncode == 0
        names = fleet.rows("SELECT name FROM sqlite_master WHERE name LIKE 'briefings_fts%'")
        assert names == [], damage


def unindexed(library: Library, count: int) -> list[int]:
    """That many briefings that were there before the index."""
    with db.transaction(library.connection):
        ids = [library.add(f"old briefing number{number}") for number in range(count)]
        search_index.rebuild(library.connection)
    return ids


def test_old_briefings_are_taken_in_from_the_newest_on_as_far_as_time_allows(
    library: Library,
) -> None:
    ids = unindexed(library, 3 * search_index.BATCH)
    assert not search_index.catch_up(library.connection, stop=lambda: True)
    progress = search_index.progress_of(library.connection)
    assert (progress.waiting, progress.total) == (2 * search_index.BATCH, len(ids))
    assert library.find("number1199") == [ids[-1]] and library.find("number0") == []
    new = library.add("a new one meanwhile")
    library.connection.execute(
        "UPDATE briefings SET raw_markdown = 'changed' WHERE briefing_id = 1"
    )
    assert not search_index.catch_up(library.connection, stop=lambda: True)
    library.index()
    assert library.find("number0") == [] and library.find("changed") == [1]
    assert library.find("meanwhile") == [new] and search_index.is_complete(library.connection)


def test_filling_goes_on_where_a_killed_process_left_it(library: Library) -> None:
    ids = unindexed(library, 5 * search_index.BATCH)
    code = """
import os, signal, sys
from fleet_lib.store import db, search_index
done = []
def kill_in_the_third_batch():
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
connection = db.connect(sys.argv[1])
connection.set_progress_handler(kill_in_the_third_batch, 20_000)
search_index.catch_up(connection, progress=done.append)
"""
    filler = subprocess.run([sys.executable, "-c", code, str(library.path)], cwd=ROOT, check=False)
    assert filler.returncode == -signal.SIGKILL
    waiting = search_index.progress_of(library.connection).waiting
    assert waiting == len(ids) - 2 * search_index.BATCH
    assert verify.search_index_problems(library.path) == []
    library.index()
    rows = library.connection.execute("SELECT count(*) FROM search_text").fetchone()[0]
    assert rows == len(ids) and library.find('"number7"') == [ids[7]]


def test_search_and_doctor_say_how_far_the_index_is(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.home.mkdir(parents=True)
    library = Library(fleet.home / "fleet.db")
    unindexed(library, 5 * search_index.BATCH)
    monkeypatch.setattr(search_view, "_CATCH_UP_SECONDS", -1)  # one batch for each search
    done = fleet.console("briefings", "search", "number1999")
    assert "has 400 of 2,000 briefings" in done.stderr and "number1999" in done.stdout
    assert "has 400 of 2,000 briefings" in fleet.console("doctor", check=False).stdout
    assert "has 800 of 2,000" in fleet.console("briefings", "search", "number0").stderr
    fleet.console("drain")
    assert fleet.console("briefings", "search", "number0").stderr == ""
    assert "The search index" not in fleet.console("doctor", check=False).stdout
    library.connection.close()


# --- damage -----------------------------------------------------------------------------------

DAMAGES = [
    "UPDATE search_fts_data SET block = x'00ff00'",
    "UPDATE search_fts_data SET block = randomblob(200) WHERE id > 10",
    "UPDATE search_fts_data SET block = randomblob(100) WHERE id = 10",
    "DELETE FROM search_fts_data",
    "DELETE FROM search_fts_docsize",
    "DELETE FROM search_fts_config",
    "UPDATE search_fts_config SET v = 99",
    "DELETE FROM search_text",
    "UPDATE search_text SET body = 'other words'",
    "DROP TABLE search_fts_idx",
    "DROP TABLE search_fts_data",
    "DROP TABLE search_fts",
    "PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE name = 'search_fts'",
    "DROP TABLE search_text",
    "DROP TABLE search_changes",
    "DROP TABLE search_progress",
    "DROP TRIGGER search_turn_insert",
]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(damage, marks=() if number % 4 == 0 else pytest.mark.slow)
        for number, damage in enumerate(DAMAGES)
    ],
)
def test_damaged_index_never_stops_a_capture_and_is_repaired(fleet: Fleet, damage: str) -> None:
    def stop(number: int) -> None:
        fleet.hook(
            "stop",
            payload("Stop")
            | {"session_id": f"s{number}", "last_assistant_message": f"Turn number{number} ended."},
            fleet.folder,
        )
        fleet.drain()

    for number in range(3):
        stop(number)
    connection = sqlite3.connect(fleet.home / "fleet.db", isolation_level=None)
    connection.executescript(damage)
    connection.close()
    for number in range(3, 6):
        stop(number)
    assert fleet.rows("SELECT count(*) FROM briefings") == [(6,)]
    assert fleet.waiting() == [] and fleet.quarantine() == {}
    if fleet.console("db", "check", check=False).returncode:
        report = fleet.console("db", "check", check=False).stdout
        assert "search index" in report and "--fix" in report and "restore" not in report
        fleet.console("db", "check", "--fix")
    for number in range(6):
        found = json.loads(fleet.console("briefings", "search", f"number{number}", "--json").stdout)
        assert len(found) == 1, (damage, number)


@pytest.mark.parametrize("damage", [d for d in DAMAGES[:6] if "docsize" not in d])
def test_search_repairs_a_damaged_index_itself(fleet: Fleet, damage: str) -> None:
    fleet.home.mkdir(parents=True)
    library = Library(fleet.home / "fleet.db")
    for number in range(50):
        library.add(f"the parser number{number}")
    library.index()
    library.connection.execute(damage)
    library.connection.close()
    found = json.loads(fleet.console("briefings", "search", "parser", "--json").stdout)
    assert len(found) == 20
    assert fleet.console("db", "check").returncode == 0


def test_prune_takes_the_words_out_of_the_file_and_survives_a_damaged_index(
    fleet: Fleet,
) -> None:
    for damage in ("", DAMAGES[0], DAMAGES[3]):
        for file in fleet.home.glob("fleet.db*"):
            file.unlink()
        library = Library(fleet.home / "fleet.db")
        library.add("the xylophone sonata")
        for number in range(3):
            library.add(f"kept {number}")
        library.connection.execute("UPDATE briefings SET created_at = '2020-01-01T00:00:00.000Z'")
        library.connection.execute(
            "UPDATE briefings SET ended_at = '2020-01-01T00:00:00.000Z' WHERE briefing_id = 1"
        )
        library.index()
        if damage:
            library.connection.execute(damage)
        library.connection.close()
        fleet.console("db", "prune", "--older-than", "90d")
        assert b"xylophone" not in (fleet.home / "fleet.db").read_bytes()
        assert fleet.rows("SELECT count(*) FROM briefings") == [(1,)]
        fleet.console("db", "check", "--fix")
        assert json.loads(fleet.console("briefings", "search", "xylo", "--json").stdout) == []


def test_failure_of_the_index_is_logged_and_tried_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(search_index, "_index", fail)
        fleet.hook("stop", payload("Stop") | {"last_assistant_message": "parser"}, fleet.folder)
        fleet.drain()
    assert fleet.rows("SELECT count(*) FROM briefings") == [(1,)] and fleet.waiting() == []
    assert "search not indexed: ValueError: a bug" in fleet.log()
    assert len(json.loads(fleet.console("briefings", "search", "parser", "--json").stdout)) == 1
    reader = db.connect_read_only(fleet.home / "fleet.db")
    assert search_index.is_complete(reader)
    reader.close()


def test_migration_makes_what_a_rebuild_makes(library: Library, tmp_path: Path) -> None:
    schema = migrate.schema_of(library.connection)
    with db.transaction(library.connection):
        search_index.rebuild(library.connection)
    rebuilt = migrate.schema_of(library.connection)
    assert sorted(rebuilt.split("\n\n")) == sorted(schema.split("\n\n"))


def test_imported_turns_are_in_the_index(fleet: Fleet) -> None:
    shop = make_repository(fleet.folder / "shop")
    transcripts = fleet.home.parent / ".claude" / "projects"
    Conversation(shop).turn("登录页面已经修复了。").write(transcripts)
    fleet.console("import", "--since", "2000-01-01")
    reader = db.connect_read_only(fleet.home / "fleet.db")
    assert reader.execute("SELECT count(*) FROM search_text").fetchone()[0] == 1
    assert len(SearchRepo(reader).find(words.phrases("页面"))) == 1
    reader.close()


def test_search_is_not_held_up_by_a_mass_of_changes_and_a_drain_applies_all(
    fleet: Fleet,
) -> None:
    fleet.home.mkdir(parents=True)
    library = Library(fleet.home / "fleet.db")
    with db.transaction(library.connection):
        ids = [library.add(f"briefing number{number} of another program") for number in range(9000)]
    began = time.monotonic()
    found = json.loads(fleet.console("briefings", "search", "number8999", "--json").stdout)
    assert [record["briefing_id"] for record in found] == ids[-1:]
    assert time.monotonic() - began < 10
    fleet.hook("stop", payload("Stop"), fleet.folder)
    fleet.drain()
    assert search_index.is_complete(library.connection)
    assert library.find('"number5"') == [ids[5]]
    library.connection.close()


def test_search_before_the_first_capture_finds_nothing_and_is_complete(fleet: Fleet) -> None:
    done = fleet.console("briefings", "search", "x", "--json")
    assert json.loads(done.stdout) == [] and done.stderr == ""


@pytest.mark.parametrize("few", [10_000, 0], ids=["all are read", "hits are walked"])
def test_machine_is_a_filter_whatever_is_in_the_index(
    library: Library, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("fleet_lib.store.search._SCAN", few)
    here = [library.add("the parser works", session_id=f"s{number}") for number in range(3)]
    box = [
        library.add("the parser works", session_id=f"{number}@relay/box", status=status)
        for number, status in enumerate(("completed", "failed"))
    ]
    for number in box:
        library.connection.execute(
            "INSERT INTO relay_briefings VALUES ('box', 'e', ?1, ?1, 1, NULL, NULL)", (number,)
        )
    library.add("nothing of the kind", session_id="9@relay/box")
    for change in (lambda: None, library.index, library.index):
        change()
        for query in ("parser", "works pars", "the par", '"parser works"'):
            assert sorted(library.find(query, machine="box")) == box, query
            assert sorted(library.find(query, machine="")) == here, query
            assert sorted(library.find(query)) == sorted(here + box)
            assert library.find(query, machine="box", status="failed") == [box[1]]
            assert library.find(query, machine="desk") == []
        assert library.find("parser", machine="box", project_id="other") == []
        assert library.find("parser", machine="box", since=2_000_000_000) == []
        here.append(library.add("the parser works", session_id=f"later{len(here)}"))


@pytest.mark.parametrize("piece", ["Ein Wörtchen mehr, naïve\n", "登录页面已修复\n", "x" * 500])
def test_a_long_text_has_the_words_of_the_whole(piece: str) -> None:
    text = piece * 4000
    assert words.as_text(text) == f" {' '.join(words.words(text))} "


def test_long_briefings_are_indexed_in_little_memory(library: Library) -> None:
    """The drainer does this, and an exchange with other machines."""
    for number in range(5):
        library.add(f"Number {number}. " + "The login works again. " * 20_000)
    tracemalloc.start()
    try:
        assert search_index.catch_up(library.connection)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6e6, f"{peak / 1e6:.0f} MB"
    assert len(library.find("number 3")) == 1
