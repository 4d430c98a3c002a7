"""What git and the transcript show of a turn: exactly its own changes, even in a hostile repository
or transcript."""

import json
import os
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import PAYLOADS, Fleet, cpu_seconds, git, is_fast, make_repository, payload
from support_transcripts import Session, configured

from fleet_lib import clock
from fleet_lib.errors import GitTimeout
from fleet_lib.turn import transcript
from fleet_lib.turn.git import GitState, head_at, read_git_state
from fleet_lib.turn.own_commits import Call, own_commits
from fleet_lib.turn.reflog import ReflogEntry
from fleet_lib.turn.repositories import Repositories, relative_files
from fleet_lib.turn.tool_calls import ToolCall
from fleet_lib.turn.transcript import read_turn, turn_lines

FIRST = "eac0cc35-4a9d-4e16-ac98-92f010e5b855"
SECOND = "fa85a4c5-36c9-494b-89a0-1eba5a42ad1a"
CLOSING = "Changed hello() to return 2 and wrote the API page."


NS = 1_000_000_000


def state_of(folder: Path) -> GitState:
    state = read_git_state(str(folder))
    assert state is not None
    return state


def git_clock_at(second: int) -> dict[str, str]:
    """Environment variables that set git's clock to this second of the test."""
    stamp = f"{1_800_000_000 + second} +0000"
    return {"GIT_COMMITTER_DATE": stamp, "GIT_AUTHOR_DATE": stamp}


class ClockedRepository:
    """A repository whose clock the test sets."""

    START = 1_800_000_000

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.folder = folder
        self.second = 0
        self._commits = 0
        self._run(make_repository, folder)

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        with self._monkeypatch.context() as patch:
            for name, value in git_clock_at(self.second).items():
                patch.setenv(name, value)
            return function(*arguments)

    def git(self, *arguments: str) -> str:
        return str(self._run(git, self.folder, *arguments))

    def write(self, name: str, text: str | None = None) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or f"{name} {time.time_ns()}\n")

    def commit(self, *names: str, options: tuple[str, ...] = ()) -> str:
        for name in names:
            self.write(name)
        self.git("add", "-A")
        self.git("commit", "-qm", f"change {names}", *options)
        self._commits += 1
        head = self.head()
        moment = (self.START + self.second) * NS + self._commits * 1_000_000
        os.utime(self.folder / ".git" / "objects" / head[:2] / head[2:], ns=(moment, moment))
        return head

    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def since(self, second: int, until: int = 9999) -> list[str]:
        """The commits of a turn whose tools ran between these seconds and showed all commits."""
        entries = self._own(second, until)
        return [entry.commit for entry in entries]

    def files(self, second: int) -> tuple[str, ...]:
        entries = self._own(second, 9999)
        found = Repositories().files_of_commits(str(self.folder), entries)
        return tuple(dict.fromkeys(file for files in found.values() for file in files))

    def _own(self, second: int, until: int) -> list[ReflogEntry]:
        state = state_of(self.folder)
        shown = tuple(entry.commit for entry in state.reflog)
        call = ToolCall("git …", "/", self.START + second, self.START + until, shown)
        return own_commits(state.reflog, {}, [Call(call)], (), lambda entries: {})


