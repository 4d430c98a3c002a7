"""Which fields of an event's payload travel. Both sides take these and nothing else: the sender, so
that no path, prompt or output leaves by a field that no one thought of, and the receiver, because a
peer may send anything."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from fleet_lib.lines import listed

Clean = Callable[[str, int], str]  # (text, characters) -> one harmless line

_WORD = re.compile(r"[a-z_]{1,30}")
_LINE = 500
_LISTED = 20  # items of a list
_NUMBERS = ("revision", "moreDocs", "moreFiles", "jobId")
# {part of a payload: its fields}; a field is a text, a list of texts, or one of _NUMBERS.
_PARTS = {
    "briefing": (*("status", "impactLevel", "broadcastLevel", "revision", "summary", "question"),),
    "session": ("status", "detail"),
    "docDrift": ("docPath", "docs", "sources", "risk", "moreDocs"),
    "fileOverlap": ("files", "moreFiles"),
    "skill": ("path",),
    "job": ("jobId", "type", "status"),
    "error": ("message", "code"),
}
_TOP = ("status", "summary", "message")  # as other programs write them
_OF_TYPE = {
    "briefing_added": ("briefing",),
    "session_blocked": ("session",),
    "doc_drift_warning": ("docDrift",),
    "file_overlap": ("fileOverlap",),
    "skill_updated": ("skill",),
    "job_completed": ("job",),
    "error": ("error",),
}


def kept(type: str, payload: Mapping[str, Any], clean: Clean) -> dict[str, Any]:
    """The payload's fields that travel, each text cleaned."""
    result: dict[str, Any] = {}
    for part in _OF_TYPE.get(type, ()):
        given = payload.get(part)
        if isinstance(given, Mapping):
            result[part] = _fields(given, _PARTS[part], clean)
    # The prompt of a job, or its output, could be in these.
    if type != "job_completed":
        result |= _fields(payload, _TOP, clean)
    if type == "file_overlap":
        # The sender's own line names the neighbour by its title.
        overlap = result.get("fileOverlap", {})
        files = listed(overlap.get("files", []), 5, overlap.get("moreFiles", 0))
        result["line"] = f"{files or 'a file'}: touched by two sessions"
    return result


def _fields(given: Mapping[str, Any], names: tuple[str, ...], clean: Clean) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name in names:
        value = given.get(name)
        if name in _NUMBERS:
            if type(value) is int and 0 <= value < 2**53:
                result[name] = value
        elif name == "status":
            # It is shown as a word of Fleet's own, before what the session says.
            if isinstance(value, str) and _WORD.fullmatch(value):
                result[name] = value
        elif isinstance(value, str):
            result[name] = clean(value, _LINE)
        elif isinstance(value, list):
            result[name] = [clean(one, _LINE) for one in value[:_LISTED] if isinstance(one, str)]
    return result
