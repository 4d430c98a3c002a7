"""The commits of a turn are those that its own tool calls made, in a checkout in which others work,
too. Real repositories, and transcripts as the clients write them."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Fleet, git, make_repository
from support_transcripts import Session, configured


@pytest.fixture
def checkout(fleet: Fleet) -> Path:
    return configured(make_repository(fleet.folder / "shop"))


@pytest.fixture
def worker(fleet: Fleet, checkout: Path) -> Session:
    return Session(fleet, checkout, "worker").asks()


@pytest.fixture
def neighbour(fleet: Fleet, checkout: Path) -> Session:
    return Session(fleet, checkout, "neighbour").asks()


def commit(folder: Path, *names: str, message: str = "by hand") -> str:
    """A commit that a person makes in a terminal."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\n")
    git(folder, "add", "--", *names)
    git(folder, "commit", "-qm", message, "--", *names)
    return git(folder, "rev-parse", "HEAD")


def making(name: str, *options: str) -> str:
    """A command that makes a file and commits it."""
    return f"echo x > '{name}'; git add '{name}'; git commit {' '.join(options)} -- '{name}'"


# --- whose commit it is -----------------------------------------------------------------------


def test_commit_counts_by_the_id_that_git_prints(worker: Session) -> None:
    assert worker.runs(making("a.py", "-m 'Add a'")).stops() == ["a.py"]


@pytest.mark.parametrize(
    "options",
    [
        "-qm 'Add a'",
        "--quiet --message='Add a'",
        '-q -am "Add $(echo a)"',
        "-m x >/dev/null",
        '-qm "$(cat <<\'EOF\'\nAdd the customer\'s "a"\n\nBody.\nEOF\n)"',
        "-q -F - <<EOF\nAdd a\nEOF\ntrue",
        "-m 'Add a' | tail -1",
    ],
)
def test_commit_that_prints_nothing_counts_by_its_message(worker: Session, options: str) -> None:
    theirs = making("a.py", "@").replace(" -- 'a.py'", "").replace("@", options)
    worker.runs(theirs, lambda: commit(worker.folder, "theirs.py"))
    assert worker.stops() == ["a.py"]


def test_turn_that_only_reads_has_no_files_whatever_others_commit(worker: Session) -> None:
    names = [f"module_{number}.py" for number in range(20)]
    worker.runs("cat app.py", lambda: commit(worker.folder, *names))
    worker.runs("git log --oneline -5; git show --stat HEAD; git status")
    assert worker.stops() == []
    rows = worker.fleet.rows("SELECT impact_level, broadcast_level, doc_drift_risk FROM briefings")
    assert rows == [("trivial", "silent", "low")]


def test_each_of_two_sessions_in_one_checkout_has_its_own_commits(
    worker: Session, neighbour: Session
) -> None:
    def interrupt() -> None:
        neighbour.runs(making("theirs.py", "-m 'Add theirs'"))

    worker.runs(making("a.py", "-m 'Add a'"), interrupt)
    neighbour.runs(making("more.py", "-qm 'Add more'"))
    worker.runs(making("b.py", "-qm 'Add b'"))
    assert worker.stops() == ["a.py", "b.py"]
    assert neighbour.stops() == ["theirs.py", "more.py"]


@pytest.mark.parametrize("own", ["-qm wip", "-m wip"])
def test_same_message_within_the_same_second_is_told_apart(
    worker: Session, neighbour: Session, own: str
) -> None:
    worker.edits("a.py")
    worker.runs(
        making("a.py", own), lambda: neighbour.edits("b.py").runs(making("b.py", "-qm wip"))
    )
    assert worker.stops() == ["a.py"]
    assert neighbour.stops() == ["b.py"]


def test_commits_without_any_words_count_by_their_files(
    worker: Session, neighbour: Session
) -> None:
    (worker.folder / "../message").write_text("from a file\n")
    worker.edits("a.py")
    theirs = making("b.py", "-qF ../message")
    worker.runs(making("a.py", "-qF ../message"), lambda: neighbour.edits("b.py").runs(theirs))
    assert worker.stops() == ["a.py"]
    assert neighbour.stops() == ["b.py"]


