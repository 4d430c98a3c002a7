"""An event in one line and a briefing in one line, by one rule for every reader. Hot path.

An event's line is written into its payload, as `line`, when the event is made (store/outbox.py).
Events of other programs and of earlier versions have none: readers derive it by the same rule,
from the payload in Python or in SQL."""

from fleet_lib.text import one_line

TYPE_CHECKING = False  # mypy knows the name; typing itself would cost more than the whole hook
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LINE_LIMIT = 500  # characters
_BEGINNING = 200  # characters of a briefing's text that stand for its missing summary
_SOURCES = 8  # files that a drift warning without a document names
DOCUMENTS_NAMED = 5  # in one drift warning: a reader wants a handful, the rest is counted
_NO_DOCUMENT = "the session named none"  # its author wrote only that the risk is high
_STARTED = "a session started"

# States and statuses that have another word on a screen; any other is shown as it is, without `_`.
# The dashboard has the same words in commander/gateway/static/words.js.
STATE_WORDS = {
    "waiting_for_permission": "needs permission",
    "waiting_for_input": "asks you",
    "completed": "done",
}

# Where a payload has the status of what the event is about; the first that is a text.
_STATUS_PLACES = (
    *(("briefing", "status"), ("session", "status"), ("job", "status"), ("status",)),
    ("colleague", "status"),  # which makes no alert
)

# The name of the project `p`: its repository's, or its id if several projects share that name.
PROJECT_NAME = (
    # One of another machine alone, whose id ends in `@laptop`, makes no other name unclear.
    "CASE WHEN instr(p.project_id, '@') > 0"
    " THEN p.repo_name || substr(p.project_id, instr(p.project_id, '@')) WHEN (SELECT count(*) FROM projects q"
    " WHERE q.repo_name = p.repo_name AND instr(q.project_id, '@') = 0) = 1"
    " THEN p.repo_name ELSE p.project_id END"
)

# Where a payload has the words that say what happened; the first that is a text is the line. The
# documents of a drift warning come right after a line that was written.
_WRITTEN = (("line",),)
_PLACES = (
    ("briefing", "question"),
    ("briefing", "summary"),
    ("error", "message"),
    ("session", "detail"),
    ("docDrift", "docPath"),
    ("skill", "path"),
    ("job", "error"),
    ("job", "summary"),
    ("summary",),
    ("message",),
    ("job", "type"),
)


def line_of(type: str, payload: "Mapping[str, object]") -> str:
    """The event in one line; "" if the payload has no words for one."""
    words = _first_text(payload, _WRITTEN) or _documents(payload) or _first_text(payload, _PLACES)
    if words:
        return one_line(words, LINE_LIMIT)
    drift = payload.get("docDrift")
    if isinstance(drift, dict):
        sources = drift.get("sources")
        files = sources if isinstance(sources, list) else []
        named = [file for file in files if isinstance(file, str)][:_SOURCES]
        return one_line(f"those about {', '.join(named)}" if named else _NO_DOCUMENT, LINE_LIMIT)
    return _STARTED if type == "session_started" else ""


def _documents(payload: "Mapping[str, object]") -> str:
    """The documents that a drift warning names, a handful of them; earlier versions named one."""
    drift = payload.get("docDrift")
    docs = drift.get("docs") if isinstance(drift, dict) else None
    named = [doc for doc in docs if isinstance(doc, str) and doc] if isinstance(docs, list) else []
    more = drift.get("moreDocs") if isinstance(drift, dict) else 0
    return listed(named, DOCUMENTS_NAMED, max(more, 0) if type(more) is int else 0)


def listed(names: "Sequence[str]", limit: int, more: int = 0) -> str:
    """`a, b and 3 more`: the first of these names, and how many there are beside. `more` were left
    out before."""
    shown, rest = ", ".join(names[:limit]), len(names[limit:]) + more
    return f"{shown} and {rest} more" if shown and rest else shown


def event_status(payload: "Mapping[str, object]") -> str:
    """The status of the briefing, session or job that the event is about, or ""."""
    return _first_text(payload, _STATUS_PLACES)


