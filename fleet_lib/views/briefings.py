"""A briefing as a record for programs, and as markdown for a reader."""

import re
import sqlite3
from typing import Any

from fleet_lib.lines import summary_of, without_front_matter
from fleet_lib.machines import apart
from fleet_lib.records import as_dict
from fleet_lib.store.briefings import BriefingRecord, BriefingRepo
from fleet_lib.store.imports import ImportRepo

LISTS = ("blockers", "next_steps", "files_touched", "docs_touched", "warnings")


def briefing_record(connection: sqlite3.Connection, briefing: BriefingRecord) -> dict[str, Any]:
    """The whole briefing, and what is known of its turn; a briefing of another program has none."""
    turn = BriefingRepo(connection).turn_of(briefing.briefing_id)
    own_id, machine = apart(briefing.session_id)
    return as_dict(briefing) | {
        "session_id": own_id,
        **({"machine": machine} if machine else {}),
        "title": turn.title if turn else None,
        "summary": summary_of(turn.summary if turn else None, briefing.raw_markdown),
        "revision": turn.revision if turn else 1,
        "source": turn.source if turn else None,
        "facts_partial": turn.facts_partial if turn else None,
        "warnings": list(turn.warnings) if turn else [],
        "imported": ImportRepo(connection).is_imported(briefing.briefing_id),
    }


def ended_at(record: dict[str, Any]) -> str:
    return str(record["ended_at"] or record["created_at"])


def as_markdown(record: dict[str, Any]) -> str:
    """The briefing's text with its front matter in a code block: markdown would make a heading of
    it."""
    front, body = _split(record)
    if not front:
        return body
    fence = fence_for(front)
    return f"{fence}yaml\n{front.strip()}\n{fence}\n\n{body}"


def body_of(record: dict[str, Any]) -> str:
    """The briefing's text without its front matter."""
    raw = record["raw_markdown"]
    if record["source"] == "message" or not isinstance(raw, str):
        return without_front_matter(raw)
    return _split(record)[1]


def fence_for(text: str) -> str:
    """A code fence longer than any that the text holds."""
    return "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))


def _split(record: dict[str, Any]) -> tuple[str, str]:
    """(front matter without its dashes, body). A message has front matter only between dashes."""
    # Slow to import, and a list does not need it.
    from fleet_lib.turn.briefing_parser import split_front_matter

    front, body = split_front_matter(record["raw_markdown"], bare=record["source"] != "message")
    return front or "", body