def test_commit_without_any_words_counts_if_there_is_no_other(worker: Session) -> None:
    (worker.folder / "../message").write_text("from a file\n")
    assert worker.runs(making("a.py", "-qF ../message")).stops() == ["a.py"]


@pytest.mark.parametrize("command", ["git commit -m 'Nothing'", "git commit -q --amend --no-edit"])
def test_commit_that_failed_is_not_a_neighbours(worker: Session, command: str) -> None:
    worker.runs(f"git reset -q; {command}; false", lambda: commit(worker.folder, "theirs.py"))
    assert "theirs.py" not in worker.stops()


def test_commit_that_a_neighbours_lock_prevented_is_not_the_neighbours(worker: Session) -> None:
    lock = worker.folder / ".git/index.lock"
    lock.touch()

    def finish() -> None:
        lock.unlink()
        commit(worker.folder, "theirs.py", message="wip")

    worker.runs(making("a.py", "-m wip >/dev/null"), finish)
    assert worker.stops() == []


def test_commit_counts_even_if_what_comes_after_it_fails(worker: Session) -> None:
    worker.edits("a.py").runs(f"{making('a.py', '-qm wip')}; {making('b.py', '-qm x')}; false")
    worker.runs(f"{making('c.py', '-qm', '@')}; false".replace("@", "'Add the third file'"))
    assert worker.stops() == ["a.py", "b.py", "c.py"]


def test_script_with_a_message_of_its_arguments_is_not_its_neighbours(worker: Session) -> None:
    script = '#!/bin/sh\necho > "$1"; git add "$1"; git commit -qm "Release $1" -- "$1"\n'
    (worker.folder / "release.sh").write_text(script)
    theirs = ("sh", "release.sh", "theirs")
    worker.runs("sh release.sh own", lambda: subprocess.run(theirs, cwd=worker.folder, check=True))
    assert worker.stops() == ["own"]


def test_amended_commit_counts_with_what_was_amended(worker: Session) -> None:
    commit(worker.folder, *[f"old_{number}.py" for number in range(9)])
    worker.runs("echo x > new.py; git add new.py; git commit -q --amend --no-edit")
    assert worker.stops() == ["new.py"]


def test_commit_and_its_amendment_are_one_change(worker: Session) -> None:
    worker.runs(making("a.py", "-m 'Add a'"))
    worker.runs("echo x > b.py; git add b.py; git commit --amend -m 'Add a and b'")
    assert worker.stops() == ["a.py", "b.py"]


def test_commits_of_a_loop_all_count(worker: Session) -> None:
    loop = 'for f in a b c; do echo > $f.py; git add $f.py; git commit -qm "Add $f"; done'
    worker.runs(loop, lambda: commit(worker.folder, "theirs.py"))
    assert worker.stops() == ["a.py", "b.py", "c.py"]


def test_picked_reverted_and_applied_commits_count(worker: Session) -> None:
    git(worker.folder, "checkout", "-qb", "topic")
    commit(worker.folder, "picked.py")
    commit(worker.folder, "applied.py")
    git(worker.folder, "format-patch", "-q", "-1", "-o", "..")
    git(worker.folder, "checkout", "-q", "main")
    worker.runs("git cherry-pick topic~1")
    assert worker.stops() == ["picked.py"]
    worker.asks().runs("git am -q ../0001-*.patch")
    assert worker.stops() == ["applied.py"]
    worker.asks().runs("git revert --no-edit HEAD")
    assert worker.stops() == ["applied.py"]


def test_what_a_pull_a_merge_or_a_rebase_brings_is_not_the_turns(worker: Session) -> None:
    here = worker.folder
    git(here, "checkout", "-qb", "topic")
    commit(here, "topic.py")
    git(here, "checkout", "-q", "main")
    commit(here, "main.py")
    git(here, "branch", "own", "HEAD")
    clone = configured(make_repository(here.parent / "upstream"))
    git(clone, "pull", "-q", "--no-rebase", "--allow-unrelated-histories", str(here), "main")
    commit(clone, "foreign.py")
    worker.runs(f"git pull -q --no-rebase --no-edit {clone} main")
    worker.runs("git merge --no-edit topic")
    worker.runs("git checkout -q own && git rebase main")
    assert git(here, "rev-parse", "own") == git(here, "rev-parse", "main")
    assert worker.stops() == []


