"""What a Claude Code transcript says about one turn. Read from its end, bounded in size and time."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from fleet_lib import clock, outside
from fleet_lib.files import open_regular
from fleet_lib.json_text import json_object
from fleet_lib.records import MutableRecord, field
from fleet_lib.turn.title import Words, first_words
from fleet_lib.turn.tool_calls import CallReader, ToolCall

WAIT_SECONDS = 2.0
_READ_LIMIT = 64 * 1024 * 1024  # bytes read back from a transcript's end
_SUBAGENTS_LIMIT = 200
_CLOCKS_DIFFER_SECONDS = 600  # the client's and that of the file system, which may be a server's
_FIRST_BLOCK, _LARGEST_BLOCK = 1 << 14, 1 << 18  # bytes: most turns are short
_ENDS_LIMIT = 1_000  # transcripts
_ends: dict[str, tuple[tuple[int, ...], dict[str, int]]] = {}
_EDIT_TOOLS = frozenset({"Edit", "Write", "MultiEdit", "NotebookEdit"})


class TurnFacts(MutableRecord):
    """What the transcript says about one turn."""

    files: list[str] = field(default_factory=list)  # absolute paths, as edited, in order
    calls: list[ToolCall] = field(default_factory=list)  # that may have made commits
    started_at: str | None = None  # the prompt's timestamp
    final_text: str = ""  # the last text of the assistant
    title: str | None = None  # the name that a person gave the session, if it got one of late
    prompt_key: str = ""  # what stands for the prompt: prompt_id, or the prompt line's uuid
    opening: dict[str, Any] = field(default_factory=dict)  # the prompt's line, empty if not there
    asked: Words = field(default_factory=Words)  # what a person wrote in the prompt
    partial: bool = True  # the end of the turn was not there yet, or not at all


def read_turn(
    transcript: str,
    prompt_id: str | None,
    last_message: str | None,
    wait_until: float,
    *,
    received_at: str = "9",
    pause: Callable[[float], None] = time.sleep,
) -> TurnFacts:
    """The facts of the turn that `prompt_id` opened; where that is None, of the last turn that was
    opened before `received_at` (ISO, UTC).

    The transcript is written behind Claude Code's back: until `wait_until` (Unix time, seconds)
    this looks again for the turn's final text, and what is missing then leaves the facts partial.
    """
    read, facts = None, TurnFacts()
    while True:
        state = _state(transcript)
        if state != read:  # what is large is not read again until something was added
            lines = turn_lines(transcript, prompt_id, received_at)
            if lines is not None:
                facts = _turn_facts(lines, last_message)
            elif read is None:
                return facts
            # Else it was there before: it is being written again.
            read = state
        remaining = wait_until - time.time()
        if not facts.partial or remaining <= 0:
            for sidechain in subagent_transcripts(transcript, facts.started_at):
                _add_subagent(facts, sidechain, prompt_id)
            return facts
        pause(min(0.02, remaining))


def _state(path: str) -> tuple[int, int]:
    """What changes when a file is written to; (0, 0) where it is not there."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return 0, 0
    return found.st_size, found.st_mtime_ns


def turn_lines(
    transcript: str, prompt_id: str | None, received_at: str = "9"
) -> list[dict[str, Any]] | None:
    """The lines of one turn, parsed, or None where there is no such file. Read from the end back:
    the turn is nearly always the last one, and a transcript may be large."""
    with open_regular(transcript) as descriptor:
        if descriptor is None or os.fstat(descriptor).st_size == 0:
            return None
        lines: list[dict[str, Any]] = []
        opened = False
        ends = _ends_in(transcript, descriptor)
        start = end = ends.get(prompt_id or "", os.fstat(descriptor).st_size)
        later = ""  # the prompt of the user's line that was read before
        for raw in lines_backwards(descriptor, end):
            start -= len(raw) + 1  # the end of the line before it
            line = json_object(raw)
            if prompt_id is None:
                lines.append(line)
                if opens_turn(line):
                    if str(line.get("timestamp") or "") <= received_at:
                        opened = True
                        break
                    lines.clear()  # a later turn
                continue
            prompt = line.get("promptId") if line.get("type") == "user" else None
            if prompt == prompt_id:
                opened = True
            elif isinstance(prompt, str):
                if opened:
                    break  # the turn before it
                lines.clear()  # a later turn
                if prompt != later:
                    ends.setdefault(prompt, end)
                later, end = prompt, start
                continue
            lines.append(line)
        if not opened:
            return []
        lines.reverse()
        if prompt_id is not None:
            # What stands before the turn's first line of its own is the end of the turn before.
            before = []
            while lines[0].get("promptId") != prompt_id or lines[0].get("type") != "user":
                before.append(lines.pop(0))
            # But for the name that the session was given meanwhile.
            lines[1:1] = [line for line in before if line.get("type") == "custom-title"][-1:]
        return lines


def opens_turn(line: dict[str, Any]) -> bool:
    """Whether a user line is a prompt, and no tool result, hook feedback or summary."""
    if line.get("type") != "user" or line.get("isMeta") or line.get("isCompactSummary"):
        return False
    message = line.get("message")
    if isinstance(message, dict) and isinstance(message.get("content"), str):
        return True
    return any(block.get("type") != "tool_result" for block in content_of(line))


def _ends_in(transcript: str, descriptor: int) -> dict[str, int]:
    """{prompt: where its turn's lines end}, as far as that was seen: of a session's turns that wait
    together, each is read alone, and not with all that came after it."""
    found = os.fstat(descriptor)
    facts = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    known = _ends.get(transcript)
    if known is None or known[0] != facts:
        known = _ends[transcript] = (facts, {})
        if len(_ends) > _ENDS_LIMIT:
            del _ends[next(iter(_ends))]
    return known[1]


