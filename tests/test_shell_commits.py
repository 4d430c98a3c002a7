"""What a command's own text says of the commits that it makes, and what a transcript's lines say of
when it ran."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_lib.turn.scripts import read_script_commits
from fleet_lib.turn.shell_commits import Message, read_command
from fleet_lib.turn.tool_calls import CallReader, ToolCall

HERE = "/code/shop"
HEREDOC = '"$(cat <<\'EOF\'\nfix: it isn\'t "done" (yet)\n\nBody; git commit -m no\nEOF\n)"'

# command: [(folder, message; None where it does not say it)]
COMMANDS: dict[str, list[tuple[str, str | None]]] = {
    "git commit -m 'Fix it'": [(HERE, "Fix it")],
    'git commit -m "Say \\"hi\\" to $USER"': [(HERE, 'Say "hi" to $USER')],
    "git commit -qam x && git commit --message=y; git commit -mz": [
        (HERE, "x"),
        (HERE, "y"),
        (HERE, "z"),
    ],
    f"git add -A && git commit -m {HEREDOC} | tail -1": [(HERE, 'fix: it isn\'t "done" (yet)')],
    "git commit -F - <<-MSG\n\n\tSubject\n\n\tBody\n\tMSG\ngit push": [(HERE, "Subject")],
    "git commit -F message.txt": [(HERE, None)],
    'git commit -am "$MESSAGE"': [(HERE, None)],
    "git commit": [(HERE, None)],
    "cd sub && git commit -m a; cd ..; git commit -m b": [
        (f"{HERE}/sub", "a"),
        (HERE, "b"),
    ],
    "(cd '/tmp/my lib' && git commit -m a) && git commit -m b": [
        ("/tmp/my lib", "a"),
        (HERE, "b"),
    ],
    "pushd sub; git commit -m a; popd; git commit -m b; cd -": [
        (f"{HERE}/sub", "a"),
        (HERE, "b"),
    ],
    "git -C sub -c user.name='A B' commit -m a": [(f"{HERE}/sub", "a")],
    "cd sub\ngit \\\n  commit -m a\n": [(f"{HERE}/sub", "a")],
    "timeout 60 env A=1 git commit -m a": [(HERE, "a")],
    "A='b c' /usr/bin/git commit -m a": [(HERE, "a")],
    "bash -lc 'cd sub; git commit -m \"a b\"'": [(f"{HERE}/sub", "a b")],
    "if true; then git commit -m a; fi": [(HERE, "a")],
    "# don't forget\ngit commit -m a": [(HERE, "a")],
    "python3 - <<'E'\nrun(['git', 'commit', '-m', 'a'])\nE": [(HERE, None)],
    "cd $SOMEWHERE && git commit -m a": [(HERE, "a")],
    'echo "unbalanced; git commit -m a': [(HERE, None)],
    "git cherry-pick abc; git revert --no-edit HEAD; git am <x": [(HERE, None)] * 3,
    "git log --grep commit; git show | grep 'git commit'": [],
    "git commit --dry-run": [],
    "cat >run.sh <<EOF\ngit commit -m x\nEOF": [],
    "bash <<EOF\ngit commit -m x\nEOF": [(HERE, "x")],
    "git submodule foreach 'git commit -m x || :'": [(HERE, "x")],
    "git commit-tree x; git commit-graph write; echo git commit -m x": [],
    "gh pr merge 5 --squash": [],
    "pytest -q": [],
    "": [],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_read_as_a_shell_would(command: str) -> None:
    found = read_command(command, HERE).commits
    messages = [(each.folder, each.message.text if each.message else None) for each in found]
    assert messages == COMMANDS[command]


@pytest.mark.parametrize(
    ("text", "subject", "fits"),
    [
        ("Fix it", "Fix it", True),
        ("Fix it", "Fix it all", False),
        ("Fix the parser", "SHOP-12: Fix the parser", True),
        ("wip", "wip: more", False),
        ("Add $name to $(pwd)", "Add a.py to /code", True),
        ("Add $name to $(pwd)", "Remove a.py from /code", False),
        ("Release ${V}", "Release 1.2", True),
        ("$A.*", "x.*", True),
        ("$A.*", "xyz", False),
        ("$x" * 5000, "a" * 500, True),
    ],
)
def test_message_fits_the_subject_of_its_commit(text: str, subject: str, fits: bool) -> None:
    assert Message(text).fits(subject) is fits


@settings(deadline=None)
@given(st.text(alphabet="git comt-amCF'\"\\$(){};&|<>\n#@EOF` /", max_size=200))
def test_any_command_can_be_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    read_command(text, "/nowhere")
    read_command(f"git commit {text}", "/nowhere")
    read_script_commits(text, "/nowhere")


def test_large_commands_are_read_in_a_moment() -> None:
    for part in ("git ", "git -a ", "<<EOF ", "$x", "'", "(", "git commit -m a;", "cd a/b;"):
        read_command(part * (16_384 // len(part)), HERE)


def test_script_that_runs_itself_is_read_to_an_end(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("./a.sh; git commit -qm done\n")
    (tmp_path / "Makefile").write_text("all: ; make all\n\tmake all\n\t./a.sh\n")
    found = read_script_commits("make all", str(tmp_path))
    assert {each.message for each in found} == {Message("done")}
    assert read_script_commits("cat a.sh; grep x ./Makefile; make -k none", str(tmp_path)) == ()


# --- the lines of a transcript ----------------------------------------------------------------


def calls_of(*lines: tuple[str, str | None, Any, Any]) -> list[ToolCall]:
    reader = CallReader()
    for kind, time, block, beside in lines:
        line = {"type": kind, "cwd": HERE, "toolUseResult": beside}
        reader.note(line | ({"timestamp": time} if time else {}), [block])
    return reader.found()


def use(given: Any, id: str = "t1", name: str = "Bash") -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": given}


def result(content: Any, id: str = "t1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": content, **more}


AT, LATER = "2026-11-25T20:56:17.856Z", "2026-11-25T20:56:19.154Z"
MADE = "[main 1a2b3c4] Add a\n 1 file changed"


@pytest.mark.parametrize(
    "content",
    [
        MADE,
        f"hook: ok\r\n{MADE}",
        [{"type": "text", "text": MADE}],
        f"     7→{MADE}",
        "[main (root-commit) 1a2b3c4] Add a",
        "[detached HEAD 1a2b3c4] Add a [x abcdef1] b",
        "[feature/x] y 1a2b3c4] Add a",
    ],
)
def test_call_shows_the_commit_that_git_made(content: Any) -> None:
    (call,) = calls_of(
        ("assistant", AT, use({"command": "make"}), None), ("user", LATER, result(content), None)
    )
    assert (call.made, call.command, call.folder) == (("1a2b3c4",), "make", HERE)
    assert round(call.ended - call.started, 3) == 1.298


def test_call_with_a_cut_output_is_read_from_the_whole_one() -> None:
    cut = result("<persisted-output>Output too large</persisted-output>")
    whole = {"stdout": f"{'x' * 9}\n{MADE}", "stderr": ""}
    (call,) = calls_of(
        ("assistant", AT, use({"command": "make"}), None), ("user", LATER, cut, whole)
    )
    assert call.made == ("1a2b3c4",)


def test_log_of_commits_shows_none_that_was_made() -> None:
    log = "1a2b3c4 (HEAD -> main) [main] Add a\n* [x](y)\n[main abc] no id\n[2026-01-01 12345678 x]"
    (call,) = calls_of(
        ("assistant", AT, use({"command": "git log"}), None), ("user", LATER, result(log), None)
    )
    assert (call.made, call.hashes) == ((), {"1a2b3c4", "12345678"})


def test_tool_of_a_server_that_commits_is_a_command() -> None:
    tool = "mcp__git__git_commit"
    given = {"repo_path": f"{HERE}/sub", "message": "Don't stop"}
    (call,) = calls_of(
        ("assistant", AT, use(given, name=tool), None), ("user", LATER, result("done"), None)
    )
    (found,) = read_command(call.command, HERE).commits
    assert (found.folder, found.message) == (f"{HERE}/sub", Message("Don't stop"))


def test_lines_that_are_none_of_a_client_are_survived() -> None:
    odd: list[Any] = [None, 5, [], {}, "x\ud800\0", {"command": 5}, {"command": "\0\ud800"}]
    lines = [("assistant", str(each), use(each, id=str(at)), each) for at, each in enumerate(odd)]
    lines += [("user", "9", result(each, id=str(at)), each) for at, each in enumerate(odd)]
    for call in calls_of(*lines, ("user", None, result("x", id="unknown"), None)):
        read_command(call.command, call.folder)
    assert json.dumps(len(lines))
