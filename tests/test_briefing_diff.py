"""`fleet briefings diff`: what a turn changed, as git shows it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support import Fleet, git, make_repository
from support_transcripts import Session, configured
from test_console_look import SGR, run_in_terminal

from fleet_lib.errors import NotFound
from fleet_lib.turn import git_diff

COMMIT = "git add -A && git commit -qm work"


@pytest.fixture
def shop(fleet: Fleet) -> Path:
    remote = "https://github.com/acme/shop.git"
    return configured(make_repository(fleet.folder / "shop", remote))


def diff(fleet: Fleet, *arguments: str, check: bool = True) -> Any:
    return fleet.console("briefings", "diff", *arguments, check=check)


def work(fleet: Fleet, shop: Path, name: str, *files: str) -> None:
    """A turn of a session that edits these files and commits them."""
    session = Session(fleet, shop, name).asks()
    for file in files:
        session.edits(file)
    session.runs(COMMIT).stops()


def start(fleet: Fleet, shop: Path, *names: str) -> None:
    for name in names:
        fleet.hook("session_start", {"session_id": name, "cwd": str(shop)}, shop)
    fleet.drain()


def test_it_shows_the_turns_own_files_and_all_on_request(fleet: Fleet, shop: Path) -> None:
    start(fleet, shop, "mine", "neighbour")
    work(fleet, shop, "neighbour", "theirs.py")
    work(fleet, shop, "mine", "mine.py", "docs/new file.md")
    shown = diff(fleet, "2")
    assert "+++ b/mine.py" in shown.stdout and "new file.md" in shown.stdout
    assert "theirs.py" not in shown.stdout
    assert "1 other file changed in " in shown.stderr and "--all shows all" in shown.stderr
    whole = diff(fleet, "2", "--all")
    assert "theirs.py" in whole.stdout and "+++ b/mine.py" in whole.stdout and not whole.stderr
    stat = diff(fleet, "mine", "--stat").stdout
    assert " mine.py " in stat and "2 files changed" in stat and "theirs" not in stat
    record = json.loads(diff(fleet, "2", "--json").stdout)
    assert record["changed_files"] == ["docs/new file.md", "mine.py", "theirs.py"]
    assert record["patch"] == shown.stdout and record["folder"] == str(shop)
    assert len(record["notes"]) == 1 and len(record["base"]) == len(record["head"]) == 40
    # In a pipe it is a patch that git takes.
    copy = fleet.folder / "copy"
    git(fleet.folder, "clone", "-q", str(shop), str(copy))
    git(copy, "apply", "-R", input=shown.stdout)
    assert not (copy / "mine.py").exists() and (copy / "theirs.py").exists()


@pytest.mark.slow
def test_a_terminal_gets_gits_colours_and_nothing_that_controls_it(
    fleet: Fleet, shop: Path
) -> None:
    start(fleet, shop, "mine")
    session = Session(fleet, shop, "mine").asks().edits("mine.py")
    (shop / "mine.py").write_bytes(b"\x1b]0;title\x07 \x1b[2J \x9b \xff red\r\n")
    session.runs(COMMIT).stops()
    printed = run_in_terminal(fleet, "briefings", "diff", "1")
    assert "\x1b[32m" in printed and "+++ b/mine.py" in SGR.sub("", printed)
    assert [char for char in SGR.sub("", printed) if not char.isprintable() and char != "\n"] == []
    plain = run_in_terminal(fleet, "briefings", "diff", "1", NO_COLOR="1")
    assert "\x1b[32m" not in plain and "+++ b/mine.py" in plain


def test_a_repository_cannot_have_its_programs_run(fleet: Fleet, shop: Path) -> None:
    start(fleet, shop, "mine")
    work(fleet, shop, "mine", "mine.py")
    trap = fleet.folder / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {fleet.folder}/ran\n")
    trap.chmod(0o755)
    (shop / ".git" / "info").mkdir(exist_ok=True)
    (shop / ".git" / "info" / "attributes").write_text("* diff=evil filter=evil\n")
    for key in (
        *("diff.external", "diff.evil.command", "diff.evil.textconv", "core.fsmonitor"),
        *("core.pager", "pager.diff", "filter.evil.clean", "filter.evil.smudge"),
    ):
        git(shop, "config", key, str(trap))
    git(shop, "config", "diff.relative", "true")
    assert "+++ b/mine.py" in diff(fleet, "1").stdout
    assert "mine.py" in diff(fleet, "1", "--stat", "--all").stdout
    assert not (fleet.folder / "ran").exists()


def test_what_is_no_commits_id_is_never_given_to_git(fleet: Fleet, shop: Path) -> None:
    start(fleet, shop, "mine")
    work(fleet, shop, "mine", "mine.py")
    for commit in ("--output=/tmp/x", "HEAD", "deadbeef$(id)", "-p"):
        for column in ("base_commit", "head_commit"):
            fleet.rows(f"UPDATE briefings SET {column} = ?", commit)
            done = diff(fleet, "1", check=False)
            assert done.returncode == 1 and "which is no commit's id" in done.stderr


def test_each_reason_for_showing_nothing_is_one_clear_line(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("GIT_COMMITTER_DATE", "2020-01-01T00:00:00Z")
        shop = configured(make_repository(fleet.folder / "shop"))
    start(fleet, shop, "mine")
    Session(fleet, shop, "mine").asks().edits("draft.py").stops()
    work(fleet, shop, "other", "other.py")
    uncommitted = diff(fleet, "1")
    assert uncommitted.stdout == ""
    assert "The turn committed nothing. It touched draft.py" in uncommitted.stderr
    assert f"git -C {shop} diff" in uncommitted.stderr
    # What began before Fleet knew the session has no base.
    change = "UPDATE briefings SET {} WHERE briefing_id = 2"
    fleet.rows(change.format("base_commit = NULL, started_at = '2024-01-01T00:00:00.000Z'"))
    derived = diff(fleet, "2", "--all")
    assert "+++ b/other.py" in derived.stdout and "app.py" not in derived.stdout
    assert "Nothing says at which commit the turn began" in derived.stderr
    fleet.rows(change.format("started_at = NULL"))
    assert "+++ b/app.py" in diff(fleet, "2", "--all").stdout  # from the first commit on
    fleet.rows(change.format("head_commit = NULL"))
    assert "briefing #2 names no commit" in diff(fleet, "2", check=False).stderr
    for name in ("#99", "e99", "nothing"):
        done = diff(fleet, name, check=False)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.slow
def test_the_commits_are_found_where_they_are_now(
    fleet: Fleet, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(fleet, shop, "mine")
    work(fleet, shop, "mine", "mine.py")
    moved = shop.rename(fleet.folder / "moved")
    gone = diff(fleet, "1", check=False)
    assert gone.returncode == 1 and f"{shop} is gone" in gone.stderr
    assert "If the repository was moved, run this in it" in gone.stderr
    with monkeypatch.context() as patch:
        patch.setattr("support.ROOT", moved)  # the folder in which the console is started
        assert "+++ b/mine.py" in diff(fleet, "1").stdout
    # Another clone of the project, in which a session has been.
    clone = fleet.folder / "clone"
    git(fleet.folder, "clone", "-q", str(moved), str(clone))
    git(clone, "remote", "set-url", "origin", "git@github.com:acme/shop.git")
    start(fleet, clone, "there")
    assert "+++ b/mine.py" in fleet.console("briefings", "diff", "1").stdout
    # Rebased away, and cleaned up.
    shutil.rmtree(moved)
    git(clone, "update-ref", "HEAD", "HEAD~1")
    for name in git(clone, "for-each-ref", "--format=%(refname)", "refs/remotes").split():
        git(clone, "update-ref", "-d", name)
    git(clone, "reflog", "expire", "--expire=now", "--all")
    git(clone, "gc", "-q", "--prune=now")
    rebased = fleet.console("briefings", "diff", "1", check=False)
    assert rebased.returncode == 1 and f"{clone} lacks " in rebased.stderr
    assert "rebased away are gone once git has cleaned up" in rebased.stderr


@pytest.mark.slow
def test_a_very_long_difference_is_cut_and_a_failing_git_says_why(
    fleet: Fleet, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(fleet, shop, "mine")
    session = Session(fleet, shop, "mine").asks().edits("mine.py")
    (shop / "mine.py").write_text("word\n" * 30_000)
    session.runs(COMMIT).stops()
    monkeypatch.setattr(git_diff, "LIMIT_BYTES", 10_000)
    cut = diff(fleet, "1")
    assert len(cut.stdout) == 10_000 and "for all of it: git -C" in cut.stderr
    with pytest.raises(NotFound, match="git diff failed"):
        git_diff.read_patch(str(shop), "0" * 40, "1" * 40, None)
    assert git_diff.has_commits(str(fleet.folder), ["0" * 40]) is None