def state_words(value: object) -> str:
    """A state or status of the database in the words of a screen."""
    name = str(value)
    return STATE_WORDS.get(name, name.replace("_", " "))


def _first_text(payload: "Mapping[str, object]", places: "tuple[tuple[str, ...], ...]") -> str:
    for place in places:
        value: object = payload
        for name in place:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str) and value:
            return value
    return ""


def _sql_of(places: "tuple[tuple[str, ...], ...]") -> str:
    """`_first_text` in SQL: the arguments of a `coalesce`."""
    paths = ["'$." + ".".join(place) + "'" for place in places]
    return ", ".join(
        [
            f"CASE json_type(j, {path}) WHEN 'text' THEN nullif(json_extract(j, {path}), '') END"
            for path in paths
        ]
    )


# `event_status` in SQL; NULL if there is none. `j` is as below. rules.STATUS knows fewer places,
# because an index has it letter for letter.
EVENT_STATUS = f"coalesce({_sql_of(_STATUS_PLACES)})"


# `_documents` in SQL. Asked first whether there are any: the rest costs more than all other places.
_DOCS = (
    "FROM json_each(CASE WHEN json_type(j, '$.docDrift.docs') = 'array' THEN j END,"
    " '$.docDrift.docs') WHERE type = 'text' AND value <> ''"
)
_DOCUMENTS_SQL = f"""CASE WHEN json_type(j, '$.docDrift.docs') = 'array' THEN (SELECT group_concat(value, ', ') FROM (SELECT value {_DOCS} LIMIT {DOCUMENTS_NAMED}))
    || (SELECT CASE WHEN rest > 0 THEN ' and ' || rest || ' more' ELSE '' END FROM (SELECT
      max(count(*) - {DOCUMENTS_NAMED}, 0) + CASE json_type(j, '$.docDrift.moreDocs') WHEN 'integer'
        THEN max(json_extract(j, '$.docDrift.moreDocs'), 0) ELSE 0 END AS rest {_DOCS})) END"""

# The line that was written into the payload, in SQL; NULL if none was.
WRITTEN_LINE = _sql_of(_WRITTEN)

# `line_of` in SQL, not yet cut to one line: `j` is the payload if it is JSON, else NULL; `type` is
# the event's. NULL if there are no words.
EVENT_LINE = f"""coalesce({WRITTEN_LINE}, {_DOCUMENTS_SQL}, {_sql_of(_PLACES)},
    CASE WHEN json_type(j, '$.docDrift') = 'object' THEN coalesce('those about ' ||
      (SELECT group_concat(value, ', ') FROM (SELECT value FROM json_each(
        CASE WHEN json_type(j, '$.docDrift.sources') = 'array' THEN j END, '$.docDrift.sources')
        WHERE type = 'text' LIMIT {_SOURCES})), '{_NO_DOCUMENT}') END,
    CASE WHEN j IS NOT NULL AND type = 'session_started' THEN '{_STARTED}' END)"""

# The summary of the briefing `b`, or the beginning of its text: `without_front_matter` comes after.
BRIEFING_SUMMARY = (
    "coalesce((SELECT t.summary FROM turns t WHERE t.briefing_id = b.briefing_id LIMIT 1),"
    " substr(b.raw_markdown, 1, 2000))"
)


def summary_of(turn_summary: "str | None", raw_markdown: object) -> str:
    """A briefing in one line: its turn's summary, else the beginning of its text."""
    if turn_summary is not None:
        return turn_summary
    return one_line(without_front_matter(raw_markdown), _BEGINNING)


def without_front_matter(raw_markdown: object) -> str:
    """The text after its front matter; the whole text if nothing comes after it, or if its end is
    not in the text. Other programs store values of any type."""
    if isinstance(raw_markdown, bytes):
        raw_markdown = raw_markdown.decode("utf-8", "replace")
    text = raw_markdown if isinstance(raw_markdown, str) else str(raw_markdown or "")
    lines = text.lstrip("\ufeff \t\r\n").split("\n")
    if lines[0].rstrip() != "---":
        return text
    for number, line in enumerate(lines[1:], 2):
        if line.rstrip() == "---":
            return "\n".join(lines[number:]).strip() or text
    return text
