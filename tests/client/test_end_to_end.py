"""Workers, end to end: the real client, Fleet's hooks, fleet.db, and what the model was shown."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fleet_world import HOOKS, Fleet, blocked_by, configure, git
from scripted_model import Fail, Request, Text, ToolUse, newest_prompt


def test_commander_is_shown_the_work_of_two_workers_exactly_once(fleet: Fleet) -> None:
    alpha, beta = fleet.repository("alpha"), fleet.repository("beta", {"parser.py": "old\n"})
    before = git(beta, "rev-parse", "HEAD")
    source = str(beta / "parser.py")
    fleet.worker(alpha, "deploy the service", blocked_by("the staging password"))
    fleet.worker(
        beta,
        "fix the parser",
        ToolUse("Read", {"file_path": source}),
        ToolUse("Edit", {"file_path": source, "old_string": "old", "new_string": "new"}),
        ToolUse("Bash", {"command": "echo > made.txt; git add -A; git commit -qm 'Fix parser'"}),
        Text("The parser reads empty input now."),
    )

    blocked, done = fleet.briefings()
    assert blocked["project_id"].startswith("alpha__")
    assert (blocked["status"], blocked["files_touched"]) == ("blocked", [])
    assert blocked["blockers"] == ["Waiting for the staging password"]
    assert done["project_id"].startswith("beta__")
    assert (done["status"], done["files_touched"]) == ("completed", ["parser.py", "made.txt"])
    assert (done["base_commit"], done["head_commit"]) == (before, git(beta, "rev-parse", "HEAD"))
    assert (done["branch"], done["broadcast_level"]) == ("main", "mention")
    assert fleet.event_counts() == {
        "session_started": 2,
        "briefing_added": 2,
        "session_blocked": 1,
    }

    cursor_in_turn: list[int] = []
    fleet.before_answer = lambda request: cursor_in_turn.append(fleet.cursor())
    first = fleet.commander("what is new")
    assert cursor_in_turn == [0]
    assert fleet.cursor() == fleet.last_event()
    (prelude,) = fleet.preludes_with("what is new")
    alerts, mentions = prelude.split("Alerts:\n")[1].split("Mentions:\n")
    assert f"- #{blocked['briefing_id']} alpha · " in alerts
    assert "Stuck on the staging password" in alerts
    assert f"- #{done['briefing_id']} beta · done: The parser reads empty input" in mentions

    second = fleet.commander("and what next", resume=first.session_id)
    assert second.session_id == first.session_id
    assert (fleet.preludes_with("and what next"), len(fleet.preludes_up_to("and what next"))) == (
        [],
        1,
    )
    assert len(fleet.briefings()) == 2, "a Commander's turn wrote a briefing"
    assert fleet.event_counts().total() == 5


@pytest.mark.one_client
def test_ten_concurrent_workers_leave_exactly_ten_briefings(fleet: Fleet) -> None:
    repositories = [fleet.repository(f"repository-{number}") for number in range(5)]

    def work(number: int) -> tuple[str, str]:
        file = f"file-{number}.txt"
        repository = repositories[number % 5]
        turn = fleet.worker(
            repository,
            f"task number {number}.",
            ToolUse("Write", {"file_path": str(repository / file), "content": "x"}),
            Text(f"Task {number} is done."),
        )
        return turn.session_id, f"{repository.name} {file}"

    with ThreadPoolExecutor(10) as pool:
        expected = dict(pool.map(work, range(10)))

    stored = {
        briefing["session_id"]: " ".join(
            [briefing["project_id"].split("__")[0], *briefing["files_touched"]]
        )
        for briefing in fleet.briefings()
    }
    assert len(expected) == 10
    assert stored == expected
    assert len(fleet.briefings()) == 10
    assert fleet.event_counts() == {"briefing_added": 10, "session_started": 10}
    for kind in ("briefing_added", "session_started"):
        sessions = fleet.rows(
            "SELECT json_extract(payload_json, '$.sessionId') AS id FROM outbox_events"
            " WHERE type = ?",
            kind,
        )
        assert {row["id"] for row in sessions} == set(expected)


@pytest.mark.one_client
@pytest.mark.parametrize("start", ["", "service"], ids=["cd in the turn", "started in a subfolder"])
def test_worker_in_a_subfolder_belongs_to_its_repository(fleet: Fleet, start: str) -> None:
    repository = fleet.repository("alpha", {"service/main.py": "1\n"})
    (repository / "service" / "deep").mkdir()
    fleet.worker(
        repository / start,
        "make the files",
        ToolUse("Bash", {"command": f"cd {repository}/service/deep"}),
        ToolUse("Bash", {"command": "echo > by_bash.txt; git add -A; git commit -qm 'By bash'"}),
        ToolUse("Write", {"file_path": str(repository / "service/new.py"), "content": "2"}),
        Text("Made."),
    )

    (briefing,) = fleet.briefings()
    assert briefing["project_id"].startswith("alpha__")
    assert set(briefing["files_touched"]) == {"service/deep/by_bash.txt", "service/new.py"}
    assert fleet.rows("SELECT repo_root FROM projects") == [{"repo_root": str(repository)}]
    assert fleet.event_counts() == {"session_started": 1, "briefing_added": 1}


def test_subagent_file_is_counted_in_the_turn_that_started_it(fleet: Fleet) -> None:
    """The newest client runs it in the background, and asks the model again when it has ended."""
    repository = fleet.repository("alpha")
    fleet.script(
        "write the helper",
        ToolUse("Write", {"file_path": str(repository / "by_agent.py"), "content": "x"}),
        Text("The helper is written."),
    )
    fleet.worker(
        repository,
        "delegate the task",
        ToolUse(
            "Agent",
            {
                "description": "a helper",
                "prompt": "write the helper",
                "subagent_type": "general-purpose",
            },
        ),
        ToolUse("Write", {"file_path": str(repository / "by_worker.py"), "content": "y"}),
        Text("All files are written."),
    )

    assert (repository / "by_agent.py").exists(), "the subagent did not run"
    (briefing,) = fleet.briefings()
    assert set(briefing["files_touched"]) == {"by_agent.py", "by_worker.py"}
    assert briefing["raw_markdown"] == "All files are written."
    assert fleet.event_counts() == {"session_started": 1, "briefing_added": 1}


@pytest.mark.one_client
@pytest.mark.parametrize(
    "command",
    [
        "git pull -q && echo > own.txt && git add -A && git commit -qm own",
        "echo > own.txt && git add -A && git commit -qm own && git pull -q --no-rebase --no-edit",
        "echo > own.txt && git add -A && git commit -qm own && git pull -q --rebase",
    ],
    ids=["pull, then commit", "commit, then pull", "commit, then pull --rebase"],
)
def test_pulled_commits_are_not_counted_as_work_of_the_turn(fleet: Fleet, command: str) -> None:
    repository = fleet.repository("alpha")
    _publish_foreign_commit(repository)
    fleet.worker(
        repository,
        "bring it up to date",
        ToolUse("Bash", {"command": command}),
        Text("It is up to date."),
    )

    assert (repository / "foreign.txt").exists(), "nothing was pulled"
    (briefing,) = fleet.briefings()
    assert briefing["files_touched"] == ["own.txt"]
    assert briefing["head_commit"] == git(repository, "rev-parse", "HEAD")


@pytest.mark.one_client
def test_commit_in_the_first_second_of_a_session_counts_for_its_turn(fleet: Fleet) -> None:
    """Git's timestamps have whole seconds, and here the drainer runs only after the turn."""
    fleet.worker(fleet.repository("warm-up"), "make the spool")
    fleet.drain()
    repository = fleet.repository("alpha", {"first.txt": "x"})
    before = git(repository, "rev-parse", "HEAD")
    second = repository.parent / "second"

    def record_the_session_start(request: Request) -> None:
        (entry,) = (fleet.home / "spool" / "new").glob("*.SessionStart.*")
        second.write_text(str(int(entry.name.partition(".")[0]) // 10**9))

    fleet.before_answer = record_the_session_start
    commit = f'GIT_COMMITTER_DATE="@$(cat {second}) +0000" git commit -qm own'
    with fleet.drainers_held_off():
        fleet.worker(
            repository,
            "commit at once",
            ToolUse("Bash", {"command": f"echo > own.txt; git add -A; {commit}"}),
            Text("Committed."),
        )

    briefing = fleet.briefings()[-1]
    assert briefing["files_touched"] == ["own.txt"]
    assert briefing["base_commit"] == before


def test_worker_with_a_failing_model_leaves_a_failed_briefing_and_error(fleet: Fleet) -> None:
    """The hook starts late, as on a busy machine: the client kills it as it exits."""
    fleet.delay_hook("stop_failure.py")
    turn = fleet.turn(fleet.repository("alpha"), "try it", Fail(400))

    fleet.wait_for_rows("SELECT 1 FROM briefings")
    (briefing,) = fleet.briefings()
    assert (briefing["session_id"], briefing["status"]) == (turn.session_id, "failed")
    assert fleet.event_counts() == {"session_started": 1, "briefing_added": 1, "error": 1}


@pytest.mark.one_client
def test_on_a_loaded_machine_no_failed_turn_is_lost(fleet: Fleet) -> None:
    """2.1.332 terminates the hook of a failure as it exits; before Fleet ignored that, a third was lost."""
    turns = int(os.environ.get("FLEET_FAILED_TURNS", "10"))
    repository = fleet.repository("alpha")
    for number in range(turns):
        fleet.script(f"try {number} now", Fail(400))
    burn = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2)]
    try:
        with ThreadPoolExecutor(2) as pool:
            prompts = [f"try {number} now" for number in range(turns)]
            found = list(pool.map(lambda prompt: fleet.world.run(prompt, repository), prompts))
        fleet.wait_for_rows(f"SELECT 1 FROM briefings LIMIT 1 OFFSET {turns - 1}", timeout=60)
    finally:
        for one in burn:
            one.kill()
            one.wait()

    sessions = sorted(turn.session_id for turn in found)
    assert len(set(sessions)) == turns and all(turn.is_error for turn in found)
    assert sorted(briefing["session_id"] for briefing in fleet.briefings()) == sessions
    assert {briefing["status"] for briefing in fleet.briefings()} == {"failed"}
    counts = fleet.event_counts()
    assert (counts["briefing_added"], counts["error"]) == (turns, turns)


