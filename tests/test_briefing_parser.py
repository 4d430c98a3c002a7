"""Markdown to a Briefing: the parser accepts many forms, and no text makes it fail or slow."""

from itertools import pairwise
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support import cpu_seconds, is_fast

from fleet_lib.turn import status_file
from fleet_lib.turn.briefing_parser import Briefing, find_block, parse

FRONT = """---
status: blocked
summary: Login fixed, staging waits
task_id: task-001
impact_level: moderate
broadcast_level: highlight
doc_drift_risk: medium
base_commit: 1234567
head_commit: 0e12345
branch: feature/login
started_at: 2026-11-23T06:55:16Z
ended_at: 2026-11-23T08:55:16.123+02:00
blockers:
  - no staging credentials, asked twice
next_steps: ["ask again, politely", deploy]
docs_touched: [docs/api.md]
files_touched:
- src/app.py
- "src/a, b.py"
---
"""
EXPECTED: dict[str, Any] = {
    "status": "blocked",
    "summary": "Login fixed, staging waits",
    "task_id": "task-001",
    "impact_level": "moderate",
    "broadcast_level": "highlight",
    "doc_drift_risk": "medium",
    "base_commit": "1234567",
    "head_commit": "0e12345",
    "branch": "feature/login",
    "started_at": "2026-11-23T06:55:16.000Z",
    "ended_at": "2026-11-23T06:55:16.123Z",
    "blockers": ("no staging credentials, asked twice",),
    "next_steps": ("ask again, politely", "deploy"),
    "docs_touched": ("docs/api.md",),
    "files_touched": ("src/app.py", "src/a, b.py"),
}
FIELDS = tuple(EXPECTED)
SECTIONS = """## Summary

Login **fixed**, staging `waits`

## Blockers

- no staging credentials, asked twice

## Next steps

1. ask again, politely
2. deploy

## Docs touched

- [docs/api.md](docs/api.md)

## Files touched

- `src/app.py`: the handler
- src/b.py - new
- **src/c.py** (moved)
"""


def fields(briefing: Briefing) -> dict[str, Any]:
    return {name: getattr(briefing, name) for name in FIELDS}


def set_fields(briefing: Briefing) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields(briefing).items() if value is not None}


# --- the forms --------------------------------------------------------------------------------


def test_all_fields_of_front_matter_are_read() -> None:
    briefing = parse(FRONT + "\n# Words\n")
    assert fields(briefing) == EXPECTED
    assert briefing.warnings == ()
    assert briefing.raw_markdown == FRONT + "\n# Words\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: "\n\n" + text,
        lambda text: text.replace("---", "---  "),
        lambda text: text.replace("\n---\n", "\n...\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("_id", "-id").replace("_steps", " steps"),
        lambda text: text.replace("next_steps", "nextSteps").replace("task_id", "taskId"),
        lambda text: text.replace("impact_level", "impactLevel").replace("blockers", "BLOCKERS"),
        lambda text: text.replace("status: blocked", "Status:   'Blocked'  # at last"),
        lambda text: text.removeprefix("---\n").replace("---\n", "\n"),
        lambda text: text.replace("\n---\n", "\n"),
        lambda text: text.replace("\n---\n", "\n\nsome words\n"),
        lambda text: text.replace("task_id", "unknown: [x, {y: z}]\ntask_id"),
    ],
    ids=[
        *("crlf", "bom", "leading_lines", "trailing_spaces", "dots", "no_last_newline"),
        *("dashes_and_spaces", "camel", "camel_and_capitals", "quoted_with_comment"),
        *("without_dashes", "unclosed", "unclosed_with_body", "unknown_key"),
    ],
)
def test_front_matter_is_read_in_many_forms(change: Any) -> None:
    briefing = parse(change(FRONT))
    assert fields(briefing) == EXPECTED
    assert briefing.warnings == ()


