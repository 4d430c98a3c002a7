"""To which turn a prompt belongs. Claude Code opens prompts itself, when a background agent has
ended or a teammate has written; they are follow-ups of the turn that started the agent."""

from __future__ import annotations

import os

from fleet_lib.compiled import compiled
from fleet_lib.files import open_regular
from fleet_lib.json_text import json_object
from fleet_lib.lazy import lazy
from fleet_lib.records import Record
from fleet_lib.text import storable
from fleet_lib.turn import transcript as transcripts
from fleet_lib.turn.payload import ID_LIMIT

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

_TEXTS = ("<task-notification>", "<teammate-message>", "<teammate-message ")
_TASK_ID = lazy(r"<task-id>\s*([\w-]{1,200})\s*</task-id>")
_TEXT_LIMIT = 100_000  # characters of a prompt that are searched for agents
_AGENT_LIMIT = 1 << 20  # bytes of an agent's transcript in which its prompt must be named
_DEPTH = 100  # follow-ups of follow-ups


class Place(Record):
    """What the transcript says about where a prompt belongs."""

    turn: str  # the prompt that opened the turn: this one itself unless it is a follow-up
    between: tuple[str, ...] = ()  # the follow-ups between the two, the nearest to this one first
    is_seen: bool = True  # False: the transcript does not have the prompt (yet)


def place_of(transcript: str, prompt_id: str, opening: dict[str, Any] | None = None) -> Place:
    """Where a prompt belongs. `opening` is its line, if the caller has read it."""
    chain = [prompt_id]
    line = opening_line(transcript, prompt_id) if opening is None else opening
    is_seen = bool(line)
    while is_follow_up(line) and len(chain) < _DEPTH:
        parent = _parent(transcript, chain[-1], line)
        if parent is None or parent in chain:
            break
        chain.append(parent)
        line = opening_line(transcript, parent)
    return Place(chain[-1], tuple(chain[1:-1]), is_seen)


def turn_of_agent(transcript: str, agent_id: str) -> str:
    """The prompt that opened the turn which started this agent; "" if no file says it."""
    prompt = _prompt_of_agent(transcript, agent_id)
    return place_of(transcript, prompt).turn if prompt else ""


def opening_line(transcript: str, prompt_id: str) -> dict[str, Any]:
    """The line of the transcript that holds the prompt; empty if it is not there."""
    lines = transcripts.turn_lines(transcript, prompt_id) or []
    return next((line for line in lines if transcripts.opens_turn(line)), {})


def is_follow_up(opening: dict[str, Any]) -> bool:
    """Whether Claude Code itself opened the prompt that this line holds."""
    if opening.get("turnOrigin") == "task_notification":
        return True
    return _text(opening).lstrip().startswith(_TEXTS)


def _parent(transcript: str, prompt_id: str, opening: dict[str, Any]) -> str | None:
    """The prompt whose turn started the agent that is named; without one, the turn before."""
    for found in _TASK_ID.finditer(_text(opening)[:_TEXT_LIMIT]):
        if prompt := _prompt_of_agent(transcript, found[1]):
            return prompt
    return _prompt_before(transcript, prompt_id)


def _prompt_of_agent(transcript: str, agent_id: str) -> str | None:
    """The promptId of the first line of an agent's transcript that has one."""
    if not compiled(r"[\w-]{1,200}").fullmatch(agent_id):
        return None
    path = f"{transcript.removesuffix('.jsonl')}/subagents/agent-{agent_id}.jsonl"
    with open_regular(path) as descriptor:
        if descriptor is None:
            return None
        for raw in os.pread(descriptor, _AGENT_LIMIT, 0).split(b"\n"):
            prompt = json_object(raw).get("promptId")
            if _is_id(prompt):
                return str(prompt)
    return None


def _prompt_before(transcript: str, prompt_id: str) -> str | None:
    """The last prompt before this one that was answered: a local command is no turn."""
    with open_regular(transcript) as descriptor:
        if descriptor is None:
            return None
        is_before = is_answered = False
        for raw in transcripts.lines_backwards(descriptor):
            line = json_object(raw)
            if line.get("type") == "assistant":
                is_answered = is_answered or not transcripts.is_synthetic(line)
            prompt = line.get("promptId") if line.get("type") == "user" else None
            if prompt == prompt_id:
                is_before, is_answered = True, False
            elif is_before and is_answered and _is_id(prompt):
                return str(prompt)
    return None


def _is_id(prompt: object) -> bool:
    return isinstance(prompt, str) and 0 < len(prompt) <= ID_LIMIT and prompt == storable(prompt)


def _text(line: dict[str, Any]) -> str:
    message = line.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    texts = [block.get("text") for block in blocks if isinstance(block, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))