# --- where the command ran --------------------------------------------------------------------


def test_script_that_prints_nothing_is_read(worker: Session) -> None:
    makefile = "test:\n\tsleep 0\n\nrelease: test\n\t@echo 1 > VERSION\n\t@./release.sh $(V)\n"
    script = '#!/bin/sh\ngit add VERSION\ngit commit -qm "Release $1" -- VERSION\n'
    (worker.folder / "Makefile").write_text(makefile)
    (worker.folder / "release.sh").write_text(script)
    (worker.folder / "release.sh").chmod(0o755)
    worker.runs("make -s release V=3", lambda: commit(worker.folder, "theirs.py"))
    assert worker.stops() == ["VERSION"]
    worker.asks().runs("make -s test", lambda: commit(worker.folder, "more.py"))
    assert worker.stops() == []


def test_script_of_a_package_is_read(worker: Session) -> None:
    scripts = {"save": "git commit -qam 'chore: save'", "test": "true"}
    (worker.folder / "package.json").write_text(json.dumps({"scripts": scripts}))
    (worker.folder / "bin").mkdir()
    (worker.folder / "bin/npm").write_text(
        "#!/bin/sh\necho >> app.py; git commit -qam 'chore: save'\n"
    )
    (worker.folder / "bin/npm").chmod(0o755)
    worker.runs("PATH=$PWD/bin:$PATH npm run save")
    assert worker.stops() == ["app.py"]
    worker.asks().runs("true npm test", lambda: commit(worker.folder, "more.py"))
    assert worker.stops() == []


def test_alias_counts_by_the_message_that_it_is_given(worker: Session) -> None:
    git(worker.folder, "config", "alias.ci", "commit -q")
    worker.runs("echo >> app.py; git ci -am 'Call it by an alias'")
    assert worker.stops() == ["app.py"]


def test_commit_of_a_subagent_is_its_turns(worker: Session) -> None:
    agent = worker.agent("a1").user("do it", isSidechain=True)
    agent.bash(making("a.py", "-m 'Add a'"), isSidechain=True)
    worker.save(worker.file.with_suffix("") / "subagents/agent-a1.jsonl", agent)
    commit(worker.folder, "theirs.py")
    assert worker.stops() == ["a.py"]


def test_commit_of_a_background_agent_after_the_stop_is_its_turns(worker: Session) -> None:
    file = worker.file.with_suffix("") / "subagents/agent-a1.jsonl"
    agent = worker.agent("a1").user("do it", isSidechain=True)
    worker.save(file, agent)
    assert worker.stops() == []
    first = worker.lines.prompt_id
    agent.bash(making("a.py", "-qm 'Add a'"), isSidechain=True)
    worker.save(file, agent)
    commit(worker.folder, "theirs.py")
    worker.asks("<task-notification>\n<task-id>a1</task-id>\n</task-notification>")
    worker.stops(turn=first)
    assert worker.files_of(first) == ["a.py"]
    assert worker.fleet.rows("SELECT count(*) FROM briefings") == [(1,)]


def test_commits_of_a_turn_whose_hook_never_ran_count(fleet: Fleet, worker: Session) -> None:
    worker.stops()
    worker.asks().runs(making("a.py", "-m 'Add a'"))
    commit(worker.folder, "theirs.py")
    worker.lines.now()
    worker.save(worker.file, worker.lines.answer("Done."))
    call = {"session_id": worker.name, "reason": "other", "transcript_path": str(worker.file)}
    fleet.hook("session_end", call | {"cwd": str(worker.folder)}, project=worker.folder)
    fleet.drain()
    assert worker.files_of(worker.lines.prompt_id) == ["a.py"]


def test_turn_without_a_transcript_has_no_commits(fleet: Fleet, worker: Session) -> None:
    worker.runs(making("a.py", "-m 'Add a'"))
    assert worker.stops(transcript_path="") == []