def lines_backwards(descriptor: int, end: int | None = None) -> Iterator[bytes]:
    """The lines up to a place, which is the end of one."""
    position = os.fstat(descriptor).st_size if end is None else end
    first = max(0, position - _READ_LIMIT)
    parts: list[bytes] = []  # of the line that a block's beginning cuts, last part first
    most = _FIRST_BLOCK
    while position > first:
        size = min(most, position - first)
        position -= size
        most = min(4 * most, _LARGEST_BLOCK)
        head, *complete = os.pread(descriptor, size, position).split(b"\n")
        if complete:
            yield b"".join([complete.pop(), *reversed(parts)])
            yield from reversed(complete)
            parts = []
        parts.append(head)
    if first == 0:
        yield b"".join(reversed(parts))


def _turn_facts(lines: list[dict[str, Any]], last_message: str | None) -> TurnFacts:
    facts = TurnFacts()
    failed = _failed_tool_calls(lines)
    calls = CallReader()
    has_answer = False
    for line in lines:
        calls.note(line, content_of(line))
        if not facts.opening and opens_turn(line):
            facts.opening = line
            facts.prompt_key = str(line.get("uuid") or "")
            facts.started_at = _text_or_none(line.get("timestamp"))
        if line.get("type") == "user":
            # A fork's file copies the conversation before it, under its own first prompt's id.
            read = first_words(Words() if has_answer else facts.asked, line)
            facts.asked = read if read.text else facts.asked
        if line.get("type") == "custom-title":
            facts.title = _text_or_none(line.get("customTitle")) or facts.title
        if line.get("type") != "assistant" or is_synthetic(line):
            continue
        message = line.get("message")
        has_answer = isinstance(message, dict) and message.get("stop_reason") == "end_turn"
        for block in content_of(line):
            if block.get("type") == "text" and isinstance(block.get("text"), str):
                facts.final_text = block["text"]
                if last_message is None or facts.final_text.strip() == last_message.strip():
                    facts.partial = False
            elif path := edited_path(block, line):
                facts.partial = True  # more is to come: an edit never ends a turn
                if str(block.get("id")) not in failed and path not in facts.files:
                    facts.files.append(path)
    facts.calls = calls.found()
    return facts


def subagent_transcripts(transcript: str, started_at: str | None = None) -> list[str]:
    """The transcripts of a session's subagents, of very many the newest. With `started_at` (ISO)
    only those that were written to since: a long session has hundreds, and reading all of them at
    the end of each turn would cost more with each turn."""
    since = _seconds(started_at) - _CLOCKS_DIFFER_SECONDS
    found: list[tuple[float, str]] = []
    folder = transcript.removesuffix(".jsonl") + "/subagents"
    outside.asking(folder)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("agent-") and entry.name.endswith(".jsonl"):
                    with contextlib.suppress(OSError):
                        found.append((entry.stat(follow_symlinks=False).st_mtime, entry.path))
    except OSError as error:
        outside.require_answer(error, folder)
    except ValueError:
        pass
    newest = sorted((one for one in found if one[0] >= since), reverse=True)
    return sorted(path for _, path in newest[:_SUBAGENTS_LIMIT])


def _seconds(moment: str | None) -> float:
    """An ISO time in Unix seconds; 0 where there is none, or where a clock was set back since."""
    try:
        seconds = clock.parse(moment).timestamp() if moment else 0.0
    except (ValueError, OverflowError):
        return 0.0
    return seconds if seconds <= time.time() else 0.0


def add_turn(facts: TurnFacts, transcript: str, prompt_id: str) -> None:
    """Add the turn that `facts`, a follow-up's, belong to: it began earlier, with its own files."""
    earlier = read_turn(transcript, prompt_id, None, 0)
    facts.files = list(dict.fromkeys([*earlier.files, *facts.files]))
    facts.calls = [*earlier.calls, *facts.calls]
    facts.started_at = earlier.started_at or facts.started_at
    facts.asked = earlier.asked if earlier.asked.text else facts.asked


def _add_subagent(facts: TurnFacts, transcript: str, prompt_id: str | None) -> None:
    of_agent = _turn_facts(turn_lines(transcript, prompt_id) or [], None)
    facts.files = list(dict.fromkeys([*facts.files, *of_agent.files]))
    facts.calls += of_agent.calls


def _failed_tool_calls(lines: list[dict[str, Any]]) -> set[str]:
    return {
        str(block.get("tool_use_id"))
        for line in lines
        if line.get("type") == "user"
        for block in content_of(line)
        if block.get("type") == "tool_result" and block.get("is_error") is True
    }


def edited_path(block: dict[str, Any], line: dict[str, Any]) -> str | None:
    if block.get("type") != "tool_use" or str(block.get("name")) not in _EDIT_TOOLS:
        return None
    given = block.get("input")
    if not isinstance(given, dict):
        return None
    path = given.get("file_path") or given.get("notebook_path")
    if not isinstance(path, str) or not path or "\0" in path or len(path) > 4096:
        return None
    return os.path.normpath(os.path.join(str(line.get("cwd") or "/"), path))


def is_synthetic(line: dict[str, Any]) -> bool:
    """Whether Claude Code itself wrote this assistant line (an API error, an empty answer)."""
    message = line.get("message")
    return isinstance(message, dict) and message.get("model") == "<synthetic>"


def content_of(line: dict[str, Any]) -> list[dict[str, Any]]:
    message = line.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    return (
        [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    )


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
