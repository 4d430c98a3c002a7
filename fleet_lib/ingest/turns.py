"""A finished turn to rows: its briefing, its events, and the state that it leaves its session in."""

from __future__ import annotations

from fleet_lib import clock
from fleet_lib.ingest import news as turn_news
from fleet_lib.ingest import overlap, permissions, placing, provisional
from fleet_lib.ingest.compose import ComposedTurn, compose, head_of, meaning_of
from fleet_lib.ingest.news import News, news_of
from fleet_lib.ingest.project import ProjectFinder
from fleet_lib.ingest.sessions import end_after_event, new_session, seen_until
from fleet_lib.ingest.turn_events import TurnEvents
from fleet_lib.records import replace
from fleet_lib.store.background import ProvisionalTurn
from fleet_lib.store.briefings import BriefingRecord, Turn
from fleet_lib.store.repos import Repos
from fleet_lib.store.sessions import Session
from fleet_lib.text import storable
from fleet_lib.turn.prepared import Prepared
from fleet_lib.turn.stored_text import stored_paths, stored_text
from fleet_lib.turn.title import title_or

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any


def apply_turn_end(repos: Repos, projects: ProjectFinder, prepared: Prepared) -> str:
    """Apply a Stop or StopFailure and say in a few words what it became."""
    prepared = placing.place(repos, prepared)
    session_id, turn_key = prepared.session_id, prepared.turn_key
    stored = repos.briefings.get_turn(session_id, turn_key)
    if reason := _seen_before(repos, prepared, stored):
        return f"unchanged: {reason}"
    before = repos.briefings.get(stored.briefing_id) if stored else None
    if stored and before and _is_late(prepared, stored):
        _add_files(repos, prepared, stored, before)
        return f"briefing #{stored.briefing_id}: later words of this turn stand"
    known = repos.sessions.get(session_id)
    derived_before = repos.derivations.get(before.briefing_id) if before else {}
    project_id = projects.project_of(prepared, known)
    turn = compose(prepared, project_id, known, before, derived_before)
    held = repos.background.release(session_id, turn_key)
    announced = before.files_touched if before else ()
    news = news_of(prepared, turn, announced, News.from_json(held.news) if held else None)
    # Of a turn that was imported nothing is announced: it was history by then.
    is_history = before is not None and repos.imports.is_imported(before.briefing_id)
    # What needs a person counts at once, whether agents run or not.
    waits = turn.status == "completed" and not is_history
    agents = provisional.agents_at_work(repos, prepared) if waits else ()

    record = store(
        repos,
        prepared,
        turn,
        stored,
        before,
        is_history=is_history,
        is_provisional=bool(agents),
    )
    overlap.touch(repos, prepared, project_id, (*turn.files_touched, *turn.docs_touched))
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
    # An older turn, replayed or late, does not change the state: the session has moved on.
    if clock.is_ahead(session.state_at) or prepared.received_at >= session.state_at:
        session = _session_after(session, prepared, turn, record, event_id)
        session = replace(session, state="working") if agents else session
        repos.sessions.save(permissions.after_turn(repos, prepared, known, session))
    provisional.stop_seen(repos, prepared)
    word = "same" if not is_news else "new" if stored is None else f"revision {record.revision}"
    word = f"its agents still run: {len(agents)}" if agents else word
    return f"briefing #{record.briefing_id} ({word}, {turn.status}) of {project_id}"


def _is_late(prepared: Prepared, stored: Turn) -> bool:
    """Whether a later Stop of the turn was applied before this one."""
    return prepared.received_at < stored.stopped_at and not clock.is_ahead(stored.stopped_at)


def _add_files(repos: Repos, prepared: Prepared, stored: Turn, before: BriefingRecord) -> None:
    """Of a Stop that is applied late only its files count."""
    files, started_at = prepared.touched_files, prepared.turn_started_at
    overlap.touch(repos, prepared, before.project_id, stored_paths(files))
    placing.add_files(repos, stored, files, started_at, prepared.received_at)
    repos.imports.note_reported(stored.briefing_id)


def _seen_before(repos: Repos, prepared: Prepared, stored: Turn | None) -> str:
    """Why this payload is no news; "" if it is, and from now on it is known."""
    session_id, turn_key = prepared.session_id, prepared.turn_key
    # Without a prompt_id the turn is the transcript's last one, which an earlier payload may
    # already have reported. (In a turn that no payload reported, the same bytes are news: old
    # clients' all look alike.)
    is_replayed = (
        prepared.payload.prompt_id is None
        and stored is not None
        and repos.briefings.has_input(session_id, prepared.digest)
    )
    if is_replayed or not repos.briefings.mark_seen(session_id, turn_key, prepared.digest):
        return "this payload was applied before"
    if stored is None or prepared.entry.status:
        return ""
    recovered = recovered_digest(prepared)
    is_recovered = prepared.digest != recovered and repos.briefings.has_input(session_id, recovered)
    return "the same was read from the transcript" if is_recovered else ""