def test_front_matter_with_a_body_and_windows_line_ends_is_read() -> None:
    text = FRONT + "\nNote: it works.\nstatus: failed\n\n## Summary\n\nother\n"
    briefing = parse(text.replace("\n", "\r\n"))
    assert fields(briefing) == EXPECTED
    assert briefing.warnings == ()


def test_nested_known_section_is_separate_and_a_heading_is_not_an_item() -> None:
    briefing = parse("## Next steps\n- real step\n### Later\n- another\n### Blockers\n- a key\n")
    assert (briefing.next_steps, briefing.blockers) == (("real step", "another"), ("a key",))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_sections_are_read(end: str) -> None:
    briefing = parse(SECTIONS.replace("\n", end))
    assert set_fields(briefing) == {
        "summary": "Login fixed, staging waits",
        "blockers": ("no staging credentials, asked twice",),
        "next_steps": ("ask again, politely", "deploy"),
        "docs_touched": ("docs/api.md",),
        "files_touched": ("src/app.py", "src/b.py", "src/c.py"),
    }


@pytest.mark.parametrize(
    "heading",
    [
        *("# Next steps", "## NEXT STEPS", "### next_steps:", "## **Next Steps**", "## Next-steps ##"),
        *("Next steps\n==========", "Next Steps:\n---", "> ## Next steps"),
    ],
)  # fmt: skip
def test_section_heading_is_recognized_in_many_forms(heading: str) -> None:
    assert parse(f"words\n\n{heading}\n\n- x\n").next_steps == ("x",)


def test_sections_fill_only_fields_that_front_matter_leaves_out() -> None:
    briefing = parse("---\nstatus: completed\nblockers: [a key]\nsummary: mine\n---\n" + SECTIONS)
    assert (briefing.summary, briefing.blockers) == ("mine", ("a key",))
    assert briefing.status == "completed"
    assert briefing.next_steps == ("ask again, politely", "deploy")


@pytest.mark.parametrize("fence", ["```", "~~~", "````"])
def test_heading_in_a_code_block_or_comment_is_not_a_section(fence: str) -> None:
    text = f"## Blockers\n\n- real\n\n{fence}md\n## Blockers\n- shown\n## Next steps\n- shown\n{fence}\n- after\n"
    assert set_fields(parse(text)) == {"blockers": ("real", "after")}
    assert set_fields(parse("    ## Next steps\n    - code\n")) == {}
    assert set_fields(parse("<!--\n## Next steps\n- x\n-->\n")) == {}


def test_list_in_a_section_may_be_nested_checked_or_plain_lines() -> None:
    text = (
        "## Next steps\n\n- [ ] one\n  - inner\n- [x] two\n\nthree\nfour\n\n### Later\n\n- five\n"
    )
    assert parse(text).next_steps == ("one inner", "two", "three", "four", "five") or parse(
        text
    ).next_steps == ("one inner", "two", "three", "four", "Later", "five")


@pytest.mark.parametrize("nothing", ["None", "none.", "N/A", "-", "", "- none", "- n/a", "Nothing"])
def test_section_that_says_none_is_not_written(nothing: str) -> None:
    assert parse(f"## Blockers\n\n{nothing}\n\n## Next steps\n\n- x\n").blockers is None


LEADS = [
    "**Next steps:**",
    "**Next steps**:",
    "**Next Steps**",
    "**next steps：**",
    "__Next steps:__",
    "**🔜 Next steps:**",
    "👉 **Next steps:**",
    "**3. Next steps**",
    "**Remaining:**",
    "**Remaining work:**",
    "**What's left**",
    "**What’s left to do:**",
    "**What is next?**",
    "**TODO:**",
    "**Follow-ups:**",
    "**Recommended next steps (optional):**",
    "**Still to do:**",
    "**Nächste Schritte:**",
    "**下一步：**",
    "Next steps:",
    "*Remaining:*",
    "What's left:",
    "**Next steps** (pick one):",
    "***Remaining:***",
    "<b>Next steps:</b>",
    "**10 remaining:**",
]  # fmt: skip


