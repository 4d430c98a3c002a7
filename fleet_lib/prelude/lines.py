"""The parts of a prelude's line: the project's name, what happened, the words, and when."""

from fleet_lib.lines import PROJECT_NAME, state_words
from fleet_lib.prelude.database import sqlite3
from fleet_lib.prelude.events import Event
from fleet_lib.text import clean

WORDS_LIMIT = 220  # characters of an event's own words in one line


class Names:
    """A project's name by its id, for one prelude."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: dict[str | None, str] = {None: "-"}

    def __call__(self, project_id: "str | None") -> str:
        if project_id not in self._known:
            row = self._connection.execute(
                f"SELECT {PROJECT_NAME} FROM projects p WHERE project_id = ?", (project_id,)
            ).fetchone()
            self._known[project_id] = clean(row[0] if row else project_id, 50)
        return self._known[project_id]


def place(names: Names, event: Event) -> str:
    """The project of the event, with the machine if that is another one: `web@laptop`."""
    if not event.machine:
        return names(event.project_id)
    from fleet_lib.machines import at

    return at(names(event.project_id), clean(event.machine, 40))


def event_line(names: Names, event: Event) -> str:
    words = event_text(event, WORDS_LIMIT)
    return (
        f"- {event.label()} {place(names, event)} · {kind_of(event)}: {words} · {minute(event.ts)}"
    )


def kind_of(event: Event) -> str:
    """What happened, in a word or two."""
    if event.unreadable:
        return clean(event.type, 30)
    if event.type == "briefing_added":
        return state_in_words(event.status or "briefing")
    if event.type == "colleague_news":
        return state_in_words(event.status or "news")
    if event.type == "session_blocked":
        return state_in_words(event.status or "blocked")
    if event.type == "job_completed":
        return f"job {clean(event.job_id, 12)} {state_in_words(event.status or 'completed')}"
    return state_in_words(event.type)


def event_text(event: Event, limit: int) -> str:
    if event.unreadable:
        return f"its payload is unreadable (event {event.event_id})"
    return clean(event.text, limit) or "no text"


def is_briefing(event: Event) -> bool:
    return event.briefing_id is not None and event.type == "briefing_added"


def state_in_words(name: object) -> str:
    """A value of the database, such as `waiting_for_input`, in the words of a screen."""
    return clean(state_words(name), 30)


def minute(ts: object) -> str:
    """`2026-11-23T06:55:16.123Z` as `2026-11-23 06:55Z`; another program's form is cut."""
    text = clean(ts, 30)
    return text[:10] + " " + text[11:16] + "Z" if text[10:11] == "T" else text[:16]
