"""What keeps a turn cheap, as counted calls: what is compiled once for all processes, what git is not
asked for, which documents are not read. What each of these answers is what the dear way answers."""

import contextlib
import os
import pickle
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT, Fleet, git, make_repository, payload

from fleet_lib import compiled
from fleet_lib.drain import drainer, reader
from fleet_lib.files import with_parents
from fleet_lib.store import db
from fleet_lib.turn import git as asking_git
from fleet_lib.turn import git_process, reflog
from fleet_lib.turn.committed import committed_files
from fleet_lib.turn.git import head_at, read_git_state, read_reflog
from fleet_lib.turn.own_commits import commits_during
from fleet_lib.turn.repositories import Repositories
from fleet_lib.turn.tool_calls import ToolCall

# --- expressions ---

SOURCES: list[tuple[str | bytes, int]] = [
    (r"(?P<word>[^\W_]+)-(?P<rest>é|[а-я]+)?", re.IGNORECASE),
    (r"(?im)^a|(?<!b)c{2,5}?\Z|(?P<q>[\"'])x(?P=q)", 0),
    (rb'"type"\s*:\s*"(\w+)"', 0),
    (r"[\u0e00-\u0eff\U0001f000-\U0001faff]+|.", re.DOTALL | re.ASCII),
]


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of expressions, as a new process finds it, and not the checkout's."""
    path = tmp_path / "expressions"
    monkeypatch.setattr(compiled, "_file", lambda: str(path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    as_new_process(monkeypatch)
    return path


def as_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_known", None)
    compiled.compiled.cache_clear()


def test_expression_that_was_compiled_once_is_not_compiled_again(
    own_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source, flags in SOURCES:
        assert compiled.compiled(source, flags) == re.compile(source, flags)
    as_new_process(monkeypatch)
    monkeypatch.setattr(compiled, "_compile", lambda *_: pytest.fail("compiled again"))
    for source, flags in SOURCES:
        found, expected = compiled.compiled(source, flags), re.compile(source, flags)
        assert found == expected
        assert (found.groups, found.groupindex) == (expected.groups, expected.groupindex)
    match = compiled.compiled(*SOURCES[0]).fullmatch("Ab-ДА")
    assert match and match.groupdict() == {"word": "Ab", "rest": "ДА"}


@pytest.mark.parametrize("damage", [b"", b"\0" * 40, b"junk", b"\xff" * 500])
def test_file_of_expressions_that_is_damaged_is_made_anew(
    own_file: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    for source, flags in SOURCES:
        compiled.compiled(source, flags)
    whole = own_file.read_bytes()
    own_file.write_bytes(whole[: len(whole) - 7] + damage)
    for _ in range(2):
        as_new_process(monkeypatch)
        for source, flags in SOURCES:
            assert compiled.compiled(source, flags) == re.compile(source, flags)
    assert sorted(own_file.read_bytes()) == sorted(whole)


def test_expressions_are_compiled_where_nothing_can_be_kept(
    own_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_file.mkdir()
    for source, flags in SOURCES:
        assert compiled.compiled(source, flags) == re.compile(source, flags)
    monkeypatch.setattr(compiled, "_made", lambda *_: [][0])  # another Python's `re`
    monkeypatch.setattr(compiled, "_compile", lambda *_: {}.missing)
    as_new_process(monkeypatch)
    assert compiled.compiled("a+") == re.compile("a+")
    with pytest.raises(re.error):
        compiled.compiled("(")


def test_drainer_compiles_no_expression_of_ours_that_an_earlier_one_has(fleet: Fleet) -> None:
    project = make_repository(fleet.folder / "app", "https://example.com/a/app.git")
    message = (
        "## Done\n\n- The **token** of `a.py` is read.\n- Next: the password. Shall I go on?\n"
    )
    start = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from fleet_lib import compiled
from fleet_lib.drain import drainer
compiled._file = lambda: {str(fleet.folder / "expressions")!r}
compiled._known = None
real = compiled._compile
def noted(*arguments):
    with open({str(fleet.folder / "compiled")!r}, "a") as file:
        file.write(repr(arguments) + "\\n")
    return real(*arguments)
compiled._compile = noted
from fleet_lib.drain import drain
drain.main({str(fleet.home)!r})
"""
    counts = []
    for number in range(3):
        stop = {"prompt_id": f"p{number}", "cwd": str(project), "last_assistant_message": message}
        fleet.hook("stop", payload("Stop") | stop, project)
        subprocess.run([sys.executable, "-I", "-c", start], env=fleet.env(), check=True)
        noted = fleet.folder / "compiled"
        counts.append(len(noted.read_text().splitlines()) if noted.exists() else 0)
    assert counts[0] > 30 and counts[1:] == counts[:1] * 2


# --- git ---


def in_git_s_words(folder: Path) -> tuple[reflog.ReflogEntry, ...]:
    return tuple(read_reflog(str(folder)))


def test_reflog_that_is_read_is_the_one_that_git_shows(tmp_path: Path) -> None:
    project = make_repository(tmp_path / "app")
    linked = tmp_path / "linked"
    steps: list[tuple[str, ...]] = [
        ("commit", "--allow-empty", "-m", "One: é\n\nbody"),
        ("commit", "--amend", "--allow-empty", "-m", "tab\there  and blanks "),
        ("switch", "-c", "side"),
        ("commit", "--allow-empty", "-m", "x" * 3000),
        ("checkout", "--detach", "HEAD~1"),
        ("switch", "main"),
        ("merge", "--no-ff", "side", "-m", "merged"),
        ("reset", "--hard", "HEAD~1"),
        ("branch", "-m", "main", "trunk"),
        ("worktree", "add", str(linked), "side"),
    ]
    for step in steps:
        git(project, *step)
        state = read_git_state(str(project))
        assert state and state.reflog == in_git_s_words(project) and state.reflog
    git(linked, "commit", "--allow-empty", "-m", "in the other one")
    state = read_git_state(str(linked))
    assert state and state.reflog == in_git_s_words(linked) and len(state.reflog) >= 2


def test_only_the_end_of_a_long_reflog_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_repository(tmp_path / "app")
    head = git(project, "rev-parse", "HEAD").strip()
    log = project / ".git" / "logs" / "HEAD"
    line = f"{head} {head} a <a@b.c> {{}} +0000\tcheckout: moving from main to main\n"
    log.write_text("".join(line.format(1_700_000_000 + number) for number in range(20_000)))
    read: list[int] = []
    real = os.pread

    def pread(descriptor: int, size: int, at: int) -> bytes:
        read.append(size)
        return real(descriptor, size, at)

    monkeypatch.setattr(os, "pread", pread)
    found = reflog.read(str(project / ".git"))
    assert found == in_git_s_words(project) and len(found or ()) == reflog.LIMIT
    assert sum(read) < 200_000 < log.stat().st_size


@pytest.mark.parametrize("is_packed", [False, True])
def test_turn_looks_at_those_movements_of_a_long_reflog_alone_that_may_be_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_packed: bool
) -> None:
    project = make_repository(tmp_path / "app")
    head = git(project, "rev-parse", "HEAD").strip()
    now = time.time()
    log = project / ".git" / "logs" / "HEAD"
    line = f"{head} {{:040x}} a <a@b.c> {{}} +0000\tcommit: number {{}}\n"
    first = int(now) - 1000
    log.write_text("".join(line.format(n + 1, first + n, n) for n in range(500)))
    if not is_packed:
        for number in (498, 499):
            made = project / ".git" / "objects" / "00" / f"{number + 1:038x}"
            made.parent.mkdir(exist_ok=True)
            made.touch()
            os.utime(made, (first + number, first + number))
    asked: list[str] = []
    monkeypatch.setattr(reflog, "asking", asked.append)
    state = read_git_state(str(project))
    assert state is not None
    assert head_at(state, int((first + 480) * 1e9)) == f"{481:040x}"

    monkeypatch.setattr(reflog, "ReflogEntry", seen := Counted(reflog.ReflogEntry))
    state = read_git_state(str(project))
    assert state is not None and head_at(state, int(now * 1e9)) == f"{500:040x}"
    calls = [ToolCall("make", str(project), now - 5, now)]
    until_ns = int(now * 1e9)
    assert committed_files(Repositories(), state, calls, (), str(project), until_ns) == []
    assert seen.number < 30 and len(asked) < 30
    assert len(pickle.dumps(state)) < 2000  # none of it is sent to the drainer


class Counted:
    """A class whose records are counted."""

    def __init__(self, kind: type[Any]) -> None:
        self.kind, self.number = kind, 0

    def __call__(self, *values: Any) -> Any:
        self.number += 1
        return self.kind(*values)


def test_commit_whose_command_sets_its_time_is_found_behind_newer_ones() -> None:
    def entry(name: str, seconds: int) -> reflog.ReflogEntry:
        return reflog.ReflogEntry(seconds, name, "commit: it")

    later = [entry(f"later{n}", 5000 + n) for n in range(60)]  # of neighbours, packed since
    own = entry("own", 10)
    older = [entry(f"older{n}", 900 - n) for n in range(60)]
    made = {"own": 1005 * 10**9} | {each.commit: each.time * 10**9 for each in older}
    calls = [ToolCall("./release", "/", 1000, 1010)]
    assert commits_during(calls, [*later, own, *older], made) == [own]
    assert commits_during(calls, [*later, *older], {}) == []


def test_git_is_asked_for_a_reflog_that_is_no_file(tmp_path: Path) -> None:
    assert reflog.read(str(tmp_path)) is None


def test_documents_without_the_name_of_a_touched_file_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_repository(tmp_path / "app")
    (project / "src").mkdir()
    (project / "src" / "a+b-1.py").write_text("")
    (project / "docs").mkdir()
    for number in range(50):
        (project / "docs" / f"page{number}.md").write_text("Nothing about it.\n")
    (project / "docs" / "GUIDE.MD").write_text("See src/a+b-1.py.\n")
    (project / "Readme").write_text("`a+b-1.py` and `config.toml`\n")
    (project / "config.toml").write_text("")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "all")
    state = read_git_state(str(project))
    assert state
    opened: list[str] = []
    real = os.open

    def noting(path: str, *rest: int) -> int:
        opened.append(os.path.relpath(path, project))
        return real(path, *rest)

    documents = Repositories().documents(state)
    monkeypatch.setattr(os, "open", noting)
    found = documents.stale(("src/a+b-1.py", "config.toml"), ())
    assert found == {
        "docs/GUIDE.MD": ["src/a+b-1.py"],
        "Readme": ["src/a+b-1.py", "config.toml"],
    }
    assert sorted(name for name in opened if name[0] != ".") == ["Readme", "docs/GUIDE.MD"]


@pytest.mark.parametrize("has_pcre", [True, False])
def test_documents_are_found_with_and_without_pcre(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_pcre: bool
) -> None:
    project = make_repository(tmp_path / "app")
    names = [r"a\Eb.py", "c|d.py", "app/[id]/page.ts", "é.py", "x y.py", "$z^.py", "-e.py"]
    (project / "app" / "[id]").mkdir(parents=True)
    for name in names:
        (project / name).write_text("")
    (project / "docs.md").write_text("\n".join(f"see ./{name} here" for name in names))
    git(project, "add", "-A")
    git(project, "commit", "-qm", "all")
    real = asking_git.run

    def run(folder: str, *arguments: str, stdin: str | None = None) -> git_process.Answer | None:
        if "-P" in arguments and not has_pcre:
            return git_process.Answer(128, "", "fatal: cannot use Perl-compatible regexes")
        return real(folder, *arguments, stdin=stdin)

    monkeypatch.setattr(asking_git, "run", run)
    state = read_git_state(str(project))
    assert state
    found = Repositories().documents(state).stale(names, ())
    # The others are no words of a path, as they stand there.
    assert found == {"docs.md": ["app/[id]/page.ts", "é.py", "-e.py"]}


# --- the database ---

# Tables that hold what is going on now, or one row for each of the Commander's sessions.
_SMALL = {
    *("client_folders", "provisional_turns", "search_changes", "search_progress", "usage_kinds"),
    *("sqlite_master", "sqlite_sequence", "conversations", "commander_branches"),
    *("commander_sessions", "prelude_shown"),
}


# All rows of one session or project, of which there may be thousands.
_ALL_OF_ONE = re.compile(
    r"SEARCH (?:turns|briefings|outbox_events|usage_sums|touched_files|jobs) USING"
    r" (?!INDEX turns_not_placed).*\((?:session_id|project_id)=\?\)$"
)


def test_no_statement_of_a_drain_reads_a_whole_table_or_session(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_repository(fleet.folder / "app", "https://example.com/a/app.git")
    fleet.hook("stop", payload("Stop") | {"session_id": "earlier"}, project)
    fleet.drain()
    statements: dict[str, Any] = {}  # with the values of one run

    class Noting(sqlite3.Connection):
        def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
            statements[sql] = values
            return super().execute(sql, values)

        def executemany(self, sql: str, rows: Any) -> sqlite3.Cursor:
            rows = list(rows)
            if rows:
                statements[sql] = rows[0]
            return super().executemany(sql, rows)

    real = sqlite3.connect

    def noting(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return real(*arguments, **options, factory=Noting)

    for module in (sqlite3, db.sqlite3):  # the second is the C half of the first
        monkeypatch.setattr(module, "connect", noting)
    for event in (
        "SessionStart-startup",
        "Stop",
        "Notification-permission_prompt",
        "SessionEnd-other",
    ):
        hook = re.sub(r"(?<!^)(?=[A-Z])", "_", event.partition("-")[0]).lower()
        fleet.hook(hook, payload(event) | {"cwd": str(project)}, project)
    drainer.drain(str(fleet.home))
    monkeypatch.undo()
    with contextlib.closing(sqlite3.connect(fleet.home / "fleet.db")) as connection:
        scans = set()
        for sql, values in statements.items():
            if not re.match(r"(?i)\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b", sql):
                continue
            plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
            # An index alone is read where it is one of few rows: `sessions_living`.
            scans |= {(row[3], sql) for row in plan if re.match(r"SCAN \w+$", row[3])}
            scans |= {(row[3], sql) for row in plan if _ALL_OF_ONE.match(row[3])}
    found = {(step, " ".join(sql.split())) for step, sql in scans}
    assert {each for each in found if each[0].split()[1] not in _SMALL} == set()
    assert len(statements) > 40


# --- processes and paths ---


def test_drain_of_one_turn_takes_one_thread_and_few_transactions(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_repository(fleet.folder / "app")
    steps: list[str] = []

    def note(owner: Any, name: str, what: str) -> None:
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, **k: (steps.append(what), real(*a, **k))[1])

    note(drainer.faulthandler, "dump_traceback_later", "watched")
    note(drainer.faulthandler, "cancel_dump_traceback_later", "not watched")
    note(db, "transaction", "transaction")
    for name in ("prepare", "usage_files", "read_usage"):
        note(reader.Reader, name, "reads")
    for number in (1, 2):  # the first one makes the search index
        steps.clear()
        stop = {"session_id": "s", "prompt_id": f"p{number}"}
        fleet.hook("stop", payload("Stop") | stop, project)
        assert drainer.drain(str(fleet.home))
    assert fleet.rows("SELECT count(*) FROM briefings") == [(2,)]
    assert steps.count("watched") == 1 and steps.count("transaction") <= 3
    # A reader may rightly take as long as its own limits allow.
    watched = steps[steps.index("watched") : steps.index("not watched")]
    assert "reads" in steps and "reads" not in watched and watched.count("transaction") >= 2


def test_program_gets_all_of_its_input_and_gives_all_of_its_output() -> None:
    text = "é" * 400_000
    copy = "import sys; sys.stdout.write(sys.stdin.read()); sys.stderr.write('e' * 300_000)"
    environment = dict(os.environ) | {"PYTHONUTF8": "1"}
    answer = git_process.run([sys.executable, "-c", copy], environment, text, 30)
    assert answer == git_process.Answer(0, text, "e" * 300_000)
    closes_early = git_process.run(["sh", "-c", "exec <&-; exit 3"], dict(os.environ), text, 30)
    assert closes_early.returncode == 3
    with pytest.raises(FileNotFoundError):
        git_process.run(["no-such-program"], {}, None, 1)


@pytest.mark.parametrize("silent", ["exec sleep 60", "exec >&- 2>&-; exec sleep 60"])
def test_program_that_is_silent_is_killed(silent: str) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        git_process.run(["sh", "-c", silent], dict(os.environ), None, 0.3)
    assert time.monotonic() - began < 50


def test_no_descriptor_stays_open() -> None:
    before = sorted(os.listdir("/dev/fd"))
    for _ in range(3):
        git_process.run(["true"], dict(os.environ), None, 9)
        with pytest.raises(TimeoutError):
            git_process.run(["sleep", "9"], dict(os.environ), None, 0.05)
        with pytest.raises(FileNotFoundError):
            git_process.run(["no-such-program"], {}, None, 1)
    assert sorted(os.listdir("/dev/fd")) == before


@given(st.lists(st.sampled_from(["a", "b c", "..", ".", "", "é"]), max_size=6), st.booleans())
def test_folders_above_are_those_of_pathlib(parts: list[str], is_absolute: bool) -> None:
    folder = ("/" if is_absolute else "") + "/".join(parts).lstrip("/")
    path = PurePosixPath(folder)
    assert with_parents(folder) == [str(path), *map(str, path.parents)]