@pytest.mark.parametrize("lead", LEADS)
def test_bold_lead_counts_as_a_heading(lead: str) -> None:
    text = f"The limit is per user.\n\n{lead}\n\n- deploy it\n- tell ops\n\nThat is all for now.\n"
    assert set_fields(parse(text)) == {"next_steps": ("deploy it", "tell ops")}
    assert parse(text.replace("\n\n-", "\n-", 1)).next_steps == ("deploy it", "tell ops")


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("**Next steps:** deploy it to staging\n\nAsk me anything.", ("deploy it to staging",)),
        ("**Remaining** – the docs of the limit", ("the docs of the limit",)),
        ("**Done:** the code\n**Remaining:** the docs\n**Tests:** green", ("the docs",)),
        ("- **Done:** the code\n- **Remaining:** the docs\n- **Tests:** green", ("the docs",)),
        ("- **Remaining:**\n  - the docs\n  - the tests\n- more", ("the docs", "the tests")),
        ("**Next steps:** when you are back:\n\n- deploy it\n", ("deploy it",)),
        ("**Remaining:**\n\nThe docs of the limit.\n\nShall I?", ("The docs of the limit.",)),
        ("**Remaining:** the docs, which are\nlong", ("the docs, which are long",)),
        ("**Next:** run `make deploy`", ("run make deploy",)),
        ("**Remaining:**\n1. the docs\n\n**Testing**\n- green", ("the docs",)),
        ("## Remaining\n- the docs\n\n**Next steps:**\n- deploy it", ("the docs", "deploy it")),
        ("## Next steps\n\n**Backend**\n- deploy it\n\n**Docs**\n- write them", ("deploy it", "write them")),
        ("**TODO:**\n\n| # | What | Where |\n|---|---|---|\n| 1 | write it | docs |", ("write it — docs",)),
        ("## Next steps\n\nTo finish this:\n\n- deploy it\n\nWant me to do that?", ("deploy it",)),
        ("## Next steps\n\n- deploy it\n\n---\n\nThe rest is as it was.", ("deploy it",)),
        ("**Done**\n- the code\n**Remaining**\n- the docs\n- a test", ("the docs", "a test")),
        ("- Next steps:\n  - the docs\n  - a test\n- Notes: none", ("the docs", "a test")),
        ("**Remaining** (low priority): the docs", ("the docs",)),
        ("## Next steps\n- the docs\n- a test\n\nThe limit is documented now! 🎉", ("the docs", "a test")),
        ("## Next steps\n- the docs\n\nOr publish it without them", ("the docs", "Or publish it without them")),
        ("## Next steps\n\nYou can publish it like this:\n\n```sh\nmake\n```\n\nWrite the docs.", ("Write the docs.",)),
        ("## Next steps\n- ✅ tests\n- deploy it", ("deploy it",)),
    ],
)  # fmt: skip
def test_lead_takes_its_line_or_what_stands_below_it(text: str, steps: tuple[str, ...]) -> None:
    assert set_fields(parse(text, bare_front_matter=False)) == {"next_steps": steps}


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("# 🚀 Next Steps", "next_steps"),
        ("#### 4. Next steps:", "next_steps"),
        ("## **Next steps:**", "next_steps"),
        ("### Step 2 - Remaining work", "next_steps"),
        ("## What's left", "next_steps"),
        ("## What you need to do next", "next_steps"),
        ("## What still needs your eyes", "next_steps"),
        ("## One thing left for you", "next_steps"),
        ("## Loose ends", "next_steps"),
        ("## Follow-ups now queued but not done", "next_steps"),
        ("## Pendientes", "next_steps"),
        ("## Reste à faire", "next_steps"),
        ("## Noch zu tun", "next_steps"),
        ("## Дальнейшие шаги", "next_steps"),
        ("## 待办事项", "next_steps"),
        ("## 今後の作業", "next_steps"),
        ("## TODO", "next_steps"),
        ("## To-dos", "next_steps"),
        ("## Follow-ups for later", "next_steps"),
        ("## Action items", "next_steps"),
        ("## Suggested next steps", "next_steps"),
        ("## Not yet done", "next_steps"),
        ("## Remaining low-severity items", "next_steps"),
        ("## :rocket: Next steps", "next_steps"),
        ("## 5️⃣ Next steps", "next_steps"),
        ("## 3.2 Next steps", "next_steps"),
        ("## Next steps (optional) 🙂", "next_steps"),
        ("## Up next", "next_steps"),
        ("## Follow-up needed", "next_steps"),
        ("## Known blockers", "blockers"),
        ("## What's blocking us", "blockers"),
        ("## 次のステップ", "next_steps"),
        ("## Próximos pasos", "next_steps"),
        ("## ⛔ Blockers", "blockers"),
        ("## Blocked on", "blockers"),
        ("## Open blockers", "blockers"),
        ("**Blocked by:**", "blockers"),
        ("**Waiting on:**", "blockers"),
        ("## 3) **Files touched**", "files_touched"),
    ],
)
def test_heading_may_be_numbered_decorated_or_worded_differently(heading: str, name: str) -> None:
    assert set_fields(parse(f"Words.\n\n{heading}\n\n- it\n")) == {name: ("it",)}


