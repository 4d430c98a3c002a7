"""A finished turn to rows: its briefing, its events, and the state that it leaves its session in."""

from dataclasses import replace

from fleet_lib.ingest import permissions
from fleet_lib.ingest.compose import ComposedTurn, compose, head_of
from fleet_lib.ingest.project import ProjectFinder
from fleet_lib.ingest.sessions import end_after_event, new_session, seen_until
from fleet_lib.ingest.turn_events import TurnEvents
from fleet_lib.store.briefings import BriefingRecord, Turn
from fleet_lib.store.repos import Repos
from fleet_lib.store.sessions import Session
from fleet_lib.turn.documents import is_skill
from fleet_lib.turn.prepare import Prepared
from fleet_lib.turn.stored_text import storable, stored_text, stored_texts


def apply_turn_end(repos: Repos, projects: ProjectFinder, prepared: Prepared) -> str:
    """Apply a Stop or StopFailure and say in a few words what it became."""
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
    if (
        stored is not None
        and not prepared.entry.status
        and repos.briefings.has_input(session_id, recovered_digest(prepared))
    ):
        return "unchanged: the same was read from the transcript"
    known = repos.sessions.get(session_id)
    before = repos.briefings.get(stored.briefing_id) if stored else None
    derived_before = repos.derivations.get(before.briefing_id) if before else {}
    project_id = projects.project_of(prepared, known)
    turn = compose(prepared, project_id, known, before, derived_before)

    # Of a turn that was imported nothing is announced: it was history by then.
    is_history = before is not None and repos.imports.is_imported(before.briefing_id)
    record = store(repos, prepared, turn, stored, before, is_history=is_history)
    repos.projects.restore(project_id)
    is_news = stored is None or stored.revision != record.revision
    event_id = known.event_id if known else None
    if is_news:
        event_id = _announce(repos, prepared, turn, record, before)
    session = known or new_session(projects, prepared)
    # An older turn, replayed or late, does not change the state: the session has moved on.
    if not (known and prepared.received_at < seen_until(known)):
        session = _session_after(session, prepared, turn, record, event_id)
        repos.sessions.save(permissions.after_turn(repos, prepared, known, session))
    word = "same" if not is_news else "new" if stored is None else f"revision {record.revision}"
    return f"briefing #{record.briefing_id} ({word}, {turn.status}) of {project_id}"


def recovered_digest(prepared: Prepared) -> str:
    """What stands for a payload where the turn's end was read from the transcript at the session's end."""
    return f"transcript:{prepared.turn_key}:{prepared.words_digest}"


def store(
    repos: Repos,
    prepared: Prepared,
    turn: ComposedTurn,
    stored: Turn | None,
    before: BriefingRecord | None,
    *,
    is_history: bool,
) -> Turn:
    """Write the briefing and the record that ties the turn to it. `is_history`: it was imported, and no
    event told anybody of a revision."""
    taken = repos.briefings.find_same(**turn.fields())
    if taken is not None and taken != (before.briefing_id if before else None):
        # The worker wrote the task and time of another turn again; this is a turn of its own all the same.
        turn = replace(turn, task_id=turn.turn_key, ended_at=prepared.received_at)
    revision = 1
    if stored and before:
        briefing_id = before.briefing_id
        repos.briefings.update(briefing_id, **turn.fields())
        repos.imports.note_reported(briefing_id)
        is_revised = turn.meaning != stored.meaning and not is_history
        revision = stored.revision + is_revised
    else:
        briefing_id = repos.briefings.insert(**turn.fields())
    has_changes = bool(turn.files_touched or turn.docs_touched)
    repos.derivations.save(
        briefing_id,
        turn.derived,
        changed_something=prepared.entry.event == "Stop"
        and has_changes
        and not prepared.is_imported,
    )
    record = Turn(
        session_id=turn.session_id,
        turn_key=turn.turn_key,
        briefing_id=briefing_id,
        revision=revision,
        summary=turn.summary,
        meaning=turn.meaning,
        source=turn.source,
        facts_partial=prepared.turn.partial,
        warnings=turn.warnings,
        question=turn.question,
    )
    repos.briefings.save_turn(record)
    return record


def _announce(
    repos: Repos,
    prepared: Prepared,
    turn: ComposedTurn,
    record: Turn,
    before: BriefingRecord | None,
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
    if turn.doc_drift_risk == "high":
        for document, sources in _new_drift(repos, prepared, turn):
            events.drift(document, sources)
    for path in turn.files_touched:
        if is_skill(path) and (before is None or path not in before.files_touched):
            events.add("skill_updated", "mention", {"skill": {"path": path}})
    return state_event


def _new_drift(
    repos: Repos, prepared: Prepared, turn: ComposedTurn
) -> list[tuple[str | None, list[str]]]:
    """[(stale document, the sources that no warning named for it, as both files are now)]."""
    if not turn.stale:
        return [(None, [])]  # the worker itself says that the risk is high
    mentioned = {source for sources in turn.stale.values() for source in sources}
    digests = prepared.digests_of([*turn.stale, *mentioned])
    found: list[tuple[str | None, list[str]]] = []
    for document, sources in sorted(turn.stale.items()):
        fresh = [
            source
            for source in sources
            if repos.drift_pairs.add(
                turn.project_id,
                stored_text(source),
                stored_text(document),
                source_digest=digests[source],
                document_digest=digests[document],
            )
        ]
        if fresh:
            found.append((stored_text(document, 1000), list(stored_texts(fresh))))
    return found


def _session_after(
    session: Session,
    prepared: Prepared,
    turn: ComposedTurn,
    record: Turn,
    event_id: int | None,
) -> Session:
    """The session's state once the turn ended."""
    head, head_at = head_of(prepared)
    session = replace(
        session,
        project_id=turn.project_id,
        folder=storable(prepared.folder) or session.folder,
        state=turn.status,
        state_at=prepared.received_at,
        detail=turn.detail,
        briefing_id=record.briefing_id,
        event_id=event_id,
        last_seen_at=prepared.received_at,
        ended_at=end_after_event(session, prepared.received_at),
        hidden_until=None,
        head_commit=head,
        head_at=head_at,
    )
    if turn.status_digest:
        session = replace(session, status_digest=turn.status_digest, status_turn=turn.turn_key)
    return session