def test_git_timeout_does_not_make_a_project_of_a_subfolder(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = make_repository(fleet.folder / "api")
    (repository / "sub").mkdir()
    call = {"session_id": "s1", "prompt_id": "p1", "last_assistant_message": "Done."}
    fleet.hook("stop", call, repository)
    fleet.drain()
    slow = fleet.folder / "bin"
    slow.mkdir()
    (slow / "git").write_text("#!/bin/sh\nexec sleep 9\n")
    (slow / "git").chmod(0o755)
    fleet.hook("stop", call | {"session_id": "s2"}, repository / "sub")
    monkeypatch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
    monkeypatch.setattr("fleet_lib.turn.git.TIMEOUT_SECONDS", 0.3)
    fleet.drain()
    assert fleet.quarantine() == {}
    assert fleet.rows("SELECT count(*), count(DISTINCT project_id) FROM briefings") == [(2, 1)]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClockedRepository:
    return ClockedRepository(tmp_path / "code" / "api", monkeypatch)


# --- the turn's commits -----------------------------------------------------------------------


def test_commits_of_a_turn_are_those_since_its_start(repository: ClockedRepository) -> None:
    repository.second = 10
    one = repository.commit("a.py")
    repository.second = 20
    two = repository.commit("b.py", "ü d.py")
    assert repository.since(5) == [one, two]
    assert repository.since(15) == [two]
    assert repository.since(25) == []
    assert repository.since(5, until=15) == [one]
    assert repository.files(5) == ("a.py", "b.py", "ü d.py")


def test_amended_commit_counts_with_its_final_content(repository: ClockedRepository) -> None:
    repository.second = 10
    repository.commit("a.py")
    repository.second = 20
    amended = repository.commit("b.py", options=("--amend",))
    assert repository.since(5)[-1] == amended
    assert repository.files(5) == ("a.py", "b.py")


def test_manual_merge_counts_with_its_resolved_files(repository: ClockedRepository) -> None:
    repository.git("checkout", "-qb", "topic")
    repository.commit("only-topic.py")
    repository.write("app.py", "topic\n")
    repository.commit()
    repository.git("checkout", "-q", "main")
    repository.write("app.py", "main\n")
    repository.commit()
    repository.second = 10
    done = subprocess.run(["git", "-C", str(repository.folder), "-c", "user.name=D", "-c", "user.email=d@e", "merge", "-q", "topic"], check=False, capture_output=True)  # fmt: skip
    assert done.returncode == 1
    repository.write("app.py", "resolved\n")
    merge = repository.commit()
    assert repository.since(5) == [merge]
    assert repository.files(5) == ("app.py",)


@pytest.mark.parametrize("option", ["--ff-only", "--no-rebase", "--rebase"])
def test_pulled_commits_do_not_count(
    repository: ClockedRepository, tmp_path: Path, option: str
) -> None:
    upstream = ClockedRepository(tmp_path / "upstream", repository._monkeypatch)
    clone = repository
    clone.git("remote", "add", "origin", str(upstream.folder))
    clone.git("fetch", "-q", "origin")
    clone.git("reset", "-q", "--hard", "origin/main")
    upstream.second = clone.second = 10
    upstream.commit("foreign.py")
    own = None
    if option != "--ff-only":
        own = clone.commit("own.py")
    clone.second = 20
    clone.git("pull", "-q", "--no-edit", option, "origin", "main")
    clone.second = 30
    last = clone.commit("last.py")
    assert "foreign.py" not in clone.files(5)
    found = clone.since(5)
    assert found == ([last] if own is None else [own, last])


def test_reset_and_checkout_add_no_commits(repository: ClockedRepository) -> None:
    old = repository.head()
    repository.git("checkout", "-qb", "topic")
    other = repository.commit("topic.py")
    repository.git("checkout", "-q", "main")
    repository.second = 10
    repository.git("checkout", "-q", "topic")
    repository.second = 20
    repository.git("checkout", "-q", "main")
    repository.second = 30
    repository.git("reset", "-q", "--hard", other)
    assert repository.since(5) == []
    repository.second = 40
    mine = repository.commit("mine.py")
    repository.second = 50
    repository.git("reset", "-q", "--hard", old)
    assert repository.since(5) == [mine]


def test_commits_on_a_branch_that_is_no_longer_checked_out_count(
    repository: ClockedRepository,
) -> None:
    repository.second = 10
    repository.git("checkout", "-qb", "topic")
    topic = repository.commit("topic.py")
    repository.second = 20
    repository.git("checkout", "-q", "main")
    main = repository.commit("main.py")
    assert repository.since(5) == [topic, main]


def test_root_commit_counts_with_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    git(folder, "init", "-q")
    before = state_of(folder)
    assert (before.head, before.reflog) == (None, ())
    (folder / "größe 1.py").write_text("x")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "root")
    state = state_of(folder)
    assert [entry.is_commit for entry in state.reflog] == [True]
    found = Repositories().files_of_commits(str(folder), state.reflog)
    assert found == {state.head: ("größe 1.py",)}


def test_renamed_file_is_touched_under_both_names(repository: ClockedRepository) -> None:
    repository.second = 10
    repository.git("mv", "app.py", "ünï cödé.py")
    repository.commit("other.py")
    assert set(repository.files(5)) == {"app.py", "ünï cödé.py", "other.py"}


@pytest.mark.parametrize("name", ["日本/語.py", "a\tb", 'q"uote', "back\\slash", "-dash", "new\nline", " x "])  # fmt: skip
def test_any_file_name_comes_back_unchanged(repository: ClockedRepository, name: str) -> None:
    repository.second = 10
    repository.commit(name)
    assert repository.files(5) == (name,)