@pytest.mark.parametrize(
    "text",
    [
        "The **remaining** tests pass.\n\n- one\n- two",
        "**Remaining** tests pass now.\n\n- one",
        "**Next steps** of the wizard are shown in blue.",
        "I left the **TODO** comments alone.\n\n- one",
        "- **Remaining** tests pass\n- **Next** is a field",
        "**Next.js:** it builds",
        "**Next question:** where should the limit live?",
        "**Pending:** 0\n**Blocked:** 3",
        "**Blockers:** none\n**Next steps:** n/a",
        "## Next steps\n\nNone – all of it is done.",
        "## Remaining\n\nNothing.",
        "## Next steps of the wizard component and how they are computed from its state on every page",
        "## Unblocked\n\n- all",
        "## Nextcloud\n\n- runs",
        "## Todo app\n\n- has a list",
        "`**Remaining:**` is a lead",
        "| What | Kept |\n|---|---|\n| **Files touched** | as a list |\n| **Remaining** | 3 of 4 |",
        "    **Remaining:** code",
        "What remains to be said: nothing.",
        "Next steps: none are needed here.",
    ],
)
def test_ordinary_words_are_no_section(text: str) -> None:
    assert set_fields(parse(text, bare_front_matter=False)) == {}


def test_summary_ends_at_the_next_heading_or_lead_and_keeps_all_its_words() -> None:
    text = "## Summary\n\nThis is new:\n\n- a limit\n- per user\n\nShall I go on?\n\n"
    summary = "This is new: a limit per user Shall I go on?"
    for end in ("### Details\n\nx", "**Remaining:**\n- the docs", "---\n\nx"):
        assert parse(text + end).summary == summary
    assert parse("**Summary:** A limit per user.\n\nMore words.").summary == "A limit per user."


def test_item_that_only_begins_with_none_is_an_item() -> None:
    steps = parse(
        "## Next steps\n- None of the docs name it yet\n- nothing blocks the deploy"
    ).next_steps
    assert steps == ("None of the docs name it yet", "nothing blocks the deploy")


@pytest.mark.parametrize("value", ['""', "", "null", "~", "[]", "{}", "none", "N/A", "-", '"-"', "[none]", '["", ~]'])  # fmt: skip
def test_empty_key_is_not_written(value: str) -> None:
    front = "".join(f"{name}: {value}\n" for name in (*FIELDS, "title"))
    assert set_fields(parse(f"---\n{front}---\n\n## Next steps\n\n- x\n")) == {"next_steps": ("x",)}


