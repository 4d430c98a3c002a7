"""The finished turns of a transcript: which there are, and what is read of each."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from support import PAYLOADS
from support_transcripts import Conversation

from fleet_lib.turn.transcript_turns import finished_turns, newest_turn

FOLDER = "/code/shop"
Make = Callable[[Conversation], object]


def messages(folder: Path, conversation: Conversation) -> list[str]:
    return [turn.message for turn in finished_turns(str(conversation.write(folder)))]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (
            "2.1.197/transcript.jsonl",
            [
                "Changed hello() to return 2 and wrote the API page.",
                "Second turn, nothing touched.",
            ],
        ),
        (
            "2.1.332/transcript-headless-async-agent.jsonl",
            ["All done.", "All done.", "done"],
        ),
        (
            "2.1.332/transcript-interactive.jsonl",
            [
                *("allowed answer", "asked answer", "bg started", "bg started"),
                *("API Error: 400 scripted failure", "second answer"),
            ],
        ),
    ],
)
def test_captured_transcripts(name: str, found: list[str]) -> None:
    """The interactive one has an interrupted, a refused and an unanswered prompt too, and local commands."""
    turns = list(finished_turns(str(PAYLOADS / name)))
    assert [turn.message for turn in turns] == found
    assert [turn.is_last for turn in turns] == [False] * (len(turns) - 1) + [True]
    assert {turn.cwd for turn in turns} == {"/home/dev/code/api-svc"}
    assert len({turn.prompt_id for turn in turns}) == len(turns)
    assert [turn.error for turn in turns if turn.error] == ["unknown"] * ("interactive" in name)
    assert [t.is_follow_up for t in turns].count(True) == ("2.1.332" in name)
    newest, is_coming = newest_turn(str(PAYLOADS / name))
    assert newest == turns[-1] and not is_coming


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda c: c.prompt("go").interrupt(), id="interrupted"),
        pytest.param(lambda c: c.prompt("go").answer("Well", None).interrupt(), id="cut short"),
        pytest.param(lambda c: c.prompt("go").edit("/a.py"), id="in the middle of it"),
        pytest.param(lambda c: c.prompt("go").edit("/a.py").interrupt(), id="refused tool"),
        pytest.param(lambda c: c.prompt("go"), id="unanswered"),
        pytest.param(lambda c: c.command("/model"), id="local command"),
        pytest.param(
            lambda c: c.prompt("go").answer(
                "No response requested.", message={"model": "<synthetic>"}
            ),
            id="the client's own words",
        ),
        pytest.param(
            lambda c: c.prompt("go", isSidechain=True).answer("Hm.", isSidechain=True),
            id="subagent",
        ),
    ],
)
def test_no_finished_turn(tmp_path: Path, make: Make) -> None:
    conversation = Conversation(FOLDER)
    make(conversation)
    assert messages(tmp_path, conversation) == []
    conversation.turn("After it.")
    make(conversation)
    assert messages(tmp_path, conversation) == ["After it."]


@pytest.mark.parametrize(
    ("make", "found"),
    [
        pytest.param(lambda c: c.turn("One.").turn("Two."), ["One.", "Two."], id="two"),
        pytest.param(
            lambda c: c.prompt("x").fail().turn("Two."), ["API Error", "Two."], id="error"
        ),
        pytest.param(
            lambda c: c.prompt("x").fail().answer("Tried again."), ["Tried again."], id="retried"
        ),
        pytest.param(
            lambda c: c.prompt("go").answer("I look.", "tool_use").edit("/a.py").answer("Done."),
            ["Done."],
            id="words between",
        ),
        pytest.param(
            lambda c: c.prompt("go").answer("Half.").user("and this").answer("Whole."),
            ["Whole."],
            id="a fork's first prompt bears the id of the copy before it",
        ),
        pytest.param(
            lambda c: c.prompt("go").user("and this too").answer("Both."),
            ["Both."],
            id="a second prompt in the same turn",
        ),
        pytest.param(
            lambda c: c.prompt("/review").user("Review it.", isMeta=True).answer("Reviewed."),
            ["Reviewed."],
            id="custom command",
        ),
        pytest.param(
            lambda c: c.prompt("go").user("Before…", isCompactSummary=True).answer("Done."),
            ["Done."],
            id="compacted in between",
        ),
        pytest.param(
            lambda c: c.prompt("go", None).answer("One.", None).prompt("on", None).answer("Two."),
            ["One.", "Two."],
            id="old client without prompt ids and reasons",
        ),
        pytest.param(
            lambda c: c.turn("One.").prompt("go").answer("Cut", None).turn("Two."),
            ["One.", "Two."],
            id="no reason where the client gives reasons",
        ),
        pytest.param(
            lambda c: c.prompt([{"type": "image"}]).answer("Seen."), ["Seen."], id="image"
        ),
        pytest.param(
            lambda c: c.prompt("go").line("assistant", "Plain.", message={"stop_reason": None}),
            ["Plain."],
            id="text instead of blocks",
        ),
        pytest.param(
            lambda c: c.prompt("a").raw("{cut").raw("").raw("[]").raw('"user"').answer("Done."),
            ["Done."],
            id="lines that are none",
        ),
        pytest.param(
            lambda c: c.turn("One.").command("/model").command("/exit"), ["One."], id="commands"
        ),
    ],
)
def test_finished_turns(tmp_path: Path, make: Make, found: list[str]) -> None:
    conversation = Conversation(FOLDER)
    make(conversation)
    read = messages(tmp_path, conversation)
    assert len(read) == len(found)
    assert all(message.startswith(start) for message, start in zip(read, found, strict=True))


@pytest.mark.parametrize("mark", ["isMeta", "isCompactSummary"])
def test_a_line_that_is_no_prompt_opens_no_turn(tmp_path: Path, mark: str) -> None:
    conversation = Conversation(FOLDER).user("Not a person's.", **{mark: True}).answer("Hm.")
    assert messages(tmp_path, conversation) == []
    # As a Stop hook's feedback does, it lets the turn before it go on.
    conversation.turn("First.").user("Not a person's.", **{mark: True}).answer("Last.")
    assert messages(tmp_path, conversation) == ["Last."]


def test_what_is_read_of_a_turn(tmp_path: Path) -> None:
    conversation = Conversation(FOLDER, "s1").turn("Before.")
    conversation.prompt("go").edit("/code/shop/a.py").edit("/code/shop/no.py", fails=True)
    conversation.edit("/code/shop/agent.py", isSidechain=True)
    conversation.edit("lib/b.py").edit("/code/shop/a.py").answer("Done.")
    _, turn = finished_turns(str(conversation.write(tmp_path)))
    assert turn.files == ("/code/shop/a.py", "/code/shop/agent.py", "/code/shop/lib/b.py")
    assert (turn.session_id, turn.cwd, turn.branch) == ("s1", FOLDER, "main")
    assert turn.turn_key == turn.prompt_id == conversation.prompt_id
    assert turn.started_at and turn.ended_at and turn.started_at < turn.ended_at


def test_the_newest_turn_is_read_from_the_end(tmp_path: Path) -> None:
    conversation = Conversation(FOLDER)
    for number in range(30):
        conversation.turn(f"Turn {number}.", "long " * 3000)
    conversation.prompt("go").edit("/a.py").fail().command("/exit")
    file = str(conversation.write(tmp_path))
    turn, is_coming = newest_turn(file)
    assert turn == list(finished_turns(file))[-1] and not is_coming
    assert (turn.error, turn.files) == ("unknown", ("/a.py",))
    assert newest_turn(str(conversation.prompt("more").write(tmp_path))) == (None, True)
    assert newest_turn(str(conversation.interrupt().write(tmp_path))) == (None, False)


@pytest.mark.parametrize("text", ["", "\n\n", "no JSON at all\n" * 3])
def test_a_file_without_turns(tmp_path: Path, text: str) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text(text)
    assert list(finished_turns(str(file))) == [] and newest_turn(str(file)) == (None, False)
    assert list(finished_turns(str(tmp_path / "gone.jsonl"))) == []


def test_memory_is_flat_whatever_the_size(tmp_path: Path) -> None:
    def peak(turns: int) -> int:
        conversation = Conversation(FOLDER)
        for _ in range(turns):
            conversation.prompt("go").edit("/a.py")
            conversation.line("user", [{"type": "tool_result", "content": "x" * 20_000}]).answer(
                "D"
            )
        file = str(conversation.write(tmp_path))
        tracemalloc.start()
        try:
            assert sum(1 for _ in finished_turns(file)) == turns
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(400) < 2 * peak(20)


def test_a_line_of_any_length_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet_lib.turn.transcript_turns._LINE_LIMIT", 10_000)
    conversation = Conversation(FOLDER).turn("One.")
    conversation.raw(json.dumps({"type": "user", "message": {"content": "x" * 35_000}}))
    assert messages(tmp_path, conversation.turn("Two.")) == ["One.", "Two."]
