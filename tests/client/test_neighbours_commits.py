"""Several sessions of the real client commit in one checkout, and each turn has its own files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from fleet_world import Fleet, configure, git
from scripted_model import Text, ToolUse


def bash(command: str, **more: object) -> ToolUse:
    return ToolUse("Bash", {"command": command, **more})


def making(name: str, options: str) -> str:
    return f"echo x > {name}; git add {name}; git commit {options} -- {name}"


def test_turn_that_explains_has_no_files_of_the_neighbour_that_commits_meanwhile(
    fleet: Fleet,
) -> None:
    shop = fleet.repository("shop")
    wait = "for i in $(seq 900); do [ -e last ] && break; sleep 0.1; done"
    # A newer client's agent works on while the session goes on.
    commits = "for i in $(seq 900); do git log -1 | grep -q '%s' && break; sleep 0.1; done"
    fleet.script(
        "commit from the agent", bash(making("by_agent.py", "-m 'By agent'")), Text("Done.")
    )
    agent = {"description": "a helper", "subagent_type": "general-purpose"}
    heredoc = "-qm \"$(cat <<'EOF'\nAdd the neighbour's second\n\nWith a body.\nEOF\n)\""
    steps = {
        "explain the code": (
            bash(f"{wait}; git log --oneline -9; git status --short"),
            Text("It is a shop."),
        ),
        "build the shop": (
            bash(making("first.py", "-m 'Add first'")),
            bash(making("second.py", heredoc)),
            ToolUse("Agent", {**agent, "prompt": "commit from the agent"}),
            bash(commits % "By agent"),
            bash(making("third.py", "-qm 'Add third'"), run_in_background=True),
            bash(commits % "Add third"),
            bash("echo y >> first.py; git commit -qa --amend --no-edit; touch last"),
            Text("Built."),
        ),
        "write the docs": (
            bash(f"{wait}; {making('guide.md', '-m Guide | tail -1')}"),
            Text("Written."),
        ),
    }
    with ThreadPoolExecutor(len(steps)) as pool:
        turns = [pool.submit(fleet.worker, shop, each, *steps[each]) for each in steps]
        session_ids = [turn.result().session_id for turn in turns]

    found = {each["session_id"]: set(each["files_touched"]) for each in fleet.briefings()}
    assert [found[session_id] for session_id in session_ids] == [
        set(),
        {"first.py", "second.py", "by_agent.py", "third.py"},
        {"guide.md"},
    ]


@pytest.mark.one_client
def test_commit_in_a_submodule_is_the_turns(fleet: Fleet) -> None:
    shop, library = fleet.repository("shop"), fleet.repository("library")
    git(
        shop, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "lib"
    )
    git(shop, "commit", "-qm", "Add the library")
    configure(shop / "lib")
    fleet.worker(
        shop,
        "fix the library",
        bash(f"cd lib && {making('parse.c', '-m Fix')}"),
        bash(making("more.c", "-qm 'Fix more'")),
        Text("Fixed."),
    )

    (briefing,) = fleet.briefings()
    assert briefing["files_touched"] == ["lib/parse.c", "lib/more.c"]
