"""The sentence that stands for a message: a table of messages."""

import json
from pathlib import Path
from typing import Any

import pytest
from support import Fleet, cpu_seconds, is_fast, make_repository, payload

from fleet_lib.turn.asks import question_of
from fleet_lib.turn.summary import summary_of

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "cases" / "messages.json").read_text("utf-8")
)


@pytest.mark.parametrize(
    ("message", "summary"),
    [
        pytest.param(case["message"], case["expect"]["summary"], id=case["name"])
        for case in CASES
        if "summary" in case["expect"]
    ],
)
def test_a_case_has_the_summary_that_a_careful_reader_gives_it(message: str, summary: str) -> None:
    assert (question_of(message) or summary_of(message)) == summary


@pytest.mark.parametrize(
    ("message", "summary"),
    [
        ("The limit is per user. It was per team.", "The limit is per user."),
        ("Done. The limit is per user.", "The limit is per user."),
        ("All done! 🎉\n\nThe limit is per user.", "The limit is per user."),
        ("Perfect, everything works. The limit is per user.", "The limit is per user."),
        ("You're absolutely right! The limit was counted twice.", "The limit was counted twice."),
        ("Great question. The limit is counted twice.", "The limit is counted twice."),
        ("Done. Here's a summary of the changes:\n\n- The limit is per user\n- tests", "The limit is per user"),
        ("Here is what I did:\n\n1. **Limit**: it is per user now.", "Limit: it is per user now."),
        ("I made three changes:\n\n1. The limit is per user.", "The limit is per user."),
        ("Added tests for the limit:\n\n- per user\n- per team", "Added tests for the limit: per user"),
        ("All 31 tests pass. Here's what changed:\n\n**`limit.py`** — counts per user now.", "limit.py — counts per user now."),
        ("All 31 tests pass.", "All 31 tests pass."),
        ("Fixed and pushed (`ab12cd3`).\n\nThe limit is per user.", "The limit is per user."),
        ("Done — committed as ab12cd3. The limit is per user.", "The limit is per user."),
        ("Committed as ab12cd3. The remaining unstaged changes are unrelated to this.", "Committed as ab12cd3."),
        ("Changes committed and deployed.\n\nThe limit is per user.", "The limit is per user."),
        ("Deployment successful! The limit is per user.", "The limit is per user."),
        ("Everything looks correct. The limit is per user.", "The limit is per user."),
        ("Compiles cleanly. The limit is per user.", "The limit is per user."),
        ("Moved the rule from <old_rules> to <team_rules>.", "Moved the rule from <old_rules> to <team_rules>."),
        ("The limit of *each team* is <b>per user</b>, not *one*.", "The limit of each team is per user, not one."),
        ("Ignores *.log and tmp/*.txt, as _read_limit(team) does.", "Ignores *.log and tmp/*.txt, as _read_limit(team) does."),
        ("All done and cleaned up. The limit is per user.", "The limit is per user."),
        ("Deployment is running. The limit is per user.", "The limit is per user."),
        ("全部通过。\n\n上限现在按用户计算。", "上限现在按用户计算。"),
        ("## 用法\n\n如果要修改上限，可以直接改这个文件：\n\n```\nlimit = 3\n```", "如果要修改上限，可以直接改这个文件"),
        ("I've fixed the issue! The limit was counted twice.", "The limit was counted twice."),
        ("Merged on main as `fix: count the limit per user`.", "Merged on main as fix: count the limit per user."),
        ("Split the limit into three new modules:\n\n| a | b |\n|---|---|\n| 1 | 2 |", "Split the limit into three new modules"),
        ("Set the limit of a team before you start:\n\n```sh\nexport LIMIT=3\n```\n\nIt is read once.", "Set the limit of a team before you start"),
        ("I rewrote how the limit is counted per team:\n\n**In `limit.py`:**\n- one more argument", "I rewrote how the limit is counted per team"),
        ("1. Changed `limit.py` so:\n   - teams have one\n2. Dropped it", "Changed limit.py so: teams have one"),
        ("I looked at all the limits, here are three of them:\n\n```\n1\n```\n\nThe limit is per user.", "The limit is per user."),
        ("The new limit of a team can be found at:\n\n```\nhttps://example.com\n```\n\nThe limit is per user.", "The limit is per user."),
        ("1. [limit_of_team.py:12](limit_of_team.py#L12)\n\nThe limit is per user.", "The limit is per user."),
        ("All tests pass, lint is clean.\n\nThe limit is per user.", "The limit is per user."),
        ("The implementation is complete.\n\nThe limit is per user.", "The limit is per user."),
        ("Let me look at the limit first.\n\nIt is counted twice.", "It is counted twice."),
        ("Now I understand the flow. It is counted twice.", "It is counted twice."),
        ("I have a clear picture now. It is counted twice.", "It is counted twice."),
        ("I'll write it down.\n\nThe limit is counted twice.", "The limit is counted twice."),
        ("Excellent thinking! The limit is counted twice.", "The limit is counted twice."),
        ("Based on the log, I now understand the issue. It is counted twice.", "It is counted twice."),
        ("Waiting for the last check.\n\nThe limit is per user.", "The limit is per user."),
        ("Summary of changes\n- The limit is per user", "The limit is per user"),
        ("## Changes\n\nThe limit is per user.", "The limit is per user."),
        ("**Changes made**\n\nThe limit is per user.", "The limit is per user."),
        ("The old one is gone.\n\n## Summary\n\nThe limit is per user.", "The limit is per user."),
        ("The old one is gone.\n\n### ✅ Summary of the changes\n\n- The limit is per user\n", "The limit is per user"),
        ("It is long.\n\n## TL;DR\n\nThe limit is per user.\n\n## More\n\nmore", "The limit is per user."),
        ("It is long.\n\n## Final summary\n\n| a | b |\n|---|---|\n| 1 | 2 |", "It is long."),
        ("## Zusammenfassung\n\nDas Limit gilt pro Benutzer.", "Das Limit gilt pro Benutzer."),
        ("## 总结\n\n限制现在按用户计算。", "限制现在按用户计算。"),
        ("好的。以下是修改内容：\n\n- 限制现在按用户计算", "限制现在按用户计算"),
        ("完了しました。制限はユーザー単位になりました。", "制限はユーザー単位になりました。"),
        ("¡Listo! El límite es por usuario.", "El límite es por usuario."),
        ("Fertig. Hier ist die Übersicht:\n\n- Das Limit gilt pro Benutzer", "Das Limit gilt pro Benutzer"),
        ("Voici le résumé :\n\nLa limite est par utilisateur.", "La limite est par utilisateur."),
        ("Готово. Вот что изменилось:\n\n- Лимит считается по пользователю", "Лимит считается по пользователю"),
        ("> The ticket asks for a limit.\n\nThe limit is per user.", "The limit is per user."),
        ("```\nlimit = 3\n```\n\nThe limit is three now.", "The limit is three now."),
        ("| a | b |\n|---|---|\n| 1 | 2 |\nThe limit is three now.", "The limit is three now."),
        ("★ **The** [limit](https://example.com) is `3` now", "The limit is 3 now"),
        ("Committed as `1a2b3c4`.", "Committed as 1a2b3c4."),
        ("It is in v1.2, e.g. the limit. More", "It is in v1.2, e.g. the limit."),
        # Nothing is said: what there is.
        ("Done. All good.", "Done. All good."),
        ("Done.", "Done."),
        ("Perfect!", "Perfect!"),
        ("Done. Here's the file:\n\n```\nx\n```", "Done."),
        ("Here's the file:\n\n```\nx\n```", "Here's the file"),
        ("# **Login** fixed\n\nmore", "Login fixed"),
        ("- [the doc](x.md) is `new`", "the doc is new"),
        ("---\n***\n🎉\nwords", "words"),
        ("", ""),
        ("```\n```", ""),
        ("🎉", ""),
    ],
)  # fmt: skip
def test_the_summary_is_the_first_sentence_that_says_something(message: str, summary: str) -> None:
    assert summary_of(message) == summary


