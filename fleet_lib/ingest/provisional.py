"""Turns whose own background agents still run: their briefings are silent and their sessions
working, until the last agent has ended. A process that ended, or six hours, end the wait, too.

Code that learns in another way that a session's process is gone calls `session_ended`."""

from __future__ import annotations

from collections.abc import Mapping

from fleet_lib.ingest import news, overlap
from fleet_lib.ingest.compose import meaning_of
from fleet_lib.ingest.news import News
from fleet_lib.ingest.turn_events import TurnEvents
from fleet_lib.records import replace
from fleet_lib.store.background import ProvisionalTurn
from fleet_lib.store.briefings import FIELDS, BriefingRecord, Turn
from fleet_lib.store.repos import Repos
from fleet_lib.turn.prepared import Prepared

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

WAIT_SECONDS = 6 * 3600


def agents_at_work(repos: Repos, prepared: Prepared) -> tuple[str, ...]:
    """The agents that this Stop's own turn started and that still run, as far as is known today:
    a later Stop or the session's end may have been applied before this one."""
    session_id, turn_key = prepared.session_id, prepared.turn_key
    if prepared.entry.event != "Stop" or not prepared.agents:
        return ()
    own = {agent for agent, turn in prepared.agents.items() if turn == turn_key}
    unknown = {agent for agent, turn in prepared.agents.items() if not turn}
    # No file says who started these: the first turn that left them running did.
    own |= unknown - repos.background.listed_before(session_id, turn_key, unknown)
    later = repos.background.agents_after(session_id, prepared.received_at)
    is_over = repos.background.end_of(session_id) >= prepared.received_at
    if is_over or (later is not None and not own & later):
        return ()
    return tuple(agent for agent in prepared.agents if agent in own)


def silenced(
    fields: dict[str, Any], derived: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A briefing's fields, and which were derived, as they are stored while agents run."""
    silent = {"broadcast_level": "silent"}
    is_derived = derived.get("broadcast_level") is not None
    return fields | silent, {**derived, **(silent if is_derived else {})}


def real_level(
    record: BriefingRecord, derived: Mapping[str, Any], found: News | None
) -> tuple[BriefingRecord, dict[str, Any]]:
    """The opposite: a provisional briefing with its real level. One that a reader has set stays."""
    derived = dict(derived)
    was_set = derived.get("broadcast_level", "silent") is None
    if found is None or was_set or record.broadcast_level != "silent":
        return record, derived
    if derived.get("broadcast_level") == "silent":
        derived["broadcast_level"] = found.broadcast_level
    return replace(record, broadcast_level=found.broadcast_level), derived


def fields_of(record: BriefingRecord) -> dict[str, Any]:
    """A stored briefing's fields, to be written again."""
    return {name: getattr(record, name) for name in FIELDS}


def stop_seen(repos: Repos, prepared: Prepared) -> None:
    """Settle the session's other turns none of whose agents runs at this Stop."""
    if prepared.entry.event != "Stop":
        return
    running = set(prepared.payload.background_tasks or ())
    for turn in repos.background.provisional(prepared.session_id):
        is_other = turn.turn_key != prepared.turn_key
        if is_other and turn.since < prepared.received_at and not running.intersection(turn.agents):
            settle(repos, turn, prepared.received_at)


def session_ended(repos: Repos, session_id: str, at: str) -> None:
    """The session's process ended at that time (ISO), or a new one began: no agent runs any more."""
    repos.background.note_end(session_id, at)
    for turn in repos.background.provisional(session_id):
        if turn.since <= at:
            settle(repos, turn, at)


def settle_old(repos: Repos, before: str, now: str) -> None:
    """Settle the turns whose last Stop was received before that time (ISO)."""
    for turn in repos.background.provisional_since(before):
        settle(repos, turn, now)


def settle(repos: Repos, held: ProvisionalTurn, at: str) -> None:
    """The turn is at its end: its last words stand, with their real level, and are announced."""
    repos.background.release(held.session_id, held.turn_key)
    turn = repos.briefings.get_turn(held.session_id, held.turn_key)
    before = repos.briefings.get(turn.briefing_id) if turn else None
    if turn is None or before is None:
        return
    found = News.from_json(held.news)
    record, derived = real_level(before, repos.derivations.get(before.briefing_id), found)
    repos.briefings.update(before.briefing_id, **fields_of(record))
    repos.derivations.save(before.briefing_id, derived, changed_something=found.changed_something)
    event_id = announce_stored(repos, turn, found, at)
    session = repos.sessions.get(held.session_id)
    if session and (session.briefing_id, session.state, session.state_at) == (
        before.briefing_id,
        "working",
        held.since,
    ):
        state: Any = before.status  # each status is a state, too
        repos.sessions.save(replace(session, state=state, event_id=event_id or session.event_id))


def announce_stored(repos: Repos, turn: Turn, found: News | None, at: str) -> int | None:
    """Announce a turn as its briefing is stored now, if that is news; the id of the event."""
    record = repos.briefings.get(turn.briefing_id)
    assert record is not None
    fields = fields_of(record)
    events = TurnEvents(
        repos.outbox,
        project_id=record.project_id,
        briefing_id=record.briefing_id,
        session_id=record.session_id,
        ts=at,
    )
    event_id = None
    meaning = meaning_of(turn.summary, fields, turn.question)
    if repos.imports.is_imported(record.briefing_id):
        # History: nothing of it is announced.
        repos.briefings.save_turn(replace(turn, meaning=meaning))
        return None
    if meaning != turn.meaning:
        turn = replace(turn, revision=turn.revision + 1, meaning=meaning)
        repos.briefings.save_turn(turn)
        event_id = events.briefing(turn.revision, turn.summary, fields, turn.question)
    if found:
        news.announce(repos, events, record.project_id, found)
    touched = (*record.files_touched, *record.docs_touched)
    overlap.announce(repos, events, turn.session_id, touched, at)
    return event_id


def is_waiting(repos: Repos, session_id: str) -> bool:
    """Whether a turn of the session waits for its agents."""
    return bool(repos.background.provisional(session_id))
