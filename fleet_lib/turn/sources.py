"""What a turn's words say, from each source that there is: a briefing block, a status file, the last
message. It is read beside the database, where another core has time for it; which source counts, the
database says (ingest/compose.py)."""

from __future__ import annotations

from fleet_lib.lines import state_words
from fleet_lib.records import Record
from fleet_lib.turn import briefing_parser, derive, status_file
from fleet_lib.turn.asks import question_of
from fleet_lib.turn.briefing_parser import Briefing
from fleet_lib.turn.stored_text import stored_text, stored_texts
from fleet_lib.turn.summary import summary_of

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from fleet_lib.levels import Status


class Source(Record):
    """What was written in one source, and what follows from it. Texts are as they are stored."""

    name: str  # block|status_file|message
    written: Briefing
    status: Status
    question: str | None  # what a turn that waits for its reader asks
    summary: str
    blockers: tuple[str, ...]
    next_steps: tuple[str, ...]


def sources_of(event: str, message: str, status: str | None) -> tuple[Source, ...]:
    """The sources of a turn, the first that counts first: after a status file, which may be an old
    one, comes the message. Both texts are redacted; `status` is the status file's, if there is
    one."""
    block = briefing_parser.find_block(message)
    if block is not None:
        return (_source("block", briefing_parser.parse(block), event, message),)
    found = None if status is None else status_file.read(status, message)
    of_message = briefing_parser.parse(message, bare_front_matter=False)
    return (
        *(() if found is None else (_source("status_file", found, event, message),)),
        _source("message", of_message, event, message),
    )


def _source(name: str, written: Briefing, event: str, message: str) -> Source:
    asked = question_of(message, surely=written.status == "waiting_for_input")
    status = written.status or derive.status_of(event, asked)
    is_waiting = status == "waiting_for_input"
    question = (stored_text(asked or "") or None) if is_waiting else None
    blockers = stored_texts(written.blockers or ())
    summary = _summary(name, written, question)
    summary = summary or next(iter(blockers), "") or f"(no message; {state_words(status)})"
    return Source(
        name,
        written,
        status,
        question,
        stored_text(summary, briefing_parser.SUMMARY_LIMIT),
        blockers,
        stored_texts(written.next_steps or ()),
    )


def _summary(name: str, written: Briefing, question: str | None) -> str:
    """What was written as the summary, else what the turn asks, else the first sentence that says
    something."""
    is_message = name == "message"
    front, body = briefing_parser.split_front_matter(written.raw_markdown, bare=not is_message)
    # In a message, a section with this name may hold a whole report.
    text = None if is_message and front is None else written.summary
    return text or question or summary_of(body)