# --- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sha", ["1234567", "0000000", "0123456", "1e10", "0x12345", "12_345_678", "0e12345", "1234567890" * 4])  # fmt: skip
def test_commit_that_looks_like_a_number_stays_text(sha: str) -> None:
    assert parse(f"---\nhead_commit: {sha}\n---\n").head_commit == sha


@pytest.mark.parametrize("word", ["yes", "no", "on", "null2", "2026-11-23", "12:30:45", "1.50", ".inf"])  # fmt: skip
def test_value_that_yaml_would_convert_stays_text(word: str) -> None:
    briefing = parse(f"---\ntask_id: {word}\nblockers: [{word}]\n---\n")
    assert (briefing.task_id, briefing.blockers) == (word, (word,))


@pytest.mark.parametrize("word", ["working", "idle", "Working", "IDLE"])
def test_status_working_or_idle_counts_as_missing(word: str) -> None:
    briefing = parse(f"---\nstatus: {word}\nsummary: x\n---\n")
    assert briefing.status is None and briefing.summary == "x"
    assert briefing.warnings == ()


@pytest.mark.parametrize("name", ["status", "impact_level", "broadcast_level", "doc_drift_risk"])
@pytest.mark.parametrize("value", ["kompleted", "[a, b]", "{a: b}", "12", '"x\\ny"'])
def test_unknown_value_is_dropped_with_a_warning_and_the_rest_is_read(
    name: str, value: str
) -> None:
    front = "\n".join(line for line in FRONT.splitlines() if not line.startswith(f"{name}:"))
    briefing = parse(front.replace("---\n", f"---\n{name}: {value}\n", 1) + "\n")
    assert fields(briefing) == EXPECTED | {name: None}
    (warning,) = briefing.warnings
    assert warning.startswith(f"{name}:") and "\n" not in warning


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("waiting for input", "waiting_for_input"),
        ("Waiting-For-Input", "waiting_for_input"),
        ("[blocked]", "blocked"),
        ('"completed"', "completed"),
        ("", None),
        ("~", None),
        ("null", None),
    ],
)
def test_status_may_be_spelled_in_several_ways(value: str, status: str | None) -> None:
    briefing = parse(f"---\nstatus: {value}\n---\n")
    assert briefing.status == status and briefing.warnings == ()


@pytest.mark.parametrize("value", ["yesterday", "2026-13-45", "99999-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "-1", "1764000000"])  # fmt: skip
def test_invalid_time_is_dropped_with_a_warning(value: str) -> None:
    briefing = parse(f"---\nended_at: {value}\nstatus: blocked\n---\n")
    assert (briefing.ended_at, briefing.status) == (None, "blocked")
    assert len(briefing.warnings) == 1


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("one thing, with a comma", ("one thing, with a comma",)),
        ("[a, 'b, c', \"d\"]", ("a", "b, c", "d")),
        ("|\n  - a\n  - b, c", ("a", "b, c")),
        ("\n  - waiting: for the key\n  - [x, y]\n  - ~\n  -", ("waiting: for the key", "x, y")),
        ("[]", None),
        ("none", None),
        ("{who: ops}", ("who: ops",)),
        ("\n  - >-\n    folded\n    line", ("folded line",)),
    ],
)
def test_list_may_be_written_in_many_ways(value: str, items: tuple[str, ...] | None) -> None:
    briefing = parse(f"---\nblockers: {value}\nstatus: blocked\n---\n")
    assert (briefing.blockers, briefing.status) == (items, "blocked")


def test_paths_may_be_separated_by_commas() -> None:
    assert parse("---\nfiles_touched: a.py, b/c.py\n---\n").files_touched == ("a.py", "b/c.py")


def test_invalid_yaml_is_read_key_by_key_with_a_warning() -> None:
    text = (
        "---\nstatus: blocked\nsummary: waiting: for: the key\n@bad\nbranch: `x`\n"
        "blockers:\n\t- tab\nnext_steps: [a, b\ntask_id: t1\n---\n"
    )
    briefing = parse(text)
    assert (briefing.status, briefing.task_id) == ("blocked", "t1")
    assert briefing.summary == "waiting: for: the key"
    assert any("YAML" in warning for warning in briefing.warnings)


