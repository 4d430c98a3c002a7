"""The tool calls of a turn that may have made commits: when each ran, and what it showed of them.
Kept small, because a turn has hundreds of calls with outputs of many kilobytes."""

from __future__ import annotations

from fleet_lib import clock
from fleet_lib.lazy import lazy
from fleet_lib.records import Record
from fleet_lib.text import storable

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

_CALLS_LIMIT = 5000  # of one turn
_COMMAND_LIMIT = 16_384  # characters
_HASHES_LIMIT = 200  # of one call
# What git prints of a commit that it made: "[main 1a2b3c4] message". A tool that shows a file puts
# the number of the line before it.
_MADE = lazy(r"(?m)^(?:\s*\d+[\t→])?\[[^\[\n]* ([0-9a-f]{4,64})\] ")
_HASH = lazy(r"\b[0-9a-f]{7,64}\b")
# A command that may make commits; what it says of them is in shell_commits.
MAKES_COMMITS = lazy(
    r"\bgit\b['\",]*(?:\s+-\S+(?:\s+[^\s-]\S*)?)*?\s+['\"]?(?:commit|cherry-pick|revert|am)(?![\w-])"
)
_BACKGROUND = lazy(r"^Command (?:running in|was \S+ (?:to the )?)background")


class ToolCall(Record):
    """One call. Times are Unix seconds."""

    command: str  # what it ran; "" of a tool that runs nothing, and only showed a commit
    folder: str  # the session's working folder at that moment
    started: float
    ended: float
    made: tuple[str, ...] = ()  # abbreviated ids of the commits that git said it made
    hashes: frozenset[str] = frozenset()  # all words of the output that may be commit ids
    failed: bool = False
    is_background: bool = False  # it went on after its result


class CallReader:
    """Collects the calls of a turn's lines, which are noted in order."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[str, str, float, bool]] = {}
        self._calls: list[ToolCall] = []
        self._at = 0.0  # the last time that a line had

    def note(self, line: dict[str, Any], blocks: list[dict[str, Any]]) -> None:
        """Note one line of a transcript, with the blocks of its message."""
        moment = line.get("timestamp")
        if isinstance(moment, str):
            self._at = _seconds(moment) or self._at
        for block in blocks:
            if block.get("type") == "tool_use":
                self._open_call(line, block)
            elif block.get("type") == "tool_result":
                self._close_call(line, block)

    def found(self) -> list[ToolCall]:
        """All calls; one without a result (it was interrupted) may have run until now."""
        calls = [
            ToolCall(command, folder, started, float("inf"), is_background=True)
            for command, folder, started, _ in self._open.values()
            if command
        ]
        return [*self._calls, *calls]

    def _open_call(self, line: dict[str, Any], block: dict[str, Any]) -> None:
        given = block.get("input")
        given = given if isinstance(given, dict) else {}
        command = storable(command_of(str(block.get("name")), given)[:_COMMAND_LIMIT])
        is_background = given.get("run_in_background") is True
        folder = storable(str(line.get("cwd") or "/"))
        if len(self._calls) + len(self._open) < _CALLS_LIMIT:
            self._open[str(block.get("id"))] = (command, folder, self._at, is_background)

    def _close_call(self, line: dict[str, Any], block: dict[str, Any]) -> None:
        call = self._open.pop(str(block.get("tool_use_id")), None)
        if call is None:
            return
        command, folder, started, is_background = call
        texts = _texts(line, block)
        made = tuple(dict.fromkeys(found for text in texts for found in _MADE.findall(text)))
        if not command and not made:
            return
        hashes: list[str] = []
        if "git" in command:
            hashes = [found for text in texts for found in _HASH.findall(text)][:_HASHES_LIMIT]
        is_background = is_background or any(_BACKGROUND.match(text) for text in texts)
        self._calls.append(
            ToolCall(
                command,
                folder,
                started,
                float("inf") if is_background else self._at or float("inf"),
                made,
                frozenset(hashes),
                block.get("is_error") is True,
                is_background,
            )
        )


def command_of(tool: str, given: dict[str, Any]) -> str:
    """What a tool runs: a shell's command. A tool of an MCP server that commits is written as the
    command that would do the same. "" for a tool that only reads or edits."""
    command = given.get("command")
    if isinstance(command, str):
        return command
    if not tool.startswith("mcp__"):
        return ""
    message = given.get("message")
    if "commit" not in tool or not isinstance(message, str):
        return tool
    folder = given.get("repo_path") or given.get("path") or "."
    return f"git -C {_quoted(str(folder))} commit -m {_quoted(message)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _texts(line: dict[str, Any], block: dict[str, Any]) -> list[str]:
    """The output of a call. A long one is cut in the message, and whole beside it."""
    content = block.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    beside = line.get("toolUseResult")
    if isinstance(beside, dict):
        texts.append(beside.get("stdout"))
    return list(dict.fromkeys(text for text in texts if isinstance(text, str)))


def _seconds(moment: str) -> float | None:
    try:
        return clock.nanoseconds(moment) / 1e9
    except (ValueError, OverflowError):
        return None
