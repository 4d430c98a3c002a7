"""A finished turn to rows: its briefing, its events, and the state that it leaves its session in."""

from dataclasses import replace
from typing import Any

from fleet_lib.ingest import news as turn_news
from fleet_lib.ingest import placing, provisional
from fleet_lib.ingest.compose import ComposedTurn, compose, head_of
from fleet_lib.ingest.news import News, news_of
from fleet_lib.ingest.project import ProjectFinder
from fleet_lib.ingest.sessions import new_session
from fleet_lib.ingest.turn_events import TurnEvents
from fleet_lib.store.background import ProvisionalTurn
from fleet_lib.store.briefings import BriefingRecord, Turn
from fleet_lib.store.repos import Repos
from fleet_lib.store.sessions import Session
from fleet_lib.turn.prepare import Prepared
from fleet_lib.turn.stored_text import storable, stored_text


def apply_turn_end(repos: Repos, projects: ProjectFinder, prepared: Prepared) -> str:
    """Apply a Stop or StopFailure and say in a few words what it became."""
    prepared = placing.place(repos, prepared)
    session_id, turn_key = prepared.session_id, prepared.turn_key
    stored = repos.briefings.get_turn(session_id, turn_key)
    # Without a prompt_id the turn is the transcript's last one, which an earlier payload may already have
    # reported. (In a turn that no payload reported, the same bytes are news: old clients' all look alike.)
    is_replayed = (
        prepared.payload.prompt_id is None
        and stored is not None
        and repos.briefings.has_input(session_id, prepared.digest)
    )
    if is_replayed or not repos.briefings.mark_seen(session_id, turn_key, prepared.digest):
        return "unchanged: this payload was applied before"
    if stored and prepared.received_at < stored.stopped_at:
        files, started_at = prepared.edited_files, prepared.turn_started_at
        placing.add_files(repos, stored, files, started_at, prepared.received_at)
        return f"briefing #{stored.briefing_id}: later words of this turn stand"
    before = repos.briefings.get(stored.briefing_id) if stored else None
    known = repos.sessions.get(session_id)
    derived_before = repos.derivations.get(before.briefing_id) if before else {}
    project_id = projects.project_of(prepared, known)
    turn = compose(prepared, project_id, known, before, derived_before)
    held = repos.background.release(session_id, turn_key)
    announced = before.files_touched if before else ()
    news = news_of(prepared, turn, announced, News.from_json(held.news) if held else None)
    # What needs a person counts at once, whether agents run or not.
    agents = provisional.agents_at_work(repos, prepared) if turn.status == "completed" else ()

    record = _store(repos, prepared, turn, stored, before, is_provisional=bool(agents))
    repos.projects.restore(project_id)
    is_news = not agents and (stored is None or stored.revision != record.revision)
    event_id = known.event_id if known and not agents else None
    if agents:
        repos.background.hold(
            ProvisionalTurn(session_id, turn_key, prepared.received_at, agents, news.to_json())
        )
    elif is_news:
        event_id = _announce(repos, prepared, turn, record, before, news)
    session = known or new_session(repos, projects, prepared)
    if prepared.received_at >= session.state_at:
        after = _session_after(session, prepared, turn, record, event_id)
        repos.sessions.save(replace(after, state="working") if agents else after)
    provisional.stop_seen(repos, prepared)
    word = "same" if not is_news else "new" if stored is None else f"revision {record.revision}"
    word = f"its agents still run: {len(agents)}" if agents else word
    return f"briefing #{record.briefing_id} ({word}, {turn.status}) of {project_id}"


def _store(
    repos: Repos,
    prepared: Prepared,
    turn: ComposedTurn,
    stored: Turn | None,
    before: BriefingRecord | None,
    *,
    is_provisional: bool,
) -> Turn:
    """Write the briefing and the record that ties the turn to it. A provisional one is silent, and its
    record stays as it was last announced."""
    taken = repos.briefings.find_same(**turn.fields())
    if taken is not None and taken != (before.briefing_id if before else None):
        # The worker wrote the task and time of another turn again; this is a turn of its own all the same.
        turn = replace(turn, task_id=turn.turn_key, ended_at=prepared.received_at)
    fields, derived = dict[str, Any](turn.fields()), turn.derived
    revision, meaning = (stored.revision, stored.meaning) if stored else (0, "")
    if is_provisional:
        fields, derived = provisional.silenced(fields, derived)
    else:
        revision, meaning = revision + (turn.meaning != meaning), turn.meaning
    if before:
        briefing_id = before.briefing_id
        repos.briefings.update(briefing_id, **fields)
    else:
        briefing_id = repos.briefings.insert(**fields)
    has_changes = bool(turn.files_touched or turn.docs_touched) and not is_provisional
    repos.derivations.save(
        briefing_id,
        derived,
        changed_something=prepared.entry.event == "Stop" and has_changes,
    )
    record = Turn(
        session_id=turn.session_id,
        turn_key=turn.turn_key,
        briefing_id=briefing_id,
        revision=revision,
        summary=turn.summary,
        meaning=meaning,
        source=turn.source,
        facts_partial=prepared.turn.partial,
        warnings=turn.warnings,
        stopped_at=prepared.received_at,
        agents=prepared.payload.background_tasks if prepared.entry.event == "Stop" else None,
        is_placed=prepared.is_placed,
    )
    repos.briefings.save_turn(record)
    return record


def _announce(
    repos: Repos,
    prepared: Prepared,
    turn: ComposedTurn,
    record: Turn,
    before: BriefingRecord | None,
    news: News,
) -> int:
    """Add the turn's events; the id of the one that says what state the session is in."""
    events = TurnEvents(
        repos.outbox,
        project_id=turn.project_id,
        briefing_id=record.briefing_id,
        session_id=turn.session_id,
        ts=prepared.received_at,
    )
    fields = turn.fields()
    state_event = events.briefing(record.revision, turn.summary, fields)
    if turn.status == "blocked" and (before is None or before.status != "blocked"):
        state_event = events.blocked(turn.summary, fields)
    if prepared.entry.event == "StopFailure":
        code = stored_text(prepared.payload.error or "unknown", 100)
        events.add("error", "highlight", {"error": {"message": turn.summary, "code": code}})
    turn_news.announce(repos, events, turn.project_id, news)
    return state_event


def _session_after(
    session: Session,
    prepared: Prepared,
    turn: ComposedTurn,
    record: Turn,
    event_id: int | None,
) -> Session:
    """The session's state once the turn ended. A session that was seen since stays so, and its HEAD.
    Not `ended_at`: in `-p` a StopFailure may come after the
    SessionEnd, and only a SessionStart brings a session back."""
    session = replace(
        session,
        project_id=turn.project_id,
        folder=storable(prepared.folder) or session.folder,
        state=turn.status,
        state_at=prepared.received_at,
        detail=turn.detail,
        briefing_id=record.briefing_id,
        event_id=event_id,
    )
    if prepared.received_at >= session.last_seen_at:
        head, head_at = head_of(prepared)
        at = prepared.received_at
        session = replace(session, last_seen_at=at, head_commit=head, head_at=head_at)
    if turn.status_digest:
        session = replace(session, status_digest=turn.status_digest, status_turn=turn.turn_key)
    return session
