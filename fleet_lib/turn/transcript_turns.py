"""The finished turns of a transcript, whether a hook reported them or not: what an import and the
look-up at a session's end go by. A transcript is read line by line, so that its size costs time and
no memory.

Transcripts of many clients are read here: what a line lacks is missing, and a line that is not JSON
costs that line. Turns that were interrupted or not answered have no end, and local commands are no
turns.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from fleet_lib import clock
from fleet_lib.files import open_regular
from fleet_lib.json_text import json_object
from fleet_lib.lazy import lazy
from fleet_lib.records import MutableRecord, Record, field
from fleet_lib.turn.title import Words, first_words
from fleet_lib.turn.transcript import (
    content_of,
    edited_path,
    is_synthetic,
    lines_backwards,
    subagent_transcripts,
)

_LINE_LIMIT = 32 * 1024 * 1024  # bytes of a line that is read; a longer one is skipped
_ENDS = ("end_turn", "stop_sequence")
_INTERRUPTED = "[Request interrupted by user"
# What a client writes as a user's line when a command was run without the model.
_COMMANDS = ("<command-name>", "<command-message>", "<local-command-", "<bash-")
_FOLLOW_UPS = ("<task-notification>", "<teammate-message>", "<teammate-message ")
_TASK_ID = lazy(r"<task-id>\s*([\w-]{1,200})\s*</task-id>")
_TEXT_LIMIT = 100_000  # characters of a follow-up in which agents are looked for


class FinishedTurn(Record):
    """One prompt and its end, as the transcript has them."""

    session_id: str  # "" where the lines do not say
    prompt_id: str | None  # None for old clients
    prompt_key: str  # the prompt line's uuid
    cwd: str  # the folder that the session began in
    branch: str | None
    started_at: str | None  # as the client wrote it, like `ended_at`
    ended_at: str | None
    asked: Words  # what a person wrote in the prompt
    message: str  # the assistant's last text
    error: str | None  # the code of an API error, None where the turn ended well
    files: tuple[str, ...]  # absolute paths, as edited, in order
    is_follow_up: bool  # the client itself opened it: an agent's or a teammate's notification
    agents: tuple[str, ...]  # that a follow-up tells the end of
    is_last: bool  # no later prompt is in the transcript

    @property
    def turn_key(self) -> str:
        """What the turn is known by: `Prepared.turn_key` of its hook's entry."""
        return self.prompt_id or f"line:{self.prompt_key}"

    @property
    def ended_ns(self) -> int | None:
        """When the turn ended, in Unix nanoseconds; None where the transcript does not say."""
        try:
            return clock.nanoseconds(self.ended_at) if self.ended_at else None
        except (ValueError, OverflowError):
            return None


def finished_turns(path: str) -> Iterator[FinishedTurn]:
    """The finished turns of a transcript, oldest first. None for a file that cannot be read."""
    with open_regular(path) as descriptor:
        if descriptor is None:
            return
        with open(descriptor, "rb", closefd=False) as file:
            yield from _turns(_lines(file))


def newest_turn(path: str) -> tuple[FinishedTurn | None, bool]:
    """(the newest turn of a transcript, None where that has no end; whether its end may still be on
    its way).

    Read from the file's end back. The transcript is written behind Claude Code's back.
    """
    with open_regular(path) as descriptor:
        if descriptor is None or os.fstat(descriptor).st_size == 0:
            return None, False
        lines = _newest_lines(filter(_is_message, lines_backwards(descriptor)))
    found = list(_turns(lines))
    if found and found[-1].is_last:
        return found[-1], False
    return None, bool(lines) and not _is_interruption(lines[-1])


def subagents_edits(path: str) -> dict[str, list[str]]:
    """{prompt id: the files that the agents of that turn edited}, of one transcript's subagents."""
    found: dict[str, list[str]] = {}
    for name in subagent_transcripts(path):
        edits: dict[str, _Edits] = {}
        prompt = ""
        with open_regular(name) as descriptor:
            if descriptor is None:
                continue
            with open(descriptor, "rb", closefd=False) as file:
                for line in _lines(file):
                    prompt = str(line.get("promptId") or prompt)
                    edits.setdefault(prompt, _Edits()).note(line)
        for prompt, of_prompt in edits.items():
            files = found.setdefault(prompt, [])
            files += [path for path in of_prompt.files() if path not in files]
    return found


class _Edits:
    """The files that tool calls edited, without the calls that failed."""

    def __init__(self) -> None:
        self._calls: list[tuple[str, str]] = []
        self._failed: set[str] = set()

    def note(self, line: dict[str, Any]) -> None:
        for block in content_of(line):
            if path := edited_path(block, line):
                self._calls.append((str(block.get("id")), path))
            elif block.get("type") == "tool_result" and block.get("is_error") is True:
                self._failed.add(str(block.get("tool_use_id")))

    def files(self) -> tuple[str, ...]:
        good = (path for call, path in self._calls if call not in self._failed)
        return tuple(dict.fromkeys(good))


class _OpenTurn(MutableRecord):
    """A prompt, and what came after it so far."""

    line: dict[str, Any]  # the prompt's
    text: str  # of the prompt
    asked: Words  # what a person wrote of it
    edits: _Edits = field(default_factory=_Edits)
    words: str = ""  # the assistant's last text
    end: tuple[str, str | None, str | None] | None = None  # message, time, error

    @property
    def prompt_id(self) -> str | None:
        return _text(self.line.get("promptId"))

    @property
    def is_command(self) -> bool:
        return self.text.startswith(_COMMANDS)

    def finished(self, cwd: str, is_last: bool) -> FinishedTurn | None:
        if self.end is None:
            return None
        message, ended_at, error = self.end
        is_follow_up = self.line.get("turnOrigin") == "task_notification"
        is_follow_up = is_follow_up or self.text.startswith(_FOLLOW_UPS)
        agents = _TASK_ID.findall(self.text[:_TEXT_LIMIT]) if is_follow_up else ()
        return FinishedTurn(
            session_id=_text(self.line.get("sessionId")) or "",
            prompt_id=self.prompt_id,
            prompt_key=_text(self.line.get("uuid")) or "",
            cwd=cwd,
            branch=_text(self.line.get("gitBranch")),
            started_at=_text(self.line.get("timestamp")),
            ended_at=ended_at,
            asked=self.asked,
            message=message,
            error=error,
            files=self.edits.files(),
            is_follow_up=is_follow_up,
            agents=tuple(agents),
            is_last=is_last,
        )