def test_commit_counts_in_a_repository_below_a_folder_that_is_none(
    fleet: Fleet, checkout: Path
) -> None:
    session = Session(fleet, fleet.folder, "above").asks()
    session.runs(f"cd shop && {making('a.py', '-m one')}; {making('b.py', '-qm two')}")
    assert session.stops() == ["shop/a.py", "shop/b.py"]


def test_commit_of_a_command_in_the_background_counts(worker: Session) -> None:
    worker.runs(
        making("a.py", "-qm 'Add a'"), lambda: commit(worker.folder, "b.py"), in_background=True
    )
    assert worker.stops() == ["a.py"]


def test_commit_in_the_background_counts_once_its_output_is_read(worker: Session) -> None:
    script = making("a.py", "-F ../message") + " > ../output"
    (worker.folder / "../message").write_text("from a file\n")
    worker.runs(script, lambda: commit(worker.folder, "b.py"), in_background=True)
    read = {"type": "tool_use", "id": "r1", "name": "Read", "input": {"file_path": "/output"}}
    worker.lines.assistant(read, reason="tool_use")
    text = f"     1→{(worker.folder / '../output').read_text()}"
    worker.lines.user([{"type": "tool_result", "tool_use_id": "r1", "content": text}])
    assert worker.stops() == ["a.py"]


def test_worktree_has_its_own_commits(fleet: Fleet, checkout: Path, worker: Session) -> None:
    tree = fleet.folder / "shop-topic"
    git(checkout, "worktree", "add", "-q", str(tree))
    other = Session(fleet, tree, "other").asks()
    worker.runs(making("a.py", "-m 'Add a'"), lambda: other.runs(making("b.py", "-qm 'Add b'")))
    assert other.stops() == ["b.py"]
    assert worker.stops() == ["a.py"]


def test_commit_in_another_worktree_counts_where_its_edits_would(
    checkout: Path, worker: Session
) -> None:
    git(checkout, "worktree", "add", "-q", "trees/topic")
    outside = checkout.parent / "outside"
    git(checkout, "worktree", "add", "-q", str(outside))
    worker.runs(f"cd trees/topic && {making('b.py', '-qm one')}")
    worker.runs(f"cd {outside} && {making('c.py', '-m two')}")
    assert worker.stops() == ["trees/topic/b.py", f"{outside}/c.py"]


@pytest.fixture
def with_submodules(checkout: Path) -> Path:
    library = configured(make_repository(checkout.parent / "library"))
    for name in ("lib/one", "lib/two words"):
        git(checkout, "submodule", "--quiet", "add", str(library), name)
        configured(checkout / name)
    git(checkout, "commit", "-qm", "Add the libraries")
    return checkout


@pytest.mark.parametrize(
    "command",
    [
        "cd lib/one && mkdir src && {}",
        "(cd 'lib/one'; mkdir src; {}) && git status",
        "mkdir lib/one/src; git -C lib/one add . ; pushd lib/one >/dev/null; {}; popd",
        "mkdir lib/one/src; eval 'cd \"lib/one\"'; {}",
    ],
)
@pytest.mark.parametrize("option", ["-m", "-qm"])
def test_commit_in_a_submodule_counts(
    with_submodules: Path, worker: Session, command: str, option: str
) -> None:
    if "eval" in command and option == "-qm":
        return  # neither the command nor its output says where
    command = command.format(making("src/a.c", option, "'Add a'"))
    worker.runs(command, lambda: commit(with_submodules / "lib/two words", "theirs.c"))
    assert worker.stops() == ["lib/one/src/a.c"]


def test_commits_in_a_submodule_and_around_it_both_count(
    with_submodules: Path, worker: Session
) -> None:
    inside = making("a.c", "-m 'Add a'")
    worker.runs(f"cd 'lib/two words' && {inside} && cd - && git add lib && git commit -qm 'Update'")
    commit(with_submodules / "lib/two words", "theirs.c")
    assert worker.stops() == ["lib/two words", "lib/two words/a.c"]


def test_neighbours_commit_in_a_submodule_is_not_the_turns(
    with_submodules: Path, worker: Session
) -> None:
    worker.runs("cd lib/one && git log -1", lambda: commit(with_submodules / "lib/one", "b.c"))
    assert worker.stops() == []


# --- what it costs ----------------------------------------------------------------------------


