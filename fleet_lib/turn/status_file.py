"""The status file that a session keeps beside its work. The original system makes a skeleton of one
at every start and fills it in later, or never: a skeleton is no briefing."""

from fleet_lib.lazy import lazy
from fleet_lib.records import replace
from fleet_lib.turn.asks import question_of
from fleet_lib.turn.briefing_parser import (
    LISTS,
    Briefing,
    is_placeholder,
    limited,
    parse,
    split_front_matter,
)
from fleet_lib.turn.summary import summary_of

# The statuses that no program writes before the turn has ended.
_TELLING = ("blocked", "failed", "waiting_for_input")
_HEADING = lazy(r"^[ \t]*(?:#{1,6}(?:[ \t]|$)|[=\-*_]{3,}[ \t]*$)")
_COMMENT = lazy(r"(?s)<!--.*?(?:-->|\Z)")


def read(text: str, message: str) -> Briefing | None:
    """The briefing of a status file, with the last message as the end of its text; None if the file
    says nothing. Both texts are redacted."""
    briefing = parse(text)
    own_words = _own_words(text)
    is_telling = briefing.status in _TELLING or any(getattr(briefing, name) for name in LISTS)
    if not (briefing.summary or own_words or is_telling):
        return None
    summary = briefing.summary or summary_of(own_words) or _summary(message)
    raw = briefing.raw_markdown.rstrip()
    if message.strip():
        raw = f"{raw}\n\n## Last message\n\n{message}"
    return replace(briefing, summary=summary, raw_markdown=limited(raw))


def _summary(message: str) -> str | None:
    """What stands for the last message."""
    return question_of(message) or summary_of(message) or None


def _own_words(text: str) -> str:
    """The first line of the file's body that is no heading and no placeholder; "" if all are."""
    _, body = split_front_matter(text.replace("\r\n", "\n"), bare=True)
    for line in _COMMENT.sub("", body).splitlines():
        if not _HEADING.match(line) and not is_placeholder(line):
            return line
    return ""