@pytest.mark.one_client
def test_a_commander_goes_on_where_a_registered_hook_is_missing(
    fleet: Fleet, tmp_path: Path
) -> None:
    """Python and sh end in 2 for a missing script, and both clients refuse every prompt then."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for folder in (fleet.home / ".claude", fleet.world.settings_dir):
        file = folder / "settings.json"
        file.write_text(file.read_text().replace(str(HOOKS), str(hooks)))
    fleet.script("what is new")

    assert not fleet.world.run("what is new", fleet.home).is_error
    assert len(fleet.model.main_requests("what is new")) == 1


def test_hooks_registered_twice_store_one_briefing_and_inject_once(fleet: Fleet) -> None:
    fleet.register_hooks_once_more()
    repository = fleet.repository("alpha")
    file = str(repository / "a.txt")
    fleet.worker(
        repository,
        "write a file",
        ToolUse("Write", {"file_path": file, "content": "x"}),
        Text("Wrote it."),
    )

    assert fleet.context("write a file").count("keeps a briefing of every finished turn") == 1
    assert [briefing["files_touched"] for briefing in fleet.briefings()] == [["a.txt"]]
    assert fleet.event_counts() == {"session_started": 1, "briefing_added": 1}

    first = fleet.commander("what is new")
    assert len(fleet.preludes_with("what is new")) == 1
    assert fleet.cursor() == fleet.last_event()

    fleet.worker(repository, "also blocked", blocked_by("a review"))
    fleet.commander("and after that", resume=first.session_id)
    (delta,) = fleet.preludes_with("and after that")
    assert "Stuck on a review" in delta
    assert fleet.cursor() == fleet.last_event()
    assert fleet.event_counts() == {
        "session_started": 2,
        "briefing_added": 2,
        "session_blocked": 1,
    }


@pytest.mark.one_client
def test_worker_context_has_the_briefing_format_and_other_workers(fleet: Fleet) -> None:
    repository = fleet.repository("alpha")
    others: list[str] = []

    def start_another(request: Request) -> None:
        """While the first worker's turn runs, its session is active."""
        if "the long task" in newest_prompt(request):
            fleet.drain()
            others.append(fleet.worker(repository, "a quick look").session_id)

    fleet.before_answer = start_another
    long_turn = fleet.worker(repository, "the long task")

    context = fleet.context("a quick look")
    assert context.startswith("SessionStart hook additional context: ")
    assert "```briefing" in context
    assert f"session {long_turn.session_id[:7]}" in context
    assert "Other sessions" not in fleet.context("the long task")
    assert len(others) == 1


