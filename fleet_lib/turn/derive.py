"""Fields of a briefing that the worker did not write, derived without a model. Pure functions."""

import re
from collections.abc import Sequence

from fleet_lib.levels import BroadcastLevel, DocDriftRisk, ImpactLevel, Status

_MINOR_FILES, _MODERATE_FILES = 5, 20
_BROADCAST: dict[ImpactLevel, BroadcastLevel] = {
    "trivial": "silent",
    "minor": "mention",
    "moderate": "mention",
    "major": "highlight",
}
_MARKS = "*_`)\"'”’ "  # what may stand around a sentence
_OPENING_MARKS = "*_`(\"'“‘ "
_QUESTION_MARKS = ("?", "？")
_QUESTION_LINES = 30  # a sentence is not longer
_FENCED = re.compile(r"^[ >]*(`{3,}|~{3,}).*?(?:^[ >]*\1[`~]*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_LINE_MARK = re.compile(r"\s*(?:[-*+>]|#{1,6}|\d{1,3}[.)])\s+")
_SENTENCE_END = re.compile(r"[.!?…][*_`)\"'”’]*\s+|[。！？][*_`)\"'”’」』]*\s*")


def status_of(event: str, message: str) -> Status:
    """status by the event that ended the turn and, where that was a Stop, by its last message."""
    if event == "StopFailure":
        return "failed"
    return "waiting_for_input" if _is_question(message) else "completed"


def question_of(message: str) -> str | None:
    """The sentence that asks: the last one of the last paragraph that ends as a question. Code is
    no paragraph. None if no paragraph asks."""
    for paragraph in reversed(re.split(r"\n\s*\n", _FENCED.sub("\n\n", message))):
        if not _is_question(paragraph):
            continue
        sentence = ""
        for line in paragraph.strip().splitlines()[-_QUESTION_LINES:]:
            mark = _LINE_MARK.match(line)
            # A wrapped line goes on with the sentence; an item of a list begins another.
            sentence = line[mark.end() :] if mark else f"{sentence} {line}"
        bare = sentence.rstrip().rstrip(_MARKS)
        starts = [found.end() for found in _SENTENCE_END.finditer(bare) if found.end() < len(bare)]
        return bare[starts[-1] if starts else 0 :].strip(_MARKS + _OPENING_MARKS)
    return None


def _is_question(text: str) -> bool:
    return text.rstrip().rstrip(_MARKS).endswith(_QUESTION_MARKS)


def impact_of(files: Sequence[str]) -> ImpactLevel:
    """impact_level by the number of files touched."""
    if not files:
        return "trivial"
    if len(files) <= _MINOR_FILES:
        return "minor"
    return "moderate" if len(files) <= _MODERATE_FILES else "major"


def broadcast_of(impact: ImpactLevel, status: Status) -> BroadcastLevel:
    """broadcast_level by impact_level; a turn that waits for a person is never silent."""
    level = _BROADCAST[impact]
    return "mention" if level == "silent" and status != "completed" else level


def risk_of(stale_documents: int) -> DocDriftRisk:
    """doc_drift_risk by the number of documents that mention a touched file and were not touched."""
    if stale_documents == 0:
        return "low"
    return "medium" if stale_documents == 1 else "high"
