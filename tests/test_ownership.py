"""A repository that git refuses to read is one project all the same, and its briefings and
doctor say why."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from support import Fleet, git, make_repository, payload

from fleet_lib.store.projects import generate_project_id
from fleet_lib.turn.git import read_git_state
from fleet_lib.turn.git_environment import git_environment

STRANGER = 54321  # a user id that no user has


def give_away(folder: Path) -> None:
    """Let the folder belong to another user, so that git refuses it."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


@pytest.fixture
def foreign(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SUDO_UID", raising=False)  # git trusts the user who called sudo
    repository = make_repository(
        fleet.folder / "mimesis",
        "https://github.com/olivier-motium/mimesis.git",
        **{"src/deep/x.py": "", "docs/y.md": ""},
    )
    give_away(repository)
    return repository


def stop(fleet: Fleet, project: Path, session: str, **environment: str) -> None:
    call = payload("Stop") | {"session_id": session, "prompt_id": session, "cwd": str(project)}
    fleet.hook("stop", call | {"transcript_path": ""}, project, **environment)
    fleet.drain()
    assert fleet.quarantine() == {}


def warnings(fleet: Fleet) -> list[list[str]]:
    rows = fleet.rows("SELECT warnings_json FROM turns ORDER BY briefing_id")
    return [json.loads(row[0]) for row in rows]


def test_git_really_refuses_the_repository_of_these_tests(foreign: Path) -> None:
    done = subprocess.run(["git", "-C", str(foreign), "status"], capture_output=True, text=True)
    assert done.returncode == 128 and "dubious ownership" in done.stderr


def test_refused_repository_is_one_project_by_its_top_level(fleet: Fleet, foreign: Path) -> None:
    for number, folder in enumerate((".", "src", "src/deep", "docs")):
        stop(fleet, foreign / folder, f"s{number}")
    assert fleet.rows("SELECT project_id, repo_root, git_remote FROM projects") == [
        (generate_project_id("mimesis", str(foreign)), str(foreign), None)
    ]
    assert fleet.rows("SELECT count(*) FROM briefings") == [(4,)]


def test_briefing_says_why_commits_are_unknown(fleet: Fleet, foreign: Path) -> None:
    stop(fleet, foreign / "src", "s1")
    ((warning,),) = warnings(fleet)
    assert "dubious ownership" in warning and str(foreign) in warning
    assert "dubious ownership" in fleet.console("briefings", "show", "1").stdout.replace("\n", " ")
    assert fleet.rows("SELECT branch, head_commit FROM briefings") == [(None, None)]


def test_refused_project_keeps_its_id_once_git_trusts_it(fleet: Fleet, foreign: Path) -> None:
    stop(fleet, foreign / "src", "s1")
    (fleet.home.parent / ".gitconfig").write_text(f"[safe]\n\tdirectory = {foreign}\n")
    stop(fleet, foreign / "src", "s2")
    ((project_id, remote),) = fleet.rows("SELECT project_id, git_remote FROM projects")
    assert project_id == generate_project_id("mimesis", str(foreign)) and remote
    assert warnings(fleet)[1] == []
    assert fleet.rows("SELECT branch FROM briefings WHERE briefing_id = 2") == [("main",)]


def test_known_project_is_found_by_its_root_once_git_refuses_it(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "app", "https://github.com/a/app", **{"s/x.py": ""})
    stop(fleet, repository, "s1")
    give_away(repository)
    stop(fleet, repository / "s", "s2")
    assert len(fleet.rows("SELECT project_id FROM projects")) == 1


def test_refused_worktree_belongs_to_its_main_repository(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "app", **{"src/x.py": ""})
    git(repository, "worktree", "add", "-q", "-b", "topic", str(fleet.folder / "topic"))
    give_away(repository)
    give_away(fleet.folder / "topic")
    for number, folder in enumerate(("topic", "topic/src", "app/src")):
        stop(fleet, fleet.folder / folder, f"s{number}")
    assert fleet.rows("SELECT repo_root FROM projects") == [(str(repository),)]


def test_repository_that_is_damaged_is_one_project_and_says_so(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "app", **{"src/x.py": ""})
    (repository / ".git" / "config").write_text("[core\n")
    for number, folder in enumerate((".", "src")):
        stop(fleet, repository / folder, f"s{number}")
    assert fleet.rows("SELECT repo_root FROM projects") == [(str(repository),)]
    assert all("bad config" in warning for (warning,) in warnings(fleet))


def test_without_git_a_repository_is_one_project(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repository = make_repository(fleet.folder / "app", **{"src/x.py": ""})
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    state = read_git_state(str(repository / "src"))
    assert state is not None and (state.root, state.refusal) == (
        str(repository),
        "git is not installed",
    )
    assert read_git_state(str(tmp_path)) is None


# --- safe.directory in variables ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["count", "parameters", "global"])
def test_a_folder_that_a_variable_calls_safe_is_read(
    fleet: Fleet, foreign: Path, kind: str
) -> None:
    config = fleet.folder / "gitconfig"
    config.write_text(f"[safe]\n\tdirectory = {foreign}\n")
    fleet.environment = {
        "count": {
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "remote.origin.url",
            "GIT_CONFIG_VALUE_0": "https://example.org/evil.git",
            "GIT_CONFIG_KEY_1": "safe.directory",
            "GIT_CONFIG_VALUE_1": str(foreign),
        },
        "parameters": {"GIT_CONFIG_PARAMETERS": f"'safe.directory'='{foreign}' 'core.bare'='true'"},
        "global": {"GIT_CONFIG_GLOBAL": str(config)},
    }[kind]
    stop(fleet, foreign / "src", "s1")
    ((project_id, remote),) = fleet.rows("SELECT project_id, git_remote FROM projects")
    assert (project_id, warnings(fleet)) == ("mimesis__607a7a7c", [[]])
    assert remote == "https://github.com/olivier-motium/mimesis.git"


def test_drainer_that_a_hook_starts_still_knows_what_is_safe(fleet: Fleet, foreign: Path) -> None:
    call = payload("Stop") | {"session_id": "s", "prompt_id": "s", "cwd": str(foreign)}
    fleet.hook(
        "stop",
        call | {"transcript_path": ""},
        foreign,
        background=True,
        GIT_DIR="/nowhere",
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0="safe.directory",
        GIT_CONFIG_VALUE_0=str(foreign),
    )
    fleet.wait_for_drainers()
    fleet.drain()
    assert warnings(fleet) == [[]]


def test_only_what_holds_for_every_repository_is_kept_of_gits_variables() -> None:
    kept = git_environment(
        {
            "PATH": "/bin",
            "GIT_DIR": "/evil",
            "GIT_SSH_COMMAND": "evil",
            "GIT_CONFIG_SYSTEM": "/etc/mine",
            "GIT_CONFIG_PARAMETERS": "'alias.x'='!evil' 'Safe.Directory'='/p q'",
            "GIT_CONFIG_COUNT": "3",
            "GIT_CONFIG_KEY_0": "core.fsmonitor",
            "GIT_CONFIG_VALUE_0": "evil",
            "GIT_CONFIG_KEY_1": "url.https://Example.org/.insteadOf",
            "GIT_CONFIG_VALUE_1": "ex:",
        }
    )
    assert {name: value for name, value in kept.items() if name.startswith("GIT_CONFIG")} == {
        "GIT_CONFIG_SYSTEM": "/etc/mine",
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "Safe.Directory",
        "GIT_CONFIG_VALUE_0": "/p q",
        "GIT_CONFIG_KEY_1": "url.https://Example.org/.insteadOf",
        "GIT_CONFIG_VALUE_1": "ex:",
    }
    assert "evil" not in "".join(kept.values())
    for broken in ({"GIT_CONFIG_COUNT": "x"}, {"GIT_CONFIG_PARAMETERS": "'"}, {"GIT_CONFIG_COUNT": "9" * 50}):  # fmt: skip
        assert "GIT_CONFIG_COUNT" not in git_environment(broken)


# --- doctor ---------------------------------------------------------------------------------------


def repository_findings(fleet: Fleet) -> list[dict[str, str]]:
    done = fleet.console("doctor", "--json", check=False)
    return [row for row in json.loads(done.stdout)["findings"] if row["check"] == "repositories"]


def test_doctor_names_the_command_that_lets_git_read_it(fleet: Fleet, foreign: Path) -> None:
    stop(fleet, foreign / "src", "s1")
    (finding,) = repository_findings(fleet)
    assert finding["level"] == "warning" and "dubious ownership" in finding["found"]
    assert finding["fix"] == f"git config --global --add safe.directory {foreign}"
    subprocess.run(finding["fix"], shell=True, check=True, env=fleet.env())
    assert [row["level"] for row in repository_findings(fleet)] == ["ok"]


def test_doctor_names_a_damaged_repository(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "app")
    stop(fleet, repository, "s1")
    (repository / ".git" / "config").write_text("[core\n")
    (finding,) = repository_findings(fleet)
    assert finding["level"] == "warning" and "bad config" in finding["found"]