SLOW = ["`", "[", "[a](", "*x", '"a ', "<a ", ">", "- ", "|a|\n|-|\n", "\n", "done ", "tests, "]
SLOW += ["here is ", "a: ", "# a\n", "**a**\n\n", "- a:\n", "好"]


@pytest.mark.parametrize("part", SLOW)
def test_no_message_is_slow(part: str) -> None:
    text = part * (1_000_000 // len(part))
    assert is_fast(lambda: cpu_seconds(lambda: summary_of(text)) < 2)


def test_a_summary_of_the_message_is_one_sentence_and_a_written_one_is_kept(fleet: Fleet) -> None:
    project = make_repository(fleet.folder / "api")
    section = "## Summary\n\nThe limit is per user. The old flag is gone.\n\n- a\n- b"
    front = "---\nsummary: As it was written\n---\n\nThe limit is per user."
    block = "The limit is per user.\n\n```briefing\nsummary: As it was written\n```"
    for number, message in enumerate((f"Done.\n\n{section}", front, block)):
        call = {"session_id": f"s-{number}", "last_assistant_message": message}
        fleet.hook("stop", payload("Stop") | call, project)
    fleet.drain()
    assert fleet.rows("SELECT summary FROM turns ORDER BY briefing_id") == [
        ("The limit is per user.",),
        ("As it was written",),
        ("As it was written",),
    ]