@pytest.mark.parametrize("front", ["- a\n- b", "just words", "42", "[status, blocked]"])
def test_front_matter_that_is_not_a_mapping_leaves_the_sections_readable(front: str) -> None:
    briefing = parse(f"---\n{front}\n---\n\n## Next steps\n\n- x\n")
    assert briefing.next_steps == ("x",)


def test_long_briefing_is_cut_and_marked_as_cut() -> None:
    text = FRONT + "x" * 1_000_000
    briefing = parse(text)
    assert fields(briefing) == EXPECTED
    assert len(briefing.raw_markdown) < 250_000 and briefing.raw_markdown.endswith("(cut)")


def test_long_values_are_cut() -> None:
    briefing = parse(f"---\nsummary: {'s' * 9999}\nbranch: {'b' * 9999}\nblockers: [{'x, ' * 9999}]\n---\n")  # fmt: skip
    assert len(briefing.summary or "") == 500 and len(briefing.branch or "") == 200
    assert briefing.blockers is not None and len(briefing.blockers) == 200


# --- status files -----------------------------------------------------------------------------

SKELETON = """---
schema: status.v5

# identity
project_id: shop__12345678
repo_name: shop
branch: main

# session + task
session_id: session-1
task_id: 2026-01-11T2041Z
status: working
started_at: 2026-01-11T20:41:52.862166+00:00
ended_at:

# semantic fields
impact_level:
broadcast_level:
doc_drift_risk:

# traceability
base_commit: 061314b
head_commit:

# structured lists
blockers: []
next_steps: []
docs_touched: []
files_touched: []
---
# Briefing

## Summary
Session in progress...

## Technical Notes
(To be filled by Sonnet on finalize)
"""
# What the original system makes of it where its model does not answer.
UNANSWERED = (
    SKELETON.replace("status: working", "status: completed")
    .replace("impact_level:", "impact_level: minor")
    .replace("broadcast_level:", "broadcast_level: silent")
    .replace("Session in progress...", "Session completed.")
    .replace("(To be filled by Sonnet on finalize)", "AI analysis unavailable.")
)


@pytest.mark.parametrize(
    "text",
    [
        SKELETON,
        UNANSWERED,
        SKELETON.replace("in progress...", "in progress…").replace("\n", "\r\n"),
        SKELETON.partition("## Technical")[0],
        SKELETON.partition("# Briefing")[0],
        SKELETON.replace("Session in progress...", "_None_"),
        SKELETON.replace("Session in progress...", "<!-- what was done -->"),
        "---\nstatus: idle\nblockers:\nnext_steps: [none]\n---\n",
        "## Summary\n\nTBD\n\n## Next steps\n\n- none\n",
        "",
    ],
)
def test_skeleton_is_no_source(text: str) -> None:
    assert status_file.read(text, "Done.") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SKELETON.replace("Session in progress...", "The limit is per user."), "The limit is per user."),
        (SKELETON.replace("next_steps: []", "next_steps: [deploy it]"), "The message"),
        (SKELETON.replace("status: working", "status: blocked"), "The message"),
        (SKELETON.replace("(To be filled by Sonnet on finalize)", "- Keyed by user"), "Keyed by user"),
        ("---\nstatus: completed\n---\nThe limit is per user.\n", "The limit is per user."),
        ("Just words", "Just words"),
    ],
)  # fmt: skip
def test_file_that_says_something_is_a_source_and_keeps_the_message(
    text: str, expected: str
) -> None:
    briefing = status_file.read(text, "The message\n\nand its end")
    assert briefing is not None and briefing.summary == expected
    assert briefing.raw_markdown.startswith(text.rstrip())
    assert briefing.raw_markdown.endswith("## Last message\n\nThe message\n\nand its end")
    assert briefing.blockers is None and briefing.files_touched is None