@pytest.fixture
def asked(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The subcommands of git that the drainer has run since the last look."""
    log, fake = fleet.folder / "asked", fleet.folder / "fake" / "git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$*" >> \'{log}\'\nexec {shutil.which("git")} "$@"\n')
    fake.chmod(0o755)

    def since() -> list[str]:
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line.split("-C ", 1)[1].split()[1] for line in lines if "--no-optional" in line]

    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    return since


def test_git_is_asked_for_files_only_if_the_turn_may_have_committed(
    worker: Session, asked: Callable[[], list[str]]
) -> None:
    commit(worker.folder, "theirs.py")
    worker.runs("ls", lambda: commit(worker.folder, "more.py")).stops()
    assert asked() == ["rev-parse", "config"]
    worker.asks().runs(making("a.py", "-m 'Add a'")).stops()
    assert asked() == ["rev-parse", "config"]  # a new commit is a file that can be read
    worker.asks().runs(f"{making('b.py', '-m more')} && git gc -q").stops()
    assert asked() == ["rev-parse", "config", "diff-tree"]


def test_submodules_are_looked_at_only_for_a_commit_that_is_nowhere_else(
    with_submodules: Path, worker: Session, asked: Callable[[], list[str]]
) -> None:
    worker.runs("git log -3; make", lambda: commit(with_submodules / "lib/one", "theirs.c"))
    worker.stops()
    assert asked().count("log") == 0  # the session's own reflog is read without git
    worker.asks().runs(making("a.py", "-m 'Add a'")).stops()
    assert asked().count("log") == 0
    in_one = f"cd lib/one && {making('a.c', '-m one')}"
    worker.asks().runs(f"echo 'cd lib/one' >/dev/null; eval \"{in_one}\"")
    assert worker.stops() == ["lib/one/a.c"]
    assert asked().count("log") == 1


# --- the names of files -----------------------------------------------------------------------

NAMES = {
    " x ": " x ",
    "new\nline.md": "new\nline.md",
    "\n": "\n",
    "tab\there": "tab\there",
    "two  blanks": "two  blanks",
    'q"uote\\': 'q"uote\\',
    "0123456789abcdef0123456789abcdef01234567": "0123456789abcdef0123456789abcdef01234567",
    "日本/語.py": "日本/語.py",
    os.fsdecode(b"caf\xe9.md"): '"caf\\351.md"',
    os.fsdecode(b'\xff\\" ') + "é": '"\\377\\\\\\" é"',
    '"caf\\351.md"': '"\\"caf\\\\351.md\\""',
    "M": "M",
}


@pytest.mark.parametrize(("name", "stored"), NAMES.items(), ids=map(ascii, NAMES))
def test_name_of_a_committed_file_keeps_its_bytes(worker: Session, name: str, stored: str) -> None:
    folder = os.path.dirname(name)
    (worker.folder / folder).mkdir(exist_ok=True)
    (worker.folder / name).write_text("x")
    worker.runs("git add -A; git commit -m all")
    assert worker.stops() == [stored]
    docs = worker.fleet.rows("SELECT docs_touched_json FROM briefings")
    assert docs == [(json.dumps([stored] if name.endswith(".md") else [], ensure_ascii=False),)]
    number = worker.fleet.rows("SELECT briefing_id FROM briefings")[0][0]
    shown = worker.fleet.console("briefings", "show", str(number), "--json").stdout
    assert json.loads(shown)["files_touched"] == [stored]
    assert "files touched:\n  - " in worker.fleet.console("briefings", "show", str(number)).stdout


def test_names_stay_the_same_when_the_turn_stops_again(worker: Session) -> None:
    for name in (os.fsdecode(b"caf\xe9.md"), " x ", '"caf\\351.md"'):
        (worker.folder / name).write_text("x")
    worker.runs("git add -A; git commit -m all")
    first = worker.stops()
    assert len(first) == 3
    worker.edits("later.py")
    assert worker.stops(last_assistant_message="Again.") == [*first, "later.py"]
    rows = worker.fleet.rows("SELECT docs_touched_json FROM briefings")
    assert json.loads(rows[0][0]) == ['"caf\\351.md"']