def recovered_digest(prepared: Prepared) -> str:
    """What stands for a payload where the turn's end was read from the transcript at the session's
    end."""
    return f"transcript:{prepared.turn_key}:{prepared.words_digest}"


def store(
    repos: Repos,
    prepared: Prepared,
    turn: ComposedTurn,
    stored: Turn | None,
    before: BriefingRecord | None,
    *,
    is_history: bool,
    is_provisional: bool = False,
) -> Turn:
    """Write the briefing and the record that ties the turn to it. `is_history`: it was imported,
    and no event announces a revision. A provisional one is silent, and its record stays as it
    was last announced."""
    fields: dict[str, Any] = {**turn.fields()}
    taken = repos.briefings.find_same(**fields)
    if taken is not None and taken != (before.briefing_id if before else None):
        # The worker wrote the task and time of another turn again; this is a turn of its own all
        # the same.
        turn = replace(turn, task_id=turn.turn_key, ended_at=prepared.received_at)
        fields = {**turn.fields()}
    derived = turn.derived
    revision, meaning = (stored.revision, stored.meaning) if stored else (0, "")
    if is_provisional:
        fields, derived = provisional.silenced(fields, derived)
    else:
        said = meaning_of(turn.summary, fields, turn.question)
        is_revised = said != meaning and not (stored and is_history)
        revision, meaning = revision + is_revised, said
    if before:
        briefing_id = before.briefing_id
        repos.briefings.update(briefing_id, **fields)
        repos.imports.note_reported(briefing_id)
    else:
        insert = repos.briefings.add if taken is None else repos.briefings.insert
        briefing_id = insert(**fields)
    has_changes = bool(turn.files_touched or turn.docs_touched) and not is_provisional
    is_work = prepared.entry.event == "Stop" and has_changes and not prepared.is_imported
    repos.derivations.save(briefing_id, derived, changed_something=is_work)
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
        question=turn.question,
        stopped_at=prepared.received_at,
        agents=_listed_agents(prepared),
        is_placed=prepared.is_placed,
        title=_title(repos, prepared, turn, stored),
    )
    repos.briefings.save_turn(record)
    return record


def _title(repos: Repos, prepared: Prepared, turn: ComposedTurn, stored: Turn | None) -> str | None:
    """What the turn is called: a prompt's line that says little gives way to the session's last
    title."""
    title = prepared.title
    if turn.title or not prepared.keeps_prompts:
        return turn.title or None
    if stored and stored.title and not title:
        return stored.title  # the prompt was read at an earlier end of the turn
    last = repos.briefings.last_title(turn.session_id, prepared.received_at, turn.turn_key)
    return title_or(title, last)


def _listed_agents(prepared: Prepared) -> tuple[str, ...] | None:
    """The session's agents that ran at this end; None where nothing says it."""
    if prepared.entry.event != "Stop" or prepared.is_imported:
        return None
    return prepared.payload.background_tasks or ()


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
    state_event = events.briefing(record.revision, turn.summary, fields, turn.question)
    if turn.status == "blocked" and (before is None or before.status != "blocked"):
        state_event = events.blocked(turn.summary, fields)
    if prepared.entry.event == "StopFailure":
        code = stored_text(prepared.payload.error or "unknown", 100)
        events.add("error", "highlight", {"error": {"message": turn.summary, "code": code}})
    turn_news.announce(repos, events, turn.project_id, news)
    touched = (*turn.files_touched, *turn.docs_touched)
    overlap.announce(repos, events, turn.session_id, touched, prepared.received_at)
    return state_event


def _session_after(
    session: Session,
    prepared: Prepared,
    turn: ComposedTurn,
    record: Turn,
    event_id: int | None,
) -> Session:
    """The session's state once the turn ended. A session that was seen since stays so, and its end
    and its HEAD."""
    session = replace(
        session,
        project_id=turn.project_id,
        folder=storable(prepared.folder) or session.folder,
        state=turn.status,
        state_at=prepared.received_at,
        detail=turn.detail,
        briefing_id=record.briefing_id,
        event_id=event_id,
        hidden_until=None,
        title=prepared.session_title or session.title,
    )
    if prepared.received_at >= seen_until(session):
        head, head_at = head_of(prepared)
        at = prepared.received_at
        session = replace(
            session,
            last_seen_at=at,
            ended_at=end_after_event(session, at),
            head_commit=head,
            head_at=head_at,
        )
    if turn.status_digest:
        session = replace(session, status_digest=turn.status_digest, status_turn=turn.turn_key)
    return session