def test_commit_message_cannot_forge_a_reflog_entry(repository: ClockedRepository) -> None:
    start = repository.head()
    foreign = repository.commit("foreign.py")
    repository.git("reset", "-q", "--hard", start)
    repository.second = 10
    repository.write("a.py")
    repository.git("add", "-A")
    message = f"commit: x\0{foreign}\nHEAD@{{1800000010 +0000}}\ncommit: y".replace("\0", "\x01")
    repository.git("commit", "-qm", message)
    assert repository.since(5) == [repository.head()]


def test_detached_head_has_no_branch(repository: ClockedRepository) -> None:
    assert state_of(repository.folder).branch == "main"
    repository.git("checkout", "-q", "--detach")
    assert state_of(repository.folder).branch is None


def test_repository_without_a_reflog_has_no_commits_of_the_turn(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "quiet")
    git(folder, "config", "core.logAllRefUpdates", "false")
    shutil.rmtree(folder / ".git/logs")
    state = state_of(folder)
    assert state.reflog == ()
    assert head_at(state, 0) == state.head


def test_folder_that_is_not_a_repository_has_no_git_state(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone", tmp_path / ("x" * 5000)):
        assert read_git_state(str(folder)) is None
    assert read_git_state("with\0nul") is None
    (tmp_path / ".git").write_text("gitdir: /nowhere")
    assert read_git_state(str(tmp_path)) is None


def test_hanging_git_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = make_repository(tmp_path / "api")
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("fleet_lib.turn.git.TIMEOUT_SECONDS", 0.2)
    start = time.monotonic()
    with pytest.raises(GitTimeout):
        read_git_state(str(repository))
    repositories = Repositories()
    assert repositories.state(str(repository), 1) is None
    assert repositories.is_silent(str(repository))
    assert time.monotonic() - start < 30


# --- a turn through the hooks -----------------------------------------------------------------


def start_session(fleet: Fleet, project: Path, session: str = "s1") -> None:
    start = payload("SessionStart-startup") | {"session_id": session, "cwd": str(project)}
    fleet.hook("session_start", start, project=project)
    fleet.drain()


def stop(fleet: Fleet, project: Path, session: str = "s1", drain: bool = True, **more: Any) -> None:
    call = payload("Stop") | {
        "session_id": session,
        "cwd": str(project),
        "transcript_path": "",
        "prompt_id": os.urandom(8).hex(),
    }
    fleet.hook("stop", call | more, project=project, **(more.pop("environment", None) or {}))
    if drain:
        fleet.drain()
        assert fleet.quarantine() == {}


def files(fleet: Fleet) -> list[list[str]]:
    return [
        json.loads(row[0])
        for row in fleet.rows("SELECT files_touched_json FROM briefings ORDER BY briefing_id")
    ]


def test_each_turn_has_its_own_commits(fleet: Fleet) -> None:
    project = configured(make_repository(fleet.folder / "api"))
    start_session(fleet, project)
    session = Session(fleet, project, "s1")
    for name in ("one.py", "two.py"):
        session.asks().runs(f"echo > {name}; git add -A; git commit -qm {name}").stops()
    session.asks().stops()
    assert files(fleet) == [["one.py"], ["two.py"], []]
    rows = fleet.rows("SELECT base_commit, head_commit, branch FROM briefings ORDER BY briefing_id")
    log = git(project, "log", "--format=%H", "--reverse").splitlines()
    assert rows == [(log[0], log[1], "main"), (log[1], log[2], "main"), (log[2], log[2], "main")]


def test_turn_that_is_applied_late_has_only_its_own_commits(fleet: Fleet) -> None:
    project = configured(make_repository(fleet.folder / "api"))
    start_session(fleet, project)
    session = Session(fleet, project, "s1")
    for name in ("one.py", "two.py"):
        session.asks().runs(f"echo > {name}; git add -A; git commit -qm {name}").stops(drain=False)
    fleet.drain()
    assert files(fleet) == [["one.py"], ["two.py"]]


def test_git_variables_of_claude_code_are_ignored(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_repository(fleet.folder / "api")
    other = make_repository(fleet.folder / "other")
    call = payload("Stop") | {"cwd": str(project), "transcript_path": ""}
    fleet.environment = {"GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other)}
    fleet.hook("stop", call, project=project)
    fleet.drain()
    assert fleet.rows("SELECT repo_root FROM projects") == [(str(project),)]
    assert fleet.rows("SELECT head_commit FROM briefings") == [(git(project, "rev-parse", "HEAD"),)]


# --- hostile configuration --------------------------------------------------------------------


def test_configuration_of_a_repository_runs_no_program(fleet: Fleet) -> None:
    project = make_repository(fleet.folder / "api", **{"README.md": "see app.py", "b.bin": "x"})
    marker = fleet.folder / "marker"
    program = fleet.folder / "program"
    program.write_text(f'#!/bin/sh\necho "$0 $@" >> {marker}\ncat\n')
    program.chmod(0o755)
    start_session(fleet, configured(project))
    session = Session(fleet, project, "s1").asks()
    session.runs("echo changed > app.py; git add -A; git commit -m second")
    raw = git(project, "cat-file", "commit", "HEAD")
    head, _, message = raw.partition("\n\n")
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    signed = git(project, "hash-object", "-t", "commit", "-w", "--stdin", input=f"{head}\n{signature}\n\n{message}\n")  # fmt: skip
    git(project, "reset", "-q", "--hard", signed)
    (project / ".gitattributes").write_text("* diff=evil filter=evil merge=evil\n")
    hooks = fleet.folder / "hooks"
    hooks.mkdir()
    for name in (
        "post-index-change",
        "reference-transaction",
        "post-checkout",
        "fsmonitor-watchman",
    ):
        (hooks / name).symlink_to(program)
    for name, value in {
        "core.fsmonitor": program,
        "core.hooksPath": hooks,
        "core.pager": program,
        "core.editor": program,
        "core.sshCommand": program,
        "core.gitProxy": program,
        "core.askPass": program,
        "core.alternateRefsCommand": program,
        "pager.log": program,
        "log.showSignature": "true",
        "gpg.program": program,
        "gpg.ssh.program": program,
        "gpg.x509.program": program,
        "diff.external": program,
        "diff.evil.command": program,
        "diff.evil.textconv": program,
        "filter.evil.clean": program,
        "filter.evil.smudge": program,
        "filter.evil.process": program,
        "merge.evil.driver": program,
        "credential.helper": program,
        "interactive.diffFilter": program,
        "format.pretty": "%G?",
        "alias.log": f"!{program}",
        "alias.rev-parse": f"!{program}",
        "trace2.eventTarget": fleet.folder / "marker2",
    }.items():
        git(project, "config", name, str(value))
    fsmonitor_works = subprocess.run(
        ["git", "-C", str(project), "status"], capture_output=True, check=False
    )
    assert fsmonitor_works.returncode == 0 and marker.exists(), "the trap does not work"
    marker.unlink()
    assert session.stops() == ["app.py"]
    assert not marker.exists(), marker.read_text()
    ((head_commit,),) = fleet.rows("SELECT head_commit FROM briefings")
    assert head_commit == signed


def test_repository_with_missing_objects_fetches_nothing(fleet: Fleet) -> None:
    project = make_repository(fleet.folder / "api")
    marker = fleet.folder / "marker"
    start_session(fleet, configured(project))
    session = Session(fleet, project, "s1").asks()
    session.runs("mkdir deep; echo x > deep/x.py; git add -A; git commit -m second")
    tree = git(project, "rev-parse", "HEAD:deep")
    (project / ".git/objects" / tree[:2] / tree[2:]).unlink()
    for name, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::touch {str(marker).replace(' ', '% ')}",
        "protocol.ext.allow": "always",
        "protocol.allow": "always",
    }.items():
        git(project, "config", name, value)
    subprocess.run(
        ["git", "-C", str(project), "diff-tree", "-r", "HEAD"], capture_output=True, check=False
    )
    assert marker.exists(), "the trap does not work"
    marker.unlink()
    session.stops()
    assert not marker.exists()


# --- the transcript ---------------------------------------------------------------------------


def captured_session(folder: Path) -> list[dict[str, Any]]:
    """The transcript of a captured session with two turns, as if it had run in this folder."""
    text = (PAYLOADS / "2.1.197" / "transcript.jsonl").read_text()
    return [json.loads(line) for line in text.replace("/home/dev/code/api-svc", str(folder)).splitlines()]  # fmt: skip


def save(path: Path, lines: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def user(text: Any, prompt: str = "p1", **more: Any) -> dict[str, Any]:
    line = {"type": "user", "promptId": prompt, "uuid": f"u-{prompt}", "cwd": "/code", "timestamp": "2026-11-23T06:00:00.000Z"}  # fmt: skip
    return line | {"message": {"role": "user", "content": text}} | more


def assistant(*content: dict[str, Any] | str, **more: Any) -> dict[str, Any]:
    blocks = [{"type": "text", "text": c} if isinstance(c, str) else c for c in content]
    line = {"type": "assistant", "cwd": "/code", "message": {"role": "assistant", "content": blocks}}  # fmt: skip
    return line | more


def edit(path: Any, tool: str = "Edit", id: str = "t1", key: str = "file_path") -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": tool, "input": {key: path}}


def result(id: str = "t1", prompt: str = "p1", **more: Any) -> dict[str, Any]:
    return user([{"type": "tool_result", "tool_use_id": id, "content": "x"} | more], prompt)


def test_captured_transcript_gives_the_facts_of_each_turn(tmp_path: Path) -> None:
    path = save(tmp_path / "t.jsonl", captured_session(Path("/code/api")))
    turn = read_turn(path, FIRST, CLOSING, 0)
    assert turn.files == ["/code/api/app.py", "/code/api/docs/api.md"]
    assert (turn.final_text, turn.partial) == (CLOSING, False)
    assert turn.started_at == "2026-11-22T23:21:23.552Z"
    second = read_turn(path, SECOND, "Second turn, nothing touched.", 0)
    assert (second.files, second.partial) == ([], False)
    last = read_turn(path, None, "Second turn, nothing touched.", 0)
    assert (last.files, last.partial) == ([], False) and last.prompt_key


@pytest.mark.parametrize(
    ("transcript", "prompt", "last", "files"),
    [
        ("headless-async-agent", "tools please", "All done.", ["/home/dev/code/api-svc/app.py"]),
        ("headless-async-agent", "and now?", "done", []),
        ("interactive", "perm allow", "allowed answer", []),
        ("interactive", "second msg", "second answer", []),
    ],
)
def test_captured_transcripts_of_the_newest_client_give_the_facts(
    transcript: str, prompt: str, last: str, files: list[str]
) -> None:
    path = PAYLOADS / "2.1.332" / f"transcript-{transcript}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    (prompt_id,) = {
        line["promptId"] for line in lines if line.get("message", {}).get("content") == prompt
    }
    turn = read_turn(str(path), prompt_id, last, 0)
    assert (turn.final_text, turn.files, turn.partial) == (last, files, False)


def test_captured_session_becomes_two_briefings(fleet: Fleet) -> None:
    project = make_repository(fleet.folder / "api-svc")
    path = save(fleet.folder / "t.jsonl", captured_session(project))
    for prompt, text in ((FIRST, CLOSING), (SECOND, "Second turn, nothing touched.")):
        stop(fleet, project, transcript_path=path, prompt_id=prompt, last_assistant_message=text)
    assert files(fleet) == [["app.py", "docs/api.md"], []]
    rows = fleet.rows(
        "SELECT docs_touched_json, impact_level, broadcast_level, started_at, task_id, facts_partial"
        " FROM briefings JOIN turns USING (briefing_id) ORDER BY briefing_id"
    )
    assert rows == [
        ('["docs/api.md"]', "minor", "mention", "2026-11-22T23:21:23.552Z", FIRST, 0),
        ("[]", "trivial", "silent", "2026-11-22T23:21:25.016Z", SECOND, 0),
    ]


def test_session_of_an_old_client_without_prompt_ids_has_two_turns(fleet: Fleet) -> None:
    project = make_repository(fleet.folder / "api-svc")
    lines = captured_session(project)
    for line in lines:
        line.pop("promptId", None)
    cut = next(n for n, line in enumerate(lines) if CLOSING in json.dumps(line)) + 1
    path = fleet.folder / "t.jsonl"
    for part, text in ((lines[:cut], CLOSING), (lines, "Second turn, nothing touched.")):
        save(path, part)
        for _ in range(2):
            stop(fleet, project, transcript_path=str(path), prompt_id=None, last_assistant_message=text)  # fmt: skip
    assert files(fleet) == [["app.py", "docs/api.md"], []]


def test_only_editing_tools_count(tmp_path: Path) -> None:
    lines = [
        user("do it"),
        assistant(edit("/code/a.py", "Edit", "1"), edit("/code/b.py", "Write", "2")),
        assistant(edit("/code/c.py", "MultiEdit", "3")),
        assistant(edit("/code/d.ipynb", "NotebookEdit", "4", "notebook_path")),
        assistant(edit("/code/read.py", "Read", "5"), edit("relative.py", "Edit", "6")),
        assistant(edit("/code/sub/../e.py", "Edit", "7"), edit("/code/a.py", "Edit", "8")),
        assistant("done"),
    ]
    turn = read_turn(save(tmp_path / "t", lines), "p1", "done", 0)
    assert [Path(f).name for f in turn.files] == ["a.py", "b.py", "c.py", "d.ipynb", "relative.py", "e.py"]  # fmt: skip
    assert all(f.startswith("/code/") and ".." not in f for f in turn.files)


def test_failing_edits_do_not_count(tmp_path: Path) -> None:
    lines = [
        user("do it"),
        assistant(
            edit("/code/a.py", id="1"), edit("/code/b.py", id="2"), edit("/code/c.py", id="3")
        ),
        result("1", is_error=True),
        result("2", is_error=False),
        assistant(edit("/code/c.py", id="4")),
        result("3", is_error=True),
        assistant("done"),
    ]
    turn = read_turn(save(tmp_path / "t", lines), "p1", "done", 0)
    assert turn.files == ["/code/b.py", "/code/c.py"]


def test_edits_of_a_subagent_count_for_its_turn_only(tmp_path: Path) -> None:
    path = save(
        tmp_path / "t.jsonl", [user("a"), assistant("one"), user("b", "p2"), assistant("two")]
    )
    folder = tmp_path / "t" / "subagents"
    save(
        folder / "agent-1.jsonl",
        [user("x"), assistant(edit("/code/first.py")), result(), assistant("ok")],
    )
    save(
        folder / "agent-2.jsonl",
        [
            user("x", "p2"),
            assistant(edit("/code/second.py"), edit("/code/bad.py", id="t2")),
            result("t2", "p2", is_error=True),
        ],
    )
    save(folder / "other.jsonl", [user("x", "p2"), assistant(edit("/code/not.py"))])
    assert read_turn(path, "p1", "one", 0).files == ["/code/first.py"]
    assert read_turn(path, "p2", "two", 0).files == ["/code/second.py"]


def of_subagents(tmp_path: Path, started_at: str, **ages: float) -> list[str]:
    """The files of a turn whose subagents wrote last so many seconds before now."""
    opening = user("a") | {"timestamp": started_at}
    path = save(tmp_path / "t.jsonl", [opening, assistant("one")])
    for name, age in ages.items():
        lines = [user("x"), assistant(edit(f"/code/{name}.py"))]
        agent = save(tmp_path / "t" / "subagents" / f"agent-{name}.jsonl", lines)
        os.utime(agent, (time.time() - age,) * 2)
    return read_turn(path, "p1", "one", 0).files


def test_subagent_that_ended_before_the_turn_is_not_read(tmp_path: Path) -> None:
    found = of_subagents(tmp_path, clock.ago(3600), before=7200, during=1800)
    assert found == ["/code/during.py"]


def test_subagents_are_read_if_a_clock_was_set_back_since_the_turn(tmp_path: Path) -> None:
    found = of_subagents(tmp_path, clock.ahead(86400), a=7200, b=1)
    assert found == ["/code/a.py", "/code/b.py"]


def test_of_more_subagents_than_are_read_the_newest_count(tmp_path: Path) -> None:
    ages = {f"a{number:03}": 100.0 - number / 10 for number in range(230)}
    found = of_subagents(tmp_path, clock.ago(3600), **ages)
    assert found == [f"/code/a{number:03}.py" for number in range(30, 230)]


def test_synthetic_message_of_claude_code_is_not_the_final_text(tmp_path: Path) -> None:
    error = assistant("API Error")
    error["message"]["model"] = "<synthetic>"
    turn = read_turn(save(tmp_path / "t", [user("a"), assistant("real"), error]), "p1", None, 0)
    assert turn.final_text == "real"


def test_transcript_that_is_still_being_written_is_waited_for(tmp_path: Path) -> None:
    path = save(tmp_path / "t.jsonl", [user("a"), assistant(edit("/code/a.py")), result()])

    def append() -> None:
        time.sleep(0.3)
        with open(path, "a") as file:
            text = json.dumps(assistant(edit("/code/late.py", id="t2"), "done")) + "\n"
            file.write(text[:40])
            file.flush()
            time.sleep(0.1)
            file.write(text[40:])

    thread = threading.Thread(target=append)
    start = time.monotonic()
    thread.start()
    turn = read_turn(path, "p1", "done", time.time() + 60)
    taken = time.monotonic() - start
    thread.join()
    assert (turn.files, turn.partial) == (["/code/a.py", "/code/late.py"], False)
    assert 0.35 < taken < 30


def test_transcript_that_does_not_change_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "t.jsonl", [user("a"), assistant("one")])
    readings: list[str] = []

    def counted(path: str, *more: Any) -> Any:
        readings.append(path)
        return turn_lines(path, *more)

    monkeypatch.setattr(transcript, "turn_lines", counted)
    assert read_turn(path, "p1", "not there", time.time() + 0.3).partial
    assert readings == [path]


def test_missing_final_text_leaves_the_facts_partial_after_two_seconds(fleet: Fleet) -> None:
    project = make_repository(fleet.folder / "api")
    path = save(fleet.folder / "t.jsonl", [user("a"), assistant(edit(f"{project}/a.py"))])
    start_session(fleet, project)
    start = time.monotonic()
    stop(fleet, project, transcript_path=path, prompt_id="p1", last_assistant_message="done")
    assert time.monotonic() - start < 30
    assert files(fleet) == [["a.py"]]
    assert fleet.rows("SELECT facts_partial FROM turns") == [(1,)]


def test_turn_that_is_not_written_yet_gets_nothing_from_the_one_before(tmp_path: Path) -> None:
    before = [user("a", "p1"), assistant(edit("/code/old.py")), result(), assistant("Done.")]
    interrupted = [user("b", "p2"), assistant("Done."), assistant(edit("/code/never.py"))]
    for lines in (before, interrupted, [*before, {"type": "last-prompt"}]):
        path = save(tmp_path / "t.jsonl", [*lines, user("c", "p3")])
        turn = read_turn(path, "p3", "Done.", 0)
        assert (turn.files, turn.final_text, turn.partial) == ([], "", True)


def test_turn_with_the_same_text_as_the_one_before_is_waited_for(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "WAIT_SECONDS", 60.0)
    project = make_repository(fleet.folder / "api")
    start_session(fleet, project)
    lines = [user("a", "p1"), assistant("Done."), user("b", "p2")]
    path = save(fleet.folder / "t.jsonl", lines)
    more = [assistant(edit(f"{project}/a.py")), result(prompt="p2"), assistant("Done.")]
    late = threading.Timer(0.5, save, (Path(path), lines + more))
    late.start()
    stop(fleet, project, transcript_path=path, prompt_id="p2", last_assistant_message="Done.")
    late.join()
    assert files(fleet) == [["a.py"]]


def test_transcript_that_is_empty_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    """As while another program writes it again from its beginning."""
    path = tmp_path / "t.jsonl"
    save(path, [user("a")])
    whole = [user("a"), assistant(edit("/code/a.py")), result(), assistant("done")]
    steps = iter([lambda: path.write_text(""), path.unlink, lambda: save(path, whole)])
    facts = read_turn(str(path), "p1", "done", time.time() + 20, pause=lambda _: next(steps)())
    assert (facts.files, facts.partial) == (["/code/a.py"], False)


def test_transcript_is_not_waited_for_after_the_deadline(tmp_path: Path) -> None:
    path = save(tmp_path / "t.jsonl", [user("a"), assistant("other")])
    assert read_turn(path, "p1", "done", time.time() - 1, pause=pytest.fail).partial


@pytest.fixture(scope="session")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transcript of 50 MB whose last turn is small."""
    path = tmp_path_factory.mktemp("huge") / "t.jsonl"
    old = "".join(
        json.dumps(line) + "\n"
        for line in (
            user("old", "p0"),
            assistant(edit("/o")),
            result(prompt="p0"),
            assistant("x" * 9000),
        )
    )
    with path.open("w") as file:
        for _ in range(50_000_000 // len(old)):
            file.write(old)
        for line in (user("a"), assistant(edit("/code/a.py")), result(), assistant("done")):
            file.write(json.dumps(line) + "\n")
    return path


@pytest.mark.parametrize("prompt", ["p1", None])
def test_huge_transcript_is_read_from_its_end(huge: Path, prompt: str | None) -> None:
    turn = read_turn(str(huge), prompt, "done", 0)
    assert is_fast(lambda: cpu_seconds(lambda: read_turn(str(huge), prompt, "done", 0)) < 0.1)
    assert (turn.files, turn.partial) == (["/code/a.py"], False)


def test_search_for_a_missing_turn_in_a_huge_transcript_ends_soon(huge: Path) -> None:
    start = time.monotonic()
    turn = read_turn(str(huge), "never", "done", time.time() + 2)
    assert time.monotonic() - start < 30
    assert turn.partial and turn.files == []


def test_path_that_is_not_a_transcript_is_ignored_without_a_delay(tmp_path: Path) -> None:
    good = save(
        tmp_path / "good.jsonl", [user("a"), assistant(edit("/code/a.py")), assistant("done")]
    )
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(good)
    (tmp_path / "folder").mkdir()
    end = time.time() + 20
    for name in ("fifo", "link", "folder", "gone", "with\0nul", "x" * 5000):
        turn = read_turn(str(tmp_path / name), "p1", "done", end, pause=pytest.fail)
        assert (turn.files, turn.partial) == ([], True), name
    for path in ("", "/dev/zero", "/dev/stdin", "/dev/tty"):
        assert read_turn(path, "p1", "done", end, pause=pytest.fail).files == []
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


HOSTILE_LINES = [
    b"\x00\xff\xfe" * 100,
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b"9" * 100_000,
    b"null",
    b"[1]",
    b'"text"',
    b"{",
    b'{"type": "user", "promptId": 7, "message": null}',
    b'{"type": "assistant", "message": []}',
    b'{"type": "assistant", "message": {"content": [null, 7, {"type": "text"}, {"type": "text", "text": 7}]}}',
    b'{"type": "assistant", "message": {"content": [{"type": "tool_use", "name": "Edit"}]}}',
    b'{"type": "assistant", "message": {"content": [{"type": "tool_use", "name": ["Edit"], "input": {}}]}}',
    b'{"type": "assistant", "message": {"content": [{"type": "tool_use", "name": "Edit", "input": {"file_path": ["x"]}}]}}',
    b'{"type": "assistant", "message": {"content": [{"type": "tool_use", "name": "Edit", "input": {"file_path": "a\\u0000b"}}]}}',
    b'{"type": "assistant", "cwd": 7, "message": {"content": [{"type": "tool_use", "id": {}, "name": "Write", "input": {"file_path": "/code/ok.py"}}]}}',
    b'{"type": "user", "promptId": "p1", "message": {"content": [{"type": "tool_result", "tool_use_id": [], "is_error": true}]}}',
    b'{"type": "user", "promptId": "p1", "message": {"content": [{"type": "tool_result", "tool_use_id": {}, "is_error": 1}]}}',
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE_LINES)))
def test_hostile_line_affects_only_that_line(tmp_path: Path, number: int) -> None:
    good = [user("a"), assistant(edit("/code/a.py")), assistant("done")]
    lines = [json.dumps(line).encode() for line in good]
    lines.insert(2, HOSTILE_LINES[number])
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"\r\n".join(lines) + b"\n\n")
    for prompt in ("p1", None):
        turn = read_turn(str(path), prompt, "done", 0)
        assert "/code/a.py" in turn.files and not turn.partial


def test_line_of_ten_megabytes_is_read(tmp_path: Path) -> None:
    path = save(
        tmp_path / "t.jsonl",
        [
            user("a"),
            assistant(edit("/code/a.py")),
            result(content="x" * 10_000_000),
            assistant("done"),
        ],
    )
    turn = read_turn(path, "p1", "done", 0)
    assert (turn.files, turn.partial) == (["/code/a.py"], False)
    assert is_fast(lambda: cpu_seconds(lambda: read_turn(path, "p1", "done", 0)) < 1)


def test_search_in_a_sparse_file_without_a_line_end_ends_soon(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert read_turn(str(path), "p1", "done", 0).partial
    assert is_fast(lambda: cpu_seconds(lambda: read_turn(str(path), "p1", "done", 0)) < 3)


def test_files_are_relative_to_the_repository(tmp_path: Path) -> None:
    project = make_repository(tmp_path / "api")
    git(project, "worktree", "add", "-q", "-b", "w", str(tmp_path / "worktree"))
    (tmp_path / "link").symlink_to(project)
    touched = [
        f"{project}/a.py",
        f"{tmp_path}/link/b.py",
        f"{tmp_path}/worktree/c.py",
        "/etc/hosts",
        f"{tmp_path}/api-other/d.py",
        f"{project}/.claude/status.v5.abc-1.md",
        f"{project}/.claude/settings.json",
    ]
    state = read_git_state(str(tmp_path / "worktree"))
    assert relative_files(touched, state, str(project)) == [
        *("a.py", "b.py", "c.py", "/etc/hosts", f"{tmp_path}/api-other/d.py"),
        ".claude/settings.json",
    ]
    assert relative_files(["/x/a.py", "/y/b.py"], None, "/x") == ["a.py", "/y/b.py"]


def test_second_stop_of_a_turn_with_anothers_task_and_time_is_stored(fleet: Fleet) -> None:
    project = make_repository(fleet.folder / "api")
    block = "```briefing\ntask_id: t1\nended_at: 2026-11-23T06:00:00Z\nsummary: {}\n```"
    for prompt, text in (("p1", "one"), ("p2", "two"), ("p2", "two, revised")):
        stop(fleet, project, prompt_id=prompt, last_assistant_message=block.format(text))
    rows = fleet.rows("SELECT summary, revision FROM turns ORDER BY turn_key")
    assert rows == [("one", 1), ("two, revised", 2)]
