"""What a PermissionRequest asks for, in one line that a person can decide on."""

import os
from collections.abc import Mapping

from fleet_lib.turn.stored_text import stored_text

QUESTION_TOOL = "AskUserQuestion"

# What says best what a tool would do; the first that it was given is shown.
_TELLING = (
    *("command", "file_path", "notebook_path", "path", "url", "plan"),
    *("skill", "pattern", "query", "description"),
)
_PATHS = ("file_path", "notebook_path", "path")
_QUESTIONS = 4  # more do not fit into a line


def words_of(tool_name: str | None, tool_input: Mapping[str, object], folder: str) -> str:
    """`Bash: rm -rf build`, `Edit: src/app.py`, or the question with its options: one line,
    redacted and cut. A path inside `folder` is shown relative to it."""
    if tool_name == QUESTION_TOOL and (asked := _questions(tool_input)):
        return stored_text(asked)
    tool = tool_name or "a tool"
    for name in _TELLING:
        value = tool_input.get(name)
        if isinstance(value, str) and value.strip():
            if name in _PATHS and folder and value.startswith(folder.rstrip("/") + "/"):
                value = os.path.relpath(value, folder)
            return stored_text(f"{tool}: {value}")
    return stored_text(tool)


def _questions(tool_input: Mapping[str, object]) -> str:
    """`Which database? (SQLite, Postgres)`; "" if there is no question."""
    questions = tool_input.get("questions")
    lines = []
    for one in questions[:_QUESTIONS] if isinstance(questions, list) else ():
        if not isinstance(one, dict) or not isinstance(one.get("question"), str):
            continue
        options = one.get("options")
        given = options if isinstance(options, list) else []
        labels = [option.get("label") for option in given if isinstance(option, dict)]
        named = ", ".join(label for label in labels if isinstance(label, str) and label)
        lines.append(f"{one['question']} ({named})" if named else one["question"])
    return " ".join(lines)