def _turns(lines: Iterable[dict[str, Any]]) -> Iterator[FinishedTurn]:
    """The finished turns of parsed lines that stand in order."""
    turn: _OpenTurn | None = None
    waiting: _OpenTurn | None = None  # has its end, and no prompt but local commands came since
    cwd = ""
    says_reasons = False  # old clients do not write why a message ended
    for line in lines:
        cwd = cwd or _text(line.get("cwd")) or ""
        if line.get("isSidechain"):
            if turn:
                turn.edits.note(line)
        elif line.get("type") == "user":
            new = _opened(line, turn)
            if new is None:
                continue
            # A fork's file begins with a copy of the conversation before it, and all of that copy
            # bears the prompt id of the fork's own first prompt.
            is_copy = turn and turn.prompt_id and turn.prompt_id == new.prompt_id
            if turn and is_copy and not new.asked.text:
                new.asked = turn.asked  # a teammate's message in the same turn
            if turn and turn.end and not is_copy:
                if waiting and (done := waiting.finished(cwd, is_last=False)):
                    yield done
                waiting = turn
            if waiting and not new.is_command and (done := waiting.finished(cwd, is_last=False)):
                yield done
                waiting = None
            turn = new
        elif line.get("type") == "assistant" and turn:
            says_reasons = _note_answer(turn, line, says_reasons)
    last = turn if turn and turn.end else waiting
    if waiting and last is not waiting and (done := waiting.finished(cwd, is_last=False)):
        yield done
    # A prompt without an end is newer than what came before it.
    is_last = last is turn or turn is None or turn.is_command
    if last and (done := last.finished(cwd, is_last)):
        yield done


def _opened(line: dict[str, Any], turn: _OpenTurn | None) -> _OpenTurn | None:
    """The turn that a user's line opens, if it opens one; else it is noted in the turn before."""
    if line.get("isMeta") or line.get("isCompactSummary"):
        return None
    blocks, texts = content_of(line), _texts(line)
    if any(block.get("type") == "tool_result" for block in blocks) or _is_interruption(line):
        if turn:
            turn.edits.note(line)
            turn.end = None
        return None
    if not (blocks or texts):
        return None
    new = _OpenTurn(line, texts[0].lstrip() if texts else "", first_words(Words(), line))
    if turn and not turn.end and new.prompt_id and new.prompt_id == turn.prompt_id:
        turn.asked = first_words(turn.asked, line)
        return None
    return new


def _note_answer(turn: _OpenTurn, line: dict[str, Any], says_reasons: bool) -> bool:
    """Note an assistant's line in its turn; whether this client says why a message ended."""
    blocks, texts = content_of(line), _texts(line)
    at = _text(line.get("timestamp"))
    if line.get("isApiErrorMessage") is True:
        turn.end = (texts[-1] if texts else "", at, _text(line.get("error")) or "unknown")
        return says_reasons
    if is_synthetic(line):
        return says_reasons
    turn.edits.note(line)
    turn.words = texts[-1] if texts else turn.words
    message = line.get("message")
    reason = message.get("stop_reason") if isinstance(message, dict) else None
    is_final = reason in _ENDS or (reason is None and bool(texts) and not says_reasons)
    if any(block.get("type") == "tool_use" for block in blocks):
        is_final = False
    if is_final and turn.words:
        turn.end = (turn.words, at, None)
    elif texts or reason is not None:
        turn.end = None
    return says_reasons or reason is not None


def _newest_lines(backwards: Iterable[bytes]) -> list[dict[str, Any]]:
    """The lines from the newest prompt on that is no local command, in order."""
    lines: list[dict[str, Any]] = []
    opened: _OpenTurn | None = None
    for raw in backwards:
        line = json_object(raw)
        if line.get("type") == "user" and not line.get("isSidechain"):
            if opened and _text(line.get("promptId")) not in (None, opened.prompt_id):
                break
            new = _opened(line, None)
            if new and not new.is_command:
                opened = new
        lines.append(line)
        if opened and not opened.prompt_id:
            break
    lines.reverse()
    return lines if opened else []


def _lines(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """The parsed lines that may be messages."""
    while raw := file.readline(_LINE_LIMIT):
        if len(raw) == _LINE_LIMIT and not raw.endswith(b"\n"):
            while (rest := file.readline(_LINE_LIMIT)) and not rest.endswith(b"\n"):
                pass
        elif _is_message(raw) and (line := json_object(raw)):
            yield line


def _texts(line: dict[str, Any]) -> list[str]:
    """The texts of a message, which some clients write as one text and others as blocks."""
    message = line.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return [content] if content else []
    return [block["text"] for block in content_of(line) if isinstance(block.get("text"), str)]


def _is_interruption(line: dict[str, Any]) -> bool:
    return line.get("type") == "user" and any(
        text.startswith(_INTERRUPTED) for text in _texts(line)
    )


def _is_message(raw: bytes) -> bool:
    """Whether it is worth parsing: most bytes of a transcript are in other lines."""
    return b'"user"' in raw or b'"assistant"' in raw


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