@pytest.mark.one_client
def test_worker_facts_can_be_turned_off(fleet: Fleet) -> None:
    (fleet.home / "config.toml").write_text("[worker]\nfacts = false\n")
    turn = fleet.worker(fleet.repository("alpha"), "hello")

    assert fleet.context("hello") == ""
    assert [briefing["session_id"] for briefing in fleet.briefings()] == [turn.session_id]


@pytest.mark.one_client
def test_disabled_hooks_leave_no_trace(fleet: Fleet) -> None:
    repository = fleet.repository("alpha")
    installed = {path.name for path in fleet.home.iterdir()}
    off = {"FLEET_HOOKS": "off"}
    fleet.worker(repository, "a worker's prompt", env=off)
    fleet.commander("a Commander's prompt", env=off)
    assert {path.name for path in fleet.home.iterdir()} == installed

    fleet.worker(repository, "get stuck", blocked_by("a key"))
    fleet.commander("the next prompt", env=off)
    assert fleet.context("a worker's prompt") == ""
    assert fleet.context("a Commander's prompt") == fleet.context("the next prompt") == ""
    assert fleet.cursor() == 0


def _publish_foreign_commit(repository: Path) -> None:
    """Give the repository a bare remote in which another user has committed `foreign.txt`."""
    remote, clone = repository.with_suffix(".git"), repository.with_name("colleague")
    git(repository, "clone", "-q", "--bare", str(repository), str(remote))
    git(repository, "remote", "add", "origin", str(remote))
    git(repository, "fetch", "-q")
    git(repository, "branch", "-q", "--set-upstream-to", "origin/main")
    git(repository, "clone", "-q", str(remote), str(clone))
    configure(clone)
    (clone / "foreign.txt").write_text("x")
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", "foreign")
    git(clone, "push", "-q")
