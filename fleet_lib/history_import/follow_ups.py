"""Turns and their follow-ups, made one. Claude Code opens a prompt itself when a background agent
has ended or a teammate has written; it belongs to the turn that started the agent, else to the turn
before it."""

from collections.abc import Iterable

from fleet_lib.files import open_regular
from fleet_lib.json_text import json_object
from fleet_lib.records import replace
from fleet_lib.turn.transcript_turns import FinishedTurn

_AGENT_LINES_LIMIT = 1 << 20  # bytes of an agent's transcript in which its prompt must be named


def merged(turns: Iterable[FinishedTurn], transcript: str) -> list[FinishedTurn]:
    """The turns of one transcript, each with the last words of its follow-ups. One whose first turn
    is not there stays a turn of its own."""
    found: list[FinishedTurn] = []
    places: dict[str, int] = {}  # of every turn and follow-up, in `found`
    before = -1
    for turn in turns:
        place = -1
        if turn.is_follow_up:
            starters = (_prompt_of_agent(transcript, agent) for agent in turn.agents)
            place = next((places[prompt] for prompt in starters if prompt in places), before)
        if place < 0:
            place = len(found)
            found.append(turn)
        else:
            found[place] = _with_follow_up(found[place], turn)
        places[turn.turn_key] = before = place
    return found


def _with_follow_up(turn: FinishedTurn, last: FinishedTurn) -> FinishedTurn:
    return replace(
        turn,
        ended_at=last.ended_at,
        message=last.message,
        error=last.error,
        files=tuple(dict.fromkeys([*turn.files, *last.files])),
        is_last=last.is_last,
    )


def _prompt_of_agent(transcript: str, agent: str) -> str:
    """The prompt of the turn that started an agent; "" if no file says it."""
    path = f"{transcript.removesuffix('.jsonl')}/subagents/agent-{agent}.jsonl"
    with open_regular(path) as descriptor:
        if descriptor is None:
            return ""
        with open(descriptor, "rb", closefd=False) as file:
            for raw in file.readlines(_AGENT_LINES_LIMIT):
                prompt = json_object(raw).get("promptId")
                if isinstance(prompt, str) and prompt:
                    return prompt
    return ""