# --- blocks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        "done\n\n```briefing\nstatus: blocked\n```\n",
        "```briefing\nstatus: blocked\n```",
        "~~~~ Briefing v2\nstatus: blocked\n~~~~\nbye",
        "```briefing\nstatus: blocked",
        "- a\n- ```briefing\n  status: blocked\n  ```\n",
        "1. a\n\n   ```briefing\n   status: blocked\n   ```\n",
        "> ```briefing\n> status: blocked\n> ```\n",
        "```py\n## x\n```\n\n   ```briefing\n   status: blocked\n   ```",
        "```briefing\nstatus: completed\n```\n\nlater\n\n```briefing\nstatus: blocked\n```\n",
        "```briefing\r\nstatus: blocked\r\n```\r\n",
        "\ufeff```briefing\nstatus: blocked\n```\n",
    ],
)
def test_block_is_found_in_many_forms(message: str) -> None:
    block = find_block(message)
    assert block is not None and parse(block).status == "blocked"


@pytest.mark.parametrize(
    "message",
    [
        "",
        "briefing",
        "`` `briefing` ``",
        "```brief\nstatus: blocked\n```",
        "```briefings\nx\n```",
        "```\nbriefing\n```",
        "````md\n```briefing\nstatus: blocked\n```\n````\n",
        "    ```briefing\n    status: blocked\n    ```\n",
        "```yaml briefing\nstatus: blocked\n```",
    ],
)
def test_text_without_a_block_gives_none(message: str) -> None:
    assert find_block(message) is None


def test_block_with_a_longer_fence_may_contain_a_code_fence() -> None:
    block = find_block(
        "````briefing\nstatus: blocked\n\n```sh\nls\n```\n\n## Next steps\n- x\n````"
    )
    assert block is not None and parse(block).next_steps == ("x",)


def test_empty_block_sets_no_field() -> None:
    block = find_block("```briefing\n```\n")
    assert block == "" and set_fields(parse(block)) == {}


# --- hostile ----------------------------------------------------------------------------------

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_yaml_alias_bomb_is_refused_and_the_rest_is_read() -> None:
    text = f"---\nstatus: blocked\n{BOMB}blockers: *i\nsummary: still here\n---\n"
    briefing = parse(text)
    assert (briefing.status, briefing.summary) == ("blocked", "still here")
    assert briefing.blockers is None
    assert any("alias" in warning for warning in briefing.warnings)
    assert is_fast(lambda: cpu_seconds(lambda: parse(text)) < 1)


@pytest.mark.parametrize(
    "front",
    [
        "blockers: " + "[" * 5000,
        "blockers: " + "[" * 5000 + "]" * 5000,
        "blockers: " + "{a: " * 5000,
        "blockers:\n" + "".join(" " * n + "-\n" for n in range(500)),
        "? [a, b]\n: x",
        "? {a: b}\n: x",
        "<<: {a: b}",
        "!!python/object/apply:os.system ['touch /tmp/x']: 1",
        "blockers: !!python/object/apply:os.system ['touch /tmp/x']",
        "blockers: !!int x",
        'summary: "\\UFFFFFFFF"',
        'summary: "\\uD800"',
        "summary: \x00",
        "summary: \x07",
        "summary: \ud800",
        "%YAML 9.9\n---",
        "%TAG ! x",
        "status: [blocked, [blocked]]",
        "status: blocked\nstatus: nonsense",
        "'",
        '"',
        "\t",
        "& *",
        "\u2028: \u2029",
        "a" * 2000 + ": x",
    ],
)
@pytest.mark.parametrize("loader", ["C", "Python"])
def test_hostile_front_matter_never_raises_and_sections_are_read(
    front: str, loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if loader == "Python":  # as if PyYAML was built without libyaml
        monkeypatch.delattr(yaml, "CBaseLoader", raising=False)
    briefing = parse(f"---\n{front}\n---\n\n## Next steps\n\n- x\n")
    assert briefing.next_steps == ("x",)


def test_yaml_tags_run_nothing_and_are_read_as_text() -> None:
    assert parse("---\nsummary: !!python/name:os.system x\n---\n").summary == "x"


PIECES = st.sampled_from(
    [
        *("---\n", "...\n", "\n", "\r\n", "\t", " ", "- ", "* ", "1. ", "> ", "## ", "# ", "===\n"),
        *("```", "```briefing\n", "~~~", "`", "**", "_", "[", "](", ")", "<", ">", "<!--", "&", "*a"),
        *("status: ", "blocked", "Summary", "Blockers", "Next steps", "Files touched", "blockers:"),
        *("next_steps: [", "]", "{", "}", ",", ":", '"', "'", "|", ">-", "!!", "%", "@", "?", "\\"),
        *("\ufeff", "\0", "\u2028", "\ud800", "é", "🎉", "a", "none", "~"),
    ]
)  # fmt: skip


@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=40).map("".join)))
@settings(max_examples=600)
def test_no_text_raises(text: str) -> None:
    briefing = parse(text)
    block = find_block(text)
    for name, value in set_fields(briefing).items():
        assert isinstance(value, tuple if name in FIELDS[-4:] else str), name
        assert value != ""
    if block is not None:
        parse(block)


SLOW = {
    "words far apart": ("a", " ", "x"),
    "dashes far apart": ("a", "- ", "x"),
    "a path far from its dash": ("## Files touched\n\n- a", " ", "b\n"),
    "backticks": ("## Files touched\n\n- ", "`", " `x\n"),
    "growing code spans": ("## Files touched\n\n- ", "`a``b```c", "\n"),
    "quotes": ("## Summary\n", ">", ""),
    "quoted lists": ("## Summary\n", "> - ", ""),
    "lists": ("## Summary\n", "- ", ""),
    "link definitions": ("## Summary\n", "[a]: x\n", ""),
    "open brackets": ("## Blockers\n\n- ", "[", ""),
    "open lines": ("## Summary\n", "[\n", ""),
    "open links": ("## Blockers\n\n- ", "[a](", ""),
    "stars": ("## Blockers\n\n- ", "*", "x"),
    "headings": ("", "## Summary\n", ""),
    "section headings": ("", "## Next steps\n- a\n", ""),
    "tags": ("## Summary\n", "<a\n", ""),
    "comments": ("## Summary\n", "<!--\n", ""),
    "fences": ("", "```briefing\n", ""),
    "quoted fences": ("", ">```briefing\n", ""),
    "rules": ("", "---\n", ""),
    "a rule": ("", "-", ""),
    "tabs": ("## Summary\n", "\t", "x"),
    "lines": ("", "\n", "## Summary"),
    "keys": ("---\n", "a: [\n", "---\n"),
    "aliases": ("---\n", "a: &x\nb: *x\n", "---\n"),
    "yaml lists": ("---\na: ", "[", "\n---\n"),
    "yaml maps": ("---\na: ", "{a: ", "\n---\n"),
    "yaml keys": ("---\n", "? ", "\n---\n"),
    "yaml comments": ("---\n", "#\n", "---\n"),
    "a long key": ("---\n", "a ", "\n---\n"),
}


@pytest.mark.parametrize("name", SLOW)
def test_no_text_is_slow(name: str) -> None:
    """Four times the text may take little more than four times the time, but not sixteen times."""
    before, part, after = SLOW[name]

    def seconds(length: int) -> float:
        text = before + part * (length // len(part)) + after
        return cpu_seconds(lambda: (parse(text), find_block(text)))

    def grows_as_the_text() -> bool:
        taken = [seconds(size) for size in (2_000, 8_000, 32_000)]
        return all(longer < 8 * shorter + 0.15 for shorter, longer in pairwise(taken))

    assert is_fast(grows_as_the_text)
